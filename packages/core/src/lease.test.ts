import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LEASE_TIMES, isOverdue, leaseLengthMs, renewedDeadlineMs } from "./lease.ts";

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
