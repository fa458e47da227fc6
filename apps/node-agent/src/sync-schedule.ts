/**
 * When to sync next. Pure but for the random numbers it is given; `nowMs` is any clock that never goes back.
 * Reports wait a moment for each other, a server that is away is asked less and less often, and nothing makes the agent
 * sync twice within 200 ms.
 */

/** So long a report waits for others that end at nearly the same time. */
const GATHER_MS = 100;
const INTERVAL_MIN_MS = 200;
const BACKOFF_FIRST_MS = 1000;
/** A server that is back after an outage is found within a minute. */
const BACKOFF_MAX_MS = 60_000;

export class SyncSchedule {
  readonly #random: () => number;
  #dueAtMs: number;
  #lastAtMs = -Infinity;
  #failures = 0;

  /** The first sync is due at once. */
  constructor(nowMs: number, random: () => number) {
    this.#dueAtMs = nowMs;
    this.#random = random;
  }

  get dueAtMs(): number {
    return Math.max(this.#dueAtMs, this.#lastAtMs + INTERVAL_MIN_MS);
  }

  /** There is something to tell. While the server is away it waits with the rest. */
  hasNews(nowMs: number): void {
    if (this.#failures === 0) this.#dueAtMs = Math.min(this.#dueAtMs, nowMs + GATHER_MS);
  }

  /** `retryAfterMs`: when a node with room for more was told to ask again. */
  answered(
    nowMs: number,
    { nextSyncMs, retryAfterMs }: { readonly nextSyncMs: number; readonly retryAfterMs: number | null },
  ): void {
    this.#lastAtMs = nowMs;
    this.#failures = 0;
    this.#dueAtMs = nowMs + Math.min(nextSyncMs, retryAfterMs ?? Infinity);
  }

  /** Full jitter: anything from nothing to the doubled pause, so that a fleet does not come back as one. */
  failed(nowMs: number): void {
    this.#lastAtMs = nowMs;
    this.#failures += 1;
    this.#dueAtMs = nowMs + this.#random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (this.#failures - 1));
  }
}
