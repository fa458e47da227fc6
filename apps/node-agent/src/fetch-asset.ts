/**
 * One file from its origin into a partial file, resuming what is there, until it is whole and is what the catalog declares.
 * Bytes are kept as the origin sends them: no content coding is asked for, and where a server labels a `.gz` file with one
 * of its own accord, the coded bytes are the file.
 */
import { setTimeout as wait } from "node:timers/promises";
import { provesDigest } from "@dispatcher/core";
import type { Computed, Declared } from "@dispatcher/core";
import { Agent, buildConnector, errors, request } from "undici";
import type { Dispatcher } from "undici";
import { AssetFailure } from "./asset-failure.ts";
import { PartialFile } from "./partial-file.ts";
import { PrivateAddress, isPrivateAddress, lookupPublic } from "./private-address.ts";
import { isHtml, readContentLength, readContentRange, readRetryAfter, readVersion } from "./response-headers.ts";
import type { Headers, Version } from "./response-headers.ts";
import { AGENT_VERSION } from "./version.ts";

const USER_AGENT = `dispatcher-node-agent/${AGENT_VERSION}`;
const REDIRECTS_MAX = 5;
const CONNECT_TIMEOUT_MAX_MS = 10_000;
/** Setbacks in a row, none of which brought a byte further, before the asset is given up. */
const SETBACKS_MAX = 3;
/** Pause before the first resume; it doubles with each setback that follows without progress. */
const RESUME_PAUSE_MS = 250;
/** Of the body of a redirect or an error, which is read only to keep the connection. */
const DISCARDED_BYTES_MAX = 64 * 1024;

type Response = Dispatcher.ResponseData;
type Body = Response["body"];

export type FetchOrder = {
  readonly url: string;
  /** The asset's name in its catalog; tells what kind of file is expected. */
  readonly path: string;
  readonly declared: Declared;
  readonly partialPath: string;
  /** What the bytes in the partial file came with; null when nobody knows, and then they are fetched again. */
  readonly version: Version | null;
};

export type FetchTools = {
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  /** Awaited before the first byte of a version is written: a byte on disk whose version is unknown could not be resumed. */
  readonly onVersion: (version: Version) => Promise<void>;
  /** Bytes in the partial file now; goes down when a fetch has to begin again. */
  readonly onProgress: (bytesDone: number) => void;
  /**
   * Awaited before the first byte of an answer is written, and before the file grows past what was allowed: to `bytes`.
   * Resolves with how far it may grow before asking again, `bytes` or more; rejects to end the fetch. `totalBytes` is the
   * size of the whole file, where it is known.
   */
  readonly ensureRoom: (need: { readonly bytes: number; readonly totalBytes: number | null }) => Promise<number>;
};

export type Fetched = Computed & {
  readonly sizeBytes: number;
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** How long bytes were awaited and written, and how many came; what was on disk before is in neither. */
  readonly fetchMs: number;
  readonly fetchedBytes: number;
};

export type OriginAccess = {
  /** No byte for so long is a stall. */
  readonly patienceMs: number;
  /** Origins in one's own network as well: for tests, and for those who keep one there. */
  readonly mayBePrivate: boolean;
};

/** Connections to origins, kept open between files. */
export function createOriginDispatcher({
  patienceMs,
  mayBePrivate,
}: OriginAccess): Dispatcher & { close(): Promise<void>; destroy(): Promise<void> } {
  const timeout = Math.min(patienceMs, CONNECT_TIMEOUT_MAX_MS);
  return new Agent({
    connect: mayBePrivate ? { timeout } : connectPublic(timeout),
    headersTimeout: patienceMs,
    bodyTimeout: patienceMs,
    // HTTP/1.1 alone: one connection a fetch is what an origin's budget counts, and stalls are judged in one way.
    allowH2: false,
  });
}

