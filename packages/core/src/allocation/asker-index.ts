/**
 * The askers of a round, so that the best one for an asset is found without asking each of them: a tournament tree over
 * the askers in the order of their operators. A tree node knows the best asker below it, the most bytes any of them can
 * take, the schemes they speak, and the operator and the network they have in common, if they have. A search goes down
 * where the best may be and leaves out what cannot have the asset (branch and bound, Land and Doig 1960); whether an asker
 * really may have it is decided by the rules in `eligibility.ts` alone.
 */
import { compareIds } from "../ids.ts";
import type { NodeId, OperatorId } from "../ids.ts";
import { reserveBytes } from "../ledger.ts";
import { assetRefusal, isAboutAsset, kindRefusal, nodeRefusal, reservationFor, takeableBytes } from "./eligibility.ts";
import type { AssetKind } from "./eligibility.ts";
import type { Asker, Candidate, OriginSlots, Refusal, RoundSettings } from "./policy.ts";

/** The place of an asker in the index. */
export type Seat = number;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** In place of a seat: there is none. In place of a code: several values. */
const NONE = -1;
const NO_CODES: readonly number[] = [];

/** Gives each value a small number, in order of appearance. */
class Codes<Value> {
  readonly #codeByValue = new Map<Value, number>();

  give(value: Value): number {
    const known = this.#codeByValue.get(value);
    if (known !== undefined) return known;
    this.#codeByValue.set(value, this.#codeByValue.size);
    return this.#codeByValue.size - 1;
  }

  find(value: Value): number {
    return this.#codeByValue.get(value) ?? NONE;
  }
}

/** One bit for each of the first 31 schemes; any others share the last bit, and the rules tell them apart. */
function bitOf(code: number): number {
  return 1 << Math.min(code, 31);
}

/** Askers that accept the same kinds of assets, and how many of them still want something. */
type Taste = { readonly asker: Asker; active: number };

/** Equal for askers that accept the same kinds of assets. */
export function tasteKey({ schemes, refusedTags, isVetting }: Asker): string {
  return JSON.stringify([schemes, refusedTags, isVetting]);
}

function relativeLoad({ ledger }: Asker): number {
  return ledger.offeredBytes === 0 ? 1 : (ledger.heldBytes + ledger.reservedBytes) / ledger.offeredBytes;
}

function standsBesideHolder({ network }: Asker, { holders }: Candidate): boolean {
  return network !== null && holders.some((holder) => holder.network === network);
}

/** What is looked for, and the best seat found so far. */
type Search = {
  readonly candidate: Candidate;
  readonly origin: OriginSlots | undefined;
  readonly bytes: number;
  readonly schemeBit: number;
  readonly heldOperators: readonly number[];
  readonly heldNetworks: readonly number[];
  best: Seat;
  bestSharesNetwork: boolean;
  /** The asset is closed to all. */
  isOver: boolean;
};

export class AskerIndex {
  readonly #nowMs: number;
  readonly #idleSettings: RoundSettings;
  /** In the order of operators, then nodes: the leaves of the tree. */
  readonly #askers: Mutable<Asker>[];
  readonly #tastes: Taste[] = [];
  readonly #leaves: number;
  // Per seat.
  readonly #load: Float64Array;
  readonly #rank: Int32Array;
  // Per tree node: 1 is the root, the children of n are 2n and 2n + 1, and seat s is node leaves + s.
  readonly #best: Int32Array;
  readonly #maxBytes: Float64Array;
  readonly #schemeBits: Int32Array;
  readonly #operator: Int32Array;
  readonly #network: Int32Array;
  readonly #schemeCodes = new Codes<string>();
  readonly #operatorCodes = new Codes<OperatorId>();
  readonly #networkCodes = new Codes<string>();
  readonly #tasteByKey = new Map<string, Taste>();
  readonly #activeByOperator = new Map<OperatorId, number>();
  readonly #refusalByNode = new Map<NodeId, Refusal>();
  #vettingBytes: number;
  #settings: RoundSettings;
  #departures = 0;

  /** O(n log n) in the askers. */
  constructor(askers: readonly Asker[], nowMs: number, settings: RoundSettings) {
    this.#nowMs = nowMs;
    this.#idleSettings = settings;
    this.#settings = settings;
    this.#vettingBytes = settings.vettingBytes;
    this.#askers = askers
      .toSorted((a, b) => compareIds(a.operatorId, b.operatorId) || compareIds(a.nodeId, b.nodeId))
      .map((asker) => ({ ...asker }));
    const count = this.#askers.length;
    let leaves = 1;
    while (leaves < count) leaves *= 2;
    this.#leaves = leaves;
    this.#load = new Float64Array(count);
    this.#rank = this.#rankById();
    this.#best = new Int32Array(2 * leaves).fill(NONE);
    this.#maxBytes = new Float64Array(2 * leaves).fill(NONE);
    this.#schemeBits = new Int32Array(2 * leaves);
    this.#operator = new Int32Array(2 * leaves).fill(NONE);
    this.#network = new Int32Array(2 * leaves).fill(NONE);
    for (let seat = 0; seat < count; seat += 1) this.#enter(seat);
    for (let node = leaves - 1; node >= 1; node -= 1) {
      this.#pull(node);
      this.#pullKinds(node);
    }
  }

