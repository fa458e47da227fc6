import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DEFAULT_ORIGIN_BUDGET,
  changeBudget,
  newOrigin,
  openSlots,
  recordFailure,
  recordSuccess,
  recordThrottle,
  returnSlots,
  takeSlots,
} from "./origin.ts";
import type { Origin } from "./origin.ts";
import { anOrigin, refusalOf } from "./testing.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Enough requests that only the concurrency matters. */
const WIDE = { concurrencyMax: 8, requestsPerMinute: 600 };

/** `times` failures at 0; those after the fifth meet an open breaker. */
function failed(times: number, origin: Origin = anOrigin()): Origin {
  return times === 0 ? origin : failed(times - 1, recordFailure(origin, 0));
}

/** Broken, and then one probe after the other that fails, each as soon as it may begin. */
function probed(times: number): { readonly origin: Origin; readonly nowMs: number } {
  let nowMs = 0;
  let origin = failed(5);
  for (let probes = 0; probes < times; probes++) {
    nowMs += openSlots(origin, nowMs).retryAfterMs;
    origin = returnSlots(recordFailure(takeSlots(origin, 1, nowMs), nowMs), 1);
  }
  return { origin, nowMs };
}

/** `count` good answers that took so long to their first byte, the first at `fromMs`, one a second. */
function answered(origin: Origin, count: number, firstByteMs: number, fromMs = 0): Origin {
  let after = origin;
  for (let index = 0; index < count; index++) after = recordSuccess(after, fromMs + index * 1000, firstByteMs);
  return after;
}

describe("a budget", () => {
  test("by default: two fetches at once, thirty requests a minute", () => {
    expect(DEFAULT_ORIGIN_BUDGET).toEqual({ concurrencyMax: 2, requestsPerMinute: 30 });
  });

  test.each([
    [{ concurrencyMax: 0, requestsPerMinute: 30 }, "concurrencyMax"],
    [{ concurrencyMax: 2, requestsPerMinute: 0 }, "requestsPerMinute"],
    [{ concurrencyMax: 1.5, requestsPerMinute: 30 }, "concurrencyMax"],
    [{ concurrencyMax: 2, requestsPerMinute: -1 }, "requestsPerMinute"],
  ])("%j is refused, in a new origin and in a known one", (budget, field) => {
    for (const attempt of [() => newOrigin(budget, 0), () => changeBudget(anOrigin(), budget)]) {
      const refusal = refusalOf(attempt);
      expect(refusal.code).toBe("INPUT_INVALID");
      expect(refusal.details).toMatchObject({ field });
    }
  });

  test("the least is one fetch and one request a minute", () => {
    const origin = newOrigin({ concurrencyMax: 1, requestsPerMinute: 1 }, 0);
    expect(openSlots(origin, 0).slots).toBe(1);
    expect(openSlots(returnSlots(takeSlots(origin, 1, 0), 1), 0)).toEqual({ slots: 0, retryAfterMs: MINUTE_MS });
  });

  test("a lower one takes effect at once, on fetches and on requests", () => {
    const origin = changeBudget(anOrigin({ budget: WIDE }), { concurrencyMax: 2, requestsPerMinute: 10 });
    expect(openSlots(origin, 0).slots).toBe(1);
    expect(origin).toMatchObject({ concurrency: 2, tokens: 1 });
  });

  test("a higher one gives its full concurrency, and its requests as time passes", () => {
    const origin = changeBudget(anOrigin(), { concurrencyMax: 8, requestsPerMinute: 60 });
    expect(openSlots(origin, 0).slots).toBe(3);
    expect(openSlots(origin, MINUTE_MS).slots).toBe(6);
  });
});

