import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { asPriority, asRank } from "./asset.ts";
import { NOON_MS, someUrgencyFacts } from "./testing.ts";
import { urgencyOf } from "./urgency.ts";
import type { UrgencyFacts } from "./urgency.ts";

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

function valueOf(facts: Partial<UrgencyFacts>, nowMs = NOON_MS): number {
  return urgencyOf(someUrgencyFacts(facts), nowMs).value;
}

describe("the tiers", () => {
  const copies = { min: 2, target: 4, max: 5 };

  test("fewer copies are more urgent: none, below min, below target, enough", () => {
    const tiers = [0, 1, 2, 3, 4, 5].map((independentCopies) =>
      Math.floor(valueOf({ independentCopies, copies }) / 1_000_000),
    );
    expect(tiers).toEqual([3, 2, 1, 1, 0, 0]);
  });

  test.each([
    ["without a date", null, 0],
    ["a month and 1 ms away", 30 * DAY_MS + 1, 1],
    ["a month away", 30 * DAY_MS, 2],
    ["a week and 1 ms away", 7 * DAY_MS + 1, 2],
    ["a week away", 7 * DAY_MS, 3],
    ["a day and 1 ms away", DAY_MS + 1, 3],
    ["a day away", DAY_MS, 4],
    ["past", -YEAR_MS, 4],
  ])("removal %s", (_case, leftMs, tier) => {
    const removeByMs = leftMs === null ? null : NOON_MS + leftMs;
    expect(Math.floor((valueOf({ removeByMs }) % 1_000_000) / 10_000)).toBe(tier);
  });

  test("a rank below the first 899 weighs as none", () => {
    const ranked = [1, 2, 899, 900, 1_000_000].map((rank) => valueOf({ rank: asRank(rank) }) - valueOf({ rank: null }));
    expect(ranked).toEqual([899, 898, 1, 0, 0]);
  });

  test("asked for earlier is more urgent, to within three seconds, under the largest value too", () => {
    const facts = { removeByMs: 0, priority: asPriority(10), rank: asRank(1) };
    const [early, late] = [NOON_MS, NOON_MS + 3000].map((askedForAtMs) => valueOf({ ...facts, askedForAtMs }));
    expect(early).toBeGreaterThan(late ?? Number.NaN);
  });

  test("an asking time out of all range still weighs between 0 and 1", () => {
    expect(valueOf({ askedForAtMs: -1 }) - valueOf({ askedForAtMs: 2 ** 50 })).toBeCloseTo(1, 6);
    expect(valueOf({ askedForAtMs: -1 })).toBe(valueOf({ askedForAtMs: 0 }));
    expect(valueOf({ askedForAtMs: 2 ** 42 })).toBe(valueOf({ askedForAtMs: 2 ** 50 }));
  });
});

const someFacts: fc.Arbitrary<UrgencyFacts> = fc.record({
  independentCopies: fc.nat({ max: 6 }),
  copies: fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.nat({ max: 2 }), fc.nat({ max: 2 }))
    .map(([min, more, most]) => ({ min, target: min + more, max: min + more + most })),
  priority: fc.integer({ min: 1, max: 10 }).map(asPriority),
  rank: fc.option(fc.integer({ min: 1, max: 1000 }).map(asRank), { nil: null }),
  removeByMs: fc
    .option(
      fc.oneof(
        fc.integer({ min: -60 * DAY_MS, max: 60 * DAY_MS }),
        fc
          .constantFrom(0, DAY_MS, 7 * DAY_MS, 30 * DAY_MS)
          .chain((left) => fc.integer({ min: left - 1, max: left + 1 })),
      ),
      { nil: null },
    )
    .map((leftMs) => (leftMs === null ? null : NOON_MS + leftMs)),
  /** Within 80 years, in steps that the waiting term tells apart. */
  askedForAtMs: fc.integer({ min: 0, max: (80 * YEAR_MS) / 3000 }).map((steps) => steps * 3000 + 20 * YEAR_MS),
});

/** The facts as a tuple whose order is the order of urgency, the most urgent highest. */
function ranking({ independentCopies, copies, priority, rank, removeByMs, askedForAtMs }: UrgencyFacts): number[] {
  const thresholds = [1, copies.min, copies.target];
  const daysLeft = removeByMs === null ? Infinity : (removeByMs - NOON_MS) / DAY_MS;
  return [
    thresholds.filter((threshold) => independentCopies < threshold).length,
    [1, 7, 30, Number.MAX_VALUE].filter((days) => daysLeft <= days).length,
    priority,
    rank === null ? 0 : Math.max(0, 900 - rank),
    -askedForAtMs,
  ];
}

test("urgency is lexicographic: copies, threat, priority, rank, waiting", () => {
  // Pairs that differ in a few facts alone meet on the later ones, which two random assets seldom reach.
  const pair = fc
    .tuple(someFacts, someFacts, fc.subarray(Object.keys(someUrgencyFacts())))
    .map(([a, other, taken]) => ({
      a,
      b: { ...a, ...Object.fromEntries(Object.entries(other).filter(([fact]) => taken.includes(fact))) },
    }));
  fc.assert(
    fc.property(pair, ({ a, b }) => {
      const left = ranking(a);
      const right = ranking(b);
      const place = left.findIndex((value, index) => value !== right[index]);
      const expected = place === -1 ? 0 : Math.sign((left[place] ?? 0) - (right[place] ?? 0));
      expect(Math.sign(urgencyOf(a, NOON_MS).value - urgencyOf(b, NOON_MS).value)).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

describe("what time does", () => {
  test("it changes an urgency at changesAtMs and not a millisecond before", () => {
    fc.assert(
      fc.property(someFacts, fc.nat({ max: 90 * DAY_MS }), (facts, laterMs) => {
        const { value, changesAtMs } = urgencyOf(facts, NOON_MS);
        const changes = changesAtMs ?? Infinity;
        expect(changes).toBeGreaterThan(NOON_MS);
        expect(urgencyOf(facts, Math.min(NOON_MS + laterMs, changes - 1)).value).toBe(value);
        fc.pre(changesAtMs !== null);
        expect(urgencyOf(facts, changes - 1).value).toBe(value);
        expect(urgencyOf(facts, changes).value).toBeGreaterThan(value);
      }),
      { numRuns: 1000 },
    );
  });

  test("a date takes three steps and then rests", () => {
    const removeByMs = NOON_MS + 60 * DAY_MS;
    const moments: (number | null)[] = [];
    for (let nowMs: number | null = NOON_MS; nowMs !== null; moments.push(nowMs)) {
      nowMs = urgencyOf(someUrgencyFacts({ removeByMs }), nowMs).changesAtMs;
    }
    expect(moments).toEqual([...[30, 7, 1].map((days) => removeByMs - days * DAY_MS), null]);
  });

  test("without a date it never changes", () => {
    expect(urgencyOf(someUrgencyFacts(), NOON_MS).changesAtMs).toBeNull();
  });
});
