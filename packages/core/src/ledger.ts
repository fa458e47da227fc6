/**
 * The byte ledger of one node. Every byte it offers is margin, held (verified copies), reserved (open leases) or room.
 * `heldBytes + reservedBytes + marginBytes <= offeredBytes` holds before and after each function here, and SQL repeats it.
 */
import { requireCount } from "./check.ts";
import { DispatcherError } from "./errors.ts";

export type ByteLedger = {
  /** What the volunteer gives, in all. */
  readonly offeredBytes: number;
  /** Kept free for the machine itself. */
  readonly marginBytes: number;
  /** Verified copies. */
  readonly heldBytes: number;
  /** Promised to open leases. */
  readonly reservedBytes: number;
};

/** Bytes that may still be reserved; never negative for a ledger that balances. */
export function roomBytes(ledger: ByteLedger): number {
  return ledger.offeredBytes - ledger.marginBytes - ledger.heldBytes - ledger.reservedBytes;
}

/** @throws DispatcherError INPUT_INVALID for a number that is no size, LEDGER_EXCEEDED for one that does not balance */
export function checkLedger(ledger: ByteLedger): ByteLedger {
  requireCount(ledger.offeredBytes, "offeredBytes");
  requireCount(ledger.marginBytes, "marginBytes");
  requireCount(ledger.heldBytes, "heldBytes");
  requireCount(ledger.reservedBytes, "reservedBytes");
  const room = roomBytes(ledger);
  if (room < 0) {
    throw new DispatcherError("LEDGER_EXCEEDED", `The node's ledger is short of ${-room} bytes.`, {
      details: { missingBytes: -room },
    });
  }
  return ledger;
}

/**
 * Set bytes aside for a lease.
 * @throws DispatcherError LEDGER_EXCEEDED with `missingBytes`, and nothing is reserved
 */
export function reserveBytes(ledger: ByteLedger, bytes: number): ByteLedger {
  requireCount(bytes, "bytes");
  return checkLedger({ ...ledger, reservedBytes: ledger.reservedBytes + bytes });
}

/** Give a lease's reservation back. */
export function releaseBytes(ledger: ByteLedger, bytes: number): ByteLedger {
  requireCount(bytes, "bytes");
  return checkLedger({ ...ledger, reservedBytes: ledger.reservedBytes - bytes });
}

/**
 * Turn a reservation into a held copy of `storedBytes`. Pass `reservedBytes: 0` for late work, whose reservation went
 * back when its lease ended.
 * @throws DispatcherError LEDGER_EXCEEDED when the copy is larger than its reservation plus the room
 */
export function holdBytes(
  ledger: ByteLedger,
  { reservedBytes, storedBytes }: { readonly reservedBytes: number; readonly storedBytes: number },
): ByteLedger {
  requireCount(reservedBytes, "reservedBytes");
  requireCount(storedBytes, "storedBytes");
  return checkLedger({
    ...ledger,
    reservedBytes: ledger.reservedBytes - reservedBytes,
    heldBytes: ledger.heldBytes + storedBytes,
  });
}

/** A held copy is no more. */
export function dropBytes(ledger: ByteLedger, storedBytes: number): ByteLedger {
  requireCount(storedBytes, "storedBytes");
  return checkLedger({ ...ledger, heldBytes: ledger.heldBytes - storedBytes });
}

/**
 * The volunteer changes the offer. It never falls below what is held and reserved already: the answer is then the least
 * offer that balances, which leaves no room and so grants nothing more.
 */
export function changeOffer(
  ledger: ByteLedger,
  { offeredBytes, marginBytes }: { readonly offeredBytes: number; readonly marginBytes: number },
): ByteLedger {
  requireCount(offeredBytes, "offeredBytes");
  requireCount(marginBytes, "marginBytes");
  const least = ledger.heldBytes + ledger.reservedBytes + marginBytes;
  return checkLedger({ ...ledger, offeredBytes: Math.max(offeredBytes, least), marginBytes });
}