describe("slots", () => {
  test("as many as the concurrency less what is in use", () => {
    expect(openSlots(anOrigin({ budget: WIDE }), 0).slots).toBe(8);
    expect(openSlots(anOrigin({ budget: WIDE, inUse: 5 }), 0).slots).toBe(3);
    expect(openSlots(anOrigin({ budget: WIDE, inUse: 8 }), 0).slots).toBe(0);
    expect(openSlots(anOrigin({ budget: WIDE, inUse: 9 }), 0).slots).toBe(0);
  });

  test("in full use it is looked at again in 15 seconds, however few requests are left too", () => {
    const budget = { concurrencyMax: 1, requestsPerMinute: 1 };
    expect(openSlots(anOrigin({ budget, inUse: 1, tokens: 0 }), 0)).toEqual({ slots: 0, retryAfterMs: 15_000 });
  });

  test("no more than the requests that may start now, and after them it tells when the next may", () => {
    const origin = anOrigin({ budget: { concurrencyMax: 8, requestsPerMinute: 30 } });
    expect(openSlots(origin, 0).slots).toBe(3);
    const spent = takeSlots(origin, 3, 0);
    const { slots, retryAfterMs } = openSlots(spent, 0);
    expect(slots).toBe(0);
    expect(openSlots(spent, retryAfterMs - 1).slots).toBe(0);
    expect(openSlots(spent, retryAfterMs).slots).toBe(1);
  });

  test("none while it is paused, whatever else it is", () => {
    expect(openSlots(anOrigin({ paused: true }), 0)).toEqual({ slots: 0, retryAfterMs: MINUTE_MS });
  });

  test("none before closedUntilMs, and again from that moment", () => {
    const origin = anOrigin({ closedUntilMs: 1000 });
    expect(openSlots(origin, 400)).toEqual({ slots: 0, retryAfterMs: 600 });
    expect(openSlots(origin, 999).slots).toBe(0);
    expect(openSlots(origin, 1000).slots).toBe(2);
  });

  test("one that is taken is in use until it is returned", () => {
    const taken = takeSlots(anOrigin(), 2, 0);
    expect(taken.inUse).toBe(2);
    expect(openSlots(taken, 0).slots).toBe(0);
    expect(returnSlots(taken, 2).inUse).toBe(0);
  });

  test("returning more than is in use leaves none in use", () => {
    expect(returnSlots(anOrigin({ inUse: 1 }), 2).inUse).toBe(0);
  });

  test("taking more than is open is a bug of the caller", () => {
    expect(() => takeSlots(anOrigin(), 3, 0)).toThrow(RangeError);
    expect(takeSlots(anOrigin(), 0, 0).inUse).toBe(0);
  });

  test.each([-1, 0.5, Number.NaN])("%d slots can neither be taken nor returned", (count) => {
    expect(refusalOf(() => takeSlots(anOrigin(), count, 0)).code).toBe("INPUT_INVALID");
    expect(refusalOf(() => returnSlots(anOrigin(), count)).code).toBe("INPUT_INVALID");
  });

  test("a transaction whose time is behind the row's does not refill the same moment twice", () => {
    const budget = { concurrencyMax: 100, requestsPerMinute: 10 };
    const first = takeSlots(newOrigin(budget, 0), 1, MINUTE_MS / 10);
    const behind = takeSlots(first, 0, 0);
    expect(openSlots(behind, MINUTE_MS / 10).slots).toBe(0);
  });

  test("a transaction whose time is behind the row's loses none either", () => {
    expect(openSlots(anOrigin({ tokens: 1, tokensAtMs: MINUTE_MS }), 0).slots).toBe(1);
  });
});

describe("throttling", () => {
  test("halves the concurrency, rounded down, never below 1", () => {
    const halved = [8, 3, 1].map(
      (concurrency) => recordThrottle(anOrigin({ budget: WIDE, concurrency }), 0, 1000).concurrency,
    );
    expect(halved).toEqual([4, 1, 1]);
  });

  test("honours Retry-After, from a second to six hours; without one it is five minutes", () => {
    const closedUntil = [30_000, null, 0, -5, 7 * HOUR_MS].map(
      (retryAfterMs) => recordThrottle(anOrigin(), 100, retryAfterMs).closedUntilMs,
    );
    expect(closedUntil).toEqual([30_100, 300_100, 1100, 1100, 6 * HOUR_MS + 100]);
  });

  test.each([0, 5000])("of fetches throttled together (Retry-After %d) only the first halves", (retryAfterMs) => {
    const first = recordThrottle(anOrigin({ budget: WIDE }), 0, retryAfterMs);
    expect(recordThrottle(first, 10, retryAfterMs).concurrency).toBe(4);
  });

  test("a throttle after the pause halves again", () => {
    const first = recordThrottle(anOrigin({ budget: WIDE }), 0, 5000);
    expect(recordThrottle(first, 4999, 5000).concurrency).toBe(4);
    expect(recordThrottle(first, 5000, 5000).concurrency).toBe(2);
  });

  test("a shorter Retry-After does not shorten a longer one", () => {
    expect(recordThrottle(recordThrottle(anOrigin(), 0, 60_000), 10, 1000).closedUntilMs).toBe(60_000);
    expect(recordThrottle(recordThrottle(anOrigin(), 0, 1000), 10, 60_000).closedUntilMs).toBe(60_010);
  });

  test("it is no failure: it never opens the breaker", () => {
    expect(recordThrottle(anOrigin({ failures: 4 }), 0, 0).failures).toBe(4);
  });
});

