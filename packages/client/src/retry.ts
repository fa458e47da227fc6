import { DispatcherError } from "@dispatcher/core";

/** When a call is tried again by itself. */
export type RetryOptions = {
  /** Attempts after the first. 0: never. */
  readonly retries: number;
  /** Pause before the first retry, at most; it doubles with each. */
  readonly baseMs: number;
  /** No pause is longer; a server that asks for a longer one is not asked again. */
  readonly maxMs: number;
};

export const DEFAULT_RETRY: RetryOptions = { retries: 4, baseMs: 250, maxMs: 5_000 };

/**
 * Mutations that may be sent twice: the server answers a repetition like the first time, or says that nothing had to be
 * changed. `node.join`, `key.create`, `token.create` and `asset.requeue` are not among them: each call does something new.
 */
const REPEATABLE_MUTATIONS: ReadonlySet<string> = new Set([
  "asset.import",
  "asset.prioritize",
  "asset.restore",
  "asset.withdraw",
  "assignment.claim",
  "assignment.complete",
  "assignment.fail",
  "assignment.release",
  "assignment.renew",
  "dataset.update",
  "key.revoke",
  "node.block",
  "node.drain",
  "node.giveBack",
  "node.inventory",
  "node.message",
  "node.retire",
  "node.sync",
  "node.unblock",
  "node.undrain",
  "origin.pause",
  "origin.resume",
  "origin.setBudget",
  "token.revoke",
]);

export function isRepeatable(type: "query" | "mutation", path: string): boolean {
  return type === "query" || REPEATABLE_MUTATIONS.has(path);
}

/**
 * The pause before retry number `attempt` (from 0): anything from nothing to the doubled base, so that clients which failed
 * together do not return together. Source: "full jitter", Brooker 2015, Exponential Backoff and Jitter.
 */
export function pauseMs(attempt: number, { baseMs, maxMs }: RetryOptions, random: () => number): number {
  return Math.round(random() * Math.min(maxMs, baseMs * 2 ** attempt));
}

/** Whether waiting and asking again may help. */
export function isWorthRetrying(error: unknown): boolean {
  return error instanceof DispatcherError && error.isRetryable;
}

/** How long the server asks to wait; 0 where it says nothing. */
export function retryAfterMsOf(error: unknown): number {
  const asked = error instanceof DispatcherError ? error.details["retryAfterMs"] : undefined;
  return typeof asked === "number" && asked > 0 ? asked : 0;
}

/** Whether the server has refused a call before it looked at what it says: nothing was done. */
export function wasRefusedUnread(error: unknown): boolean {
  return error instanceof DispatcherError && (error.code === "RATE_LIMITED" || error.code === "OVERLOADED");
}
