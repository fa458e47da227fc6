/**
 * The candidates a service keeps in memory, so that a round costs what it grants and not what there is. They stand in
 * queues: one for each origin and each kind of asset, by copies so far, so that whatever closes a queue to a node closes
 * it as a whole. A queue is a tree in the order of urgency that passes over what is too big for the asker or held by its
 * operator already (`urgency-tree.ts`). The open queues stand in a heap by their heads, and a round looks only at as many
 * of them as it needs: lazy selection from a heap, after Frederickson 1993, An optimal algorithm for selection in a
 * min-heap.
 */
import type { CopyRange } from "../asset.ts";
import { BinaryHeap } from "../binary-heap.ts";
import { refuse, requireCount, requireFinite } from "../check.ts";
import type { AssetId, NodeId, OperatorId, OriginId } from "../ids.ts";
import { independentCopies, placesLeft } from "../node.ts";
import type { Holder } from "../node.ts";
import type { UrgencyPolicy } from "../urgency/policy.ts";
import { rescueFirst } from "../urgency/rescue-first.ts";
import { AskerIndex } from "./asker-index.ts";
import { checkAsker, checkCandidate, checkOnce, checkOrigin, checkSettings } from "./check-round.ts";
import type { AssetKind } from "./eligibility.ts";
import { lotKey, lotSourceOf } from "./lot.ts";
import type { Leftovers, Lot, LotSource } from "./lot.ts";
import type { Asker, Candidate, OriginSlots, RoundResult, RoundSettings } from "./policy.ts";
import { PlacedHeap } from "./placed-heap.ts";
import { refusalsAfter } from "./round.ts";
import { byId, runRound } from "./run-round.ts";
import type { CandidateSource } from "./run-round.ts";
import { SlotsById } from "./slots-by-id.ts";
import { NO_SLOT, UrgencyTrees } from "./urgency-tree.ts";
import type { Limits, Slot, TreeWalk } from "./urgency-tree.ts";

export type PoolSettings = Pick<RoundSettings, "unknownSizeBytes" | "originFetchesMax">;
export type PoolRound = {
  readonly nowMs: number;
  readonly askers: readonly Asker[];
  readonly settings: Omit<RoundSettings, keyof PoolSettings>;
};

/** Operators whose holdings a walk can pass over as a whole: those that the pool met first. */
const OPERATOR_BITS = 32;
const NOWHERE = -1;
/** Holders of one asset that can be told apart by their number. */
const COUNT_MAX = 2 ** 12 - 1;
const NOBODY: readonly Holder[] = [];
const NO_NODES: readonly NodeId[] = [];

/** What there is to know of a slot in a few integers, as objects would be most of what a candidate costs. */
const FACTS = 3;
const QUEUE = 0;
const COPIES = 1;
/** Origin fetches and seeds, and whether its size is known and any node failed on it: see `packCounts`. */
const COUNTS = 2;
/** As that of the trees. */
const GROWTH = 1.25;

/** Candidates that are alike to an asker but for their size, holders and urgency. */
type Queue = {
  readonly key: string;
  /** What a slot knows it by. */
  readonly code: number;
  readonly originId: OriginId;
  readonly source: LotSource;
  readonly kind: AssetKind;
  readonly independentCopies: number;
  /** False: they need no further copy, and are only kept. */
  readonly isWanted: boolean;
  root: Slot;
  /** The most urgent. */
  head: Slot;
  /** In the heap of open queues. */
  place: number;
  /** Made when a round asks for it first. */
  lot: Lot | null;
  /** The first that is within the limits of some walk, so that the next one need not look for it; null before any. */
  entrance: (Readonly<Limits> & { slot: Slot }) | null;
};