describe("growing again", () => {
  const throttled = recordThrottle(anOrigin({ budget: WIDE }), 0, 1000);

  test("ten clean minutes give one more fetch, a millisecond less does not", () => {
    expect(recordSuccess(throttled, 10 * MINUTE_MS - 1).concurrency).toBe(4);
    expect(recordSuccess(throttled, 10 * MINUTE_MS).concurrency).toBe(5);
  });

  test("each further one takes ten minutes more", () => {
    const grown = recordSuccess(throttled, 10 * MINUTE_MS);
    expect(recordSuccess(grown, 20 * MINUTE_MS - 1).concurrency).toBe(5);
    expect(recordSuccess(grown, 20 * MINUTE_MS).concurrency).toBe(6);
  });

  test("a throttle begins the ten minutes anew", () => {
    const again = recordThrottle(throttled, 9 * MINUTE_MS, 1000);
    expect(again.concurrency).toBe(2);
    expect(recordSuccess(again, 19 * MINUTE_MS - 1).concurrency).toBe(2);
    expect(recordSuccess(again, 19 * MINUTE_MS).concurrency).toBe(3);
  });

  test("never past the budget", () => {
    const origin = recordSuccess(anOrigin({ budget: WIDE }), 99 * MINUTE_MS);
    expect(origin).toMatchObject({ concurrency: 8, cleanSinceMs: 0 });
  });
});

