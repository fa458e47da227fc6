/**
 * Judging a node's report that it saved an asset, and what the copies of one asset say about each other.
 */
import { provesDigest } from "./digest.ts";
import type { Computed, Digest } from "./digest.ts";
import { DispatcherError } from "./errors.ts";
import type { NodeId, OperatorId } from "./ids.ts";
import { compareIds } from "./ids.ts";

export type Declared = { readonly sizeBytes: number | null; readonly digest: Digest | null };

export type RescueReport = Computed & { readonly sizeBytes: number };

/**
 * verified: the bytes have the digest the catalog declares. claimed: nothing is declared, one node's word.
 * agreed: nothing is declared, and nodes of two operators have the same bytes.
 */
export const TRUST_LEVELS = ["verified", "claimed", "agreed"] as const;
export type Trust = (typeof TRUST_LEVELS)[number];

/**
 * Compare a report with what the catalog declares.
 * @throws DispatcherError SIZE_MISMATCH with both sizes, DIGEST_MISMATCH with both digests
 */
export function judgeRescue(declared: Declared, report: RescueReport): "verified" | "claimed" {
  if (declared.sizeBytes !== null && declared.sizeBytes !== report.sizeBytes) {
    throw new DispatcherError(
      "SIZE_MISMATCH",
      `The copy has ${report.sizeBytes} bytes; the catalog declares ${declared.sizeBytes}.`,
      { details: { declared: declared.sizeBytes, reported: report.sizeBytes } },
    );
  }
  if (declared.digest === null) return "claimed";
  if (!provesDigest(declared.digest, report)) {
    const { algorithm, hex } = declared.digest;
    const reported =
      algorithm === "sha256" ? report.sha256 : report.digest?.algorithm === algorithm ? report.digest.hex : null;
    throw new DispatcherError(
      "DIGEST_MISMATCH",
      `The copy has ${algorithm} ${reported ?? "(not given)"}; the catalog declares ${hex}.`,
      { details: { algorithm, declared: hex, reported } },
    );
  }
  return "verified";
}

export type CopyOnNode = {
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly trust: Trust;
};

/**
 * What the copies of one asset are worth, seen together. Verified copies count as they are. Of those without a declared
 * digest, the largest group of operators with the same bytes counts, and is `agreed` from two operators on; a copy that
 * disagrees is kept and does not count, which makes the asset wanted again: the next copy is the tie-break. Groups of
 * equal size: the one that holds the lowest node id, so that the answer does not depend on the order.
 * Answers in the order given. O(n) for the handful of copies an asset has.
 */
export function weighCopies(
  copies: readonly CopyOnNode[],
): readonly { readonly nodeId: NodeId; readonly trust: Trust; readonly counts: boolean }[] {
  const unverified = copies.filter((copy) => copy.trust !== "verified");
  const keyOf = (copy: CopyOnNode): string => `${copy.sha256}/${copy.sizeBytes}`;
  const groups = [...Map.groupBy(unverified, keyOf)].map(([key, members]) => ({
    key,
    operators: new Set(members.map((copy) => copy.operatorId)).size,
    lowestNode: members.map((copy) => copy.nodeId).toSorted(compareIds)[0] as NodeId,
  }));
  const [best] = groups.toSorted((a, b) => b.operators - a.operators || compareIds(a.lowestNode, b.lowestNode));
  return copies.map((copy) => {
    if (copy.trust === "verified") return { nodeId: copy.nodeId, trust: copy.trust, counts: true };
    const isBest = best !== undefined && keyOf(copy) === best.key;
    const trust: Trust = isBest && best.operators >= 2 ? "agreed" : "claimed";
    return { nodeId: copy.nodeId, trust, counts: isBest };
  });
}