export class CandidatePool {
  readonly #settings: PoolSettings;
  readonly #policy: UrgencyPolicy;
  readonly #trees = new UrgencyTrees();
  readonly #slotById = new SlotsById<AssetId>((slot) => this.#trees.idAt(slot));
  readonly #queueByKey = new Map<string, Queue>();
  /** Of the round under way. */
  #operatorCount = 0;
  readonly #queuesByOrigin = new Map<OriginId, Set<Queue>>();
  readonly #open: PlacedHeap<Queue>;
  readonly #origins = new Map<OriginId, { -readonly [Key in keyof OriginSlots]: OriginSlots[Key] }>();
  readonly #bitByOperator = new Map<OperatorId, number>();
  readonly #avoidBySlot = new Map<Slot, readonly NodeId[]>();
  readonly #avoidedByNode = new Map<NodeId, Set<Slot>>();
  /** By their codes; nothing where a code is free. */
  readonly #queues: (Queue | undefined)[] = [];
  readonly #freeCodes: number[] = [];
  /** Few ranges are shared by many assets. */
  readonly #copies: CopyRange[] = [];
  readonly #copiesCodeByText = new Map<string, number>();
  // Per slot.
  readonly #holders: (readonly Holder[])[] = [];
  #facts: Int32Array = new Int32Array(FACTS);

  /** An empty pool. `policy` has to be the one that makes the urgencies. @throws DispatcherError INPUT_INVALID */
  constructor({ policy = rescueFirst, ...settings }: PoolSettings & { readonly policy?: UrgencyPolicy }) {
    requireCount(settings.unknownSizeBytes, "unknownSizeBytes");
    if (settings.originFetchesMax !== null) requireCount(settings.originFetchesMax, "originFetchesMax");
    this.#settings = settings;
    this.#policy = policy;
    this.#open = new PlacedHeap((a, b) => this.#trees.isBefore(a.head, b.head));
  }

  /** Candidates in it, with those that need no further copy. */
  get size(): number {
    return this.#slotById.size;
  }

  has(assetId: AssetId): boolean {
    return this.#slotById.find(assetId) !== NO_SLOT;
  }

  get(assetId: AssetId): Candidate | undefined {
    const slot = this.#slotById.find(assetId);
    return slot === NO_SLOT ? undefined : this.#candidateAt(slot);
  }

  /** O(log n). @throws DispatcherError INPUT_INVALID naming field and value, also when it is in the pool already */
  add(candidate: Candidate): void {
    this.#check(candidate);
    const { assetId } = candidate;
    if (this.has(assetId)) refuse(assetId, "assetId", "one that is not in the pool yet");
    const slot = this.#trees.take(assetId);
    this.#slotById.add(assetId, slot);
    this.#enter(slot, candidate);
  }

  /** Put the facts of a candidate in place of those known. O(log n). @throws DispatcherError INPUT_INVALID */
  replace(candidate: Candidate): void {
    this.#check(candidate);
    const slot = this.#require(candidate.assetId);
    this.#leave(slot);
    this.#enter(slot, candidate);
  }

  /** O(log n). @throws DispatcherError INPUT_INVALID when it is not in the pool */
  remove(assetId: AssetId): void {
    const slot = this.#require(assetId);
    this.#leave(slot);
    this.#slotById.remove(assetId);
    this.#holders[slot] = NOBODY;
    this.#trees.release(slot);
  }

