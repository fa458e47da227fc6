/**
 * An origin: a plain HTTP server of files that behaves well until it is told not to. It keeps a log of what it was
 * asked and counts the fetches under way, so that a budget can be checked from the other side.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { readByteRange } from "./byte-range.ts";
import type { ByteRange } from "./byte-range.ts";
import { decodePath, openFiles } from "./origin-files.ts";
import type { FindFile, OriginFile, OriginFiles } from "./origin-files.ts";
import { faultyFile } from "./origin-fault.ts";
import type { OriginFault } from "./origin-fault.ts";

export type OriginRequest = {
  readonly method: string;
  /** Decoded, with its leading `/`. */
  readonly path: string;
  readonly range: string | null;
  readonly ifRange: string | null;
  readonly userAgent: string | null;
  readonly atMs: number;
  /** Of the answer; 0 until it has begun. */
  readonly status: number;
  /** Of the body, so far. */
  readonly sentBytes: number;
  readonly isOver: boolean;
};

export type OriginOptions = {
  readonly files: OriginFiles;
  /** Any free one by default. */
  readonly port?: number;
  readonly faults?: Readonly<Record<string, OriginFault>>;
  /** For each answer by itself; as fast as it goes by default. */
  readonly bytesPerSecond?: number;
};

export type Origin = AsyncDisposable & {
  readonly url: string;
  /** Address and port, as in a URL. */
  readonly host: string;
  /** In the order they came; entries of requests under way still change. */
  readonly requests: readonly OriginRequest[];
  /** Answers with bytes of a file that are under way. */
  readonly concurrency: number;
  readonly concurrencyPeak: number;
  /** Of all bodies together. */
  readonly bytesServed: number;
  /** Null takes the fault away. `path` is decoded; the leading `/` may be left out. */
  setFault(path: string, fault: OriginFault | null): void;
  /** Cuts what is under way. */
  close(): Promise<void>;
};

const PIECE_BYTES = 64 * 1024;
/** A throttled answer sends so often: rarer looks like a stall to an impatient reader, oftener costs only time. */
const PIECES_PER_SECOND = 10;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type Counts = { concurrency: number; concurrencyPeak: number; bytesServed: number };
type PlannedFault = { readonly fault: OriginFault; seen: number };

