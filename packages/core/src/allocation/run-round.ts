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
  /** The candidates that got a holder, as they are now. */
  readonly changed: ReadonlyMap<AssetId, Candidate>;
};

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
  const copies = { before: independentCopies(candidate.holders), after: independentCopies(holders) };
  return {
    ...candidate,
    holders,
    urgency: policy.afterCopies(candidate.urgency, candidate.copies, copies),
    originFetches: source === "origin" ? candidate.originFetches + 1 : candidate.originFetches,
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
  const changed = new Map<AssetId, Candidate>();
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
    changed.set(assetId, next);
    if (placesLeft(next.holders, next.copies) > 0) again.push(next);
  }
  return { grants, changed };
}
