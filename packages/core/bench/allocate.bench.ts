import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CandidatePool, allocateRound } from "../src/index.ts";
import type { Candidate, RoundInput } from "../src/index.ts";
import { aHolder, aRound, elementAt, nodeId, operatorId, originId, roundSettings } from "../src/testing.ts";
import { GB, candidateAt, someAskers, someCandidates, someOrigins, spread } from "./catalog.ts";

export const name = "allocation";
export const about =
  "rounds and the candidate pool, relative to a naive allocator, to a small pool and to copying grants";

type Case =
  | { readonly label: string; readonly subject: () => unknown; readonly baseline: () => unknown }
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

/** Ten assets for one node, which are put back as they were: every call finds the same pool. */
function takeTen(count: number, head: Head = "nothing in the way"): () => unknown {
  const pool = aPool(count, head);
  const askers = someAskers(1, 10);
  return () => {
    const { grants } = pool.allocate({ nowMs: 0, askers, settings: SETTINGS });
    if (grants.length !== 10) throw new Error(`Ten were wanted, ${grants.length} granted.`);
    for (const { assetId } of grants) {
      const at = Number(assetId) - 1;
      pool.replace(candidateAt(at, factsAt(at, count, head)));
    }
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
  const small = takeTen(10_000);
  {
    const candidates = shuffled(someCandidates(1_000_000));
    yield {
      label: "take 10 from a pool of 1,000,000, against sorting it",
      subject: takeTen(1_000_000),
      baseline: () => naively(candidates, 100 * GB),
    };
  }
  for (const count of [1_000_000, 5_000_000]) {
    yield {
      label: `take 10 from a pool of ${count.toLocaleString("en")}, against 10,000`,
      subject: takeTen(count),
      baseline: small,
    };
  }
  for (const head of ["90 % too big", "90 % at a closed origin", "90 % held by the asker's operator"] as const) {
    yield {
      label: `take 10 from 1,000,000, ${head}, against 10,000`,
      subject: takeTen(1_000_000, head),
      baseline: small,
    };
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