/** At each connection, those of redirects too: the name's addresses, and the one that was connected to in the end. */
function connectPublic(timeout: number): buildConnector.connector {
  const connect = buildConnector({ timeout, lookup: lookupPublic });
  return (options, done) => {
    const { hostname } = options;
    // No name is looked up for an address.
    if (isPrivateAddress(hostname)) {
      done(new PrivateAddress(hostname, hostname), null);
      return;
    }
    connect(options, (error, socket) => {
      if (error !== null) {
        done(error, null);
        return;
      }
      const address = socket.remoteAddress ?? "";
      if (!isPrivateAddress(address)) {
        done(null, socket);
        return;
      }
      socket.destroy();
      done(new PrivateAddress(hostname, address), null);
    });
  };
}

/** @throws AssetFailure; what `ensureRoom` throws; the signal's reason. The partial file is kept in every case. */
export async function fetchAsset(order: FetchOrder, tools: FetchTools): Promise<Fetched> {
  const algorithm = order.declared.digest?.algorithm ?? null;
  const part = await PartialFile.open(order.partialPath, { algorithm, signal: tools.signal });
  try {
    return await new Fetch(order, tools, part).run();
  } finally {
    await part.close();
  }
}

class Fetch {
  readonly #order: FetchOrder;
  readonly #tools: FetchTools;
  readonly #part: PartialFile;
  #version: Version | null;
  /** False once the origin has shown that its ranges are not to be trusted. */
  #mayResume = true;
  /** The bytes come from more than one answer. */
  #isJoined = false;
  #hasRefetchedWhole = false;
  /** The last answer was a page where another kind of file was expected. */
  #looksLikeLogin = false;
  #fetchMs = 0;
  #fetchedBytes = 0;

  constructor(order: FetchOrder, tools: FetchTools, part: PartialFile) {
    this.#order = order;
    this.#tools = tools;
    this.#part = part;
    this.#version = order.version;
    this.#isJoined = part.length > 0;
  }