describe("slowing down", () => {
  const TEN_MS = 10 * MINUTE_MS;
  /** 200 ms to the first byte in good times; its first ten minutes are over. */
  const steady = answered(anOrigin({ budget: WIDE }), 20, 200);

  test("answers that were not measured say nothing", () => {
    expect(recordSuccess(anOrigin(), 0).latency).toBeNull();
    expect(recordSuccess(steady, 0)).toEqual(steady);
    expect(recordSuccess(steady, 0, null)).toEqual(steady);
  });

  test("five slow answers in a row halve the concurrency, four do not, and the origin is not closed", () => {
    // The first of them moves the quick mean by nine tenths of a step: to 380 ms, where 400 would be slow.
    const four = answered(steady, 5, 60_000, TEN_MS);
    expect(four).toMatchObject({ concurrency: 8, latency: { slowInARow: 4 } });
    const five = answered(four, 1, 60_000, TEN_MS + 5000);
    expect(five).toMatchObject({ concurrency: 4, closedUntilMs: null, cleanSinceMs: TEN_MS + 5000 });
    expect(five.latency?.slowInARow).toBe(0);
    expect(openSlots(five, TEN_MS + 5000).slots).toBe(4);
  });

  test("one quick answer among them begins the count anew once the quick mean has fallen", () => {
    const nearly = answered(steady, 4, 450, TEN_MS);
    const mended = answered(nearly, 3, 200, TEN_MS + 4000);
    expect(mended.latency?.slowInARow).toBe(0);
    expect(mended.concurrency).toBe(8);
  });

  test("it halves once in a clean time, however long it stays slow", () => {
    const first = answered(steady, 6, 60_000, TEN_MS);
    expect(answered(first, 20, 600_000, TEN_MS + 6000).concurrency).toBe(4);
    const cleanAgainMs = first.cleanSinceMs + TEN_MS;
    const slow = answered(first, 20, 600_000, TEN_MS + 6000);
    expect(answered(slow, 1, 600_000, cleanAgainMs - 1).concurrency).toBe(4);
    expect(answered(slow, 1, 600_000, cleanAgainMs).concurrency).toBe(2);
  });

  test("after a throttle it waits for the clean time too: what was halved is not halved again for the same cause", () => {
    const throttled = recordThrottle(steady, TEN_MS, 1000);
    expect(answered(throttled, 30, 60_000, TEN_MS + 2000).concurrency).toBe(4);
  });

  test("never below 1", () => {
    const slow = answered({ ...steady, concurrency: 1, cleanSinceMs: 5000 }, 6, 60_000, TEN_MS);
    expect(slow).toMatchObject({ concurrency: 1, cleanSinceMs: TEN_MS + 5000 });
  });

  test("while answers are slow nothing grows", () => {
    const reduced = { ...steady, concurrency: 4 };
    expect(answered(reduced, 1, 200, TEN_MS).concurrency).toBe(5);
    const slow = answered({ ...reduced, cleanSinceMs: 1000 }, 3, 60_000, TEN_MS - 1000);
    expect(slow).toMatchObject({ concurrency: 4, latency: { slowInARow: 2 } });
  });

  test("twice the time is not slow yet, a little more is", () => {
    const just = { baselineMs: 200, recentMs: 400, answers: 100, slowInARow: 0 };
    expect(recordSuccess(anOrigin({ latency: just }), 0, 400).latency?.slowInARow).toBe(0);
    expect(recordSuccess(anOrigin({ latency: { ...just, recentMs: 400.1 } }), 0, 400.1).latency?.slowInARow).toBe(1);
  });

  test("an origin that answers within some ms may vary by a hundred", () => {
    const quick = { baselineMs: 5, recentMs: 105, answers: 100, slowInARow: 0 };
    expect(recordSuccess(anOrigin({ latency: quick }), 0, 105).latency?.slowInARow).toBe(0);
    expect(recordSuccess(anOrigin({ latency: { ...quick, recentMs: 105.1 } }), 0, 105.1).latency?.slowInARow).toBe(1);
  });

  test("the first ten answers are averaged and judge nothing", () => {
    const first = answered(anOrigin(), 1, 100);
    expect(first.latency).toEqual({ baselineMs: 100, recentMs: 100, answers: 1, slowInARow: 0 });
    const ten = answered(first, 9, 5100);
    expect(ten.latency).toEqual({ baselineMs: 4600, recentMs: 4600, answers: 10, slowInARow: 0 });
    const eleven = answered(answered(anOrigin(), 10, 100), 1, 1_000_000);
    expect(eleven.latency?.recentMs).toBeCloseTo(100 + 0.3 * 300, 9);
    expect(eleven.latency?.baselineMs).toBeCloseTo(100 + 300 / 11, 9);
  });

  test("the baseline averages a hundred answers and no more, so that it follows an origin that is slower for good", () => {
    const old = answered(anOrigin({ budget: WIDE }), 500, 200);
    expect(old.latency).toMatchObject({ answers: 100, baselineMs: 200 });
    const slower = answered(old, 200, 500, TEN_MS);
    expect(slower.latency?.baselineMs).toBeGreaterThan(400);
    expect(slower.latency?.slowInARow).toBe(0);
    expect(slower.concurrency).toBe(4);
  });

  test("one odd answer among steady ones, however slow, is never slow", () => {
    const times = fc.record({
      steadyMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
      oddMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
      before: fc.integer({ min: 10, max: 150 }),
      after: fc.nat({ max: 30 }),
    });
    fc.assert(
      fc.property(times, ({ steadyMs, oddMs, before, after }) => {
        let origin = answered(anOrigin({ budget: WIDE }), before, steadyMs);
        origin = answered(origin, 1, oddMs, TEN_MS);
        expect(origin.latency?.slowInARow).toBe(0);
        origin = answered(origin, after, steadyMs, TEN_MS + 1000);
        expect(origin).toMatchObject({ concurrency: 8, latency: { slowInARow: 0 } });
      }),
      { numRuns: 1000 },
    );
  });
});

