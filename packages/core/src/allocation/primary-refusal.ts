/** Which of the many reasons why it gets nothing a node is told. */
import type { OriginId } from "../ids.ts";
import { tasteKey } from "./asker-index.ts";
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

/** The lots of an origin whose kind a node takes, and of each the least it reserves, where a glance finds it fast. */
type Glance = { readonly lots: readonly Lot[]; readonly leastBytes: Float64Array };

/** What is left as nodes see it that accept the same kinds of assets: origin by origin, as far as somebody has looked. */
type View = { readonly glances: (Glance | undefined)[]; readonly refused: RefusedLots[] };

/** Lots whose kind is refused for one reason. */
type RefusedLots = { readonly refusal: Refusal; readonly lots: Lot[] };

function keepRefused({ refused }: View, refusal: Refusal, lot: Lot): void {
  const isAlike = (one: RefusedLots): boolean =>
    one.refusal.reason === refusal.reason && textOf(one.refusal) === textOf(refusal);
  const known = refused.find(isAlike);
  if (known === undefined) refused.push({ refusal, lots: [lot] });
  else known.lots.push(lot);
}

/** No two of one view are alike. */
function byTelling(a: RefusedLots, b: RefusedLots): number {
  return primaryOf(a.refusal, b.refusal) === a.refusal ? -1 : 1;
}

/**
 * Tells each node its primary reason, with the numbers as a round has left them. Most are told of the closed origin that
 * opens first, which costs a glance at each origin and a look at the lots of a few; the others cost a glance at each lot,
 * and a closer look at a few of them. O(origins) to begin with.
 */
export class PrimaryRefusals {
  readonly #nowMs: number;
  readonly #settings: RoundSettings;
  readonly #leftovers: Leftovers;
  readonly #origins: ReadonlyMap<OriginId, OriginSlots>;
  readonly #originIds: readonly OriginId[];
  /** How long each of them is closed; Infinity for one that is open. */
  readonly #waitMs: Float64Array;
  /** Places in these two; the first `#ordered` of them in the order in which they open. */
  readonly #order: Int32Array;
  #ordered = 0;
  readonly #viewByTaste = new Map<string, View>();

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
    this.#originIds = [...leftovers.originIds];
    this.#waitMs = new Float64Array(this.#originIds.length);
    this.#order = Int32Array.from(this.#originIds.keys());
    for (const [place, id] of this.#originIds.entries()) {
      const origin = origins.get(id);
      const isOpen = origin !== undefined && origin.slots > 0;
      this.#waitMs[place] = isOpen ? Infinity : (origin?.retryAfterMs ?? settings.idleRetryMs);
    }
  }

  /** Why this node, which no rule about it alone keeps from work, gets none of what is left. */
  of(asker: Asker): Refusal {
    const settings = this.#settings;
    const view = this.#viewOf(asker);
    const closed = this.#soonestClosed(asker, view);
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
    for (let place = 0; place < this.#originIds.length; place += 1) {
      const { lots, leastBytes: leastByLot } = this.#glanceAt(place, asker, view);
      for (let at = 0; at < lots.length; at += 1) {
        // Whatever refuses a smaller one refuses this one too.
        if (leastByLot[at]! >= leastBytes) continue;
        const smallest = this.#smallest(lots[at]!, asker);
        if (smallest === null) continue;
        leastBytes = Math.min(leastBytes, reservationFor(smallest, settings));
        consider(smallest);
      }
    }
    if (leastBytes < Infinity) return primary;
    // Every origin has been glanced at now, so these are all.
    for (const { refusal, lots } of view.refused.toSorted(byTelling)) {
      if (primaryOf(primary, refusal) !== refusal) break;
      if (lots.some((lot) => this.#smallest(lot, asker) !== null)) return refusal;
    }
    return primary;
  }

  /** What it could have but for its origin: of these the first to open again. */
  #soonestClosed(asker: Asker, view: View): Refusal | null {
    const looking = { asker, view, takeable: takeableBytes(asker, this.#settings) };
    for (let nth = 0; nth < this.#originIds.length; nth += 1) {
      const place = this.#soonestPlace(nth);
      if (this.#waitMs[place] === Infinity) break;
      const refusal = this.#closedAt(place, looking);
      if (refusal !== null) return refusal;
    }
    return null;
  }

  /** That what it could have of this origin is closed; null where it could have none of it anyway. */
  #closedAt(
    place: number,
    { asker, view, takeable }: { readonly asker: Asker; readonly view: View; readonly takeable: number },
  ): Refusal | null {
    const { lots, leastBytes } = this.#glanceAt(place, asker, view);
    for (let at = 0; at < lots.length; at += 1) {
      const lot = lots[at]!;
      if (lot.source !== "origin" || leastBytes[at]! > takeable) continue;
      const smallest = this.#smallest(lot, asker);
      const refusal = smallest === null ? null : assetRefusal(this.#question(asker, smallest));
      if (refusal?.reason === "ORIGIN_SATURATED") return refusal;
    }
    return null;
  }

  /** The place of the origin that is the nth to open. Most nodes ask for the first alone, so that they are not all sorted. */
  #soonestPlace(nth: number): number {
    const order = this.#order;
    for (; this.#ordered <= nth; this.#ordered += 1) {
      let soonest = this.#ordered;
      for (let at = soonest + 1; at < order.length; at += 1) {
        if (this.#waitMs[order[at]!]! < this.#waitMs[order[soonest]!]!) soonest = at;
      }
      const place = order[soonest]!;
      order[soonest] = order[this.#ordered]!;
      order[this.#ordered] = place;
    }
    return order[nth]!;
  }

  #viewOf(asker: Asker): View {
    const key = tasteKey(asker);
    const known = this.#viewByTaste.get(key);
    if (known !== undefined) return known;
    const view: View = { glances: Array.from({ length: this.#originIds.length }), refused: [] };
    this.#viewByTaste.set(key, view);
    return view;
  }

  #glanceAt(place: number, asker: Asker, view: View): Glance {
    const known = view.glances[place];
    if (known !== undefined) return known;
    const lots: Lot[] = [];
    for (const lot of this.#leftovers.lotsOf(this.#originIds[place]!)) {
      const refusal = this.#kindRefusal(asker, lot);
      if (refusal === null) lots.push(lot);
      else keepRefused(view, refusal, lot);
    }
    const leastBytes = new Float64Array(lots.length);
    for (let at = 0; at < lots.length; at += 1) leastBytes[at] = lots[at]!.leastBytes;
    return (view.glances[place] = { lots, leastBytes });
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
