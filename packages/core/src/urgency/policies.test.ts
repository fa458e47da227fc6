/**
 * What every policy promises, held against a plain comparator of the facts. The last in the list is one that a user might
 * write: it plugs in by its type alone and keeps the same promises.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_COPIES, asPriority, asRank } from "../asset.ts";
import type { CopyRange } from "../asset.ts";
import { NOON_MS, refusalOf, someUrgencyFacts } from "../testing.ts";
import { URGENCY_POLICIES } from "./policies.ts";
import { threatTier, urgencyPolicy, waitingShare } from "./policy.ts";
import type { UrgencyFacts, UrgencyPolicy } from "./policy.ts";

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;
const RUNS = { numRuns: 3000 };

const someCopies: fc.Arbitrary<CopyRange> = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.nat({ max: 2 }), fc.nat({ max: 2 }))
  .map(([min, more, most]) => ({ min, target: min + more, max: min + more + most }));

const someFacts: fc.Arbitrary<UrgencyFacts> = fc.record({
  independentCopies: fc.oneof(fc.nat({ max: 6 }), fc.nat({ max: 40 })),
  copies: someCopies,
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
  /** Within 80 years, in steps that every waiting term tells apart. */
  askedForAtMs: fc.integer({ min: 0, max: (80 * YEAR_MS) / 3000 }).map((steps) => steps * 3000 + 20 * YEAR_MS),
});

/** The ends of every scale, where a lesser term weighs most against one step of a greater one. */
const someEnds: fc.Arbitrary<UrgencyFacts> = fc.record({
  independentCopies: fc.constantFrom(0, 1, 2, 18, 19, 20),
  copies: fc.constant(DEFAULT_COPIES),
  priority: fc.constantFrom(1, 2, 9, 10).map(asPriority),
  rank: fc.constantFrom(null, asRank(1), asRank(2), asRank(899), asRank(900)),
  removeByMs: fc.constantFrom(null, ...[60, 30, 7, 1].map((days) => NOON_MS + days * DAY_MS)),
  askedForAtMs: fc.constantFrom(20 * YEAR_MS, 100 * YEAR_MS),
});

/** Pairs that differ in a few facts alone meet on the later terms, which two random assets seldom reach. */
const somePair = fc.oneof(fc.tuple(someFacts, someFacts), fc.tuple(someEnds, someEnds)).chain(([a, other]) =>
  fc.subarray(Object.keys(someUrgencyFacts())).map((taken) => ({
    a,
    b: { ...a, ...Object.fromEntries(Object.entries(other).filter(([fact]) => taken.includes(fact))) },
  })),
);

// ---- the facts as plain numbers, more urgent is higher -----------------------------------------------------------------

const tierOf = ({ independentCopies, copies }: UrgencyFacts): number =>
  [1, copies.min, copies.target].filter((threshold) => independentCopies < threshold).length;
const threatOf = ({ removeByMs }: UrgencyFacts): number => {
  const daysLeft = removeByMs === null ? Infinity : (removeByMs - NOON_MS) / DAY_MS;
  return [1, 7, 30, Number.MAX_VALUE].filter((days) => daysLeft <= days).length;
};
const rankedOf = ({ rank }: UrgencyFacts): number => (rank === null ? 0 : Math.max(0, 900 - rank));
const fewnessOf = ({ independentCopies }: UrgencyFacts): number => -Math.min(independentCopies, 19);

/** For a collection whose publisher will be switched off: the day decides, and wishes do not. */
const threatOnly: UrgencyPolicy = urgencyPolicy({
  name: "threat-only",
  terms: [
    { name: "threat", pointsOf: threatTier },
    { name: "waiting", pointsOf: ({ askedForAtMs }) => waitingShare(askedForAtMs, 1024) },
  ],
  afterCopies: (urgency) => urgency,
});

type Plain = { readonly policy: UrgencyPolicy; readonly order: (facts: UrgencyFacts) => readonly number[] };

const PLAIN: readonly Plain[] = [
  {
    policy: URGENCY_POLICIES["rescue-first"],
    order: (facts) => [tierOf(facts), threatOf(facts), facts.priority, rankedOf(facts), -facts.askedForAtMs],
  },
  {
    policy: URGENCY_POLICIES["priority-first"],
    order: (facts) => [facts.priority, rankedOf(facts), threatOf(facts), tierOf(facts), -facts.askedForAtMs],
  },
  {
    policy: URGENCY_POLICIES["rarest-first"],
    order: (facts) => [fewnessOf(facts), facts.priority, rankedOf(facts), threatOf(facts), -facts.askedForAtMs],
  },
  { policy: URGENCY_POLICIES.fifo, order: (facts) => [-facts.askedForAtMs] },
  { policy: threatOnly, order: (facts) => [threatOf(facts), -facts.askedForAtMs] },
];

test("every policy is under its own name, and has its comparator here", () => {
  const named = Object.entries(URGENCY_POLICIES).map(([name, policy]) => [name, policy.name]);
  expect(named.map(([name]) => name)).toEqual(named.map(([, own]) => own));
  expect(PLAIN.map(({ policy }) => policy)).toEqual([...Object.values(URGENCY_POLICIES), threatOnly]);
});