describe("quiet hours", () => {
  /** From 01:00 to 02:00 and from 02:00 to 02:30. */
  const quietHours = [
    { fromMinute: 60, toMinute: 120 },
    { fromMinute: 120, toMinute: 150 },
  ];
  const quiet = anOrigin({ budget: { ...DEFAULT_ORIGIN_BUDGET, quietHours } });

  test("no slot is open in them, and it tells when they end, windows that meet together", () => {
    expect(openSlots(quiet, HOUR_MS - 1).slots).toBe(2);
    expect(openSlots(quiet, HOUR_MS)).toEqual({ slots: 0, retryAfterMs: 1.5 * HOUR_MS });
    expect(openSlots(quiet, 2.5 * HOUR_MS - 1)).toEqual({ slots: 0, retryAfterMs: 1 });
    expect(openSlots(quiet, 2.5 * HOUR_MS).slots).toBe(2);
  });

  test("none given, or an empty list, is never quiet", () => {
    const budget = { ...DEFAULT_ORIGIN_BUDGET, quietHours: [] };
    expect(openSlots(newOrigin(budget, 0), HOUR_MS).slots).toBe(2);
    expect(openSlots(anOrigin(), HOUR_MS).slots).toBe(2);
  });

  test("of quiet hours and a pause the later end is told", () => {
    expect(openSlots({ ...quiet, closedUntilMs: 2 * HOUR_MS }, HOUR_MS).retryAfterMs).toBe(1.5 * HOUR_MS);
    expect(openSlots({ ...quiet, closedUntilMs: 9 * HOUR_MS }, HOUR_MS).retryAfterMs).toBe(8 * HOUR_MS);
  });

  test("none can be taken in them", () => {
    expect(() => takeSlots(quiet, 1, HOUR_MS)).toThrow(RangeError);
  });

  test.each([
    ["a minute that no day has", [{ fromMinute: 0, toMinute: 1441 }], "quietHours[0].toMinute"],
    ["equal ends", [{ fromMinute: 60, toMinute: 60 }], "quietHours"],
    [
      "windows that make up the whole day",
      [
        { fromMinute: 0, toMinute: 720 },
        { fromMinute: 720, toMinute: 1440 },
      ],
      "quietHours",
    ],
  ])("%s: refused, in a new origin and in a known one", (_case, windows, field) => {
    const budget = { ...DEFAULT_ORIGIN_BUDGET, quietHours: windows };
    for (const attempt of [() => newOrigin(budget, 0), () => changeBudget(anOrigin(), budget)]) {
      const refusal = refusalOf(attempt);
      expect(refusal.code).toBe("INPUT_INVALID");
      expect(refusal.details).toMatchObject({ field });
    }
  });

  test("all of the day but one minute is taken", () => {
    const budget = { ...DEFAULT_ORIGIN_BUDGET, quietHours: [{ fromMinute: 0, toMinute: 1439 }] };
    expect(openSlots(newOrigin(budget, 0), 0).retryAfterMs).toBe(1439 * MINUTE_MS);
  });
});

test.each([Number.NaN, Infinity])("%d is no time: nothing is recorded", (time) => {
  const attempts: [string, () => unknown][] = [
    ["nowMs", () => newOrigin(DEFAULT_ORIGIN_BUDGET, time)],
    ["nowMs", () => openSlots(anOrigin(), time)],
    ["nowMs", () => takeSlots(anOrigin(), 1, time)],
    ["nowMs", () => recordSuccess(anOrigin(), time)],
    ["firstByteMs", () => recordSuccess(anOrigin(), 0, time)],
    ["nowMs", () => recordThrottle(anOrigin(), time, null)],
    ["retryAfterMs", () => recordThrottle(anOrigin(), 0, time)],
    ["nowMs", () => recordFailure(anOrigin(), time)],
  ];
  for (const [field, attempt] of attempts) {
    const refusal = refusalOf(attempt);
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  }
});

test("a time to first byte below 0 is refused, 0 is none", () => {
  expect(refusalOf(() => recordSuccess(anOrigin(), 0, -1)).details).toEqual({ field: "firstByteMs", value: -1 });
  expect(recordSuccess(anOrigin(), 0, 0).latency?.baselineMs).toBe(0);
});

