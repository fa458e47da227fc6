/** Which of the many reasons why it gets nothing a node is told. */
import type { OriginId } from "../ids.ts";
import { assetRefusal, isHeldFor, kindRefusal, reservationFor, takeableBytes } from "./eligibility.ts";
import type { Leftovers, Lot } from "./lot.ts";
import type { Asker, Candidate, OriginSlots, Refusal, RoundSettings } from "./policy.ts";

/** What resolves itself soonest first. */
const PRIMARY_ORDER: readonly Refusal["reason"][] = [
  "ORIGIN_SATURATED",
  "PEERS_NOT_READY",
  "RETRY_PAUSE",
  "HORIZON_FULL",
  "NODE_FULL",
  "VETTING",
  "TAG_REFUSED",
  "SCHEME_UNSUPPORTED",
  "NOTHING_LEFT",
];

function textOf(refusal: Refusal): string {
  if (refusal.reason === "TAG_REFUSED") return refusal.tag;
  return refusal.reason === "SCHEME_UNSUPPORTED" ? refusal.scheme : "";
}

/** Of two refusals the one to tell: by PRIMARY_ORDER, then the one that is nearer to being lifted, then by the alphabet. */
function primaryOf(a: Refusal, b: Refusal): Refusal {
  const order = PRIMARY_ORDER.indexOf(a.reason) - PRIMARY_ORDER.indexOf(b.reason);
  if (order !== 0) return order < 0 ? a : b;
  if (a.reason === "NODE_FULL" && b.reason === "NODE_FULL") return a.missingBytes <= b.missingBytes ? a : b;
  if (a.retryAfterMs !== b.retryAfterMs) return a.retryAfterMs < b.retryAfterMs ? a : b;
  return textOf(a) <= textOf(b) ? a : b;
}

/** Lots that a node takes, and those whose kind it does not. */
type Sorted = {
  /** By when their origin is open again, those that wait for peers behind. */
  readonly byWait: readonly Lot[];
  readonly bySize: readonly Lot[];
  readonly refused: readonly { readonly lot: Lot; readonly refusal: Refusal }[];
};

/**
 * Tells each node its primary reason, with the numbers as a round has left them. What nodes of one taste have in common is
 * worked out once; a node then costs a look at each lot at worst, and a few lots as a rule.
 */
export class PrimaryRefusals {
  readonly #nowMs: number;
  readonly #settings: RoundSettings;
  readonly #leftovers: Leftovers;
  readonly #origins: ReadonlyMap<OriginId, OriginSlots>;
  readonly #sortedByTaste = new Map<string, Sorted>();

  constructor({
    nowMs,
    settings,
    leftovers,
    origins,
  }: {
    readonly nowMs: number;
    readonly settings: RoundSettings;
    readonly leftovers: Leftovers;
    readonly origins: ReadonlyMap<OriginId, OriginSlots>;
  }) {
    this.#nowMs = nowMs;
    this.#settings = settings;
    this.#leftovers = leftovers;
    this.#origins = origins;
  }

  /** Why this node, which no rule about it alone keeps from work, gets none of what is left. */
  of(asker: Asker): Refusal {
    const { byWait, bySize, refused } = this.#sort(asker);
    const takeable = takeableBytes(asker, this.#settings);
    let primary: Refusal = { reason: "NOTHING_LEFT", retryAfterMs: this.#settings.idleRetryMs };
    const consider = (candidate: Candidate | null): Refusal | null => {
      if (candidate === null) return null;
      const refusal = this.#refusal(asker, candidate);
      if (refusal !== null) primary = primaryOf(primary, refusal);
      return refusal;
    };
    // What fits is closed for its origin's sake, and the first such lot is the first to open again.
    for (const lot of byWait) {
      if (lot.leastBytes > takeable) continue;
      const reason = consider(this.#smallest(lot, asker))?.reason;
      if (reason === "ORIGIN_SATURATED" || reason === "PEERS_NOT_READY") return primary;
    }
    for (const candidate of this.#leftovers.avoidedBy(asker.nodeId)) {
      if (!this.#isHeld(asker, candidate)) consider(candidate);
    }
    let leastBytes = Infinity;
    for (const lot of bySize) {
      if (lot.leastBytes >= leastBytes) break;
      const smallest = this.#smallest(lot, asker);
      if (smallest !== null) leastBytes = Math.min(leastBytes, reservationFor(smallest, this.#settings));
      consider(smallest);
    }
    if (leastBytes < Infinity) return primary;
    for (const { lot, refusal } of refused) {
      if (primaryOf(primary, refusal) === refusal && this.#smallest(lot, asker) !== null) primary = refusal;
    }
    return primary;
  }

  #smallest(lot: Lot, asker: Asker): Candidate | null {
    return lot.smallest(
      (candidate) => !candidate.avoid.includes(asker.nodeId) && !this.#isHeld(asker, candidate),
      asker,
    );
  }

  #isHeld(asker: Asker, candidate: Candidate): boolean {
    return isHeldFor(this.#question(asker, candidate));
  }

  #refusal(asker: Asker, candidate: Candidate): Refusal | null {
    return assetRefusal(this.#question(asker, candidate));
  }

  #question(asker: Asker, candidate: Candidate) {
    const origin = this.#origins.get(candidate.originId);
    return { nowMs: this.#nowMs, asker, candidate, origin, settings: this.#settings };
  }

  #sort(asker: Asker): Sorted {
    const key = JSON.stringify([asker.schemes, asker.refusedTags, asker.isVetting]);
    const known = this.#sortedByTaste.get(key);
    if (known !== undefined) return known;
    const taken: Lot[] = [];
    const refused: { lot: Lot; refusal: Refusal }[] = [];
    for (const lot of this.#leftovers.lots) {
      const refusal = kindRefusal({ asker, candidate: lot.kind, settings: this.#settings });
      if (refusal === null) taken.push(lot);
      else refused.push({ lot, refusal });
    }
    const waitMs = (lot: Lot): number =>
      lot.source === "origin"
        ? (this.#origins.get(lot.originId)?.retryAfterMs ?? this.#settings.idleRetryMs)
        : Infinity;
    const sorted = {
      byWait: taken.toSorted((a, b) => (waitMs(a) === waitMs(b) ? 0 : waitMs(a) - waitMs(b))),
      bySize: taken.toSorted((a, b) => a.leastBytes - b.leastBytes),
      refused,
    };
    this.#sortedByTaste.set(key, sorted);
    return sorted;
  }
}
