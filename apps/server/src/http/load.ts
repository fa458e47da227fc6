/**
 * When this server has enough to do. What it refuses then it answers at once and cheaply, so that what it takes is answered
 * in time. Reports of nodes are refused last: each is work that was done.
 */
import type { ServerConfig } from "../config.ts";
import type { Call } from "./calls.ts";

/** The loop's lateness is judged over so long. */
const SAMPLE_MS = 500;
const TICK_MS = 20;
/** Of the requests and the lateness allowed, calls that are no reports may use so much. */
const SHARE_OF_OTHERS = { requests: 1 / 2, delay: 1 / 4 };
/** Callers come back after so long, and not all at once. */
const RETRY_MIN_MS = 1_000;
const RETRY_SPREAD_MS = 4_000;

export type Lateness = { readonly read: () => number; readonly close: () => void };

/**
 * How late the process comes to what is due, in ms: the mean of a half second, and of the last two the better one, so that a
 * start, or one long call, is no overload. Node's own `monitorEventLoopDelay` leaves out the first interval after a reset, and
 * where the process is very late there is no second.
 */
export function watchLateness(): Lateness {
  let [before, latest] = [0, 0];
  let tickedAtMs = performance.now();
  let sample = { beganAtMs: tickedAtMs, lateMs: 0, ticks: 0 };
  const timer = setInterval(() => {
    const nowMs = performance.now();
    sample.lateMs += Math.max(0, nowMs - tickedAtMs - TICK_MS);
    sample.ticks += 1;
    tickedAtMs = nowMs;
    if (nowMs - sample.beganAtMs < SAMPLE_MS) return;
    [before, latest] = [latest, sample.lateMs / sample.ticks];
    sample = { beganAtMs: nowMs, lateMs: 0, ticks: 0 };
  }, TICK_MS);
  timer.unref();
  return { read: () => Math.min(before, latest), close: () => clearInterval(timer) };
}

export class Load {
  requests = 0;
  readonly #requestsMax: number;
  readonly #delayMaxMs: number;
  readonly #latenessMs: () => number;
  readonly #random: () => number;

  constructor(config: ServerConfig, { latenessMs, random }: { latenessMs: () => number; random: () => number }) {
    this.#requestsMax = config.DISPATCHER_REQUESTS_MAX;
    // The setting says from where on only reports are taken.
    this.#delayMaxMs = config.DISPATCHER_LOOP_DELAY_MAX_MS / SHARE_OF_OTHERS.delay;
    this.#latenessMs = latenessMs;
    this.#random = random;
  }

  get latenessMs(): number {
    return this.#latenessMs();
  }

  /** 0: there is room for this request, which is counted among `requests` already. Otherwise when to come again, in ms. */
  refusalMs(calls: readonly Call[]): number {
    if (calls.every(({ callClass }) => callClass === "probe")) return 0;
    const isReport = calls.every(({ callClass }) => callClass === "report");
    const requestsMax = isReport ? this.#requestsMax : Math.ceil(this.#requestsMax * SHARE_OF_OTHERS.requests);
    const delayMaxMs = isReport ? this.#delayMaxMs : this.#delayMaxMs * SHARE_OF_OTHERS.delay;
    const isLate = delayMaxMs > 0 && this.#latenessMs() > delayMaxMs;
    if (this.requests <= requestsMax && !isLate) return 0;
    return Math.round(RETRY_MIN_MS + this.#random() * RETRY_SPREAD_MS);
  }
}