  /** Another urgency for it. O(log n). @throws DispatcherError INPUT_INVALID */
  reprioritise(assetId: AssetId, urgency: number): void {
    requireFinite(urgency, "urgency");
    const slot = this.#require(assetId);
    this.replace({ ...this.#candidateAt(slot), urgency });
  }

  /** What an origin has open now. One that was never set counts as closed. @throws DispatcherError INPUT_INVALID */
  setOrigin(origin: OriginSlots): void {
    checkOrigin(origin);
    const wasOpen = (this.#origins.get(origin.originId)?.slots ?? 0) > 0;
    this.#origins.set(origin.originId, { ...origin });
    if (origin.slots > 0 !== wasOpen) this.#settleOrigin(origin.originId);
  }

  /**
   * A round over all that is in the pool, as `allocateRound` decides it. What it grants is applied: the origin has a slot
   * less, the asset a holder more, and it stands where its lower urgency puts it. With g grants and m askers about
   * O(m log m + g (log n + log m)), however many of the most urgent are too big, at closed origins or held already.
   * @throws DispatcherError INPUT_INVALID naming field and value, LEDGER_EXCEEDED; nothing is granted then
   */
  allocate({ nowMs, askers: given, settings: roundSettings }: PoolRound): RoundResult {
    const settings = { ...roundSettings, ...this.#settings };
    requireFinite(nowMs, "nowMs");
    checkSettings(settings);
    given.forEach(checkAsker);
    checkOnce(given, "nodeId");
    this.#operatorCount = settings.operatorCount;
    const askers = new AskerIndex(given, nowMs, settings);
    const { grants, changed } = runRound(askers, this.#walk(askers), this.#origins, this.#policy);
    for (const candidate of byId(changed).values()) {
      const slot = this.#require(candidate.assetId);
      this.#leave(slot);
      this.#enter(slot, candidate);
    }
    for (const originId of new Set(grants.map((grant) => grant.originId))) this.#settleOrigin(originId);
    const refusalByNode = refusalsAfter(askers, nowMs, this.#origins, () => this.#leftovers());
    return { grants, refusalByNode };
  }

  #check(candidate: Candidate): void {
    checkCandidate(candidate);
    const { originFetches, seeds } = candidate;
    if (originFetches > COUNT_MAX) refuse(originFetches, "originFetches", `${COUNT_MAX} at most`);
    if (seeds > COUNT_MAX) refuse(seeds, "seeds", `${COUNT_MAX} at most`);
  }

  #require(assetId: AssetId): Slot {
    const slot = this.#slotById.find(assetId);
    return slot === NO_SLOT ? refuse(assetId, "assetId", "in the pool") : slot;
  }

  /** The slot keeps its id from now on, whatever else becomes of the candidate. */
  #enter(slot: Slot, candidate: Candidate): void {
    const { urgency, holders, copies, avoid, sizeBytes, originFetches, seeds } = candidate;
    const bytes = sizeBytes ?? this.#settings.unknownSizeBytes;
    this.#trees.set(slot, { urgency, bytes, operators: this.#operatorBits(holders) });
    this.#holders[slot] = holders.length === 0 ? NOBODY : holders;
    if (avoid.length > 0) this.#avoidBySlot.set(slot, avoid);
    for (const nodeId of avoid) {
      const slots = this.#avoidedByNode.get(nodeId);
      if (slots === undefined) this.#avoidedByNode.set(nodeId, new Set([slot]));
      else slots.add(slot);
    }
    const queue = this.#queueFor(candidate);
    if (FACTS * slot >= this.#facts.length) this.#grow();
    this.#facts[FACTS * slot + QUEUE] = queue.code;
    this.#facts[FACTS * slot + COPIES] = this.#codeOf(copies);
    this.#facts[FACTS * slot + COUNTS] = packCounts({
      originFetches,
      seeds,
      isSizeKnown: sizeBytes !== null,
      isAvoided: avoid.length > 0,
    });
    queue.root = this.#trees.insert(queue.root, slot);
    const { entrance } = queue;
    if (entrance !== null && this.#trees.isWithin(slot, entrance)) {
      const isFirst = entrance.slot === NO_SLOT || this.#trees.isBefore(slot, entrance.slot);
      if (isFirst) entrance.slot = slot;
    }
    if (queue.head === NO_SLOT || this.#trees.isBefore(slot, queue.head)) {
      queue.head = slot;
      if (queue.place !== NOWHERE) this.#open.changed(queue);
      else this.#settleQueue(queue);
    }
  }

  #grow(): void {
    const bigger = new Int32Array(FACTS * Math.ceil((this.#facts.length / FACTS) * GROWTH));
    bigger.set(this.#facts);
    this.#facts = bigger;
  }

  #leave(slot: Slot): void {
    const queue = this.#queueOf(slot);
    // While the queue stands in the heap its head has to be one that is still in its tree.
    const isHead = queue.head === slot;
    const { entrance } = queue;
    if (entrance?.slot === slot) entrance.slot = this.#trees.walk(queue.root, entrance, slot).next();
    queue.root = this.#trees.remove(queue.root, slot);
    if (isHead) queue.head = this.#trees.first(queue.root);
    if (queue.root === NO_SLOT) this.#dropQueue(queue);
    else if (isHead && queue.place !== NOWHERE) this.#open.changed(queue);
    for (const nodeId of this.#avoidAt(slot)) {
      const slots = this.#avoidedByNode.get(nodeId);
      slots?.delete(slot);
      if (slots?.size === 0) this.#avoidedByNode.delete(nodeId);
    }
    this.#avoidBySlot.delete(slot);
  }

  #queueFor(candidate: Candidate): Queue {
    const settings = this.#settings;
    const isWanted = placesLeft(candidate.holders, candidate.copies) > 0;
    const copies = independentCopies(candidate.holders);
    const key = `${isWanted} ${copies} ${lotKey(candidate, settings)}`;
    const known = this.#queueByKey.get(key);
    if (known !== undefined) return known;
    const { originId, scheme, tags, holders } = candidate;
    const queue: Queue = {
      key,
      code: this.#freeCodes.pop() ?? this.#queues.length,
      originId,
      source: lotSourceOf(candidate, settings),
      kind: { scheme, tags, holders },
      independentCopies: copies,
      isWanted,
      root: NO_SLOT,
      head: NO_SLOT,
      place: NOWHERE,
      lot: null,
      entrance: null,
    };
    this.#queueByKey.set(key, queue);
    this.#queues[queue.code] = queue;
    const ofOrigin = this.#queuesByOrigin.get(originId);
    if (ofOrigin === undefined) this.#queuesByOrigin.set(originId, new Set([queue]));
    else ofOrigin.add(queue);
    return queue;
  }

  #dropQueue(queue: Queue): void {
    if (queue.place !== NOWHERE) this.#open.remove(queue);
    this.#queueByKey.delete(queue.key);
    this.#queues[queue.code] = undefined;
    this.#freeCodes.push(queue.code);
    const ofOrigin = this.#queuesByOrigin.get(queue.originId);
    ofOrigin?.delete(queue);
    if (ofOrigin?.size === 0) this.#queuesByOrigin.delete(queue.originId);
  }

  #settleOrigin(originId: OriginId): void {
    for (const queue of this.#queuesByOrigin.get(originId) ?? []) this.#settleQueue(queue);
  }

  /** In the heap when it is open, and only then. */
  #settleQueue(queue: Queue): void {
    const isOpen = this.#isOpen(queue);
    if (isOpen && queue.place === NOWHERE) this.#open.add(queue);
    if (!isOpen && queue.place !== NOWHERE) this.#open.remove(queue);
  }

  #isOpen({ isWanted, source, originId }: Queue): boolean {
    if (!isWanted || source === "nowhere") return false;
    return source === "peers" || (this.#origins.get(originId)?.slots ?? 0) > 0;
  }

  #queueOf(slot: Slot): Queue {
    return this.#queues[this.#facts[FACTS * slot + QUEUE]!]!;
  }