describe("the breaker", () => {
  test("four failures leave it closed, the fifth opens it for a minute", () => {
    expect(openSlots(failed(4), 0).slots).toBe(2);
    expect(openSlots(failed(5), 0)).toEqual({ slots: 0, retryAfterMs: MINUTE_MS });
  });

  test("when its time is over one probe goes through, and none beside it", () => {
    const probing = takeSlots(failed(5), 1, MINUTE_MS);
    expect(openSlots(failed(5), MINUTE_MS).slots).toBe(1);
    expect(openSlots(probing, MINUTE_MS).slots).toBe(0);
  });

  test("each failed probe doubles its time, up to an hour", () => {
    const minutes = [0, 1, 2, 5, 6, 15, 2000].map((times) => {
      const { origin, nowMs } = probed(times);
      return openSlots(origin, nowMs).retryAfterMs / MINUTE_MS;
    });
    expect(minutes).toEqual([1, 2, 4, 32, 60, 60, 60]);
  });

  test("fetches that fail while it is open add nothing: they began before", () => {
    expect(failed(30)).toEqual(failed(5));
    const late = recordFailure(failed(5), MINUTE_MS - 1);
    expect(openSlots(late, MINUTE_MS).slots).toBe(1);
    expect(openSlots(recordFailure(failed(5), MINUTE_MS), MINUTE_MS).retryAfterMs).toBe(2 * MINUTE_MS);
  });

  test("a pause that a throttle asked for does not hide the failures that open it", () => {
    expect(failed(5, recordThrottle(anOrigin(), 0, 1000)).failures).toBe(5);
  });

  test("of many takers at once one gets the probe, and none while anything else is in use", () => {
    let origin = failed(5, anOrigin({ budget: WIDE, inUse: 1 }));
    expect(openSlots(origin, MINUTE_MS).slots).toBe(0);
    origin = returnSlots(origin, 1);
    const taken = Array.from({ length: 20 }, () => {
      const { slots } = openSlots(origin, MINUTE_MS);
      origin = takeSlots(origin, slots, MINUTE_MS);
      return slots;
    });
    expect(taken.reduce((sum, slots) => sum + slots, 0)).toBe(1);
  });

  test("a probe that came to nothing makes way for another", () => {
    const probing = takeSlots(failed(5), 1, MINUTE_MS);
    expect(openSlots(returnSlots(probing, 1), MINUTE_MS + 2000).slots).toBe(1);
  });

  test("a success closes it, and the count of failures begins anew", () => {
    const mended = recordSuccess(failed(5), MINUTE_MS);
    expect(openSlots(mended, MINUTE_MS).slots).toBe(2);
    expect(openSlots(failed(4, mended), MINUTE_MS).slots).toBe(2);
  });

  test("failures do not shorten a Retry-After", () => {
    expect(failed(5, recordThrottle(anOrigin(), 0, HOUR_MS)).closedUntilMs).toBe(HOUR_MS);
  });

  test("a fetch from before, that ends well, does not shorten a Retry-After", () => {
    const throttled = recordThrottle(failed(5), 0, HOUR_MS);
    expect(openSlots(recordSuccess(throttled, 10), 10)).toEqual({ slots: 0, retryAfterMs: HOUR_MS - 10 });
  });
});

type Step = { readonly afterMs: number; readonly apply: (origin: Origin, nowMs: number) => Origin };

const budgets = fc.record({
  concurrencyMax: fc.integer({ min: 1, max: 20 }),
  requestsPerMinute: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constantFrom(1, 9, 10, 11, 19, 20, 30, 600)),
});

