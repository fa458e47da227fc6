import { placesLeft } from "../node.ts";
import type { NodeId, OriginId } from "../ids.ts";
import { hasVettedHolder, reservationFor, sourceOf } from "./eligibility.ts";
import type { AssetKind } from "./eligibility.ts";
import type { Asker, Candidate, RoundSettings } from "./policy.ts";

/** Where the assets of a lot come from now. `nowhere`: from peers, none of which has a copy to give yet. */
export type LotSource = "origin" | "peers" | "nowhere";

/**
 * Candidates that are wanted and alike to every node but for their size and their holders: of one origin, scheme and set
 * of tags, fetched from the same place, with or without a vetted holder. Whatever refuses the smallest of them that a
 * node's operator does not hold refuses all of them: that is why nobody has to look at the others.
 */
export type Lot = {
  readonly originId: OriginId;
  readonly source: LotSource;
  readonly kind: AssetKind;
  /** What the smallest of them reserves. */
  readonly leastBytes: number;
  /** The smallest that `suits`, or null; none that the asker's operator holds and may not have again is ever asked for. */
  smallest(suits: (candidate: Candidate) => boolean, asker: Asker): Candidate | null;
};

/** What is left of the candidates at the end of a round, for the reasons that nodes are told. */
export type Leftovers = {
  readonly originIds: Iterable<OriginId>;
  lotsOf(originId: OriginId): Iterable<Lot>;
  /** Those that the node failed on lately. */
  avoidedBy(nodeId: NodeId): readonly Candidate[];
};

export function lotSourceOf(candidate: Candidate, settings: Pick<RoundSettings, "originFetchesMax">): LotSource {
  if (sourceOf(candidate, settings) === "origin") return "origin";
  return candidate.seeds > 0 ? "peers" : "nowhere";
}

/** Equal for candidates of one lot, and only for them. */
export function lotKey(candidate: Candidate, settings: Pick<RoundSettings, "originFetchesMax">): string {
  const { originId, scheme, tags } = candidate;
  const source = lotSourceOf(candidate, settings);
  if (tags.length === 0) return `${originId} ${source} ${scheme} ${hasVettedHolder(candidate)}`;
  return JSON.stringify([originId, source, scheme, hasVettedHolder(candidate), tags]);
}

/** The lots of a window of candidates. O(n log n). */
export function sortIntoLots(candidates: readonly Candidate[], settings: RoundSettings): Leftovers {
  const wanted = candidates.filter(({ holders, copies }) => placesLeft(holders, copies) > 0);
  const lots = [...Map.groupBy(wanted, (candidate) => lotKey(candidate, settings)).values()].map((members): Lot => {
    const bySize = members.toSorted((a, b) => reservationFor(a, settings) - reservationFor(b, settings));
    const [first] = bySize as [Candidate, ...Candidate[]];
    return {
      originId: first.originId,
      source: lotSourceOf(first, settings),
      kind: first,
      leastBytes: reservationFor(first, settings),
      smallest: (suits) => bySize.find(suits) ?? null,
    };
  });
  const avoided = new Map<NodeId, Candidate[]>();
  for (const candidate of wanted) {
    for (const nodeId of candidate.avoid) {
      const known = avoided.get(nodeId);
      if (known === undefined) avoided.set(nodeId, [candidate]);
      else known.push(candidate);
    }
  }
  const lotsByOrigin = Map.groupBy(lots, (lot) => lot.originId);
  return {
    originIds: lotsByOrigin.keys(),
    lotsOf: (originId) => lotsByOrigin.get(originId) ?? [],
    avoidedBy: (nodeId) => avoided.get(nodeId) ?? [],
  };
}
