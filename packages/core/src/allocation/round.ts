import { compareIds } from "../ids.ts";
import type { NodeId, OriginId } from "../ids.ts";
import { reserveBytes } from "../ledger.ts";
import { independentCopies } from "../node.ts";
import { urgencyWithCopies } from "../urgency.ts";
import { assetRefusal, isOffered, nodeRefusal, reservationFor } from "./eligibility.ts";
import type {
  AllocationRound,
  Asker,
  Candidate,
  GrantDecision,
  OriginSlots,
  Refusal,
  RoundSettings,
} from "./policy.ts";

/** Which reason a node is told when different assets were refused for different ones: what resolves itself soonest first. */
const PRIMARY_ORDER: readonly Refusal["reason"][] = [
  "ORIGIN_SATURATED",
  "RETRY_PAUSE",
  "HORIZON_FULL",
  "NODE_FULL",
  "VETTING",
  "TAG_REFUSED",
  "SCHEME_UNSUPPORTED",
  "NOTHING_LEFT",
];

/** Of two refusals the one to tell: by PRIMARY_ORDER, then the one that is nearer to being lifted. */
function primaryOf(a: Refusal, b: Refusal): Refusal {
  const order = PRIMARY_ORDER.indexOf(a.reason) - PRIMARY_ORDER.indexOf(b.reason);
  if (order !== 0) return order < 0 ? a : b;
  if (a.reason === "NODE_FULL" && b.reason === "NODE_FULL") return a.missingBytes <= b.missingBytes ? a : b;
  return a.retryAfterMs <= b.retryAfterMs ? a : b;
}

/** That somebody has the asset already is no news to a node: for it, there is nothing left. */
function asTold(refusal: Refusal, settings: RoundSettings): Refusal {
  const isNoNews =
    refusal.reason === "HELD_ALREADY" || refusal.reason === "HELD_BY_OPERATOR" || refusal.reason === "COPIES_ENOUGH";
  return isNoNews ? { reason: "NOTHING_LEFT", retryAfterMs: settings.idleRetryMs } : refusal;
}

function relativeLoad({ ledger }: Asker): number {
  return ledger.offeredBytes === 0 ? 1 : (ledger.heldBytes + ledger.reservedBytes) / ledger.offeredBytes;
}

function sharesNetwork(asker: Asker, candidate: Candidate): boolean {
  return asker.network !== null && candidate.holders.some((holder) => holder.network === asker.network);
}

/** Other networks first, then the node that is relatively emptiest, then the lower id. */
function isBetter(a: Asker, b: Asker, candidate: Candidate): boolean {
  const network = Number(sharesNetwork(a, candidate)) - Number(sharesNetwork(b, candidate));
  const order = network || relativeLoad(a) - relativeLoad(b) || compareIds(a.nodeId, b.nodeId);
  return order < 0;
}

function withGrant(asker: Asker, bytes: number): Asker {
  return {
    ...asker,
    ledger: reserveBytes(asker.ledger, bytes),
    openLeases: asker.openLeases + 1,
    openBytes: asker.openBytes + bytes,
    wants: asker.wants - 1,
  };
}

/** One more holder, and so less urgent than before. */
function withHolder(candidate: Candidate, asker: Asker): Candidate {
  const { nodeId, operatorId, network, isVetting } = asker;
  const holders = [...candidate.holders, { nodeId, operatorId, network, counts: true, isOnTrial: isVetting }];
  const copies = { before: independentCopies(candidate.holders), after: independentCopies(holders) };
  return { ...candidate, holders, urgency: urgencyWithCopies(candidate.urgency, candidate.copies, copies) };
}

/** Most urgent first; ties go to the lower id. */
function byUrgency(a: Candidate, b: Candidate): number {
  return b.urgency - a.urgency || compareIds(a.assetId, b.assetId);
}