describe.each(PLAIN.map((plain) => ({ name: plain.policy.name, ...plain })))("$name", ({ policy, order }) => {
  const valueOf = (facts: UrgencyFacts, nowMs = NOON_MS): number => policy.urgencyOf(facts, nowMs).value;

  test("is lexicographic in the order of its terms", () => {
    fc.assert(
      fc.property(somePair, ({ a, b }) => {
        const [left, right] = [order(a), order(b)];
        const place = left.findIndex((value, index) => value !== right[index]);
        const expected = place === -1 ? 0 : Math.sign((left[place] ?? 0) - (right[place] ?? 0));
        expect(Math.sign(valueOf(a) - valueOf(b))).toBe(expected);
      }),
      RUNS,
    );
  });

  test("is the sum of its terms, to the last bit and whichever is added first", () => {
    fc.assert(
      fc.property(someFacts, fc.nat({ max: 90 * DAY_MS }), (facts, laterMs) => {
        const points = policy.termsOf(facts, NOON_MS + laterMs).map((term) => term.points);
        const value = valueOf(facts, NOON_MS + laterMs);
        expect(points.reduce((sum, point) => sum + point, 0)).toBe(value);
        expect(points.reduceRight((sum, point) => sum + point, 0)).toBe(value);
        expect(Math.min(...points)).toBeGreaterThanOrEqual(0);
      }),
      RUNS,
    );
  });

  test("changes with time at changesAtMs and not a millisecond before", () => {
    fc.assert(
      fc.property(someFacts, fc.nat({ max: 90 * DAY_MS }), (facts, laterMs) => {
        const { value, changesAtMs } = policy.urgencyOf(facts, NOON_MS);
        const changes = changesAtMs ?? Infinity;
        expect(changes).toBeGreaterThan(NOON_MS);
        expect(valueOf(facts, Math.min(NOON_MS + laterMs, changes - 1))).toBe(value);
        fc.pre(changesAtMs !== null || policy === URGENCY_POLICIES.fifo);
        if (changesAtMs === null) return;
        expect(valueOf(facts, changes - 1)).toBe(value);
        expect(valueOf(facts, changes)).toBeGreaterThan(value);
      }),
      RUNS,
    );
  });

  test("leaves two assets in their order until the changesAtMs of one of them", () => {
    fc.assert(
      fc.property(somePair, fc.nat({ max: 90 * DAY_MS }), ({ a, b }, laterMs) => {
        const changes = [a, b].map((facts) => policy.urgencyOf(facts, NOON_MS).changesAtMs ?? Infinity);
        const laterAtMs = Math.min(NOON_MS + laterMs, Math.min(...changes) - 1);
        expect(Math.sign(valueOf(a, laterAtMs) - valueOf(b, laterAtMs))).toBe(Math.sign(valueOf(a) - valueOf(b)));
      }),
      RUNS,
    );
  });

  test("is after a change of copies what it is when computed anew", () => {
    // Where the value was rounded at a larger one, the fraction it lost does not come back.
    const lost = policy.name === "rescue-first" ? 2 ** -31 : 0;
    fc.assert(
      fc.property(someFacts, fc.nat({ max: 25 }), (facts, after) => {
        const change = { before: facts.independentCopies, after };
        const changed = policy.afterCopies(valueOf(facts), facts.copies, change);
        expect(Math.abs(changed - valueOf({ ...facts, independentCopies: after }))).toBeLessThanOrEqual(lost);
      }),
      RUNS,
    );
  });
});

describe("copies", () => {
  test.each([URGENCY_POLICIES["rescue-first"], URGENCY_POLICIES["rarest-first"]])(
    "under $name the first copy of anything comes far before the second of anything",
    (policy) => {
      fc.assert(
        fc.property(someFacts, someFacts, fc.integer({ min: 1, max: 30 }), (a, b, held) => {
          const none = policy.urgencyOf({ ...a, independentCopies: 0 }, NOON_MS).value;
          const some = policy.urgencyOf({ ...b, independentCopies: held }, NOON_MS).value;
          expect(none - some).toBeGreaterThan(0);
        }),
        RUNS,
      );
    },
  );

  test("under rarest-first each copy weighs, above the target too, and from 19 on they weigh alike", () => {
    const values = [0, 1, 2, 3, 4, 18, 19, 20, 1000].map(
      (independentCopies) =>
        URGENCY_POLICIES["rarest-first"].urgencyOf(someUrgencyFacts({ independentCopies }), NOON_MS).value,
    );
    expect(values.map((value) => (value - (values.at(-1) ?? 0)) / 100_000)).toEqual([19, 18, 17, 16, 15, 1, 0, 0, 0]);
  });

  test("under priority-first they decide between equal wishes, and under fifo never", () => {
    for (const [policy, weight] of [
      [URGENCY_POLICIES["priority-first"], 1] as const,
      [URGENCY_POLICIES.fifo, 0] as const,
    ]) {
      const [below, enough] = [2, 3].map(
        (independentCopies) => policy.urgencyOf(someUrgencyFacts({ independentCopies }), NOON_MS).value,
      );
      expect((below ?? Number.NaN) - (enough ?? Number.NaN)).toBe(weight);
    }
  });
});