export async function startOrigin({ files, port = 0, faults = {}, bytesPerSecond }: OriginOptions): Promise<Origin> {
  const findFile = openFiles(files);
  const requests: Mutable<OriginRequest>[] = [];
  const counts: Counts = { concurrency: 0, concurrencyPeak: 0, bytesServed: 0 };
  const plannedByPath = new Map<string, PlannedFault>();
  const underWay = new Set<Promise<void>>();
  const closing = new AbortController();

  const setFault = (path: string, fault: OriginFault | null): void => {
    const key = withLeadingSlash(path);
    if (fault === null) plannedByPath.delete(key);
    else plannedByPath.set(key, { fault, seen: 0 });
  };
  for (const [path, fault] of Object.entries(faults)) setFault(path, fault);

  const server = createServer((request, response) => {
    const encodedPath = (request.url ?? "/").replace(/[?#].*$/s, "");
    const entry: Mutable<OriginRequest> = {
      method: request.method ?? "",
      path: decodePath(encodedPath) ?? encodedPath,
      range: request.headers.range ?? null,
      ifRange: headerText(request.headers["if-range"]),
      userAgent: request.headers["user-agent"] ?? null,
      atMs: Date.now(),
      status: 0,
      sentBytes: 0,
      isOver: false,
    };
    requests.push(entry);
    const isOver = new Promise<void>((resolve) => {
      response.once("close", () => {
        entry.isOver = true;
        underWay.delete(isOver);
        resolve();
      });
    });
    underWay.add(isOver);
    const fault = faultNow(plannedByPath.get(entry.path));
    const exchange: Exchange = { request, response, entry, fault, counts, bytesPerSecond, signal: closing.signal };
    // A reader that goes away, or a fault that cuts it off, ends the answer in an error that is nobody's business here.
    answer(exchange, encodedPath, findFile).catch(() => response.destroy());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("A TCP server has no TCP address.");
  const host = `127.0.0.1:${address.port}`;

  const close = async (): Promise<void> => {
    if (!server.listening) return;
    closing.abort();
    server.close();
    server.closeAllConnections();
    await once(server, "close");
    await Promise.all(underWay);
  };
  return {
    url: `http://${host}`,
    host,
    requests,
    get concurrency() {
      return counts.concurrency;
    },
    get concurrencyPeak() {
      return counts.concurrencyPeak;
    },
    get bytesServed() {
      return counts.bytesServed;
    },
    setFault,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function withLeadingSlash(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}

function headerText(header: string | readonly string[] | undefined): string | null {
  return typeof header === "string" ? header : null;
}

/** The fault that this request meets; counts the request. */
function faultNow(planned: PlannedFault | undefined): OriginFault | null {
  if (planned === undefined) return null;
  const { requests = Infinity, afterRequests = 0 } = planned.fault;
  const index = planned.seen++ - afterRequests;
  return index >= 0 && index < requests ? planned.fault : null;
}

/** One request and its answer. */
type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly entry: Mutable<OriginRequest>;
  readonly fault: OriginFault | null;
  readonly counts: Counts;
  readonly bytesPerSecond: number | undefined;
  /** Aborted when the origin closes. */
  readonly signal: AbortSignal;
};

async function answer(exchange: Exchange, encodedPath: string, findFile: FindFile): Promise<void> {
  const { request, fault } = exchange;
  if (request.method !== "GET" && request.method !== "HEAD") return answerStatus(exchange, 405, { allow: "GET, HEAD" });
  if (fault?.kind === "status") {
    return answerStatus(
      exchange,
      fault.status,
      fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter },
    );
  }
  if (fault?.kind === "redirect") return answerStatus(exchange, fault.status ?? 302, { location: fault.location });
  const found = await findFile(encodedPath);
  if (found === null) return answerStatus(exchange, 404, {});
  return answerFile(exchange, faultyFile(found, fault));
}

function answerStatus({ response, entry }: Exchange, status: number, headers: OutgoingHttpHeaders): void {
  entry.status = status;
  const body = `${status}\n`;
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": body.length,
    ...headers,
  });
  response.end(entry.method === "HEAD" ? undefined : body);
}

async function answerFile(exchange: Exchange, file: OriginFile): Promise<void> {
  const { request, response, entry, fault } = exchange;
  const etag = `"${file.version}"`;
  const lastModified = new Date(file.modifiedMs).toUTCString();
  const range = requestedRange(exchange, file, [etag, lastModified]);
  if (range === "unsatisfiable") return answerStatus(exchange, 416, { "content-range": `bytes */${file.sizeBytes}` });

  const first = range?.first ?? 0;
  const end = range === null ? file.sizeBytes : range.last + 1;
  const status = range === null ? 200 : 206;
  const headers: OutgoingHttpHeaders = { "content-type": file.contentType, "accept-ranges": "bytes" };
  if (fault?.kind !== "login-page") Object.assign(headers, { etag, "last-modified": lastModified });
  if (fault?.kind !== "no-length") headers["content-length"] = end - first;
  if (range !== null) headers["content-range"] = `bytes ${range.first}-${range.last}/${file.sizeBytes}`;
  entry.status = status;
  response.writeHead(status, headers);
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  await sendPart(exchange, file, first, end);
}

/** `validators`: what If-Range may name; a version that is no longer served gets the whole new one. */
function requestedRange(
  { request, fault }: Exchange,
  file: OriginFile,
  validators: readonly string[],
): ByteRange | null | "unsatisfiable" {
  const { range: header } = request.headers;
  const ifRange = headerText(request.headers["if-range"]);
  if (header === undefined || request.method === "HEAD" || fault?.kind === "ignore-range") return null;
  if (fault?.kind === "login-page") return null;
  if (fault?.kind === "refuse-range") return "unsatisfiable";
  if (ifRange !== null && !validators.includes(ifRange)) return null;
  return readByteRange(header, file.sizeBytes);
}

/** Begins a fetch that is under way until its last byte is handed over or its connection is gone; returns its end. */
function countFetch({ response, counts }: Exchange): () => void {
  counts.concurrency += 1;
  counts.concurrencyPeak = Math.max(counts.concurrencyPeak, counts.concurrency);
  let isUnderWay = true;
  const end = (): void => {
    if (isUnderWay) counts.concurrency -= 1;
    isUnderWay = false;
  };
  response.once("close", end);
  return end;
}

async function sendPart(exchange: Exchange, file: OriginFile, first: number, end: number): Promise<void> {
  const { response, entry, counts, fault, signal } = exchange;
  const bytesPerSecond = fault?.kind === "slow" ? fault.bytesPerSecond : exchange.bytesPerSecond;
  const pieceBytes =
    bytesPerSecond === undefined
      ? PIECE_BYTES
      : Math.max(1, Math.min(PIECE_BYTES, Math.floor(bytesPerSecond / PIECES_PER_SECOND)));
  const stopAt = fault?.kind === "stall" || fault?.kind === "cut" ? Math.max(first, Math.min(end, fault.atByte)) : end;
  const gone = AbortSignal.any([signal, abortedOnClose(response)]);
  const endFetch = countFetch(exchange);

  const startedMs = performance.now();
  let sentBytes = 0;
  for await (const piece of file.read(first, stopAt, pieceBytes)) {
    if (gone.aborted) return;
    sentBytes += piece.length;
    if (bytesPerSecond !== undefined) {
      const dueMs = startedMs + (sentBytes / bytesPerSecond) * 1000;
      await wait(Math.max(0, dueMs - performance.now()), undefined, { signal: gone });
    }
    const hasRoom = response.write(piece);
    entry.sentBytes += piece.length;
    counts.bytesServed += piece.length;
    // Here and not after the loop: the reader may have all it waits for by then, and have gone on to its next fetch.
    if (first + sentBytes === end) endFetch();
    if (!hasRoom) await once(response, "drain", { signal: gone });
  }
  if (stopAt === end) {
    endFetch();
    response.end();
    return;
  }
  response.flushHeaders();
  if (fault?.kind === "cut") await cutConnection(response);
  else if (!gone.aborted) await once(gone, "abort");
}

function abortedOnClose(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  if (response.closed) controller.abort();
  else response.once("close", () => controller.abort());
  return controller.signal;
}

/** What was written goes out first, so that the reader has every byte up to the cut; then the connection just ends. */
async function cutConnection(response: ServerResponse): Promise<void> {
  const { socket } = response;
  if (socket === null || socket.destroyed) return;
  socket.end();
  if (!socket.closed) await once(socket, "close");
}