/** Put a candidate where it belongs among those behind `from`, which are in order. O(log n), and the move of an array. */
function insertBehind(queue: Candidate[], from: number, candidate: Candidate): void {
  let low = from + 1;
  let high = queue.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (byUrgency(queue[middle]!, candidate) <= 0) low = middle + 1;
    else high = middle;
  }
  queue.splice(low, 0, candidate);
}

/**
 * Decide one round: walk the candidates from the most urgent and give each to the best of the askers that may have it. It
 * is less urgent then, and comes up again in its new place, so first copies of all go before the second of any. Pure and
 * deterministic: the order of the inputs does not matter. Assets and nodes are expected once each in the input.
 *
 * A grant never opens anything for an asset walked before, so at the end all candidates are closed to whoever is left,
 * and the reason each of them is told is looked up then, with the numbers as they have become.
 * O(candidates x askers) in the worst case; it ends as soon as every asker has what it wants.
 */
export const allocateRound: AllocationRound = ({ nowMs, askers, candidates, origins, settings: given }) => {
  let settings = given;
  const slotsByOrigin = new Map<OriginId, OriginSlots>(origins.map((origin) => [origin.originId, origin]));
  const refusalByNode = new Map<NodeId, Refusal>();
  const grants: GrantDecision[] = [];
  const queue = candidates.toSorted(byUrgency);
  /** As they are at the end: with the holders that this round has given them. */
  const closed: Candidate[] = [];
  /** Those that may still get something. */
  const active = new Map<NodeId, Asker>();

  /** Keep the asker in the round, or let it go: with what it wanted, or with the rule about it that refuses. */
  const settle = (asker: Asker): void => {
    const refusal = asker.wants > 0 ? nodeRefusal({ nowMs, asker, settings }) : null;
    if (refusal !== null) refusalByNode.set(asker.nodeId, refusal);
    if (refusal === null && asker.wants > 0) active.set(asker.nodeId, asker);
    else active.delete(asker.nodeId);
  };

  const bestAskerFor = (candidate: Candidate): Asker | null => {
    const origin = slotsByOrigin.get(candidate.originId);
    if (!isOffered({ candidate, origin, settings })) return null;
    let best: Asker | null = null;
    for (const asker of active.values()) {
      if (best !== null && !isBetter(asker, best, candidate)) continue;
      if (assetRefusal({ nowMs, asker, candidate, origin, settings }) === null) best = asker;
    }
    return best;
  };

  const grant = (asker: Asker, candidate: Candidate): void => {
    const { assetId, originId } = candidate;
    const reservedBytes = reservationFor(candidate, settings);
    grants.push({ nodeId: asker.nodeId, assetId, originId, reservedBytes });
    const origin = slotsByOrigin.get(originId);
    if (origin !== undefined) slotsByOrigin.set(originId, { ...origin, slots: origin.slots - 1 });
    if (asker.isVetting) settings = { ...settings, vettingBytes: settings.vettingBytes - reservedBytes };
    settle(withGrant(asker, reservedBytes));
  };

  const primaryRefusal = (asker: Asker): Refusal => {
    let primary: Refusal = { reason: "NOTHING_LEFT", retryAfterMs: settings.idleRetryMs };
    for (const candidate of closed) {
      const origin = slotsByOrigin.get(candidate.originId);
      const refusal = assetRefusal({ nowMs, asker, candidate, origin, settings });
      if (refusal !== null) primary = primaryOf(primary, asTold(refusal, settings));
    }
    return primary;
  };

  askers.forEach(settle);
  for (let place = 0; place < queue.length && active.size > 0; place += 1) {
    const candidate = queue[place]!;
    const best = bestAskerFor(candidate);
    if (best === null) {
      closed.push(candidate);
    } else {
      grant(best, candidate);
      insertBehind(queue, place, withHolder(candidate, best));
    }
  }
  for (const asker of active.values()) refusalByNode.set(asker.nodeId, primaryRefusal(asker));
  return { grants, refusalByNode };
};