  /** Some asker still wants something and may work. */
  get isActive(): boolean {
    return this.#best[1] !== NONE;
  }

  /** Nobody can take an asset that reserves more; below 0 when nobody is left. */
  get maxBytes(): number {
    return this.#maxBytes[1]!;
  }

  /** The round's settings, less what nodes on trial have been granted. */
  get settings(): RoundSettings {
    return this.#settings;
  }

  /** Of those that the rules about a node alone keep from more. */
  get refusalByNode(): ReadonlyMap<NodeId, Refusal> {
    return this.#refusalByNode;
  }

  /** Those that still want something, as the grants have left them. */
  get active(): readonly Asker[] {
    return this.#askers.filter((_, seat) => this.#best[this.#leaves + seat] !== NONE);
  }

  /** The operators of those that still want something. */
  get activeOperators(): Iterable<OperatorId> {
    return this.#activeByOperator.keys();
  }

  /** Goes up when an asker leaves: what the others take has to be asked anew. */
  get departures(): number {
    return this.#departures;
  }

  /** Whether anybody takes assets of this kind, whatever their size and holders. O(different tastes). */
  accepts(kind: AssetKind): boolean {
    const settings = this.#settings;
    for (const { asker, active } of this.#tasteByKey.values()) {
      if (active > 0 && kindRefusal({ asker, candidate: kind, settings }) === null) return true;
    }
    return false;
  }

  askerAt(seat: Seat): Asker {
    return this.#askers[seat]!;
  }

