import { compareIds } from "../ids.ts";
import type { NodeId, OriginId } from "../ids.ts";
import { rescueFirst } from "../urgency/rescue-first.ts";
import { AskerIndex } from "./asker-index.ts";
import { checkRound } from "./check-round.ts";
import { reservationFor, sourceOf } from "./eligibility.ts";
import { sortIntoLots } from "./lot.ts";
import type { Leftovers } from "./lot.ts";
import type { AllocationRound, Candidate, OriginSlots, Refusal } from "./policy.ts";
import { PrimaryRefusals } from "./primary-refusal.ts";
import { byId, runRound } from "./run-round.ts";
import type { CandidateSource } from "./run-round.ts";

/** So many of the most urgent are put in order at first, for each asset that is wanted: some will be refused. */
const AT_FIRST = 1.2;
/** When these are used up, so many times as many, and so on. Too small: many looks at all. Too large: order nobody needs. */
const MORE = 8;
/** Urgencies looked at to guess how high the most urgent of the window are. */
const SAMPLES = 1000;

/**
 * A window of candidates as a source. The most urgent are put in order first, as many as the askers may need, and when
 * these are used up a larger part of the others. What is at a closed origin, or too big for all, is left out as early as
 * can be and never put in order. O(n), and O(log n) for each that is put in order.
 */
class Window implements CandidateSource {
  readonly #candidates: readonly Candidate[];
  /** Beside each other, where comparing finds them fast. */
  readonly #urgencies: Float64Array;
  readonly #askers: AskerIndex;
  readonly #origins: ReadonlyMap<OriginId, OriginSlots>;
  /** Places in the window: those in order, and how many of them are taken off. */
  #inOrder: number[] = [];
  #at = 0;
  /** What is less urgent is not in order yet. */
  #leastInOrder = Infinity;
  #nextCount: number;

  constructor({
    candidates,
    urgencies,
    askers,
    origins,
  }: {
    readonly candidates: readonly Candidate[];
    readonly urgencies: Float64Array;
    readonly askers: AskerIndex;
    readonly origins: ReadonlyMap<OriginId, OriginSlots>;
  }) {
    this.#candidates = candidates;
    this.#urgencies = urgencies;
    this.#askers = askers;
    this.#origins = origins;
    this.#nextCount = askers.active.reduce((sum, { wants }) => sum + AT_FIRST * wants, SAMPLES);
  }

  peek(): Candidate | null {
    for (;;) {
      while (this.#at < this.#inOrder.length) {
        const candidate = this.#candidates[this.#inOrder[this.#at]!]!;
        if (this.#isOpen(candidate) && this.#fits(candidate)) return candidate;
        this.#at += 1;
      }
      if (this.#leastInOrder === -Infinity) return null;
      this.#putInOrder();
    }
  }

  skip(): void {
    this.#at += 1;
  }

  #putInOrder(): void {
    const above = this.#leastInOrder;
    const least = this.#guessUrgency(this.#nextCount);
    const places: number[] = [];
    for (let place = 0; place < this.#urgencies.length; place += 1) {
      const urgency = this.#urgencies[place]!;
      if (urgency < least || urgency >= above) continue;
      const candidate = this.#candidates[place]!;
      if (this.#isOpen(candidate) && this.#fits(candidate)) places.push(place);
    }
    this.#inOrder = places.toSorted((a, b) => this.#urgencies[b]! - this.#urgencies[a]! || this.#compareIds(a, b));
    this.#at = 0;
    this.#leastInOrder = least;
    this.#nextCount *= MORE;
  }

  /** An urgency that about `count` of the window reach; any number would do, and only costs time. */
  #guessUrgency(count: number): number {
    const { length } = this.#urgencies;
    if (count >= length) return -Infinity;
    const step = length / SAMPLES;
    const samples = new Float64Array(SAMPLES);
    for (let at = 0; at < SAMPLES; at += 1) samples[at] = this.#urgencies[Math.floor(at * step)]!;
    samples.sort();
    return samples[SAMPLES - Math.ceil(count / step)] ?? -Infinity;
  }

  #compareIds(a: number, b: number): number {
    return compareIds(this.#candidates[a]!.assetId, this.#candidates[b]!.assetId);
  }

  #isOpen(candidate: Candidate): boolean {
    if (sourceOf(candidate, this.#askers.settings) === "peers") return true;
    return (this.#origins.get(candidate.originId)?.slots ?? 0) > 0;
  }

  #fits(candidate: Candidate): boolean {
    return reservationFor(candidate, this.#askers.settings) <= this.#askers.maxBytes;
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
  const urgencies = checkRound(input);
  const { nowMs, candidates, settings, policy = rescueFirst } = input;
  const origins = new Map(input.origins.map((origin) => [origin.originId, { ...origin }]));
  const askers = new AskerIndex(input.askers, nowMs, settings);
  const source = new Window({ candidates, urgencies, askers, origins });
  const { grants, changed } = runRound(askers, source, origins, policy);
  const refusalByNode = refusalsAfter(askers, nowMs, origins, () => {
    const changedById = byId(changed);
    return sortIntoLots(
      candidates.map((candidate) => changedById.get(candidate.assetId) ?? candidate),
      askers.settings,
    );
  });
  return { grants, refusalByNode };
};
