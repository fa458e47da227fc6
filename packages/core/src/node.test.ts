import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DEFAULT_VETTING,
  NODE_LIVES,
  QUOTA_START,
  countsAsHolder,
  defaultLifeThresholds,
  independentCopies,
  isVetted,
  lifeAfterSilence,
  loweredQuota,
  measuredRate,
  placesLeft,
  raisedQuota,
} from "./node.ts";
import type { Holder } from "./node.ts";
import { aHolder, nodeId, operatorId } from "./testing.ts";

function holder(node: number, operator: number, counts = true): Holder {
  return aHolder({ nodeId: nodeId(node), operatorId: operatorId(operator), counts });
}

describe("the life of a node", () => {
  const thresholds = defaultLifeThresholds(60_000);

  test("three missed syncs, an hour, a day, a month", () => {
    expect(thresholds).toEqual({
      suspectMs: 180_000,
      offlineMs: 3_600_000,
      lostMs: 86_400_000,
      retiredMs: 2_592_000_000,
    });
  });

  test.each([
    [0, "online"],
    [179_999, "online"],
    [180_000, "suspect"],
    [3_599_999, "suspect"],
    [3_600_000, "offline"],
    [86_399_999, "offline"],
    [86_400_000, "lost"],
    [2_591_999_999, "lost"],
    [2_592_000_000, "retired"],
  ] as const)("%d ms of silence: %s", (silentMs, life) => {
    expect(lifeAfterSilence("online", silentMs, thresholds)).toBe(life);
  });

  test("a node that is heard again is online, unless it was retired", () => {
    const after = NODE_LIVES.map((life) => lifeAfterSilence(life, 0, thresholds));
    expect(after).toEqual(["online", "online", "online", "online", "retired"]);
  });

  test("where thresholds cross, the longer silence decides", () => {
    expect(lifeAfterSilence("online", 3_600_000, defaultLifeThresholds(3_600_000))).toBe("offline");
  });

  test("the copies of the lost and the retired do not count", () => {
    expect(NODE_LIVES.filter(countsAsHolder)).toEqual(["online", "suspect", "offline"]);
  });
});

describe("the quota", () => {
  test("it doubles with each copy up to the node's maximum", () => {
    const steps = [QUOTA_START];
    for (let copies = 0; copies < 4; copies++) steps.push(raisedQuota(steps.at(-1) ?? 0, 9));
    expect(steps).toEqual([2, 4, 8, 9, 9]);
  });

  test("a maximum lowered below it takes it down with the next copy, not below 1", () => {
    expect(raisedQuota(8, 3)).toBe(3);
    expect(raisedQuota(8, 0)).toBe(1);
  });

  test("it halves with each fault, rounded down, and never falls below 1", () => {
    expect([9, 8, 3, 2, 1].map(loweredQuota)).toEqual([4, 4, 1, 1, 1]);
  });
});

describe("independent copies", () => {
  test("an asset with no holder has none", () => {
    expect(independentCopies([])).toBe(0);
  });

  test("two nodes of one operator count as one, two operators as two", () => {
    expect(independentCopies([holder(1, 1), holder(2, 1)])).toBe(1);
    expect(independentCopies([holder(1, 1), holder(2, 1), holder(3, 2)])).toBe(2);
  });

  test("a copy that does not count gives no safety", () => {
    expect(independentCopies([holder(1, 1, false)])).toBe(0);
  });
});

describe("places left", () => {
  const copies = { min: 1, target: 2, max: 3 };
  test("as many as independent copies are missing to the target", () => {
    expect(placesLeft([], copies)).toBe(2);
    expect(placesLeft([holder(1, 1)], copies)).toBe(1);
    expect(placesLeft([holder(1, 1), holder(2, 1)], copies)).toBe(1);
    expect(placesLeft([holder(1, 1), holder(2, 2)], copies)).toBe(0);
  });

  test("no more than places are left below the maximum, which copies that do not count take too", () => {
    expect(placesLeft([holder(1, 1, false), holder(2, 2, false)], copies)).toBe(1);
    expect(placesLeft([holder(1, 1, false), holder(2, 2, false), holder(3, 3)], copies)).toBe(0);
  });

  test("never below 0, with more copies than the wishes since lowered", () => {
    expect(placesLeft([holder(1, 1), holder(2, 2), holder(3, 3), holder(4, 4)], copies)).toBe(0);
  });
});

describe("the measured rate", () => {
  test("the first file sets it", () => {
    expect(measuredRate(null, { fetchedBytes: 1000, fetchMs: 500 })).toBe(2000);
  });

  test("each further file moves it by three tenths of the way", () => {
    expect(measuredRate(1000, { fetchedBytes: 2000, fetchMs: 1000 })).toBe(1300);
    expect(measuredRate(1000, { fetchedBytes: 0.5e3, fetchMs: 1000 })).toBe(850);
  });

  test("a file too quick to measure, or empty, leaves it as it is", () => {
    expect(measuredRate(1000, { fetchedBytes: 2000, fetchMs: 0 })).toBe(1000);
    expect(measuredRate(1000, { fetchedBytes: 0, fetchMs: 1000 })).toBe(1000);
    expect(measuredRate(null, { fetchedBytes: 0, fetchMs: 1000 })).toBeNull();
    expect(measuredRate(null, { fetchedBytes: 1, fetchMs: 1 })).toBe(1000);
  });

  test("it stays between the slowest and the fastest file", () => {
    const file = fc.record({
      fetchedBytes: fc.integer({ min: 1, max: 1e9 }),
      fetchMs: fc.integer({ min: 1, max: 1e6 }),
    });
    fc.assert(
      fc.property(fc.array(file, { minLength: 1 }), (files) => {
        const rates = files.map(({ fetchedBytes, fetchMs }) => (fetchedBytes / fetchMs) * 1000);
        const rate = files.reduce<number | null>(measuredRate, null);
        expect(rate).toBeGreaterThanOrEqual(Math.min(...rates) * (1 - 1e-9));
        expect(rate).toBeLessThanOrEqual(Math.max(...rates) * (1 + 1e-9));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("vetting", () => {
  const { verifiedCopies, ageMs } = DEFAULT_VETTING;

  test("ten copies and a week make a node vetted, in a fleet of 20 or more", () => {
    expect(DEFAULT_VETTING).toEqual({ verifiedCopies: 10, ageMs: 604_800_000, fleetMin: 20 });
    expect(isVetted({ verifiedCopies, ageMs })).toBe(true);
  });

  test("one copy or one millisecond less does not", () => {
    expect(isVetted({ verifiedCopies: verifiedCopies - 1, ageMs })).toBe(false);
    expect(isVetted({ verifiedCopies, ageMs: ageMs - 1 })).toBe(false);
  });

  test("an operator of the service may set another rule", () => {
    expect(isVetted({ verifiedCopies: 0, ageMs: 0 }, { verifiedCopies: 0, ageMs: 0, fleetMin: 0 })).toBe(true);
  });
});
