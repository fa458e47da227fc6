import { createHash } from "node:crypto";
import { open, realpath, stat } from "node:fs/promises";
import { extname, join, sep } from "node:path";

/** What an origin serves: a folder, or files in memory by their path below `/`. */
export type OriginFiles = string | ReadonlyMap<string, Buffer>;

/** One version of one file. */
export type OriginFile = {
  readonly sizeBytes: number;
  /** Opaque, another one whenever the bytes are others: the heart of the ETag. */
  readonly version: string;
  readonly modifiedMs: number;
  readonly contentType: string;
  /** The bytes from `first` up to, not including, `end`, in pieces of at most `pieceBytes`. */
  read(first: number, end: number, pieceBytes: number): AsyncIterable<Buffer>;
};

/** Null when there is no such file. `path` begins with `/` and is percent-encoded, as in a request. */
export type FindFile = (path: string) => Promise<OriginFile | null>;

/** Files in memory have no time of their own; a whole second, because HTTP dates know no less. */
const MODIFIED_MS = Date.UTC(2026, 0, 1);

const CONTENT_TYPE_BY_EXTENSION: Readonly<Record<string, string>> = {
  ".csv": "text/csv; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".json": "application/json",
  ".png": "image/png",
  ".tsv": "text/tab-separated-values; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
};

function contentTypeOf(path: string): string {
  return CONTENT_TYPE_BY_EXTENSION[extname(path).toLowerCase()] ?? "application/octet-stream";
}

/** A path with its percent-encoding undone; null where that cannot be done. */
export function decodePath(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}

export function fileFromBytes(path: string, bytes: Buffer): OriginFile {
  return {
    sizeBytes: bytes.length,
    version: createHash("sha256").update(bytes).digest("hex").slice(0, 32),
    modifiedMs: MODIFIED_MS,
    contentType: contentTypeOf(path),
    // oxlint-disable-next-line require-await -- an AsyncIterable, as the files of a folder are
    async *read(first, end, pieceBytes) {
      for (let at = first; at < end; at += pieceBytes) yield bytes.subarray(at, Math.min(end, at + pieceBytes));
    },
  };
}

function fromMap(files: ReadonlyMap<string, Buffer>): FindFile {
  const fileByPath = new Map(
    [...files].map(([path, bytes]) => [path.startsWith("/") ? path : `/${path}`, fileFromBytes(path, bytes)]),
  );
  return (path) => Promise.resolve(fileByPath.get(decodePath(path) ?? "") ?? null);
}

function fromFolder(folder: string): FindFile {
  return async (path) => {
    const decoded = decodePath(path);
    if (decoded === null || decoded.includes("\0")) return null;
    const root = await realpath(folder);
    const found = await realpath(join(root, decoded)).catch(() => null);
    if (found === null || !found.startsWith(root + sep)) return null;
    const facts = await stat(found);
    if (!facts.isFile()) return null;
    return {
      sizeBytes: facts.size,
      version: `${facts.size.toString(16)}-${Math.trunc(facts.mtimeMs).toString(16)}`,
      modifiedMs: facts.mtimeMs,
      contentType: contentTypeOf(found),
      async *read(first, end, pieceBytes) {
        const file = await open(found);
        try {
          for (let at = first; at < end;) {
            const buffer = Buffer.alloc(Math.min(pieceBytes, end - at));
            const { bytesRead } = await file.read(buffer, { position: at });
            if (bytesRead === 0) return;
            yield buffer.subarray(0, bytesRead);
            at += bytesRead;
          }
        } finally {
          await file.close();
        }
      },
    };
  };
}

export function openFiles(files: OriginFiles): FindFile {
  return typeof files === "string" ? fromFolder(files) : fromMap(files);
}