  async run(): Promise<Fetched> {
    if (this.#version === null && this.#part.length > 0) await this.#restart();
    this.#tools.onProgress(this.#part.length);
    for (;;) {
      await this.#fetchWhole();
      await this.#part.sync();
      this.#judgeSize(this.#part.length);
      const digests = await this.#declaredDigests();
      if (digests !== null) {
        const { etag = null, lastModified = null } = this.#version ?? {};
        const fetched = { fetchMs: Math.round(this.#fetchMs), fetchedBytes: this.#fetchedBytes };
        return { sizeBytes: this.#part.length, ...digests, etag, lastModified, ...fetched };
      }
      if (!this.#isJoined || this.#hasRefetchedWhole) {
        const { algorithm } = this.#order.declared.digest ?? {};
        throw this.#mismatch(
          "BAD_DIGEST",
          `The bytes received do not have the ${algorithm} that the catalog declares.`,
        );
      }
      // Pieces of two versions may have been joined, by an origin that does not tell them apart: not yet a bad copy.
      this.#hasRefetchedWhole = true;
      await this.#restart();
    }
  }

  /** Go on until the file is there to its end, over cuts and stalls that still bring it further. */
  async #fetchWhole(): Promise<void> {
    let furthestBytes = this.#part.length;
    let setbacks = 0;
    for (;;) {
      try {
        if ((await this.#fetchRest()) === "whole") return;
      } catch (error) {
        if (!isSetback(error)) throw error;
        setbacks = this.#part.length > furthestBytes ? 1 : setbacks + 1;
        furthestBytes = Math.max(furthestBytes, this.#part.length);
        if (setbacks > SETBACKS_MAX) throw error;
        await this.#pause(RESUME_PAUSE_MS * 2 ** (setbacks - 1));
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#tools;
    await wait(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
  }

  /** One request, from the first missing byte. "again": the partial file had to be dropped, or ranges given up. */
  async #fetchRest(): Promise<"whole" | "again"> {
    const wholeBytes = this.#order.declared.sizeBytes ?? this.#version?.sizeBytes ?? null;
    if (this.#part.length > 0 && this.#part.length === wholeBytes) return "whole";
    const mustRestart = !this.#canResume() || (wholeBytes !== null && this.#part.length > wholeBytes);
    if (this.#part.length > 0 && mustRestart) await this.#restart();

    const offset = this.#part.length;
    const startedMs = performance.now();
    try {
      const response = await this.#open(offset);
      try {
        return await this.#take(response, offset);
      } finally {
        hangUp(response.body);
      }
    } finally {
      this.#fetchMs += performance.now() - startedMs;
    }
  }

  async #take({ statusCode: status, headers, body }: Response, offset: number): Promise<"whole" | "again"> {
    if (status === 200) return this.#takeWhole(headers, body);
    if (status === 206 && offset > 0) return this.#takeRange(headers, body, offset);
    await discard(body);
    if (status === 416 && offset > 0) {
      return readContentRange(headers)?.totalBytes === offset ? "whole" : this.#giveUpRanges();
    }
    throw failureOfStatus(status, headers);
  }

  /** With nothing to tell versions apart, only the catalog's digest can vouch for a file made of two answers. */
  #canResume(): boolean {
    return this.#mayResume && ((this.#version?.ifRange ?? null) !== null || this.#order.declared.digest !== null);
  }

  async #restart(): Promise<void> {
    await this.#part.restart();
    this.#isJoined = false;
    this.#tools.onProgress(0);
  }

  async #giveUpRanges(): Promise<"again"> {
    this.#mayResume = false;
    await this.#restart();
    return "again";
  }

  async #takeWhole(headers: Headers, body: Body): Promise<"whole"> {
    const totalBytes = readContentLength(headers);
    const version = readVersion(headers, totalBytes);
    this.#judgeHeaders(headers, totalBytes);
    // In this order: emptied first, the file never holds bytes of another version than the one noted.
    if (this.#part.length > 0) await this.#restart();
    await this.#tools.onVersion(version);
    this.#version = version;
    await this.#write(body, totalBytes);
    this.#requireEnd(headers, totalBytes);
    return "whole";
  }

  async #takeRange(headers: Headers, body: Body, offset: number): Promise<"whole" | "again"> {
    const range = readContentRange(headers);
    if (range === null || range.first !== offset) return this.#giveUpRanges();
    const knownBytes = this.#version?.sizeBytes ?? null;
    const { etag } = readVersion(headers, null);
    const isOtherSize = knownBytes !== null && range.totalBytes !== null && range.totalBytes !== knownBytes;
    const knownEtag = this.#version?.etag ?? null;
    const isOtherEtag = etag !== null && knownEtag !== null && etag !== knownEtag;
    if (isOtherSize || isOtherEtag) {
      await this.#restart();
      return "again";
    }
    const totalBytes = range.totalBytes ?? knownBytes;
    this.#judgeHeaders(headers, totalBytes);
    this.#isJoined = true;
    await this.#write(body, totalBytes);
    this.#requireEnd(headers, totalBytes);
    return "whole";
  }

  async #write(body: Body, totalBytes: number | null): Promise<void> {
    const { ensureRoom, onProgress, signal } = this.#tools;
    let roomBytes = await ensureRoom({ bytes: this.#part.length, totalBytes });
    const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const { done, value: chunk } = await chunks.next().catch((error: unknown) => {
        signal.throwIfAborted();
        throw networkFailure(error, "body");
      });
      if (done === true) return;
      const bytes = this.#part.length + chunk.length;
      this.#judgeGrowth(bytes);
      if (bytes > roomBytes) roomBytes = await ensureRoom({ bytes, totalBytes });
      await this.#part.append(chunk);
      this.#fetchedBytes += chunk.length;
      onProgress(this.#part.length);
    }
  }

  /**
   * The answer is over: is the file? With a length it is easy, and an answer in chunks has an end of its own; else the end
   * of the connection is all there is, and it may have been cut.
   */
  #requireEnd(headers: Headers, totalBytes: number | null): void {
    const hasOwnEnd = headers["transfer-encoding"] !== undefined;
    const wholeBytes = totalBytes ?? (hasOwnEnd ? null : this.#order.declared.sizeBytes);
    if (wholeBytes !== null && this.#part.length < wholeBytes) {
      throw new AssetFailure("CONNECTION_CUT", `The connection ended at byte ${this.#part.length} of ${wholeBytes}.`);
    }
  }

  #judgeHeaders(headers: Headers, totalBytes: number | null): void {
    const { declared, path } = this.#order;
    this.#looksLikeLogin = isHtml(headers) && !/\.x?html?$/i.test(path);
    // Where nothing is declared, a page in place of a file named otherwise is all there is to go by.
    const isUndeclared = declared.sizeBytes === null && declared.digest === null;
    if (this.#looksLikeLogin && isUndeclared && /\.\w+$/.test(path)) {
      throw this.#mismatch("LOGIN_WALL", "The origin serves a web page.");
    }
    if (totalBytes !== null) this.#judgeSize(totalBytes);
  }

  #judgeSize(sizeBytes: number): void {
    const { sizeBytes: declaredBytes } = this.#order.declared;
    this.#judgeGrowth(sizeBytes);
    if (declaredBytes !== null && sizeBytes < declaredBytes) {
      throw this.#mismatch("CHANGED", `The origin serves ${sizeBytes} bytes; the catalog declares ${declaredBytes}.`);
    }
  }

  #judgeGrowth(bytes: number): void {
    const { sizeBytes: declaredBytes } = this.#order.declared;
    if (declaredBytes !== null && bytes > declaredBytes) {
      throw this.#mismatch(
        "TOO_LARGE",
        `The origin serves ${bytes} bytes or more; the catalog declares ${declaredBytes}.`,
      );
    }
  }

  /** The digests of what is there, by which it is what the catalog declares; null when it is not. */
  async #declaredDigests(): Promise<Computed | null> {
    const { digest: declared } = this.#order.declared;
    const computed = this.#part.digests();
    if (declared === null || provesDigest(declared, computed)) return computed;
    if (declared.algorithm !== "sha1") return null;
    const asGit = { ...computed, digest: await this.#part.gitDigest(this.#tools.signal) };
    return provesDigest(declared, asGit) ? asGit : null;
  }

  /** Other bytes than declared; when they came as a web page, a login page is the likely reason. */
  #mismatch(code: "BAD_DIGEST" | "CHANGED" | "TOO_LARGE" | "LOGIN_WALL", message: string): AssetFailure {
    return this.#looksLikeLogin
      ? new AssetFailure("LOGIN_WALL", `A web page came in place of the file, likely a login page. ${message}`)
      : new AssetFailure(code, message);
  }

