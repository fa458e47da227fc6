import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DispatcherError } from "./errors.ts";
import { changeOffer, checkLedger, dropBytes, holdBytes, releaseBytes, reserveBytes, roomBytes } from "./ledger.ts";
import type { ByteLedger } from "./ledger.ts";
import { aLedger, refusalOf } from "./testing.ts";

test("room is what is offered less margin, copies and reservations", () => {
  expect(roomBytes(aLedger({ offeredBytes: 1000, marginBytes: 100, heldBytes: 20, reservedBytes: 3 }))).toBe(877);
});

describe("checkLedger", () => {
  test("a ledger filled to the last byte balances", () => {
    const full = aLedger({ offeredBytes: 100, marginBytes: 10, heldBytes: 50, reservedBytes: 40 });
    expect(checkLedger(full)).toBe(full);
  });

  test("one byte more does not, and the refusal tells how many are missing", () => {
    const refusal = refusalOf(() => checkLedger(aLedger({ offeredBytes: 100, heldBytes: 60, reservedBytes: 41 })));
    expect(refusal.code).toBe("LEDGER_EXCEEDED");
    expect(refusal.details).toEqual({ missingBytes: 1 });
  });

  test.each(["offeredBytes", "marginBytes", "heldBytes", "reservedBytes"] as const)(
    "a negative %s is refused",
    (field) => {
      const refusal = refusalOf(() => checkLedger(aLedger({ [field]: -1 })));
      expect(refusal.code).toBe("INPUT_INVALID");
      expect(refusal.details).toMatchObject({ field });
    },
  );
});

describe("reserving", () => {
  test("the last byte of room can be reserved", () => {
    expect(reserveBytes(aLedger({ heldBytes: 900 }), 100).reservedBytes).toBe(100);
  });

  test("one byte more than the room is refused, with what is missing", () => {
    const refusal = refusalOf(() => reserveBytes(aLedger({ heldBytes: 900 }), 101));
    expect(refusal.code).toBe("LEDGER_EXCEEDED");
    expect(refusal.details).toEqual({ missingBytes: 1 });
  });

  test("a reservation given back is room again", () => {
    expect(releaseBytes(reserveBytes(aLedger(), 100), 100)).toEqual(aLedger());
  });

  test("more cannot be given back than is reserved", () => {
    expect(refusalOf(() => releaseBytes(aLedger({ reservedBytes: 5 }), 6)).code).toBe("INPUT_INVALID");
  });
});

describe("holding", () => {
  test("a copy takes the place of its reservation, and what it did not need is room", () => {
    const ledger = aLedger({ reservedBytes: 100 });
    expect(holdBytes(ledger, { reservedBytes: 100, storedBytes: 70 })).toEqual(aLedger({ heldBytes: 70 }));
  });

  test("late work is held without a reservation", () => {
    expect(holdBytes(aLedger(), { reservedBytes: 0, storedBytes: 1000 })).toEqual(aLedger({ heldBytes: 1000 }));
  });

  test("a copy larger than its reservation may take the room that is left, and no more", () => {
    const ledger = aLedger({ reservedBytes: 100, heldBytes: 800 });
    expect(holdBytes(ledger, { reservedBytes: 100, storedBytes: 200 })).toEqual(aLedger({ heldBytes: 1000 }));
    const refusal = refusalOf(() => holdBytes(ledger, { reservedBytes: 100, storedBytes: 201 }));
    expect(refusal.code).toBe("LEDGER_EXCEEDED");
    expect(refusal.details).toEqual({ missingBytes: 1 });
  });

  test("a copy that is gone is room again, and cannot go twice", () => {
    const empty = dropBytes(aLedger({ heldBytes: 10 }), 10);
    expect(empty).toEqual(aLedger());
    expect(refusalOf(() => dropBytes(empty, 1)).code).toBe("INPUT_INVALID");
  });
});

test.each([-1, 0.5, Number.NaN])("%d bytes are refused wherever bytes are named", (bytes) => {
  const ledger = aLedger({ heldBytes: 100, reservedBytes: 100 });
  const attempts = [
    () => reserveBytes(ledger, bytes),
    () => releaseBytes(ledger, bytes),
    () => dropBytes(ledger, bytes),
    () => holdBytes(ledger, { reservedBytes: bytes, storedBytes: 1 }),
    () => holdBytes(ledger, { reservedBytes: 1, storedBytes: bytes }),
    () => changeOffer(ledger, { offeredBytes: bytes, marginBytes: 0 }),
    () => changeOffer(ledger, { offeredBytes: 1000, marginBytes: bytes }),
  ];
  expect(attempts.map((attempt) => refusalOf(attempt).code)).toEqual(attempts.map(() => "INPUT_INVALID"));
});

describe("changing the offer", () => {
  const ledger = aLedger({ heldBytes: 300, reservedBytes: 200 });

  test("more or less is taken as said while it balances", () => {
    expect(changeOffer(ledger, { offeredBytes: 2000, marginBytes: 50 })).toMatchObject({
      offeredBytes: 2000,
      marginBytes: 50,
    });
    expect(changeOffer(ledger, { offeredBytes: 500, marginBytes: 0 })).toMatchObject({ offeredBytes: 500 });
  });

  test("an offer below what is held and reserved becomes the least that balances, with no room", () => {
    const changed = changeOffer(ledger, { offeredBytes: 499, marginBytes: 7 });
    expect(changed.offeredBytes).toBe(507);
    expect(roomBytes(changed)).toBe(0);
  });
});

test("whatever is done to it in whatever order, a ledger balances", () => {
  const bytes = fc.integer({ min: -2, max: 400 });
  const step = fc.oneof(
    bytes.map((n) => (ledger: ByteLedger) => reserveBytes(ledger, n)),
    bytes.map((n) => (ledger: ByteLedger) => releaseBytes(ledger, n)),
    bytes.map((n) => (ledger: ByteLedger) => dropBytes(ledger, n)),
    fc
      .record({ reservedBytes: bytes, storedBytes: bytes })
      .map((change) => (ledger: ByteLedger) => holdBytes(ledger, change)),
    fc
      .record({ offeredBytes: fc.integer({ min: -2, max: 1000 }), marginBytes: bytes })
      .map((offer) => (ledger: ByteLedger) => changeOffer(ledger, offer)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let ledger = aLedger();
      for (const apply of steps) {
        try {
          ledger = apply(ledger);
        } catch (error) {
          if (!(error instanceof DispatcherError)) throw error;
        }
        const { offeredBytes, marginBytes, heldBytes, reservedBytes } = ledger;
        expect(Math.min(offeredBytes, marginBytes, heldBytes, reservedBytes)).toBeGreaterThanOrEqual(0);
        expect(heldBytes + reservedBytes + marginBytes).toBeLessThanOrEqual(offeredBytes);
      }
    }),
    { numRuns: 1000 },
  );
});
