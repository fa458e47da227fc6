/**
 * The budget of an origin: how many fetches may run at once, how many may start in a minute, and when it is left alone.
 * A pure state machine; the state lives in one database row, so it counts for every server process together.
 *
 * Concurrency is additive-increase, multiplicative-decrease (Chiu and Jain 1989, as in TCP): halved when the origin
 * throttles or slows down, one more after ten clean minutes. Requests are a token bucket. Failures open a circuit breaker
 * (Nygard, Release It!), which lets one probe through when its time is over. In its quiet hours it is left alone.
 *
 * An origin in trouble slows down before it throttles. As TCP Vegas does (Brakmo and Peterson 1994), answers are compared
 * with how quick they were in good times; as Gradient2 in Netflix's concurrency-limits does, those times are a slow mean,
 * not the best one ever seen, so that an origin that has become slower for good is not held down for ever.
 */
import { requireAmount, requireCount, requireFinite } from "./check.ts";
import { openUntilMs, requireWindows } from "./daily-window.ts";
import type { DailyWindow } from "./daily-window.ts";
import { DispatcherError } from "./errors.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
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

/** Answers before any is judged. Too small: the first one sets the measure. Too large: a new origin may be overrun. */
const LATENCY_WARM_UP = 10;
/** The baseline averages about so many answers. Too small: congestion becomes the measure. Too large: it never adapts. */
const LATENCY_BASELINE_ANSWERS = 100;
/** A weight of the newest answer: the mean follows within a few of them. */
const LATENCY_RECENT_WEIGHT = 0.3;
/** Below so many ms of difference, quick origins that vary a little would seem to slow down to twice their time. */
const LATENCY_STEP_MIN_MS = 100;
/** So many slow answers in a row. Too small: a burst of large files looks like congestion. Too large: we react late. */
const SLOW_ANSWERS_TO_DECREASE = 5;

/** Both numbers are whole and 1 or more: an origin that is to be left alone is paused. */
export type OriginBudget = {
  /** Concurrent fetches in good times. */
  readonly concurrencyMax: number;
  readonly requestsPerMinute: number;
  /** When it is left alone, every day; absent or empty for never. What runs already goes on. */
  readonly quietHours?: readonly DailyWindow[];
};

export const DEFAULT_ORIGIN_BUDGET: OriginBudget = { concurrencyMax: 2, requestsPerMinute: 30 };

/** Times to first byte of an origin's good answers, in ms. */
export type OriginLatency = {
  /** The slow mean: how quick it is in good times. */
  readonly baselineMs: number;
  /** The quick mean: how quick it is now. */
  readonly recentMs: number;
  /** Answers measured, up to as many as the baseline averages. */
  readonly answers: number;
  /** Answers in a row after which the quick mean was well above the slow one. */
  readonly slowInARow: number;
};

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
  /** No throttle and no congestion since. */
  readonly cleanSinceMs: number;
  /** Null until an answer was measured. */
  readonly latency: OriginLatency | null;
};

function refuseBudget(field: keyof OriginBudget, value: number | string, why: string): never {
  throw new DispatcherError("INPUT_INVALID", `${field} ${why}; to leave an origin alone, pause it.`, {
    details: { field, value },
  });
}

function requireBudget(budget: OriginBudget): void {
  for (const field of ["concurrencyMax", "requestsPerMinute"] as const) {
    requireCount(budget[field], field);
    if (budget[field] === 0) refuseBudget(field, 0, "is 0");
  }
  const { quietHours = [] } = budget;
  requireWindows(quietHours, "quietHours");
  // Quiet hours that cover the whole day never end; whatever the time they begin to be asked about.
  const untilMs = openUntilMs(quietHours, 0);
  if (untilMs !== null && untilMs >= DAY_MS) refuseBudget("quietHours", "the whole day", "are the whole day");
}

