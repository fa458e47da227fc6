/**
 * Lease arithmetic. The database's clock judges every lease; a node's own clock never does. A lease is renewed by bytes
 * that arrived, not by signs of life: a node that says hello for weeks and saves nothing loses its claim.
 *
 * Every function refuses a number that is no size or no time with INPUT_INVALID.
 */
import { requireAmount, requireCount, requireFinite } from "./check.ts";

export type LeaseTimes = {
  /** Shortest lease. Too small: a slow sync loses it. Too large: a dead node keeps an endangered file. */
  readonly minMs: number;
  /** After the deadline, the time before it is reclaimed: room for a report that is on its way. */
  readonly graceMs: number;
  /** However well it goes, a lease ends so long after its grant. */
  readonly capMs: number;
};

export const DEFAULT_LEASE_TIMES: LeaseTimes = { minMs: 15 * 60_000, graceMs: 10 * 60_000, capMs: 7 * 86_400_000 };

/**
 * After a server has started, nothing expires for so long: nodes had nobody to report to. Too small: those whose next sync
 * is still to come lose their leases for our fault. Too large: a dead node keeps an endangered file through each restart.
 */
export const DEFAULT_MERCY_MS: number = 5 * 60_000;

/** A lease is twice the expected time long, so that an honest node on a bad day keeps it. */
const ETA_FACTOR = 2;

/**
 * How long a lease for `bytesLeft` lasts from now: max(shortest, twice the ETA). Without a measured rate, or without a
 * size, it is the shortest one; progress renews it.
 */
export function leaseLengthMs(
  { bytesLeft, rateBytesPerS }: { readonly bytesLeft: number | null; readonly rateBytesPerS: number | null },
  times: LeaseTimes,
): number {
  if (bytesLeft !== null) requireCount(bytesLeft, "bytesLeft");
  if (rateBytesPerS !== null) requireAmount(rateBytesPerS, "rateBytesPerS");
  if (bytesLeft === null || rateBytesPerS === null || rateBytesPerS === 0) return times.minMs;
  const etaMs = (bytesLeft / rateBytesPerS) * 1000;
  return Math.min(times.capMs, Math.max(times.minMs, Math.ceil(ETA_FACTOR * etaMs)));
}

/** The deadline of a lease granted at `grantedAtMs` and renewed `nowMs`: never past the cap, never earlier than it was. */
export function renewedDeadlineMs(
  lease: { readonly grantedAtMs: number; readonly expiresAtMs: number },
  { nowMs, lengthMs }: { readonly nowMs: number; readonly lengthMs: number },
  times: LeaseTimes,
): number {
  requireFinite(nowMs, "nowMs");
  requireAmount(lengthMs, "lengthMs");
  return Math.max(lease.expiresAtMs, Math.min(nowMs + lengthMs, lease.grantedAtMs + times.capMs));
}

/**
 * Until when there is mercy, once a server has started at `nowMs`. One that runs already is never cut short: several
 * servers may start one after the other.
 */
export function mercyAfterStart(
  mercyUntilMs: number | null,
  { nowMs, mercyMs }: { readonly nowMs: number; readonly mercyMs: number },
): number {
  requireFinite(nowMs, "nowMs");
  requireAmount(mercyMs, "mercyMs");
  return Math.max(mercyUntilMs ?? nowMs, nowMs + mercyMs);
}

/**
 * A lease is over when its deadline and the grace behind it have passed, and no mercy is left; the last moment itself
 * counts as past, of both. `mercyUntilMs` is null where no server has started lately.
 */
export function isOverdue(
  expiresAtMs: number,
  nowMs: number,
  times: LeaseTimes,
  { mercyUntilMs }: { readonly mercyUntilMs: number | null } = { mercyUntilMs: null },
): boolean {
  requireFinite(expiresAtMs, "expiresAtMs");
  requireFinite(nowMs, "nowMs");
  return nowMs >= Math.max(expiresAtMs + times.graceMs, mercyUntilMs ?? nowMs);
}
