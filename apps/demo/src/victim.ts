/** Whom to kill, so that something is to be seen: pure choices over what the server tells of its assets. */
import { OPEN_STATES } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";

/** The part of `asset.get` that matters here. */
export type AssetFacts = {
  readonly id: AssetId;
  readonly path: string;
  readonly sizeBytes: number | null;
  readonly replicas: readonly { readonly node: string }[];
  readonly assignments: readonly {
    readonly node: string;
    readonly state: string;
    readonly bytesDone: number;
    readonly grantedAtMs: number;
    readonly endedAtMs: number | null;
  }[];
};

export type Victim = {
  readonly node: string;
  /** The file it is in the middle of, and how far it had come when last heard of. */
  readonly path: string;
  readonly bytesDone: number;
  readonly sizeBytes: number;
  /** Every asset it holds an open lease of. Never empty. */
  readonly leasedAssetIds: readonly AssetId[];
};

export type VictimRule = {
  readonly nodeNames: readonly string[];
  /** So much of the file has to be missing still, because what the server knows is a moment old. */
  readonly bytesLeftMin: number;
};

const isOpenState = (state: string): boolean => OPEN_STATES.some((open) => open === state);

/**
 * The node that is in the middle of a file, with most of it still to come, where another node could take the file over:
 * one that neither holds nor leases it. Null when there is none now.
 */
export function chooseVictim(assets: readonly AssetFacts[], { nodeNames, bytesLeftMin }: VictimRule): Victim | null {
  let best: Victim | null = null;
  for (const { path, sizeBytes, replicas, assignments } of assets) {
    if (sizeBytes === null) continue;
    const open = assignments.filter(({ state }) => isOpenState(state));
    const taken = new Set([...replicas, ...open].map(({ node }) => node));
    if (nodeNames.every((name) => taken.has(name))) continue;
    for (const { node, bytesDone } of open) {
      const bytesLeft = sizeBytes - bytesDone;
      if (bytesDone === 0 || bytesLeft < bytesLeftMin) continue;
      if (best !== null && bytesLeft <= best.sizeBytes - best.bytesDone) continue;
      best = { node, path, bytesDone, sizeBytes, leasedAssetIds: leasedBy(node, assets) };
    }
  }
  return best;
}

function leasedBy(name: string, assets: readonly AssetFacts[]): readonly AssetId[] {
  return assets
    .filter(({ assignments }) => assignments.some(({ node, state }) => node === name && isOpenState(state)))
    .map(({ id }) => id);
}

export type Takeover = { readonly path: string; readonly node: string };

/** The lease of `victim` that ended without a copy, and was then granted to another node; null before that. */
export function findTakeover(assets: readonly AssetFacts[], victim: string): Takeover | null {
  for (const { path, assignments } of assets) {
    const lost = assignments.find(({ node, state }) => node === victim && state === "expired");
    if (lost === undefined) continue;
    const next = assignments.find(
      ({ node, grantedAtMs }) => node !== victim && grantedAtMs >= (lost.endedAtMs ?? Infinity),
    );
    if (next !== undefined) return { path, node: next.node };
  }
  return null;
}
