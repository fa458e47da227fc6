/**
 * The loop of a round, over whatever holds the candidates: an array (`round.ts`) or a pool (`candidate-pool.ts`).
 */
import { BinaryHeap } from "../binary-heap.ts";
import { compareIds } from "../ids.ts";
import type { AssetId, OriginId } from "../ids.ts";
import { independentCopies, placesLeft } from "../node.ts";
import type { Holder } from "../node.ts";
import type { UrgencyPolicy } from "../urgency/policy.ts";
import type { AskerIndex } from "./asker-index.ts";
import { reservationFor, sourceOf } from "./eligibility.ts";
import type { Asker, Candidate, GrantDecision, OriginSlots } from "./policy.ts";

/** Candidates in the order of urgency. It may leave out any that no asker could have. */
export type CandidateSource = {
  /** The next one, or null at the end; the same again until it is taken off. */
  peek(): Candidate | null;
  /** Go on behind the one that `peek` answered. */
  skip(): void;
};

/** The slots go down as they are granted. */
export type OpenOrigins = ReadonlyMap<OriginId, Omit<OriginSlots, "slots"> & { slots: number }>;

export type Walk = {
  /** In the order of urgency. */
  readonly grants: readonly GrantDecision[];
  /** For each grant, its candidate as that grant left it: the last of an asset is what it is now. */
  readonly changed: readonly Candidate[];
};

/** As they are now, each once. */
export function byId(changed: Walk["changed"]): ReadonlyMap<AssetId, Candidate> {
  return new Map(changed.map((candidate) => [candidate.assetId, candidate]));
}

/** Most urgent first; ties go to the lower id. */
function isMoreUrgent(a: Candidate, b: Candidate): boolean {
  return a.urgency > b.urgency || (a.urgency === b.urgency && compareIds(a.assetId, b.assetId) < 0);
}

/** One holder more, and so less urgent than before. */
function withHolder(
  candidate: Candidate,
  { nodeId, operatorId, network, isVetting }: Asker,
  source: GrantDecision["source"],
  policy: UrgencyPolicy,
): Candidate {
  const holder: Holder = { nodeId, operatorId, network, counts: true, isOnTrial: isVetting };
  const holders = candidate.holders.length === 0 ? [holder] : [...candidate.holders, holder];
  const change = { before: independentCopies(candidate.holders), after: independentCopies(holders) };
  const { assetId, originId, scheme, tags, sizeBytes, copies, avoid, originFetches, seeds } = candidate;
  const urgency = policy.afterCopies(candidate.urgency, copies, change);
  // Spelled out, because to spread it costs five times as much, and this is done once a grant.
  return {
    assetId,
    originId,
    scheme,
    tags,
    sizeBytes,
    urgency,
    copies,
    holders,
    avoid,
    originFetches: source === "origin" ? originFetches + 1 : originFetches,
    seeds,
  };
}

/**
 * Walk the candidates from the most urgent and give each to the best of the askers that may have it. It is less urgent
 * then, and comes up again in its new place, so first copies of all go before the second of any. A grant never opens
 * anything for an asset walked before, so what was passed over need not be looked at again. It ends as soon as every asker
 * has what it wants. Granted slots are gone from `origins` then.
 */
export function runRound(
  askers: AskerIndex,
  source: CandidateSource,
  origins: OpenOrigins,
  policy: UrgencyPolicy,
): Walk {
  const grants: GrantDecision[] = [];
  const changed: Candidate[] = [];
  const again = new BinaryHeap<Candidate>(isMoreUrgent);

  const takeNext = (): Candidate | null => {
    const fresh = source.peek();
    const known = again.top;
    if (known !== undefined && (fresh === null || isMoreUrgent(known, fresh))) {
      again.pop();
      return known;
    }
    source.skip();
    return fresh;
  };

  while (askers.isActive) {
    const candidate = takeNext();
    if (candidate === null) break;
    const { assetId, originId } = candidate;
    const origin = origins.get(originId);
    const seat = askers.bestFor(candidate, origin);
    if (seat === null) continue;
    const asker = askers.askerAt(seat);
    const reservedBytes = reservationFor(candidate, askers.settings);
    const from = sourceOf(candidate, askers.settings);
    grants.push({ nodeId: asker.nodeId, assetId, originId, source: from, reservedBytes });
    if (from === "origin" && origin !== undefined) origin.slots -= 1;
    const next = withHolder(candidate, asker, from, policy);
    askers.grant(seat, reservedBytes);
    changed.push(next);
    if (placesLeft(next.holders, next.copies) > 0) again.push(next);
  }
  return { grants, changed };
}
