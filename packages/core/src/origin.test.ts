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

function failed(times: number, origin: Origin = anOrigin()): Origin {
  return times === 0 ? origin : failed(times - 1, recordFailure(origin, 0));
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
    const minutes = [5, 6, 7, 10, 11, 20, 2000].map((times) => openSlots(failed(times), 0).retryAfterMs / MINUTE_MS);
    expect(minutes).toEqual([1, 2, 4, 32, 60, 60, 60]);
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
