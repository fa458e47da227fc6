/**
 * How often one caller may call. A caller is a key that is known to be good, else an address: whoever makes up keys stays
 * one caller. Each server counts for itself, in memory: a limit shared by servers would cost a statement a call.
 */
import type { ServerConfig } from "../config.ts";
import { callerBlockOf } from "../network.ts";
import type { Caller } from "./caller.ts";
import type { Call } from "./calls.ts";

const MINUTE_MS = 60_000;
/** Callers that are remembered. Too few: many addresses make a server forget one; too many: 100 bytes each. */
const CALLERS_MAX = 100_000;
/** Keys that are remembered as good. A node whose key is forgotten is an address for one call. */
const KEYS_MAX = 200_000;

type Limited = "read" | "write" | "join";

/**
 * A bucket for each caller that holds a minute's calls and is filled evenly. Source: the generic cell rate algorithm, ITU-T
 * I.371 annex A: all it keeps is when the bucket will be full again.
 */
export class Buckets {
  readonly #perMinute: number;
  readonly #callersMax: number;
  /** Longest not seen first. */
  readonly #fullAtMs = new Map<string, number>();

  constructor(perMinute: number, callersMax = CALLERS_MAX) {
    this.#perMinute = perMinute;
    this.#callersMax = callersMax;
  }

  get size(): number {
    return this.#fullAtMs.size;
  }

  /** 0: go on, it is counted. Otherwise nothing is counted, and so many ms later there is room for it. */
  take(caller: string, calls: number, nowMs: number): number {
    const waitMs = this.waitMs(caller, calls, nowMs);
    if (waitMs === 0) this.add(caller, calls, nowMs);
    return waitMs;
  }

  /** In how many ms there is room for so many calls; what is more than the whole bucket waits for a full one. */
  waitMs(caller: string, calls: number, nowMs: number): number {
    if (this.#perMinute === 0) return 0;
    const atMs = this.#laterMs(caller, Math.min(calls, this.#perMinute), nowMs) - MINUTE_MS;
    // Less than a thousandth of a millisecond is the rounding of sums.
    return Math.max(0, Math.ceil(atMs - nowMs - 0.001));
  }

  /** Count calls that were made, whether there was room for them or not. */
  add(caller: string, calls: number, nowMs: number): void {
    if (this.#perMinute === 0) return;
    const fullAtMs = Math.min(this.#laterMs(caller, calls, nowMs), nowMs + 2 * MINUTE_MS);
    this.#fullAtMs.delete(caller);
    this.#fullAtMs.set(caller, fullAtMs);
    for (const [oldest, atMs] of this.#fullAtMs) {
      if (atMs > nowMs && this.#fullAtMs.size <= this.#callersMax) break;
      this.#fullAtMs.delete(oldest);
    }
  }

  /** When the bucket is full again after so many calls more. */
  #laterMs(caller: string, calls: number, nowMs: number): number {
    return Math.max(nowMs, this.#fullAtMs.get(caller) ?? 0) + (calls * MINUTE_MS) / this.#perMinute;
  }
}

export class RateLimits {
  readonly #buckets: Readonly<Record<Limited, Buckets>>;
  /** Calls with keys that are not known. */
  readonly #guesses: Buckets;
  /** Hashes of keys that were good when last used, longest not used first. */
  readonly #goodKeys = new Set<string>();

  constructor(config: ServerConfig) {
    this.#buckets = {
      read: new Buckets(config.DISPATCHER_RATE_READS_PER_MINUTE),
      write: new Buckets(config.DISPATCHER_RATE_WRITES_PER_MINUTE),
      join: new Buckets(config.DISPATCHER_RATE_JOINS_PER_MINUTE),
    };
    this.#guesses = new Buckets(config.DISPATCHER_RATE_JOINS_PER_MINUTE);
  }

  /** Count the calls of a request. 0: go on. Otherwise it is to be refused, and may come again so many ms later. */
  take({ keyHash, address }: Caller, calls: readonly Call[], nowMs: number): number {
    const block = callerBlockOf(address);
    const isGood = keyHash !== null && this.#goodKeys.has(keyHash);
    // Whatever comes with a key that is not known is one more guess, where there were many.
    if (keyHash !== null && !isGood) {
      const waitMs = this.#guesses.waitMs(block, 1, nowMs);
      if (waitMs > 0) return waitMs;
    }
    const caller = isGood ? `key ${keyHash}` : block;
    let waitMs = 0;
    for (const limited of ["read", "write", "join"] as const) {
      const count = calls.filter(({ callClass }) => callClass === limited).length;
      if (count === 0) continue;
      const bucket = this.#buckets[limited];
      waitMs = Math.max(waitMs, bucket.take(limited === "join" ? block : caller, count, nowMs));
    }
    return waitMs;
  }

  /** This key was good just now. */
  know({ keyHash }: Caller): void {
    if (keyHash === null) return;
    this.#goodKeys.delete(keyHash);
    this.#goodKeys.add(keyHash);
    if (this.#goodKeys.size <= KEYS_MAX) return;
    for (const oldest of this.#goodKeys) {
      this.#goodKeys.delete(oldest);
      break;
    }
  }

  /** This key was not good. */
  blame({ keyHash, address }: Caller, nowMs: number): void {
    if (keyHash === null) return;
    this.#goodKeys.delete(keyHash);
    this.#guesses.add(callerBlockOf(address), 1, nowMs);
  }
}
