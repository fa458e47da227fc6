/**
 * Lease arithmetic. The database's clock judges every lease; a node's own clock never does. A lease is renewed by bytes
 * that arrived, not by signs of life: a node that says hello for weeks and saves nothing loses its claim.
 */
export type LeaseTimes = {
  /** Shortest lease. Too small: a slow sync loses it. Too large: a dead node keeps an endangered file. */
  readonly minMs: number;
  /** After the deadline, the time before it is reclaimed: room for a report that is on its way. */
  readonly graceMs: number;
  /** However well it goes, a lease ends so long after its grant. */
  readonly capMs: number;
};

export const DEFAULT_LEASE_TIMES: LeaseTimes = { minMs: 15 * 60_000, graceMs: 10 * 60_000, capMs: 7 * 86_400_000 };

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
  if (bytesLeft === null || rateBytesPerS === null || rateBytesPerS <= 0) return times.minMs;
  const etaMs = (bytesLeft / rateBytesPerS) * 1000;
  return Math.min(times.capMs, Math.max(times.minMs, Math.ceil(ETA_FACTOR * etaMs)));
}

/** The deadline of a lease granted at `grantedAtMs` and renewed `nowMs`: never past the cap, never earlier than it was. */
export function renewedDeadlineMs(
  lease: { readonly grantedAtMs: number; readonly expiresAtMs: number },
  { nowMs, lengthMs }: { readonly nowMs: number; readonly lengthMs: number },
  times: LeaseTimes,
): number {
  return Math.max(lease.expiresAtMs, Math.min(nowMs + lengthMs, lease.grantedAtMs + times.capMs));
}

/** A lease is over when its deadline and the grace behind it have passed; the last moment itself counts as past. */
export function isOverdue(expiresAtMs: number, nowMs: number, times: LeaseTimes): boolean {
  return nowMs >= expiresAtMs + times.graceMs;
}
