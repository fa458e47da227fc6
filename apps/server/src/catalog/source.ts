/**
 * Where a catalog's bytes come from. Whatever it is, it ends as one open file that can be read more than once: the first
 * reading checks all of it, so that nothing is imported from a catalog that is cut off or broken further down.
 */
import { open, mkdtemp, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { DispatcherError } from "@dispatcher/core";
import { EntryFault } from "./entry.ts";
import { webUrl } from "./locate.ts";
import { quote } from "./quote.ts";

export type SourceOptions = {
  readonly signal: AbortSignal;
  /** Told as bytes arrive; `bytesTotal` is null when the server does not say. */
  readonly onBytes: (bytesDone: number, bytesTotal: number | null) => void;
  readonly fetch: typeof globalThis.fetch;
  /** So long without a byte, from connecting on, and the download is given up. */
  readonly stallTimeoutMs: number;
  readonly sizeMaxBytes: number;
};

/** An open catalog. Disposing closes it. */
export type Source = AsyncDisposable & {
  /** As messages name it. */
  readonly label: string;
  /** Where it was asked for; null for a file. */
  readonly askedUrl: string | null;
  /** Where it was found at last, redirects followed; null for a file. */
  readonly url: string | null;
  /** What it is called, without folder and endings; the folder's name for a `datapackage.json`. May be empty. */
  readonly stem: string;
  readonly file: FileHandle;
  readonly sizeBytes: number;
};

/**
 * Open a file, or download a URL to a temporary file that is gone with this process, however that ends.
 * @throws DispatcherError CATALOG_UNREADABLE
 */
export async function openSource(source: string, options: SourceOptions): Promise<Source> {
  if (/^https?:/i.test(source)) return await download(source, options);
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(source)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "file") {
    throw unreadable(`A catalog is read from a file or from http or https, not from ${scheme} (${quote(source)}).`);
  }
  return await openFile(scheme === "file" ? fileURLToPath(source) : source, options);
}

export function unreadable(detail: string, cause?: unknown): DispatcherError {
  return new DispatcherError("CATALOG_UNREADABLE", detail, cause === undefined ? {} : { cause });
}

const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "a part of its path is not a folder",
  EACCES: "this user may not read it",
  EPERM: "this user may not read it",
  EISDIR: "it is a folder; name the catalog file in it",
  ENOSPC: "the disk for temporary files is full",
};

function fileFault(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  return FILE_FAULTS[code] ?? code;
}

async function openFile(path: string, options: SourceOptions): Promise<Source> {
  const label = quote(path);
  let file: FileHandle | null = null;
  try {
    file = await open(path, "r");
    const facts = await file.stat();
    if (facts.isDirectory()) throw unreadable(`${label} cannot be read: ${FILE_FAULTS["EISDIR"]}.`);
    const stem = stemOf(basename(path), basename(dirname(resolve(path))));
    if (facts.isFile()) return sourceOf(file, facts.size, { label, askedUrl: null, url: null, stem });
    // A pipe or a terminal gives its bytes once only.
    const kept = await keep(readBytes(file, null), null, label, options);
    await file.close();
    return sourceOf(kept.file, kept.sizeBytes, { label, askedUrl: null, url: null, stem });
  } catch (error) {
    await file?.close();
    if (error instanceof DispatcherError || options.signal.aborted) throw error;
    throw unreadable(`${label} cannot be read: ${fileFault(error)}.`, error);
  }
}

async function download(source: string, options: SourceOptions): Promise<Source> {
  const asked = checkedUrl(source);
  const label = quote(asked.href);
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(), options.stallTimeoutMs);
  try {
    const response = await options.fetch(asked, {
      signal: AbortSignal.any([options.signal, stall.signal]),
      headers: { accept: "application/json, text/csv, */*;q=0.5", "user-agent": "Dispatcher catalog import" },
    });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw unreadable(
        `${label} cannot be read: the server answered ${response.status} ${response.statusText}`.trimEnd() + ".",
      );
    }
    // With a content encoding, the length is not that of the bytes that reach us.
    const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
    const onBytes: SourceOptions["onBytes"] = (done, total) => {
      timer.refresh();
      options.onBytes(done, total);
    };
    const kept = await keep(response.body, length === null ? null : Number(length), label, { ...options, onBytes });
    const url = new URL(response.url === "" ? asked : response.url);
    const parts = url.pathname.split("/").map(decoded);
    return sourceOf(kept.file, kept.sizeBytes, {
      label,
      askedUrl: asked.href,
      url: url.href,
      stem: stemOf(parts.at(-1) ?? "", parts.at(-2) ?? ""),
    });
  } catch (error) {
    if (error instanceof DispatcherError || options.signal.aborted) throw error;
    const why = stall.signal.aborted
      ? `nothing arrived for ${options.stallTimeoutMs / 1000} seconds`
      : `the download failed (${networkFault(error)})`;
    throw unreadable(`${label} cannot be read: ${why}; nothing was imported.`, error);
  } finally {
    clearTimeout(timer);
  }
}

function checkedUrl(source: string): URL {
  try {
    return webUrl(source);
  } catch (error) {
    if (error instanceof EntryFault) throw unreadable(`The catalog cannot be fetched. ${error.message}`, error);
    throw error;
  }
}

/** What `fetch` hides in the causes of its one message: `ECONNREFUSED`, `other side closed`. */
function networkFault(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return networkFault(error.cause);
  return "code" in error && typeof error.code === "string" && error.message === "" ? error.code : error.message;
}

const CHUNK_BYTES = 65_536;

/** The bytes of an open file from `start` on, or from a pipe as they come (null). The file stays open. */
export async function* readBytes(file: FileHandle, start: number | null): AsyncGenerator<Uint8Array> {
  for (let position = start; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    if (position !== null) position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Write the bytes to a temporary file without a name, so that not even a killed process leaves it behind. */
async function keep(
  bytes: AsyncIterable<Uint8Array>,
  bytesTotal: number | null,
  label: string,
  { signal, onBytes, sizeMaxBytes }: SourceOptions,
): Promise<{ readonly file: FileHandle; readonly sizeBytes: number }> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-catalog-"));
  let file: FileHandle;
  try {
    file = await open(join(folder, "catalog"), "wx+", 0o600);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  try {
    let sizeBytes = 0;
    for await (const chunk of bytes) {
      signal.throwIfAborted();
      sizeBytes += chunk.byteLength;
      if (sizeBytes > sizeMaxBytes) throw tooLarge(label, sizeMaxBytes);
      await file.writeFile(chunk);
      onBytes(sizeBytes, bytesTotal);
    }
    return { file, sizeBytes };
  } catch (error) {
    await file.close();
    throw error;
  }
}

export function tooLarge(label: string, sizeMaxBytes: number): DispatcherError {
  return unreadable(`${label} is larger than the ${sizeMaxBytes} bytes allowed for a catalog.`);
}

function sourceOf(
  file: FileHandle,
  sizeBytes: number,
  names: Omit<Source, "file" | "sizeBytes" | typeof Symbol.asyncDispose>,
): Source {
  return { ...names, file, sizeBytes, [Symbol.asyncDispose]: () => file.close() };
}

/** `noaa-2024` of `noaa-2024.csv.gz`; a `datapackage.json` is called what its folder is called. */
function stemOf(name: string, folder: string): string {
  const stem = name.replace(/\.gz$/i, "").replace(/\.(?:json|jsonl|ndjson|csv|tsv|txt)$/i, "");
  return stem.toLowerCase() === "datapackage" ? folder : stem;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
