/**
 * The budget of an origin: how many fetches may run at once, how many may start in a minute, and when it is left alone.
 * A pure state machine; the state lives in one database row, so it counts for every server process together.
 *
 * Concurrency is additive-increase, multiplicative-decrease (Chiu and Jain 1989, as in TCP): halved when the origin
 * throttles, one more after ten clean minutes. Requests are a token bucket. Failures open a circuit breaker (Nygard,
 * Release It!), which lets one probe through when its time is over.
 */
import { requireCount } from "./check.ts";
import { DispatcherError } from "./errors.ts";

const MINUTE_MS = 60_000;
/** Where the origin names no time. */
const RETRY_AFTER_DEFAULT_MS = 5 * MINUTE_MS;
/** A Retry-After of 0 still has to tell the fetches throttled together from the next one. */
const RETRY_AFTER_MIN_MS = 1000;
/** No Retry-After keeps us away longer than this: a typing error there would lose the data. */
const RETRY_AFTER_MAX_MS = 6 * 3_600_000;
const CLEAN_BEFORE_INCREASE_MS = 10 * MINUTE_MS;
const FAILURES_TO_OPEN = 5;
const BREAKER_FIRST_MS = MINUTE_MS;
const BREAKER_MAX_MS = 3_600_000;

/** Both whole numbers of 1 or more: an origin that is to be left alone is paused. */
export type OriginBudget = {
  /** Concurrent fetches in good times. */
  readonly concurrencyMax: number;
  readonly requestsPerMinute: number;
};

export const DEFAULT_ORIGIN_BUDGET: OriginBudget = { concurrencyMax: 2, requestsPerMinute: 30 };

export type Origin = {
  readonly budget: OriginBudget;
  readonly paused: boolean;
  /** Concurrent fetches allowed now: 1 to `budget.concurrencyMax`. */
  readonly concurrency: number;
  /** Leases that fetch, or may begin to fetch, from it. May be above `concurrency` just after a throttle. */
  readonly inUse: number;
  /** Requests that may start now, as of `tokensAtMs`; fractions accrue. */
  readonly tokens: number;
  readonly tokensAtMs: number;
  /** Left alone until then, by Retry-After or the breaker. */
  readonly closedUntilMs: number | null;
  /** Failures since the last success. */
  readonly failures: number;
  /** No throttle since. */
  readonly cleanSinceMs: number;
};

function requireBudget(budget: OriginBudget): void {
  for (const field of ["concurrencyMax", "requestsPerMinute"] as const) {
    requireCount(budget[field], field);
    if (budget[field] === 0) {
      throw new DispatcherError("INPUT_INVALID", `${field} is 0; to leave an origin alone, pause it.`, {
        details: { field, value: 0 },
      });
    }
  }
}

/** @throws DispatcherError INPUT_INVALID for a budget below 1 */
export function newOrigin(budget: OriginBudget, nowMs: number): Origin {
  requireBudget(budget);
  return {
    budget,
    paused: false,
    concurrency: budget.concurrencyMax,
    inUse: 0,
    tokens: bucketSize(budget),
    tokensAtMs: nowMs,
    closedUntilMs: null,
    failures: 0,
    cleanSinceMs: nowMs,
  };
}

/** A tenth of the minute's requests may come at once; the rest is spread. */
function bucketSize({ requestsPerMinute }: OriginBudget): number {
  return Math.max(1, Math.floor(requestsPerMinute / 10));
}

/** Refill so that a full bucket and a minute's refill together stay within the minute's budget. */
function tokensPerMs(budget: OriginBudget): number {
  return (budget.requestsPerMinute - (bucketSize(budget) - 1)) / MINUTE_MS;
}

function tokensNow(origin: Origin, nowMs: number): number {
  const gained = Math.max(0, nowMs - origin.tokensAtMs) * tokensPerMs(origin.budget);
  return Math.min(bucketSize(origin.budget), origin.tokens + gained);
}

/** The breaker is open or on probation: too many failures and no success since. */
function isBroken(origin: Origin): boolean {
  return origin.failures >= FAILURES_TO_OPEN;
}

export type OpenSlots = {
  /** Fetches that may be granted now. */
  readonly slots: number;
  /** Once there is none left: ask again then. A guess where it depends on running fetches or on an admin; above 0. */
  readonly retryAfterMs: number;
};

/** How often a saturated or paused origin is looked at again. */
const LOOK_AGAIN_MS = 15_000;

