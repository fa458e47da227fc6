/**
 * The public keys of a token issuer (JWKS), from a URL or a file. They are read when first needed and again now and then, as
 * issuers change them. What cannot be read is asked for twice a minute at most, however many tokens come; meanwhile the keys
 * that were read last go on, for a day. jose's own remote set forgets them after ten minutes, and asks with every token.
 */
import { readFile } from "node:fs/promises";
import { DispatcherError } from "@dispatcher/core";
import { createLocalJWKSet, errors } from "jose";
import type { JSONWebKeySet, JWTVerifyGetKey, LocalJWKSet } from "jose";
import type { Log } from "../../log.ts";

/** Shorter: more requests to the issuer. Longer: a key that it has withdrawn is trusted for longer. */
const FRESH_MS = 10 * 60_000;
/** Between two attempts, also for a token that names an unknown key: anybody can write such a token. */
const PAUSE_MS = 30_000;
/** An issuer that is away for so long issues nothing, and a key that it may have withdrawn is not to be trusted for ever. */
const USABLE_MS = 24 * 3_600_000;
/** Callers wait so long for an issuer that does not answer. */
const TIMEOUT_MS = 5_000;
/** A key is half a kilobyte: a set of this size is none. */
const BYTES_MAX = 2 ** 20;

export type KeySetOptions = {
  /** `https://...`, `http://...` or the path of a file. */
  readonly source: string;
  readonly log: Pick<Log, "warn">;
  readonly fetch?: typeof globalThis.fetch;
  /** Ms that only ever grow. */
  readonly nowMs?: () => number;
};

export class KeySet {
  readonly #source: string;
  readonly #log: Pick<Log, "warn">;
  readonly #fetch: typeof globalThis.fetch;
  readonly #nowMs: () => number;
  #keys: LocalJWKSet | null = null;
  #readAtMs = -Infinity;
  #askedAtMs = -Infinity;
  #pending: Promise<void> | null = null;
  #fault: unknown = null;

  constructor({ source, log, fetch = globalThis.fetch, nowMs = () => performance.now() }: KeySetOptions) {
    this.#source = source;
    this.#log = log;
    this.#fetch = fetch;
    this.#nowMs = nowMs;
  }

  /** The key that a token names. @throws DispatcherError JWKS_UNAVAILABLE; JOSEError for a token that fits no key */
  readonly keyOf: JWTVerifyGetKey = async (header, token) => {
    const keys = await this.#usableKeys();
    try {
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#mayAsk()) throw error;
      // A new key of the issuer, perhaps.
      await this.#read();
      return (this.#keys ?? keys)(header, token);
    }
  };

  /** Read them now. @throws DispatcherError JWKS_UNAVAILABLE when that failed and none are left from before */
  async load(): Promise<void> {
    await this.#usableKeys();
  }

  async #usableKeys(): Promise<LocalJWKSet> {
    const isFresh = this.#ageMs() < FRESH_MS;
    if (!isFresh && (this.#pending !== null || this.#mayAsk())) {
      const reading = this.#read();
      // Whoever has keys of before goes on with them at once.
      if (this.#keys === null || this.#ageMs() >= USABLE_MS) await reading;
    }
    if (this.#keys !== null && this.#ageMs() < USABLE_MS) return this.#keys;
    throw new DispatcherError(
      "JWKS_UNAVAILABLE",
      `The keys of the token issuer cannot be read: ${told(this.#fault)}.`,
      {
        cause: this.#fault,
      },
    );
  }

  #ageMs(): number {
    return this.#nowMs() - this.#readAtMs;
  }

  #mayAsk(): boolean {
    return this.#pending !== null || this.#nowMs() - this.#askedAtMs >= PAUSE_MS;
  }

  /** Never rejects: what went wrong is kept, and said once an attempt. */
  #read(): Promise<void> {
    this.#pending ??= (async () => {
      this.#askedAtMs = this.#nowMs();
      try {
        this.#keys = createLocalJWKSet(await this.#readSet());
        this.#readAtMs = this.#nowMs();
        this.#fault = null;
      } catch (error) {
        this.#fault = error;
        const goesOn = this.#keys !== null && this.#ageMs() < USABLE_MS;
        this.#log.warn(
          { event: "jwks.unavailable", source: shownSource(this.#source), goesOn },
          `the keys of the token issuer cannot be read: ${told(error)}`,
        );
      } finally {
        this.#pending = null;
      }
    })();
    return this.#pending;
  }

  async #readSet(): Promise<JSONWebKeySet> {
    const text = /^https?:/i.test(this.#source) ? await this.#download() : await readFile(this.#source, "utf8");
    const set: unknown = JSON.parse(text);
    if (typeof set !== "object" || set === null) throw new Error("it is no JSON object");
    // createLocalJWKSet refuses what is no set.
    return set as JSONWebKeySet;
  }

  async #download(): Promise<string> {
    const response = await this.#fetch(this.#source, {
      headers: { accept: "application/jwk-set+json, application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the answer is ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > BYTES_MAX) throw new Error("the answer is too long");
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  }
}

/** The innermost message, which is where Node says what happened to a connection. */
function told(fault: unknown): string {
  let inner = fault;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (!(inner instanceof Error)) return "not read yet";
  if (inner.name === "TimeoutError") return `no answer within ${TIMEOUT_MS} ms`;
  const code = "code" in inner && typeof inner.code === "string" ? inner.code : inner.name;
  return inner.message === "" ? code : inner.message;
}

/** A URL may carry a password or a token of its own. */
function shownSource(source: string): string {
  const url = /^https?:/i.test(source) ? URL.parse(source) : null;
  return url === null ? source : `${url.origin}${url.pathname}`;
}