describe("waiting", () => {
  /** Under the largest values, where the fraction has the fewest bits. */
  const most = { priority: asPriority(10), rank: asRank(1), removeByMs: 0 };
  const STEP_AT_MS = 1024 * Math.floor(NOON_MS / 1024);
  const told = ({ urgencyOf }: UrgencyPolicy, laterMs: number): number =>
    urgencyOf(someUrgencyFacts({ ...most, askedForAtMs: STEP_AT_MS }), NOON_MS).value -
    urgencyOf(someUrgencyFacts({ ...most, askedForAtMs: STEP_AT_MS + laterMs }), NOON_MS).value;

  test.each([URGENCY_POLICIES["priority-first"], URGENCY_POLICIES["rarest-first"]])(
    "under $name ties within a step of 1,024 ms and is told apart between two",
    (policy) => {
      expect(told(policy, 1023)).toBe(0);
      expect(told(policy, 1024)).toBe(2 ** -32);
    },
  );

  test("under fifo is told apart to the millisecond, and those of one millisecond tie", () => {
    expect(told(URGENCY_POLICIES.fifo, 0)).toBe(0);
    expect(told(URGENCY_POLICIES.fifo, 1)).toBe(2 ** -42);
  });

  test("those asked for at one moment tie whatever else time does", () => {
    for (const { policy } of PLAIN) expect(told(policy, 0)).toBe(0);
  });

  test.each(PLAIN.map(({ policy }) => policy))("under $name is never so much as one step of another term", (policy) => {
    const [first, last] = [-1, 2 ** 50].map(
      (askedForAtMs) => policy.termsOf(someUrgencyFacts({ askedForAtMs }), NOON_MS).at(-1)?.points ?? Number.NaN,
    );
    expect(first).toBe(1);
    expect(last).toBeGreaterThanOrEqual(0);
    expect(last).toBeLessThan(1e-6);
  });
});

describe("facts that cannot be are refused by name", () => {
  const { min, target, max } = DEFAULT_COPIES;
  /* oxlint-disable typescript/no-unsafe-type-assertion -- what the types forbid, a database or a caller may still pass */
  const cases: readonly (readonly [string, Partial<UrgencyFacts>, string])[] = [
    ["independentCopies", { independentCopies: -1 }, "independentCopies is -1; it has to be a whole number of 0"],
    ["independentCopies", { independentCopies: 1.5 }, "independentCopies is 1.5"],
    ["independentCopies", { independentCopies: Number.NaN }, "independentCopies is NaN"],
    ["copies.min", { copies: { min: -1, target, max } }, "copies.min is -1"],
    ["copies.target", { copies: { min, target: 1, max } }, "copies.target is 1; it has to be copies.min, 2, or more."],
    ["copies.target", { copies: { min, target: Infinity, max } }, "copies.target is Infinity"],
    ["copies.max", { copies: { min, target, max: 2 } }, "copies.max is 2; it has to be copies.target, 3, or more."],
    ["priority", { priority: 0 as never }, "priority is 0; it has to be a whole number from 1 to 10."],
    ["priority", { priority: 10.5 as never }, "priority is 10.5"],
    ["priority", { priority: 11 as never }, "priority is 11"],
    ["rank", { rank: 0 as never }, "rank is 0; it has to be a whole number from 1, or null."],
    ["rank", { rank: 1.5 as never }, "rank is 1.5"],
    ["removeByMs", { removeByMs: Number.NaN }, "removeByMs is NaN; it has to be a finite number."],
    ["askedForAtMs", { askedForAtMs: Infinity }, "askedForAtMs is Infinity"],
  ];
  /* oxlint-enable typescript/no-unsafe-type-assertion */

  test.each(cases)("%s of %o", (field, facts, detail) => {
    for (const { policy } of PLAIN) {
      for (const ask of [policy.urgencyOf, policy.termsOf]) {
        const refusal = refusalOf(() => ask(someUrgencyFacts(facts), NOON_MS));
        expect(refusal.code).toBe("INPUT_INVALID");
        expect(refusal.detail).toContain(detail);
        expect(refusal.details).toMatchObject({ field });
      }
    }
  });

  test("a present that is no time", () => {
    expect(refusalOf(() => threatOnly.urgencyOf(someUrgencyFacts(), Number.NaN)).details).toEqual({
      field: "nowMs",
      value: "NaN",
    });
  });

  test("and the last that can be are not", () => {
    const least = { independentCopies: 0, copies: { min: 0, target: 0, max: 0 }, priority: asPriority(1) };
    for (const { policy } of PLAIN) {
      expect(policy.urgencyOf(someUrgencyFacts(least), NOON_MS).value).toBeGreaterThan(0);
      expect(policy.urgencyOf(someUrgencyFacts({ removeByMs: -0.5, askedForAtMs: 0.5 }), 0.5).value).toBeGreaterThan(0);
    }
  });
});