  /** Send the request and follow redirects. */
  async #open(offset: number): Promise<Response> {
    const { dispatcher, signal } = this.#tools;
    const headers: Record<string, string> = { "accept-encoding": "identity", accept: "*/*", "user-agent": USER_AGENT };
    if (offset > 0) {
      headers["range"] = `bytes=${offset}-`;
      const ifRange = this.#version?.ifRange ?? null;
      if (ifRange !== null) headers["if-range"] = ifRange;
    }
    let url = requireHttpUrl(this.#order.url);
    for (let redirects = 0; ; redirects += 1) {
      const response = await request(url, { dispatcher, signal, headers }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw networkFailure(error, "headers");
      });
      const target = redirectTarget(response);
      if (target === null) return response;
      await discard(response.body);
      if (redirects === REDIRECTS_MAX) {
        throw new AssetFailure("ORIGIN_ERROR", `The origin redirects more than ${REDIRECTS_MAX} times.`);
      }
      url = requireHttpUrl(target, url);
    }
  }
}

function requireHttpUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base);
  if (url === null) throw new AssetFailure("BAD_URL", `${text} is not a URL.`);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new AssetFailure("BAD_URL", `This agent does not speak ${url.protocol.slice(0, -1)}.`);
  }
  return url;
}

const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

function redirectTarget({ statusCode, headers }: Response): string | null {
  const { location } = headers;
  return REDIRECT_STATUSES.has(statusCode) && typeof location === "string" ? location : null;
}