/** @throws DispatcherError INPUT_INVALID for a budget below 1, or quiet hours that never end */
export function newOrigin(budget: OriginBudget, nowMs: number): Origin {
  requireBudget(budget);
  requireFinite(nowMs, "nowMs");
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
    latency: null,
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

/**
 * How many fetches may be granted now, and if none, when to ask again. Pure. An origin on probation after its breaker
 * opened has one slot, and none while anything is in use: one probe at a time, whoever asks.
 * @throws DispatcherError INPUT_INVALID for a time that is none
 */
export function openSlots(origin: Origin, nowMs: number): OpenSlots {
  requireFinite(nowMs, "nowMs");
  if (origin.paused) return { slots: 0, retryAfterMs: MINUTE_MS };
  const { quietHours = [] } = origin.budget;
  const leftAloneUntilMs = Math.max(origin.closedUntilMs ?? nowMs, openUntilMs(quietHours, nowMs) ?? nowMs);
  if (nowMs < leftAloneUntilMs) return { slots: 0, retryAfterMs: leftAloneUntilMs - nowMs };
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

/** How much slower than the baseline is well above it: twice its time, and never just some ms. */
function latencyStepMs(baselineMs: number): number {
  return Math.max(baselineMs, LATENCY_STEP_MIN_MS);
}

/**
 * The means after one more answer. It counts as no more than three steps above the baseline, so that one odd answer among
 * steady ones, however slow, moves the quick mean by nine tenths of a step: too little to be called slow.
 */
function measuredLatency(before: OriginLatency | null, firstByteMs: number): OriginLatency {
  if (before === null) return { baselineMs: firstByteMs, recentMs: firstByteMs, answers: 1, slowInARow: 0 };
  const hasBaseline = before.answers >= LATENCY_WARM_UP;
  const answers = Math.min(before.answers + 1, LATENCY_BASELINE_ANSWERS);
  const stepMs = latencyStepMs(before.baselineMs);
  const nowMs = hasBaseline ? Math.min(firstByteMs, before.baselineMs + 3 * stepMs) : firstByteMs;
  const baselineMs = before.baselineMs + (nowMs - before.baselineMs) / answers;
  if (!hasBaseline) return { baselineMs, recentMs: baselineMs, answers, slowInARow: 0 };
  const recentMs = before.recentMs + LATENCY_RECENT_WEIGHT * (nowMs - before.recentMs);
  const isSlow = recentMs > before.baselineMs + stepMs;
  const slowInARow = isSlow ? Math.min(before.slowInARow + 1, SLOW_ANSWERS_TO_DECREASE) : 0;
  return { baselineMs, recentMs, answers, slowInARow };
}

function halved(concurrency: number): number {
  return Math.max(1, Math.floor(concurrency / 2));
}

/**
 * A fetch went well: the breaker closes, and after a clean time there is one more slot. A pause that has begun runs its
 * time: it may be a Retry-After, and a fetch from before it says nothing about now.
 *
 * `firstByteMs` is how long the origin took to its first byte, or null where that was not measured. After several answers
 * in a row well above the baseline the concurrency is halved, once in a clean time of ten minutes and never below 1; the
 * origin is not closed, for it still answers. While answers are slow nothing grows.
 * @throws DispatcherError INPUT_INVALID for a time that is none, and nothing is recorded
 */
export function recordSuccess(origin: Origin, nowMs: number, firstByteMs: number | null = null): Origin {
  requireFinite(nowMs, "nowMs");
  if (firstByteMs !== null) requireAmount(firstByteMs, "firstByteMs");
  const latency = firstByteMs === null ? origin.latency : measuredLatency(origin.latency, firstByteMs);
  const slowInARow = latency?.slowInARow ?? 0;
  const after = { ...origin, failures: 0, latency };
  if (nowMs - origin.cleanSinceMs < CLEAN_BEFORE_INCREASE_MS) return after;
  if (latency !== null && slowInARow >= SLOW_ANSWERS_TO_DECREASE) {
    const anew = { ...latency, slowInARow: 0 };
    return { ...after, concurrency: halved(origin.concurrency), cleanSinceMs: nowMs, latency: anew };
  }
  const mayGrow = slowInARow === 0 && origin.concurrency < origin.budget.concurrencyMax;
  return mayGrow ? { ...after, concurrency: origin.concurrency + 1, cleanSinceMs: nowMs } : after;
}

/**
 * The origin asked for less (429, 503). Fetches that were under way together are throttled together: only the first of
 * them halves, the others may just lengthen the pause. A Retry-After outside a second to six hours is taken as the nearer
 * of the two; null for none.
 * @throws DispatcherError INPUT_INVALID for a time that is none, and nothing is recorded
 */
export function recordThrottle(origin: Origin, nowMs: number, retryAfterMs: number | null): Origin {
  requireFinite(nowMs, "nowMs");
  if (retryAfterMs !== null) requireFinite(retryAfterMs, "retryAfterMs");
  const askedMs = retryAfterMs ?? RETRY_AFTER_DEFAULT_MS;
  const pauseMs = Math.min(Math.max(askedMs, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS);
  const isClosed = origin.closedUntilMs !== null && nowMs < origin.closedUntilMs;
  return {
    ...origin,
    concurrency: isClosed ? origin.concurrency : halved(origin.concurrency),
    closedUntilMs: Math.max(origin.closedUntilMs ?? 0, nowMs + pauseMs),
    cleanSinceMs: nowMs,
  };
}

/**
 * The origin failed (5xx, forbidden). The fifth in a row opens the breaker for a minute; each failed probe opens it again
 * for twice as long, up to an hour. What fails while it is open began before, together with what opened it, and adds
 * nothing.
 * @throws DispatcherError INPUT_INVALID for a time that is none, and nothing is recorded
 */
export function recordFailure(origin: Origin, nowMs: number): Origin {
  requireFinite(nowMs, "nowMs");
  const isOpen = isBroken(origin) && origin.closedUntilMs !== null && nowMs < origin.closedUntilMs;
  if (isOpen) return origin;
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