  #avoidAt(slot: Slot): readonly NodeId[] {
    const { isAvoided } = unpackCounts(this.#facts[FACTS * slot + COUNTS]!);
    return (isAvoided ? this.#avoidBySlot.get(slot) : undefined) ?? NO_NODES;
  }

  #candidateAt(slot: Slot): Candidate {
    const { originId, kind } = this.#queueOf(slot);
    const { originFetches, seeds, isSizeKnown } = unpackCounts(this.#facts[FACTS * slot + COUNTS]!);
    return {
      assetId: this.#trees.idAt(slot),
      originId,
      scheme: kind.scheme,
      tags: kind.tags,
      sizeBytes: isSizeKnown ? this.#trees.bytesAt(slot) : null,
      urgency: this.#trees.urgencyAt(slot),
      copies: this.#copies[this.#facts[FACTS * slot + COPIES]!]!,
      holders: this.#holders[slot]!,
      avoid: this.#avoidAt(slot),
      originFetches,
      seeds,
    };
  }

  #codeOf(copies: CopyRange): number {
    const text = `${copies.min} ${copies.target} ${copies.max}`;
    const known = this.#copiesCodeByText.get(text);
    if (known !== undefined) return known;
    this.#copiesCodeByText.set(text, this.#copies.length);
    return this.#copies.push(copies) - 1;
  }

