import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CandidatePool, allocateRound } from "../src/index.ts";
import type { AssetId, Candidate, RoundInput } from "../src/index.ts";
import { aHolder, aRound, elementAt, nodeId, operatorId, originId, roundSettings } from "../src/testing.ts";
import { GB, candidateAt, someAskers, someCandidates, someOrigins, spread } from "./catalog.ts";

export const name = "allocation";
export const about =
  "rounds and the candidate pool, relative to a naive allocator, to a small pool and to copying grants";

type Case =
  | {
      readonly label: string;
      readonly subject: () => unknown;
      readonly baseline: () => unknown;
      readonly afterSubject?: () => void;
      readonly afterBaseline?: () => void;
    }
  | { readonly label: string; readonly figure: () => number; readonly unit: string };

const { unknownSizeBytes, originFetchesMax, ...SETTINGS } = roundSettings({
  operatorCount: 1000,
  horizonMs: 86_400_000,
});

/** A closed origin in the way, beside the 50 open ones. */
const CLOSED = originId(99);
/** More than any asker has. */
const TOO_BIG = 200 * GB;

/** What the head of the queue is made of. */
type Head = "nothing in the way" | "90 % too big" | "90 % at a closed origin" | "90 % held by the asker's operator";

function factsAt(at: number, count: number, head: Head): Partial<Candidate> {
  if (at >= 0.9 * count || head === "nothing in the way") return {};
  if (head === "90 % too big") return { sizeBytes: TOO_BIG };
  if (head === "90 % at a closed origin") return { originId: CLOSED };
  return { holders: [aHolder({ nodeId: nodeId(1_000_000), operatorId: operatorId(1) })] };
}

function aPool(count: number, head: Head = "nothing in the way"): CandidatePool {
  const pool = new CandidatePool({ unknownSizeBytes, originFetchesMax });
  for (let at = 0; at < count; at += 1) pool.add(candidateAt(at, factsAt(at, count, head)));
  for (const origin of someOrigins(1_000_000_000)) pool.setOrigin(origin);
  return pool;
}

/** A small pool must not run out of what nobody has, and takes should go on into what no take has touched yet. */
const TAKES_MAX = 50;

/** Ten assets for one node, which has to be given some. */
class Taker {
  readonly #pool: CandidatePool;
  readonly #askers = someAskers(1, 10);
  readonly #candidateAt: (at: number) => Candidate;
  #takes = 0;
  #taken: AssetId[] = [];

  constructor(count: number, head: Head = "nothing in the way") {
    this.#pool = aPool(count, head);
    this.#candidateAt = (at) => candidateAt(at, factsAt(at, count, head));
  }

  take(): void {
    const { grants } = this.#pool.allocate({ nowMs: 0, askers: this.#askers, settings: SETTINGS });
    if (grants.length !== 10) throw new Error(`Ten were wanted, ${grants.length} granted.`);
    this.#takes += 1;
    for (const { assetId } of grants) this.#taken.push(assetId);
  }