  /**
   * Who is to have the asset, or null when nobody may: another network first, then the node that is relatively emptiest,
   * then the lower id. O(log n) when the best by load may have it; O(n) at worst.
   */
  bestFor(candidate: Candidate, origin: OriginSlots | undefined): Seat | null {
    const first = this.#best[1]!;
    if (first === NONE) return null;
    const refusal = this.#refusal(first, candidate, origin);
    if (refusal === null && !standsBesideHolder(this.#askers[first]!, candidate)) return first;
    if (refusal !== null && isAboutAsset(refusal)) return null;
    const schemeCode = this.#schemeCodes.find(candidate.scheme);
    if (schemeCode === NONE) return null;
    const search: Search = {
      candidate,
      origin,
      bytes: reservationFor(candidate, this.#settings),
      schemeBit: bitOf(schemeCode),
      heldOperators: this.#closedOperators(candidate),
      heldNetworks: this.#networksOf(candidate),
      best: NONE,
      bestSharesNetwork: false,
      isOver: false,
    };
    this.#search(1, search);
    return search.best === NONE ? null : search.best;
  }

  /** The asker has been given an asset. O(log n). */
  grant(seat: Seat, bytes: number): void {
    const asker = this.#askers[seat]!;
    asker.ledger = reserveBytes(asker.ledger, bytes);
    asker.openLeases += 1;
    asker.openBytes += bytes;
    asker.wants -= 1;
    if (asker.isVetting) {
      this.#vettingBytes -= bytes;
      this.#settings = { ...this.#idleSettings, vettingBytes: this.#vettingBytes };
    }
    if (!this.#refresh(seat)) this.#leave(seat);
    for (let node = (this.#leaves + seat) >>> 1; node >= 1; node >>>= 1) this.#pull(node);
  }

  #rankById(): Int32Array {
    const order = this.#askers.map((_, seat) => seat);
    order.sort((a, b) => compareIds(this.#askers[a]!.nodeId, this.#askers[b]!.nodeId));
    const rank = new Int32Array(order.length);
    order.forEach((seat, place) => (rank[seat] = place));
    return rank;
  }

  #enter(seat: Seat): void {
    const asker = this.#askers[seat]!;
    const node = this.#leaves + seat;
    for (const scheme of asker.schemes) this.#schemeBits[node]! |= bitOf(this.#schemeCodes.give(scheme));
    this.#operator[node] = this.#operatorCodes.give(asker.operatorId);
    this.#network[node] = asker.network === null ? NONE : this.#networkCodes.give(asker.network);
    const key = tasteKey(asker);
    const taste = this.#tasteByKey.get(key) ?? { asker, active: 0 };
    this.#tasteByKey.set(key, taste);
    this.#tastes[seat] = taste;
    if (!this.#refresh(seat)) return;
    taste.active += 1;
    this.#activeByOperator.set(asker.operatorId, (this.#activeByOperator.get(asker.operatorId) ?? 0) + 1);
  }

  #leave(seat: Seat): void {
    const { operatorId } = this.#askers[seat]!;
    this.#departures += 1;
    this.#tastes[seat]!.active -= 1;
    const left = (this.#activeByOperator.get(operatorId) ?? 0) - 1;
    if (left === 0) this.#activeByOperator.delete(operatorId);
    else this.#activeByOperator.set(operatorId, left);
  }

  /** Bring a leaf up to date; false when its asker has what it wants, or the rules about it alone refuse. */
  #refresh(seat: Seat): boolean {
    const asker = this.#askers[seat]!;
    const node = this.#leaves + seat;
    const refusal = asker.wants > 0 ? nodeRefusal({ nowMs: this.#nowMs, asker, settings: this.#settings }) : null;
    if (refusal !== null) this.#refusalByNode.set(asker.nodeId, refusal);
    const isActive = refusal === null && asker.wants > 0;
    this.#load[seat] = relativeLoad(asker);
    this.#best[node] = isActive ? seat : NONE;
    this.#maxBytes[node] = isActive ? takeableBytes(asker, this.#settings) : NONE;
    return isActive;
  }

  #isBetter(a: Seat, b: Seat): boolean {
    const order = this.#load[a]! - this.#load[b]!;
    return order < 0 || (order === 0 && this.#rank[a]! < this.#rank[b]!);
  }

  /** What a grant changes of a tree node. */
  #pull(node: number): void {
    const left = 2 * node;
    const right = left + 1;
    const bestLeft = this.#best[left]!;
    const bestRight = this.#best[right]!;
    const takesRight = bestLeft === NONE || (bestRight !== NONE && this.#isBetter(bestRight, bestLeft));
    this.#best[node] = takesRight ? bestRight : bestLeft;
    this.#maxBytes[node] = Math.max(this.#maxBytes[left]!, this.#maxBytes[right]!);
  }

  /** What stays as it is: of those that have left, too. */
  #pullKinds(node: number): void {
    const left = 2 * node;
    const right = left + 1;
    this.#schemeBits[node] = this.#schemeBits[left]! | this.#schemeBits[right]!;
    this.#operator[node] = this.#operator[left] === this.#operator[right] ? this.#operator[left]! : NONE;
    this.#network[node] = this.#network[left] === this.#network[right] ? this.#network[left]! : NONE;
  }

  /** The operators that may have no second copy. Where each may have one already, the rules decide asker by asker. */
  #closedOperators({ holders }: Candidate): readonly number[] {
    if (holders.length === 0 || holders.length >= this.#settings.operatorCount) return NO_CODES;
    return holders.filter((holder) => holder.counts).map((holder) => this.#operatorCodes.find(holder.operatorId));
  }

  #networksOf({ holders }: Candidate): readonly number[] {
    if (holders.length === 0) return NO_CODES;
    return holders.flatMap(({ network }) => (network === null ? [] : [this.#networkCodes.find(network)]));
  }

  #refusal(seat: Seat, candidate: Candidate, origin: OriginSlots | undefined): Refusal | null {
    const asker = this.#askers[seat]!;
    return assetRefusal({ nowMs: this.#nowMs, asker, candidate, origin, settings: this.#settings });
  }

  #search(node: number, search: Search): void {
    const best = this.#best[node]!;
    if (best === NONE || search.isOver || this.#maxBytes[node]! < search.bytes) return;
    if ((this.#schemeBits[node]! & search.schemeBit) === 0) return;
    const operator = this.#operator[node]!;
    if (operator !== NONE && search.heldOperators.includes(operator)) return;
    const network = this.#network[node]!;
    const isLeaf = node >= this.#leaves;
    const sharesNetwork = network !== NONE && search.heldNetworks.includes(network);
    // Below a node of several networks there may be one that is not shared, and that beats any load.
    const mayShareLess = search.bestSharesNetwork && !sharesNetwork;
    if (search.best !== NONE && !mayShareLess) {
      if (sharesNetwork && !search.bestSharesNetwork) return;
      if (!this.#isBetter(best, search.best)) return;
    }
    if (isLeaf) {
      const refusal = this.#refusal(best, search.candidate, search.origin);
      if (refusal !== null) {
        search.isOver = isAboutAsset(refusal);
        return;
      }
      search.best = best;
      search.bestSharesNetwork = sharesNetwork;
      return;
    }
    const left = 2 * node;
    const rightFirst = this.#best[left] !== best;
    this.#search(rightFirst ? left + 1 : left, search);
    this.#search(rightFirst ? left : left + 1, search);
  }
}