/** How many fetches may be granted now, and if none, when to ask again. Pure. */
export function openSlots(origin: Origin, nowMs: number): OpenSlots {
  if (origin.paused) return { slots: 0, retryAfterMs: MINUTE_MS };
  if (origin.closedUntilMs !== null && nowMs < origin.closedUntilMs) {
    return { slots: 0, retryAfterMs: origin.closedUntilMs - nowMs };
  }
  const concurrency = isBroken(origin) ? 1 : origin.concurrency;
  const free = concurrency - origin.inUse;
  if (free <= 0) return { slots: 0, retryAfterMs: LOOK_AGAIN_MS };
  const tokens = tokensNow(origin, nowMs);
  if (tokens < 1) {
    return { slots: 0, retryAfterMs: Math.ceil((1 - tokens) / tokensPerMs(origin.budget)) };
  }
  return { slots: Math.min(free, Math.floor(tokens)), retryAfterMs: LOOK_AGAIN_MS };
}

/**
 * Take `count` slots that `openSlots` offered at the same `nowMs`. A transaction that waited for another's lock has an
 * earlier `nowMs` than the row: the bucket does not refill the same moment twice.
 */
export function takeSlots(origin: Origin, count: number, nowMs: number): Origin {
  requireCount(count, "count");
  const { slots } = openSlots(origin, nowMs);
  if (count > slots) throw new RangeError(`${count} slots were taken where ${slots} are open.`);
  return {
    ...origin,
    inUse: origin.inUse + count,
    tokens: tokensNow(origin, nowMs) - count,
    tokensAtMs: Math.max(origin.tokensAtMs, nowMs),
  };
}

/** `count` fetches are over, in whatever way. */
export function returnSlots(origin: Origin, count: number): Origin {
  requireCount(count, "count");
  return { ...origin, inUse: Math.max(0, origin.inUse - count) };
}

/**
 * A fetch went well: the breaker closes, and after a clean time there is one more slot. A pause that has begun runs its
 * time: it may be a Retry-After, and a fetch from before it says nothing about now.
 */
export function recordSuccess(origin: Origin, nowMs: number): Origin {
  const mayGrow =
    origin.concurrency < origin.budget.concurrencyMax && nowMs - origin.cleanSinceMs >= CLEAN_BEFORE_INCREASE_MS;
  return {
    ...origin,
    failures: 0,
    concurrency: mayGrow ? origin.concurrency + 1 : origin.concurrency,
    cleanSinceMs: mayGrow ? nowMs : origin.cleanSinceMs,
  };
}

/**
 * The origin asked for less (429, 503). Fetches that were under way together are throttled together: only the first of
 * them halves, the others may just lengthen the pause.
 */
export function recordThrottle(origin: Origin, nowMs: number, retryAfterMs: number | null): Origin {
  const askedMs = retryAfterMs ?? RETRY_AFTER_DEFAULT_MS;
  const pauseMs = Math.min(Math.max(askedMs, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS);
  const isClosed = origin.closedUntilMs !== null && nowMs < origin.closedUntilMs;
  return {
    ...origin,
    concurrency: isClosed ? origin.concurrency : Math.max(1, Math.floor(origin.concurrency / 2)),
    closedUntilMs: Math.max(origin.closedUntilMs ?? 0, nowMs + pauseMs),
    cleanSinceMs: nowMs,
  };
}

/** The origin failed (5xx, forbidden). The fifth in a row opens the breaker; each further one doubles its time. */
export function recordFailure(origin: Origin, nowMs: number): Origin {
  const failures = origin.failures + 1;
  if (failures < FAILURES_TO_OPEN) return { ...origin, failures };
  const pauseMs = Math.min(BREAKER_MAX_MS, BREAKER_FIRST_MS * 2 ** Math.min(failures - FAILURES_TO_OPEN, 10));
  return { ...origin, failures, closedUntilMs: Math.max(origin.closedUntilMs ?? 0, nowMs + pauseMs) };
}

/** Another budget for it; a lower one takes effect at once, a higher one gives its full concurrency. @throws as newOrigin */
export function changeBudget(origin: Origin, budget: OriginBudget): Origin {
  requireBudget(budget);
  return {
    ...origin,
    budget,
    concurrency: budget.concurrencyMax,
    tokens: Math.min(origin.tokens, bucketSize(budget)),
  };
}