/** Whatever may happen to an origin, but for a changed budget; `onTake` hears of the slots that are taken. */
function anySteps(onTake: (taken: { readonly atMs: number; readonly count: number }) => void): fc.Arbitrary<Step[]> {
  const takeSome = fc.integer({ min: 1, max: 30 }).map((most) => (origin: Origin, atMs: number) => {
    const count = Math.min(most, openSlots(origin, atMs).slots);
    onTake({ atMs, count });
    return takeSlots(origin, count, atMs);
  });
  const apply = fc.oneof(
    { weight: 8, arbitrary: takeSome },
    { weight: 4, arbitrary: fc.nat({ max: 20 }).map((count) => (origin: Origin) => returnSlots(origin, count)) },
    { weight: 2, arbitrary: fc.constant(recordSuccess) },
    { weight: 1, arbitrary: fc.constant(recordFailure) },
    {
      weight: 1,
      arbitrary: fc
        .option(fc.integer({ min: -1, max: 2 * MINUTE_MS }), { nil: null })
        .map((retryAfterMs) => (origin: Origin, nowMs: number) => recordThrottle(origin, nowMs, retryAfterMs)),
    },
  );
  const afterMs = fc.oneof(
    fc.constant(0),
    fc.nat({ max: 100 }),
    fc.nat({ max: 12_000 }),
    fc.nat({ max: 15 * MINUTE_MS }),
  );
  return fc.array(fc.record({ afterMs, apply }), { maxLength: 60 });
}

describe("whatever happens to an origin", () => {
  test("no half-open minute sees more fetches begin than requestsPerMinute", () => {
    const taken: { atMs: number; count: number }[] = [];
    const steps = anySteps((one) => taken.push(one));
    fc.assert(
      fc.property(budgets, steps, (budget, story) => {
        taken.length = 0;
        let nowMs = 0;
        let origin = newOrigin(budget, nowMs);
        for (const { afterMs, apply } of story) {
          nowMs += afterMs;
          origin = apply(origin, nowMs);
        }
        for (const { atMs: fromMs } of taken) {
          const within = taken.filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + MINUTE_MS);
          expect(within.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(budget.requestsPerMinute);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("a client that takes a slot the moment it may gets the whole budget, and not one more, in every minute", () => {
    for (let requestsPerMinute = 1; requestsPerMinute <= 90; requestsPerMinute++) {
      const takenAtMs: number[] = [];
      let origin = newOrigin({ concurrencyMax: 1, requestsPerMinute }, 0);
      for (let nowMs = 0; nowMs < 3 * MINUTE_MS;) {
        const { slots, retryAfterMs } = openSlots(origin, nowMs);
        if (slots === 0) {
          nowMs += retryAfterMs;
          continue;
        }
        takenAtMs.push(nowMs);
        origin = returnSlots(takeSlots(origin, 1, nowMs), 1);
      }
      const perMinute = takenAtMs.map(
        (fromMs) => takenAtMs.filter((atMs) => atMs >= fromMs && atMs < fromMs + MINUTE_MS).length,
      );
      expect(Math.max(...perMinute)).toBe(requestsPerMinute);
      expect(takenAtMs.filter((atMs) => atMs < MINUTE_MS)).toHaveLength(requestsPerMinute);
    }
  });

  test("its concurrency stays between 1 and the budget, and slots are open only inside all its limits", () => {
    const changes = budgets.map((budget) => (origin: Origin) => changeBudget(origin, budget));
    const pauses = fc.boolean().map((paused) => (origin: Origin) => ({ ...origin, paused }));
    const more = fc.record({ afterMs: fc.nat({ max: 1000 }), apply: fc.oneof(changes, pauses) });
    const story = fc
      .tuple(
        anySteps(() => {}),
        fc.array(more, { maxLength: 8 }),
      )
      .chain(([steps, others]) =>
        fc.shuffledSubarray([...steps, ...others], { minLength: steps.length + others.length }),
      );
    fc.assert(
      fc.property(budgets, story, (budget, steps) => {
        let nowMs = 0;
        let origin = newOrigin(budget, nowMs);
        for (const { afterMs, apply } of steps) {
          nowMs += afterMs;
          origin = apply(origin, nowMs);
          expect(origin.concurrency).toBeGreaterThanOrEqual(1);
          expect(origin.concurrency).toBeLessThanOrEqual(origin.budget.concurrencyMax);
          const { slots, retryAfterMs } = openSlots(origin, nowMs);
          expect(slots).toBeGreaterThanOrEqual(0);
          expect(retryAfterMs).toBeGreaterThan(0);
          const isLeftAlone = origin.paused || nowMs < (origin.closedUntilMs ?? 0);
          const concurrency = origin.failures >= 5 ? 1 : origin.concurrency;
          expect(slots).toBeLessThanOrEqual(isLeftAlone ? 0 : Math.max(0, concurrency - origin.inUse));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