  /** All that was taken, as it was. */
  putBack(): void {
    for (const assetId of this.#taken) this.#pool.replace(this.#candidateAt(Number(assetId) - 1));
    this.#taken = [];
    this.#takes = 0;
  }

  putBackInTime(): void {
    if (this.#takes >= TAKES_MAX) this.putBack();
  }
}

/** Takes alone; and each with what it gave put back, which finds the same pool every time. */
function* takesAgainst(label: string, taker: Taker, small: Taker): Generator<Case> {
  yield {
    label: `take 10 from ${label}, against 10,000`,
    subject: () => taker.take(),
    baseline: () => small.take(),
    afterSubject: () => taker.putBackInTime(),
    afterBaseline: () => small.putBackInTime(),
  };
  [taker, small].forEach((one) => one.putBack());
  const takeAndPutBack = (one: Taker): void => {
    one.take();
    one.putBack();
  };
  yield {
    label: `take 10 from ${label} and put them back, against 10,000`,
    subject: () => takeAndPutBack(taker),
    baseline: () => takeAndPutBack(small),
  };
}

/** As a list without an index has to be worked: everything sorted by urgency and size, then filled in greedily. */
function naively(candidates: readonly Candidate[], freeBytes: number): Candidate[] {
  const chosen: Candidate[] = [];
  let left = freeBytes;
  for (const candidate of candidates.toSorted((a, b) => b.urgency - a.urgency || a.sizeBytes! - b.sizeBytes!)) {
    if (candidate.sizeBytes! > left) continue;
    chosen.push(candidate);
    left -= candidate.sizeBytes!;
    if (chosen.length === 10) break;
  }
  return chosen;
}

/** In no order, the same in every run (Fisher and Yates). */
function shuffled<Thing>(things: Thing[]): Thing[] {
  for (let last = things.length - 1; last > 0; last -= 1) {
    const other = Math.floor(spread(last) * (last + 1));
    const moved = elementAt(things, last);
    things[last] = elementAt(things, other);
    things[other] = moved;
  }
  return things;
}

/** What a pool holds on to, for each candidate: a third of them have a holder. */
function bytesPerCandidate(count: number): number {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const usedNow = (): number => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const nodes = Array.from({ length: 1000 }, (_, at) =>
    aHolder({ nodeId: nodeId(at + 1), operatorId: operatorId(at + 1) }),
  );
  const before = usedNow();
  const pool = new CandidatePool({ unknownSizeBytes, originFetchesMax });
  for (let at = 0; at < count; at += 1) {
    pool.add(candidateAt(at, at % 3 === 0 ? { holders: [elementAt(nodes, at % nodes.length)] } : {}));
  }
  const bytes = usedNow() - before;
  if (pool.size !== count) throw new Error("The pool was let go before it was weighed.");
  return bytes / count;
}

function* takes(): Generator<Case> {
  const small = new Taker(10_000);
  {
    const candidates = shuffled(someCandidates(1_000_000));
    const taker = new Taker(1_000_000);
    yield {
      label: "take 10 from a pool of 1,000,000, against sorting it",
      subject: () => taker.take(),
      baseline: () => naively(candidates, 100 * GB),
      afterSubject: () => taker.putBackInTime(),
    };
  }
  for (const count of [1_000_000, 5_000_000]) {
    yield* takesAgainst(`a pool of ${count.toLocaleString("en")}`, new Taker(count), small);
  }
  for (const head of ["90 % too big", "90 % at a closed origin", "90 % held by the asker's operator"] as const) {
    yield* takesAgainst(`1,000,000, ${head}`, new Taker(1_000_000, head), small);
  }
}

/** Copying what a round answers is the least that handing it out can cost. */
function* rounds(): Generator<Case> {
  for (const { what, slots, facts, counts } of [
    {
      what: "work for all",
      slots: 100_000,
      facts: {},
      counts: [
        [1, 1000],
        [50, 10_000],
        [1000, 100_000],
      ],
    },
    { what: "every origin closed", slots: 0, facts: {}, counts: [[1000, 100_000]] },
    { what: "every asset too big", slots: 100_000, facts: { sizeBytes: TOO_BIG }, counts: [[1000, 100_000]] },
  ] as const) {
    for (const [askers, window] of counts) {
      const input: RoundInput = aRound({
        askers: someAskers(askers, 10),
        candidates: someCandidates(window, facts),
        origins: someOrigins(slots),
        settings: roundSettings({ operatorCount: 1000, horizonMs: 86_400_000 }),
      });
      const enough = aRound({ ...input, candidates: someCandidates(window), origins: someOrigins(100_000) });
      const { grants } = allocateRound(enough);
      if (grants.length !== 10 * askers) throw new Error(`${grants.length} grants for ${askers} askers.`);
      yield {
        label: `${what}: a round of ${askers} x 10 from ${window.toLocaleString("en")}`,
        subject: () => allocateRound(input),
        // oxlint-disable-next-line oxc/no-map-spread -- copying is what is measured
        baseline: () => grants.map((grant) => ({ ...grant })),
      };
    }
  }
}

export function* cases(): Generator<Case> {
  yield { label: "memory of a pool of 1,000,000", figure: () => bytesPerCandidate(1_000_000), unit: "B each" };
  yield* rounds();
  yield* takes();
}
