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

/**
 * Of two refusals the one to tell: by PRIMARY_ORDER, then what misses fewer bytes, then by the alphabet. Two closed origins
 * never come here: the first one to open again is told at once.
 */
function primaryOf(a: Refusal, b: Refusal): Refusal {
  const order = PRIMARY_ORDER.indexOf(a.reason) - PRIMARY_ORDER.indexOf(b.reason);
  if (order !== 0) return order < 0 ? a : b;
  if (a.reason === "NODE_FULL" && b.reason === "NODE_FULL") return a.missingBytes <= b.missingBytes ? a : b;
  return textOf(a) <= textOf(b) ? a : b;
}

/**
 * Tells each node its primary reason, with the numbers as a round has left them. A node costs a glance at each lot, and a
 * closer look at a few of them. O(lots) to begin with.
 */
export class PrimaryRefusals {
  readonly #nowMs: number;
  readonly #settings: RoundSettings;
  readonly #leftovers: Leftovers;
  readonly #origins: ReadonlyMap<OriginId, OriginSlots>;
  /** What is left, and of each lot the least it reserves and how long it is closed, where a glance finds them fast. */
  readonly #lots: readonly Lot[];
  readonly #leastBytes: Float64Array;
  readonly #waitMs: Float64Array;

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
    this.#lots = [...leftovers.lots];
    this.#leastBytes = Float64Array.from(this.#lots, (lot) => lot.leastBytes);
    this.#waitMs = Float64Array.from(this.#lots, ({ source, originId }) =>
      // Nobody can say when peers are ready: after all origins.
      source === "origin" ? (origins.get(originId)?.retryAfterMs ?? settings.idleRetryMs) : Infinity,
    );
  }

  /** Why this node, which no rule about it alone keeps from work, gets none of what is left. */
  of(asker: Asker): Refusal {
    const settings = this.#settings;
    const closed = this.#soonestClosed(asker);
    if (closed !== null) return closed;
    let primary: Refusal = { reason: "NOTHING_LEFT", retryAfterMs: settings.idleRetryMs };
    const consider = (candidate: Candidate): void => {
      const refusal = assetRefusal(this.#question(asker, candidate));
      if (refusal !== null) primary = primaryOf(primary, refusal);
    };
    for (const candidate of this.#leftovers.avoidedBy(asker.nodeId)) {
      if (!isHeldFor(this.#question(asker, candidate))) consider(candidate);
    }
    let leastBytes = Infinity;
    for (const [place, lot] of this.#lots.entries()) {
      // Whatever refuses a smaller one refuses this one too.
      if (this.#leastBytes[place]! >= leastBytes || this.#kindRefusal(asker, lot) !== null) continue;
      const smallest = this.#smallest(lot, asker);
      if (smallest === null) continue;
      leastBytes = Math.min(leastBytes, reservationFor(smallest, settings));
      consider(smallest);
    }
    if (leastBytes < Infinity) return primary;
    for (const lot of this.#lots) {
      const refusal = this.#kindRefusal(asker, lot);
      if (refusal === null || primaryOf(primary, refusal) !== refusal) continue;
      if (this.#smallest(lot, asker) !== null) primary = refusal;
    }
    return primary;
  }

  /** What it could have but for its origin, or the peers it comes from: of these the first to open again. */
  #soonestClosed(asker: Asker): Refusal | null {
    const takeable = takeableBytes(asker, this.#settings);
    let soonest: Refusal | null = null;
    let soonestMs = Infinity;
    for (let place = 0; place < this.#lots.length; place += 1) {
      const waitMs = this.#waitMs[place]!;
      if (this.#leastBytes[place]! > takeable || (soonest !== null && waitMs >= soonestMs)) continue;
      const lot = this.#lots[place]!;
      if (this.#kindRefusal(asker, lot) !== null) continue;
      const smallest = this.#smallest(lot, asker);
      const refusal = smallest === null ? null : assetRefusal(this.#question(asker, smallest));
      if (refusal?.reason !== "ORIGIN_SATURATED" && refusal?.reason !== "PEERS_NOT_READY") continue;
      soonest = refusal;
      soonestMs = waitMs;
    }
    return soonest;
  }

  #kindRefusal(asker: Asker, { kind }: Lot): Refusal | null {
    return kindRefusal({ asker, candidate: kind, settings: this.#settings });
  }

  #smallest(lot: Lot, asker: Asker): Candidate | null {
    return lot.smallest(
      (candidate) => !candidate.avoid.includes(asker.nodeId) && !isHeldFor(this.#question(asker, candidate)),
      asker,
    );
  }

  #question(asker: Asker, candidate: Candidate) {
    const origin = this.#origins.get(candidate.originId);
    return { nowMs: this.#nowMs, asker, candidate, origin, settings: this.#settings };
  }
}
