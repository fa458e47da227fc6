import { BinaryHeap } from "../binary-heap.ts";
import { compareIds } from "../ids.ts";
import type { NodeId, OriginId } from "../ids.ts";
import { rescueFirst } from "../urgency/rescue-first.ts";
import { AskerIndex } from "./asker-index.ts";
import { checkRound } from "./check-round.ts";
import { reservationFor, sourceOf } from "./eligibility.ts";
import { sortIntoLots } from "./lot.ts";
import type { Leftovers } from "./lot.ts";
import type { AllocationRound, Candidate, OriginSlots, Refusal, RoundInput } from "./policy.ts";
import { PrimaryRefusals } from "./primary-refusal.ts";
import { runRound } from "./run-round.ts";
import type { CandidateSource } from "./run-round.ts";

/** What comes from one origin, or (null) from peers, as places in the window; its top is never missing. */
type Queue = { readonly originId: OriginId | null; readonly waiting: BinaryHeap<number> };

/** So many of the most urgent are put in order at first, for each asset that is wanted: some will be refused. */
const AT_FIRST = 1.2;
/** Urgencies looked at to guess how high the most urgent of the window are. */
const SAMPLES = 1000;

/**
 * A window of candidates as a source: a heap for each origin, and a heap of these by their tops. A closed origin costs
 * nothing, however much of the window is its. The most urgent are put in order first, as many as the askers may need, and
 * the others when these are used up. O(n), and O(log n) for each that is taken.
 */
class Window implements CandidateSource {
  readonly #candidates: readonly Candidate[];
  /** Beside each other, where comparing finds them fast. */
  readonly #urgency: Float64Array;
  readonly #askers: AskerIndex;
  readonly #origins: ReadonlyMap<OriginId, OriginSlots>;
  #queues: BinaryHeap<Queue>;
  /** What is less urgent is not in order yet. */
  #leastInOrder: number;

  constructor(
    { candidates, askers: asking }: RoundInput,
    askers: AskerIndex,
    origins: ReadonlyMap<OriginId, OriginSlots>,
  ) {
    this.#candidates = candidates;
    this.#urgency = new Float64Array(candidates.length);
    this.#askers = askers;
    this.#origins = origins;
    const wanted = asking.reduce((sum, { wants }) => sum + wants, 0);
    this.#leastInOrder = this.#guessUrgency(AT_FIRST * wanted + SAMPLES);
    const first: number[] = [];
    for (let place = 0; place < candidates.length; place += 1) {
      const { urgency } = candidates[place]!;
      this.#urgency[place] = urgency;
      if (urgency >= this.#leastInOrder) first.push(place);
    }
    this.#queues = this.#sortIntoQueues(first);
  }

  peek(): Candidate | null {
    for (;;) {
      const queue = this.#queues.top;
      if (queue === undefined) {
        if (this.#leastInOrder === -Infinity) return null;
        this.#sortInOthers();
        continue;
      }
      const candidate = this.#candidates[queue.waiting.top!]!;
      if (!this.#isOpen(queue.originId)) this.#queues.pop();
      else if (reservationFor(candidate, this.#askers.settings) > this.#askers.maxBytes) this.skip();
      else return candidate;
    }
  }

  skip(): void {
    const queue = this.#queues.top;
    if (queue === undefined) return;
    queue.waiting.pop();
    if (queue.waiting.top === undefined) this.#queues.pop();
    else this.#queues.topChanged();
  }

  #sortInOthers(): void {
    const others: number[] = [];
    this.#urgency.forEach((urgency, place) => urgency < this.#leastInOrder && others.push(place));
    this.#leastInOrder = -Infinity;
    this.#queues = this.#sortIntoQueues(others);
  }

  /** An urgency that about `count` of the window reach; any number would do, and only costs time. */
  #guessUrgency(count: number): number {
    const { length } = this.#candidates;
    if (count >= length) return -Infinity;
    const step = length / SAMPLES;
    const samples = new Float64Array(SAMPLES);
    for (let at = 0; at < SAMPLES; at += 1) samples[at] = this.#candidates[Math.floor(at * step)]!.urgency;
    samples.sort();
    return samples[SAMPLES - Math.ceil(count / step)] ?? -Infinity;
  }

  #sortIntoQueues(places: readonly number[]): BinaryHeap<Queue> {
    const byOrigin = new Map<OriginId | null, number[]>();
    const { settings, maxBytes } = this.#askers;
    for (const place of places) {
      const candidate = this.#candidates[place]!;
      if (reservationFor(candidate, settings) > maxBytes) continue;
      const originId = sourceOf(candidate, settings) === "peers" ? null : candidate.originId;
      const members = byOrigin.get(originId);
      if (members === undefined) byOrigin.set(originId, [place]);
      else members.push(place);
    }
    const isBefore = (a: number, b: number): boolean => {
      const order = this.#urgency[a]! - this.#urgency[b]!;
      return order > 0 || (order === 0 && compareIds(this.#candidates[a]!.assetId, this.#candidates[b]!.assetId) < 0);
    };
    const open = [...byOrigin].filter(([originId]) => this.#isOpen(originId));
    const queues = open.map(([originId, members]) => ({ originId, waiting: new BinaryHeap(isBefore, members) }));
    return new BinaryHeap((a, b) => isBefore(a.waiting.top!, b.waiting.top!), queues);
  }

  #isOpen(originId: OriginId | null): boolean {
    return originId === null || (this.#origins.get(originId)?.slots ?? 0) > 0;
  }
}

/** For each asker that got less than it wanted: the rule about it alone that refuses, or its primary reason. */
export function refusalsAfter(
  askers: AskerIndex,
  nowMs: number,
  origins: ReadonlyMap<OriginId, OriginSlots>,
  leftovers: () => Leftovers,
): ReadonlyMap<NodeId, Refusal> {
  const refusalByNode = new Map(askers.refusalByNode);
  const { active, settings } = askers;
  if (active.length === 0) return refusalByNode;
  const primary = new PrimaryRefusals({ nowMs, settings, leftovers: leftovers(), origins });
  for (const asker of active) refusalByNode.set(asker.nodeId, primary.of(asker));
  return refusalByNode;
}

/**
 * Decide one round over a window of candidates. Pure and deterministic: the order of the inputs does not matter. How it
 * walks: `runRound`. With n candidates, m askers and g grants: O(n + m log m + g (log n + log m)) where the best asker by
 * load may have what comes up, and O(n m) at worst; O(n log n) more when somebody has to be told why it got less.
 * @throws DispatcherError INPUT_INVALID naming field and value, LEDGER_EXCEEDED; nothing is granted then
 */
export const allocateRound: AllocationRound = (input) => {
  checkRound(input);
  const { nowMs, candidates, settings, policy = rescueFirst } = input;
  const origins = new Map(input.origins.map((origin) => [origin.originId, { ...origin }]));
  const askers = new AskerIndex(input.askers, nowMs, settings);
  const { grants, changed } = runRound(askers, new Window(input, askers, origins), origins, policy);
  const refusalByNode = refusalsAfter(askers, nowMs, origins, () =>
    sortIntoLots(
      candidates.map((candidate) => changed.get(candidate.assetId) ?? candidate),
      askers.settings,
    ),
  );
  return { grants, refusalByNode };
};