  #operatorBits(holders: readonly Holder[]): number {
    let bits = 0;
    for (const { counts, operatorId } of holders) {
      if (!counts) continue;
      const known = this.#bitByOperator.get(operatorId);
      if (known === undefined && this.#bitByOperator.size < OPERATOR_BITS) {
        this.#bitByOperator.set(operatorId, 1 << this.#bitByOperator.size);
      }
      bits |= this.#bitByOperator.get(operatorId) ?? 0;
    }
    return bits;
  }

  #walk(askers: AskerIndex): CandidateSource {
    return new PoolWalk({
      askers,
      trees: this.#trees,
      open: this.#open,
      isOpen: (queue) => this.#isOpen(queue),
      candidateAt: (slot) => this.#candidateAt(slot),
      bitOf: (operatorId) => this.#bitByOperator.get(operatorId) ?? 0,
    });
  }

  /** What the queue is to a node that gets nothing of it. */
  #lotOf(queue: Queue): Lot {
    const trees = this.#trees;
    return {
      originId: queue.originId,
      source: queue.source,
      kind: queue.kind,
      get leastBytes() {
        return trees.leastBytesBelow(queue.root);
      },
      smallest: (suits, { operatorId }) => {
        const mayDouble = queue.independentCopies >= this.#operatorCount;
        const bit = mayDouble ? 0 : (this.#bitByOperator.get(operatorId) ?? 0);
        const slot = trees.smallest(queue.root, (one) => suits(this.#candidateAt(one)), bit);
        return slot === NO_SLOT ? null : this.#candidateAt(slot);
      },
    };
  }

  #leftovers(): Leftovers {
    return {
      originIds: this.#queuesByOrigin.keys(),
      lotsOf: (originId) =>
        [...(this.#queuesByOrigin.get(originId) ?? [])]
          .filter((queue) => queue.isWanted)
          .map((queue) => (queue.lot ??= this.#lotOf(queue))),
      avoidedBy: (nodeId) =>
        [...(this.#avoidedByNode.get(nodeId) ?? [])]
          .filter((slot) => this.#queueOf(slot).isWanted)
          .map((slot) => this.#candidateAt(slot)),
    };
  }
}

type Counts = {
  readonly originFetches: number;
  readonly seeds: number;
  readonly isSizeKnown: boolean;
  readonly isAvoided: boolean;
};

/** In 26 bits: few assets have more than a handful of either. */
function packCounts({ originFetches, seeds, isSizeKnown, isAvoided }: Counts): number {
  return (originFetches << 14) | (seeds << 2) | (isAvoided ? 2 : 0) | (isSizeKnown ? 1 : 0);
}

function unpackCounts(packed: number): Counts {
  return {
    originFetches: packed >>> 14,
    seeds: (packed >>> 2) & COUNT_MAX,
    isSizeKnown: (packed & 1) === 1,
    isAvoided: (packed & 2) === 2,
  };
}

/** A queue that a walk has come to: `slot` is its head until it is opened, and the next one that is within limits then. */
type Entry = {
  readonly queue: Queue;
  slot: Slot;
  /** Of the slot: to compare these is quicker than to look them up. */
  urgency: number;
  isOpened: boolean;
  /** Made when what comes behind the first slot is asked for. */
  walk: TreeWalk | null;
  checkedAt: number;
};

/** What is not within the one is not within the other. */
function coversLimits(one: Limits, other: Limits): boolean {
  if (other.maxBytes > one.maxBytes) return false;
  return one.operators === 0 || (other.operators !== 0 && (other.operators & one.operators) === other.operators);
}

/** The candidates of the open queues in the order of urgency, as far as the askers of a round may take them. */
class PoolWalk implements CandidateSource {
  readonly #askers: AskerIndex;
  readonly #trees: UrgencyTrees;
  readonly #open: PlacedHeap<Queue>;
  readonly #isOpen: (queue: Queue) => boolean;
  readonly #candidateAt: (slot: Slot) => Candidate;
  readonly #bitOf: (operatorId: OperatorId) => number;
  readonly #entries: BinaryHeap<Entry>;
  /** For queues in which an operator that holds an asset may not have it again, and for those in which it may. */
  readonly #limits: Limits = { maxBytes: 0, operators: 0 };
  readonly #limitsDoubling: Limits = { maxBytes: 0, operators: 0 };
  #limitsAt = NOWHERE;
  #current: Candidate | null = null;

  constructor(parts: {
    readonly askers: AskerIndex;
    readonly trees: UrgencyTrees;
    readonly open: PlacedHeap<Queue>;
    readonly isOpen: (queue: Queue) => boolean;
    readonly candidateAt: (slot: Slot) => Candidate;
    readonly bitOf: (operatorId: OperatorId) => number;
  }) {
    this.#askers = parts.askers;
    this.#trees = parts.trees;
    this.#open = parts.open;
    this.#isOpen = parts.isOpen;
    this.#candidateAt = parts.candidateAt;
    this.#bitOf = parts.bitOf;
    this.#entries = new BinaryHeap(
      (a, b) => a.urgency > b.urgency || (a.urgency === b.urgency && this.#trees.isBefore(a.slot, b.slot)),
    );
    this.#meet(0);
  }

  peek(): Candidate | null {
    this.#narrow();
    for (;;) {
      const entry = this.#entries.top;
      if (entry === undefined) return null;
      if (!entry.isOpened) this.#openQueue(entry);
      else if (!this.#isOpen(entry.queue) || !this.#isAccepted(entry)) this.#drop();
      else if (this.#trees.bytesAt(entry.slot) > this.#askers.maxBytes) this.skip();
      else return (this.#current ??= this.#candidateAt(entry.slot));
    }
  }

  skip(): void {
    const entry = this.#entries.top;
    this.#current = null;
    if (entry === undefined || !entry.isOpened) return;
    entry.walk ??= this.#trees.walk(entry.queue.root, this.#limitsOf(entry.queue), entry.slot);
    this.#moveTop(entry, entry.walk.next());
  }

  #moveTop(entry: Entry, slot: Slot): void {
    if (slot === NO_SLOT) {
      this.#entries.pop();
      return;
    }
    entry.slot = slot;
    entry.urgency = this.#trees.urgencyAt(slot);
    this.#entries.topChanged();
  }

  #drop(): void {
    this.#current = null;
    this.#entries.pop();
  }

  /** The queue at this place of the heap comes into view, by its head. */
  #meet(place: number): void {
    const queue = this.#open.at(place);
    if (queue === undefined) return;
    const { head } = queue;
    const urgency = this.#trees.urgencyAt(head);
    this.#entries.push({ queue, slot: head, urgency, isOpened: false, walk: null, checkedAt: NOWHERE });
  }

  #openQueue(entry: Entry): void {
    const { place } = entry.queue;
    entry.isOpened = true;
    this.#moveTop(entry, this.#isAccepted(entry) ? this.#firstOf(entry) : NO_SLOT);
    this.#meet(2 * place + 1);
    this.#meet(2 * place + 2);
  }

  /**
   * What is passed over at the head of a queue need not be passed over again by those that can take no more. The first may
   * be too much for them; then they go on from there.
   */
  #firstOf(entry: Entry): Slot {
    const { queue } = entry;
    const { entrance } = queue;
    const limits = this.#limitsOf(queue);
    if (entrance !== null && coversLimits(entrance, limits)) return entrance.slot;
    entry.walk = this.#trees.walk(queue.root, limits);
    const slot = entry.walk.next();
    queue.entrance = { ...limits, slot };
    return slot;
  }

  #limitsOf({ independentCopies: copies }: Queue): Limits {
    return copies >= this.#askers.settings.operatorCount ? this.#limitsDoubling : this.#limits;
  }

  /** Some asker takes its kind. Asked anew when an asker has left, and not before. */
  #isAccepted(entry: Entry): boolean {
    const { departures } = this.#askers;
    if (entry.checkedAt === departures) return true;
    entry.checkedAt = departures;
    return this.#askers.accepts(entry.queue.kind);
  }

  /** What the askers that are left can take, all together. */
  #narrow(): void {
    const { maxBytes, departures } = this.#askers;
    this.#limits.maxBytes = maxBytes;
    this.#limitsDoubling.maxBytes = maxBytes;
    if (this.#limitsAt === departures) return;
    this.#limitsAt = departures;
    let operators = 0;
    for (const operatorId of this.#askers.activeOperators) {
      const bit = this.#bitOf(operatorId);
      if (bit === 0) {
        operators = 0;
        break;
      }
      operators |= bit;
    }
    this.#limits.operators = operators;
  }
}