/** Read a short body so that the connection can be used again; end the connection of a long or slow one. */
async function discard(body: Body): Promise<void> {
  await body.dump({ limit: DISCARDED_BYTES_MAX }).catch(() => body.destroy());
}

/** A body that is left before its end takes its connection with it. */
function hangUp(body: Body): void {
  if (body.destroyed) return;
  // Destroying an unread body is reported as an abort, which here is what was wanted.
  body.on("error", () => {});
  body.destroy();
}

function failureOfStatus(status: number, headers: Headers): AssetFailure {
  const message = `The origin answers ${status}.`;
  switch (status) {
    case 404:
      return new AssetFailure("NOT_FOUND", message);
    case 410:
      return new AssetFailure("GONE", message);
    // Payment, a proxy's login and the law keep the file from us as a refusal does.
    case 401:
    case 402:
    case 403:
    case 407:
    case 451:
      return new AssetFailure("FORBIDDEN", message);
    case 429:
    case 503:
      return new AssetFailure("THROTTLED", message, { retryAfterMs: readRetryAfter(headers, Date.now()) });
    // Of the moment, not of the URL: a slow request, a misrouted connection, one sent too early.
    case 408:
    case 421:
    case 425:
      return new AssetFailure("ORIGIN_ERROR", message);
    default:
      // What is left below 500 says that this request is wrong, and it is made of the URL alone.
      return new AssetFailure(status >= 400 && status < 500 ? "BAD_URL" : "ORIGIN_ERROR", message);
  }
}

const SETBACK_CODES: ReadonlySet<string> = new Set(["CONNECT_FAILED", "CONNECTION_CUT", "STALLED"]);

/** The network's doing, which a resume may get over. */
function isSetback(error: unknown): error is AssetFailure {
  return error instanceof AssetFailure && SETBACK_CODES.has(error.code);
}

/** The connection was there and ended. */
const CUT_CODES: ReadonlySet<string> = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE", "ECONNABORTED"]);

/** What undici's error means; one without a code is no network's doing but a bug, and stays what it is. */
function networkFailure(cause: unknown, phase: "headers" | "body"): unknown {
  if (cause instanceof errors.HTTPParserError && phase === "headers") {
    return new AssetFailure("ORIGIN_ERROR", "The origin does not speak HTTP.", { cause });
  }
  if (cause instanceof PrivateAddress) {
    // An address in the catalog is everybody's; a name may have another one elsewhere.
    const failure = cause.isNamed ? "CONNECT_FAILED" : "BAD_URL";
    return new AssetFailure(failure, `${cause.message} This agent fetches from the internet alone.`, { cause });
  }
  const code = codeOf(cause);
  if (code === null) return cause;
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") {
    return new AssetFailure("STALLED", "The origin sends nothing any more.", { cause });
  }
  if (phase === "body" || CUT_CODES.has(code)) {
    return new AssetFailure("CONNECTION_CUT", `The connection was cut (${code}).`, { cause });
  }
  if (code === "UND_ERR_INVALID_ARG") return new AssetFailure("BAD_URL", "The URL cannot be asked for.", { cause });
  if (code === "UND_ERR_HEADERS_OVERFLOW") {
    return new AssetFailure("ORIGIN_ERROR", "The origin's headers are too long.", { cause });
  }
  return new AssetFailure("CONNECT_FAILED", `The origin cannot be reached (${code}).`, { cause });
}

function codeOf(error: unknown): string | null {
  if (error instanceof errors.HTTPParserError) return error.code ?? error.name;
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}
