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
/**
 * Those who are taken are to be answered within so long: what is under way by what is answered in that time (Little 1961).
 * Shorter: a server with slow callers refuses what it could do. Longer: whoever is taken waits for as long.
 */
const WAIT_MAX_MS = 60;
/** Fewer under way are no queue: a few slow ones look like one. */
const QUEUE_MIN = 50;
/** How much a server can do is seen while at least so many are under way. */
const BUSY_MIN = QUEUE_MIN / 2;
const UNKNOWN = Number.NaN;
/**
 * What a server is believed to answer in a ms before that was seen. Too low: a hundred who come at once after a quiet time
 * are refused in part. Too high: a server that has just started takes what keeps it busy for seconds.
 */
const PER_MS_BELIEVED = 1;
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
  /** Under way. Streams are none: they wait for nothing. */
  requests = 0;
  /** Of these, those that are all there: whoever sends a body byte by byte keeps nobody waiting. */
  atWork = 0;
  readonly #nowMs: () => number;
  /** What is answered in a half second; `perMs` is of the better one of the last two, or believed. */
  #sample = { beganAtMs: 0, isBusy: false, answered: 0, perMsBefore: UNKNOWN, perMs: PER_MS_BELIEVED };
  readonly #requestsMax: number;
  readonly #delayMaxMs: number;
  readonly #latenessMs: () => number;
  readonly #random: () => number;

  constructor(
    config: ServerConfig,
    { latenessMs, random, nowMs }: { latenessMs: () => number; random: () => number; nowMs: () => number },
  ) {
    this.#requestsMax = config.DISPATCHER_REQUESTS_MAX;
    // The setting says from where on only reports are taken.
    this.#delayMaxMs = config.DISPATCHER_LOOP_DELAY_MAX_MS / SHARE_OF_OTHERS.delay;
    this.#latenessMs = latenessMs;
    this.#random = random;
    this.#nowMs = nowMs;
    this.#sample.beganAtMs = nowMs();
  }

  /** A request that was taken has its answer. */
  answered(): void {
    this.#sample.answered += 1;
  }

  /** How long whoever is taken now will wait, as far as it can be told from those before, in ms. */
  get waitMs(): number {
    const nowMs = this.#nowMs();
    const { beganAtMs, isBusy: wasBusy, answered, perMsBefore } = this.#sample;
    const ms = nowMs - beganAtMs;
    if (ms >= SAMPLE_MS) {
      const isBusy = this.atWork >= BUSY_MIN;
      const perMs = wasBusy && isBusy ? answered / ms : UNKNOWN;
      const seen = [perMs, perMsBefore].filter((known) => !Number.isNaN(known));
      const better = seen.length === 0 ? PER_MS_BELIEVED : Math.max(...seen);
      this.#sample = { beganAtMs: nowMs, isBusy, answered: 0, perMsBefore: perMs, perMs: better };
    }
    return this.atWork / this.#sample.perMs;
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
    const isQueue = this.waitMs > WAIT_MAX_MS && this.atWork > QUEUE_MIN && delayMaxMs > 0 && !isReport;
    if (this.requests <= requestsMax && !isLate && !isQueue) return 0;
    return Math.round(RETRY_MIN_MS + this.#random() * RETRY_SPREAD_MS);
  }
}
