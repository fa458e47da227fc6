/**
 * Judging a node's report that it saved an asset, and what the copies of one asset say about each other.
 */
import { requireCount, requireFinite, requireOneOf } from "./check.ts";
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
 * @throws DispatcherError INPUT_INVALID for a size that is none, SIZE_MISMATCH with both sizes, DIGEST_MISMATCH with both digests
 */
export function judgeRescue(declared: Declared, report: RescueReport): "verified" | "claimed" {
  requireCount(report.sizeBytes, "sizeBytes");
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

export type CopyWeight = { readonly nodeId: NodeId; readonly trust: Trust; readonly counts: boolean };

function requireCopy({ sizeBytes, trust }: CopyOnNode): void {
  requireCount(sizeBytes, "sizeBytes");
  requireOneOf(trust, TRUST_LEVELS, "trust");
}

/** Equal for copies with the same bytes. */
function contentOf({ sha256, sizeBytes }: CopyOnNode): string {
  return `${sha256}/${sizeBytes}`;
}

/**
 * What the copies of one asset are worth, seen together. Verified copies count as they are. Of those without a declared
 * digest, the largest group of operators with the same bytes counts, and is `agreed` from two operators on; a copy that
 * disagrees is kept and does not count, which makes the asset wanted again: the next copy is the tie-break. Groups of
 * equal size: the one that holds the lowest node id, so that the answer does not depend on the order.
 * Answers in the order given. O(n) for the handful of copies an asset has.
 */
export function weighCopies(copies: readonly CopyOnNode[]): readonly CopyWeight[] {
  for (const copy of copies) requireCopy(copy);
  const unverified = copies.filter((copy) => copy.trust !== "verified");
  // As it is wherever catalogs declare digests.
  if (unverified.length === 0) return copies.map(({ nodeId, trust }) => ({ nodeId, trust, counts: true }));
  const groups = [...Map.groupBy(unverified, contentOf)].map(([key, members]) => ({
    key,
    operators: new Set(members.map((copy) => copy.operatorId)).size,
    lowestNode: members.map((copy) => copy.nodeId).toSorted(compareIds)[0] as NodeId,
  }));
  const [best] = groups.toSorted((a, b) => b.operators - a.operators || compareIds(a.lowestNode, b.lowestNode));
  return copies.map((copy) => {
    if (copy.trust === "verified") return { nodeId: copy.nodeId, trust: copy.trust, counts: true };
    const isBest = best !== undefined && contentOf(copy) === best.key;
    const trust: Trust = isBest && best.operators >= 2 ? "agreed" : "claimed";
    return { nodeId: copy.nodeId, trust, counts: isBest };
  });
}

/** A copy with what the origin said as it was fetched; null for a header that was missing. */
export type VersionedCopy = CopyOnNode & {
  readonly etag: string | null;
  readonly lastModified: string | null;
  readonly firstSeenAtMs: number;
};

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;

/**
 * A Last-Modified in ms since the epoch; null for one that is no HTTP date. The one form that servers may send (RFC 9110,
 * section 5.6.7); the two obsolete ones count as missing. Days are counted as by Hinnant, days_from_civil, which lets the
 * year begin in March so that a leap day is its last.
 */
function httpDateMs(text: string): number | null {
  const [, day, month, year, ...clock] = HTTP_DATE.exec(text) ?? [];
  const monthIndex = MONTHS.indexOf(month ?? "");
  if (monthIndex < 0) return null;
  const marchIndex = (monthIndex + 10) % 12;
  const marchYear = Number(year) - (monthIndex < 2 ? 1 : 0);
  const dayOfYear = Math.floor((153 * marchIndex + 2) / 5) + Number(day) - 1;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  const days = marchYear * 365 + leapDays + dayOfYear - 719_468;
  const [hours = 0, minutes = 0, seconds = 0] = clock.map(Number);
  return days * 86_400_000 + ((hours * 60 + minutes) * 60 + seconds) * 1000;
}

type Validators = Pick<VersionedCopy, "etag" | "lastModified">;

const opaqueTag = (etag: string): string => etag.replace(/^W\//, "");
const isStrong = (etag: string): boolean => !etag.startsWith("W/");

/** What two copies with different bytes say of their versions by one validator. */
type Said = "other" | "same" | "nothing";

/** One that differs makes two versions; else one that is equal makes one. */
function together(said: readonly Said[]): Said {
  return (["other", "same"] as const).find((word) => said.some((one) => one === word)) ?? "nothing";
}

/** Strong comparison (RFC 9110, section 8.8.3.2): a weak tag that is equal promises the meaning, and not the bytes. */
function etagsSay(a: string | null, b: string | null): Said {
  if (a === null || b === null) return "nothing";
  if (opaqueTag(a) !== opaqueTag(b)) return "other";
  return isStrong(a) && isStrong(b) ? "same" : "nothing";
}

function datesSay(a: string | null, b: string | null): Said {
  const [aMs, bMs] = [a, b].map((date) => (date === null ? null : httpDateMs(date)));
  if (aMs === null || aMs === undefined || bMs === null || bMs === undefined) return "nothing";
  return aMs === bMs ? "same" : "other";
}

function validatorsSay(a: Validators, b: Validators): Said {
  return together([etagsSay(a.etag, b.etag), datesSay(a.lastModified, b.lastModified)]);
}

/**
 * same: the same bytes, whatever the headers. other: other bytes under another ETag or Last-Modified, which is a new
 * version and no error. corrupt: other bytes under the same ones; one of the two is damaged. unknown: other bytes, and no
 * header that both have tells why, so that a tie-break has to.
 */
export type VersionComparison = "same" | "other" | "corrupt" | "unknown";

/** What two copies of one asset are to each other. The order of the two does not matter. @throws INPUT_INVALID */
export function compareVersions(a: VersionedCopy, b: VersionedCopy): VersionComparison {
  for (const copy of [a, b]) requireCopy(copy);
  if (contentOf(a) === contentOf(b)) return "same";
  const said = validatorsSay(a, b);
  if (said === "other") return "other";
  return said === "same" ? "corrupt" : "unknown";
}

/**
 * current: it has the bytes of the newest version. outdated: it has those of an older one; it is kept, and does not count.
 * corrupt: it has the validators of its version and other bytes than those that were found right. disputed: it disagrees
 * with others of its version, and nothing has shown yet that it is wrong.
 */
export type CopyStanding = "current" | "outdated" | "corrupt" | "disputed";

export type VersionsJudged = {
  /** In the order given. */
  readonly copies: readonly (CopyWeight & { readonly standing: CopyStanding })[];
  /** The nodes of each version, the newest version first, each in the order of ids. Empty for no copies. */
  readonly versions: readonly (readonly NodeId[])[];
  /** One more fetch by another operator is to show which bytes of the newest version are right. */
  readonly tieBreakWanted: boolean;
};

/** Copies with the same bytes. */
type Content = {
  readonly members: readonly VersionedCopy[];
  readonly operators: number;
  readonly isVerified: boolean;
  /** When it was newest: its Last-Modified, or where there is none, when it was first seen. */
  readonly newestAtMs: number;
  readonly firstSeenAtMs: number;
  readonly lowestNode: NodeId;
};

function toContent(members: readonly [VersionedCopy, ...VersionedCopy[]]): Content {
  const firstSeenAtMs = Math.min(...members.map((copy) => copy.firstSeenAtMs));
  const modifiedMs = members.flatMap(({ lastModified }) =>
    lastModified === null ? [] : (httpDateMs(lastModified) ?? []),
  );
  return {
    members,
    operators: new Set(members.map((copy) => copy.operatorId)).size,
    isVerified: members.some((copy) => copy.trust === "verified"),
    newestAtMs: modifiedMs.length === 0 ? firstSeenAtMs : Math.max(...modifiedMs),
    firstSeenAtMs,
    lowestNode: members.map((copy) => copy.nodeId).toSorted(compareIds)[0] ?? members[0].nodeId,
  };
}

/** What two contents say of each other by all their members: one header that differs makes them two versions. */
function contentsSay(a: Content, b: Content): Said {
  return together(a.members.flatMap((one) => b.members.map((other) => validatorsSay(one, other))));
}

/** The content that is right among those of a version: verified, or of two operators and more than any other has. */
function rightContent(contents: readonly Content[]): Content | null {
  const byWeight = contents.toSorted(
    (a, b) => Number(b.isVerified) - Number(a.isVerified) || b.operators - a.operators,
  );
  const [first, second] = byWeight;
  if (first === undefined || second === undefined || first.isVerified) return first ?? null;
  return first.operators >= 2 && first.operators > second.operators ? first : null;
}

/** `right` is the right content of its version, where one is known. */
function standingOf(
  content: Content,
  { right, isNewest }: { readonly right: Content | null; readonly isNewest: boolean },
): CopyStanding {
  const isWrong = right !== null && content !== right && contentsSay(content, right) === "same";
  if (isWrong) return "corrupt";
  if (!isNewest) return "outdated";
  return content === right ? "current" : "disputed";
}

/**
 * What the copies of one asset are worth, version by version: weighCopies for the newest version, told apart from older
 * ones by ETag and Last-Modified. A content belongs to the newest version that no header tells it apart from, so that a copy
 * without headers is compared with what the origin serves now. Newest is the latest Last-Modified, or where it is missing
 * the time first seen; then first seen itself; then the lower node id.
 *
 * Only copies of the newest version count. Where its contents disagree and none of them is verified, or held by two
 * operators and more than any other, all are disputed and a tie-break is wanted; until then the content that weighCopies
 * prefers counts. Any order of the copies gives the same answer. O(n^2) for the handful of copies an asset has.
 * @throws DispatcherError INPUT_INVALID for a size, a time or a level of trust that is none
 */
export function judgeVersions(copies: readonly VersionedCopy[]): VersionsJudged {
  for (const copy of copies) {
    requireCopy(copy);
    requireFinite(copy.firstSeenAtMs, "firstSeenAtMs");
  }
  const contents = [...Map.groupBy(copies, contentOf).values()]
    .map(([first, ...others]) => toContent([first as VersionedCopy, ...others]))
    .toSorted(
      (a, b) =>
        b.newestAtMs - a.newestAtMs || b.firstSeenAtMs - a.firstSeenAtMs || compareIds(a.lowestNode, b.lowestNode),
    );
  const versions: Content[][] = [];
  for (const content of contents) {
    const version = versions.find((members) => members.every((member) => contentsSay(content, member) !== "other"));
    if (version === undefined) versions.push([content]);
    else version.push(content);
  }

  const [newest = []] = versions;
  const right = rightContent(newest);
  const weightByNode = new Map(
    weighCopies(newest.flatMap(({ members }) => members)).map((weight) => [weight.nodeId, weight]),
  );
  const judged = new Map<NodeId, CopyWeight & { readonly standing: CopyStanding }>();
  for (const version of versions) {
    const rightHere = rightContent(version);
    for (const content of version) {
      const standing = standingOf(content, { right: rightHere, isNewest: version === newest });
      for (const { nodeId, trust } of content.members) {
        const weight = weightByNode.get(nodeId) ?? { nodeId, trust, counts: false };
        // Beside verified bytes no others count, however many have them.
        const counts = right === null ? weight.counts : content === right;
        judged.set(nodeId, { ...weight, counts, standing });
      }
    }
  }
  return {
    copies: copies.flatMap(({ nodeId }) => judged.get(nodeId) ?? []),
    versions: versions.map((version) =>
      version.flatMap(({ members }) => members.map(({ nodeId }) => nodeId)).toSorted(compareIds),
    ),
    tieBreakWanted: newest.length > 0 && right === null,
  };
}
