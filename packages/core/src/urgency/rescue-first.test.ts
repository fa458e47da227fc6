import { describe, expect, test } from "vitest";
import { asPriority, asRank } from "../asset.ts";
import { NOON_MS, someUrgencyFacts } from "../testing.ts";
import { rescueFirst, urgencyOf } from "./rescue-first.ts";
import type { UrgencyFacts } from "./policy.ts";

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

describe("what time does", () => {
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

test("databases store the number: its formula is what it was, to the last bit", () => {
  const facts = {
    independentCopies: 1,
    copies: { min: 2, target: 3, max: 5 },
    priority: asPriority(7),
    rank: asRank(12),
    removeByMs: NOON_MS + 3 * DAY_MS,
    askedForAtMs: NOON_MS + 0.25,
  };
  expect(urgencyOf(facts, NOON_MS).value).toBe(
    1_000_000 * 2 + 10_000 * 3 + 900 * 7 + (899 - 11) + (1 - facts.askedForAtMs / 2 ** 42),
  );
  expect(urgencyOf(someUrgencyFacts(), NOON_MS).value).toBe(3004500.5917456546);
});

test("its terms come with the facts that gave them their points", () => {
  const facts = someUrgencyFacts({ independentCopies: 1, rank: asRank(900), removeByMs: NOON_MS + DAY_MS });
  const { copies } = facts;
  expect(rescueFirst.termsOf(facts, NOON_MS)).toEqual([
    { name: "copies", points: 2_000_000, independentCopies: 1, copies },
    { name: "threat", points: 40_000, removeByMs: NOON_MS + DAY_MS },
    { name: "priority", points: 4500, priority: 5 },
    { name: "rank", points: 0, rank: 900 },
    { name: "waiting", points: expect.closeTo(0.59, 2), askedForAtMs: NOON_MS },
  ]);
});
