import type { OriginFile } from "./origin-files.ts";
import { fileFromBytes } from "./origin-files.ts";

/**
 * What goes wrong when a path is asked for. Byte positions count from the start of the file, not of the answer: a
 * resumed fetch that begins at or behind `atByte` gets its headers and no byte more.
 */
export type OriginFault = (
  | { readonly kind: "slow"; readonly bytesPerSecond: number }
  /** Sends nothing from `atByte` on and keeps the connection open. */
  | { readonly kind: "stall"; readonly atByte: number }
  | { readonly kind: "cut"; readonly atByte: number }
  /** Answers 200 and the whole file to a Range request. */
  | { readonly kind: "ignore-range" }
  /** Answers 416 to every Range request, also a satisfiable one. */
  | { readonly kind: "refuse-range" }
  /** `retryAfter` as it stands in the header: seconds or an HTTP date. */
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: string }
  /** A file that is cut short, or goes on with zeros; the headers agree with what is sent. */
  | { readonly kind: "wrong-length"; readonly sizeBytes: number }
  /** As long as the file, with every byte another. The ETag is the file's own, as on a server with a bad disk. */
  | { readonly kind: "wrong-bytes" }
  /** No Content-Length: the answer comes in chunks. */
  | { readonly kind: "no-length" }
  /** A new version, with its own ETag and Last-Modified, stands there from now on. */
  | { readonly kind: "changed"; readonly bytes: Buffer }
  | { readonly kind: "redirect"; readonly location: string; readonly status?: 301 | 302 | 303 | 307 | 308 }
  /** 200 and a page that asks for a name and a password. */
  | { readonly kind: "login-page" }
) & {
  /** Only so many requests meet the fault; all of them by default. */
  readonly requests?: number;
  /** The requests before it, counted from when the fault was set, go well; none by default. */
  readonly afterRequests?: number;
};

const NEW_VERSION_AGE_MS = 86_400_000;

export const LOGIN_PAGE = Buffer.from(
  `<!doctype html><html><head><title>Sign in</title></head><body><form method="post" action="/login">
<input name="user"><input name="password" type="password"><button>Sign in</button></form></body></html>\n`,
);

/** The file that is served in place of `file` under `fault`. */
export function faultyFile(file: OriginFile, fault: OriginFault | null): OriginFile {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the others leave the file as it is
  switch (fault?.kind) {
    case "wrong-length":
      return { ...file, sizeBytes: fault.sizeBytes, read: (...part) => paddedPart(file, ...part) };
    case "wrong-bytes":
      return { ...file, read: (...part) => invertedPart(file, ...part) };
    case "changed": {
      const changed = fileFromBytes("", fault.bytes);
      return { ...changed, contentType: file.contentType, modifiedMs: file.modifiedMs + NEW_VERSION_AGE_MS };
    }
    case "login-page":
      return fileFromBytes("login.html", LOGIN_PAGE);
    default:
      return file;
  }
}

async function* paddedPart(file: OriginFile, first: number, end: number, pieceBytes: number): AsyncIterable<Buffer> {
  yield* file.read(first, Math.min(end, file.sizeBytes), pieceBytes);
  for (let at = Math.max(first, file.sizeBytes); at < end; at += pieceBytes) {
    yield Buffer.alloc(Math.min(pieceBytes, end - at));
  }
}

async function* invertedPart(file: OriginFile, ...part: [number, number, number]): AsyncIterable<Buffer> {
  for await (const piece of file.read(...part)) yield Buffer.from(piece.map((byte) => byte ^ 0xff));
}
