import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DEFAULT_LEASE_TIMES,
  DEFAULT_MERCY_MS,
  isOverdue,
  leaseLengthMs,
  mercyAfterStart,
  renewedDeadlineMs,
} from "./lease.ts";
import { refusalOf } from "./testing.ts";

const times = { minMs: 1000, graceMs: 500, capMs: 10_000 };

test("by default a lease lasts 15 minutes at least, 7 days at most, and 10 minutes of grace follow", () => {
  expect(DEFAULT_LEASE_TIMES).toEqual({ minMs: 900_000, graceMs: 600_000, capMs: 604_800_000 });
});

describe("how long a lease is", () => {
  test.each([
    ["without a size", { bytesLeft: null, rateBytesPerS: 100 }, 1000],
    ["without a measured rate", { bytesLeft: 1000, rateBytesPerS: null }, 1000],
    ["at a rate of nothing", { bytesLeft: 1000, rateBytesPerS: 0 }, 1000],
    ["when nothing is left to fetch", { bytesLeft: 0, rateBytesPerS: 100 }, 1000],
    ["just as long as the shortest", { bytesLeft: 50, rateBytesPerS: 100 }, 1000],
    ["one byte longer than the shortest", { bytesLeft: 51, rateBytesPerS: 100 }, 1020],
    ["in whole ms, rounded up", { bytesLeft: 1000, rateBytesPerS: 300 }, 6667],
    ["just at the cap", { bytesLeft: 500, rateBytesPerS: 100 }, 10_000],
    ["past the cap", { bytesLeft: 501, rateBytesPerS: 100 }, 10_000],
  ])("%s", (_case, work, expected) => {
    expect(leaseLengthMs(work, times)).toBe(expected);
  });

  test("it is never below the shortest nor above the cap", () => {
    fc.assert(
      fc.property(
        fc.option(fc.nat({ max: Number.MAX_SAFE_INTEGER }), { nil: null }),
        fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), { nil: null }),
        (bytesLeft, rateBytesPerS) => {
          const lengthMs = leaseLengthMs({ bytesLeft, rateBytesPerS }, times);
          expect(Number.isSafeInteger(lengthMs)).toBe(true);
          expect(lengthMs).toBeGreaterThanOrEqual(times.minMs);
          expect(lengthMs).toBeLessThanOrEqual(times.capMs);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("renewing", () => {
  const lease = { grantedAtMs: 0, expiresAtMs: 2000 };

  test("the new deadline is a length from now", () => {
    expect(renewedDeadlineMs(lease, { nowMs: 1500, lengthMs: 1000 }, times)).toBe(2500);
  });

  test("a deadline never moves nearer", () => {
    expect(renewedDeadlineMs(lease, { nowMs: 500, lengthMs: 1000 }, times)).toBe(2000);
  });

  test("the cap counts from the grant", () => {
    expect(renewedDeadlineMs(lease, { nowMs: 9500, lengthMs: 1000 }, times)).toBe(10_000);
    const later = { grantedAtMs: 300, expiresAtMs: 2000 };
    expect(renewedDeadlineMs(later, { nowMs: 9500, lengthMs: 1000 }, times)).toBe(10_300);
  });

  test("a deadline that was given past a cap, since lowered, is kept", () => {
    expect(renewedDeadlineMs({ grantedAtMs: 0, expiresAtMs: 12_000 }, { nowMs: 1, lengthMs: 1 }, times)).toBe(12_000);
  });
});

test("a lease is overdue at its deadline and the grace, not a millisecond before", () => {
  expect(isOverdue(2000, 2499, times)).toBe(false);
  expect(isOverdue(2000, 2500, times)).toBe(true);
});

describe("mercy", () => {
  test("by default five minutes", () => {
    expect(DEFAULT_MERCY_MS).toBe(300_000);
  });

  test("nothing is overdue before it ends, and at its end what was overdue is", () => {
    expect(isOverdue(0, 899, times, { mercyUntilMs: 900 })).toBe(false);
    expect(isOverdue(0, 900, times, { mercyUntilMs: 900 })).toBe(true);
  });

  test("it does not shorten a grace, and without one the grace alone decides", () => {
    expect(isOverdue(2000, 2499, times, { mercyUntilMs: 900 })).toBe(false);
    expect(isOverdue(2000, 2500, times, { mercyUntilMs: 900 })).toBe(true);
    expect(isOverdue(2000, 2499, times, { mercyUntilMs: null })).toBe(false);
    expect(isOverdue(2000, 2500, times, { mercyUntilMs: null })).toBe(true);
  });

  test("it lasts its length from the start of a server", () => {
    expect(mercyAfterStart(null, { nowMs: 1000, mercyMs: 300 })).toBe(1300);
    expect(mercyAfterStart(900, { nowMs: 1000, mercyMs: 0 })).toBe(1000);
  });

  test("a second server that starts may lengthen it and never shortens it", () => {
    expect(mercyAfterStart(1301, { nowMs: 1000, mercyMs: 300 })).toBe(1301);
    expect(mercyAfterStart(1299, { nowMs: 1000, mercyMs: 300 })).toBe(1300);
  });
});

test("what is no size, rate or time is refused, by the name of the field", () => {
  const lease = { grantedAtMs: 0, expiresAtMs: 0 };
  const attempts: [string, () => unknown][] = [
    ["bytesLeft", () => leaseLengthMs({ bytesLeft: -1, rateBytesPerS: 1 }, times)],
    ["bytesLeft", () => leaseLengthMs({ bytesLeft: 0.5, rateBytesPerS: null }, times)],
    ["rateBytesPerS", () => leaseLengthMs({ bytesLeft: 1, rateBytesPerS: -1 }, times)],
    ["rateBytesPerS", () => leaseLengthMs({ bytesLeft: 1, rateBytesPerS: Number.NaN }, times)],
    ["nowMs", () => renewedDeadlineMs(lease, { nowMs: Number.NaN, lengthMs: 1 }, times)],
    ["lengthMs", () => renewedDeadlineMs(lease, { nowMs: 1, lengthMs: -1 }, times)],
    ["expiresAtMs", () => isOverdue(Number.NaN, 1, times)],
    ["nowMs", () => isOverdue(1, Number.NaN, times)],
    ["nowMs", () => mercyAfterStart(null, { nowMs: Number.NaN, mercyMs: 1 })],
    ["mercyMs", () => mercyAfterStart(null, { nowMs: 1, mercyMs: -1 })],
  ];
  for (const [field, attempt] of attempts) {
    const refusal = refusalOf(attempt);
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  }
});
