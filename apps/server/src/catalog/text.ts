import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { DispatcherError } from "@dispatcher/core";
import { readBytes, tooLarge, unreadable } from "./source.ts";
import type { Source } from "./source.ts";

export type TextOptions = {
  readonly signal: AbortSignal;
  /** Told how much of the file was read, before unpacking. */
  readonly onBytes?: (bytesDone: number) => void;
  /** Bounds what a gzip unpacks to as well: a small file may hold terabytes. */
  readonly sizeMaxBytes: number;
};

/**
 * The text of a catalog from its beginning, in pieces of some 64 KiB: gzip unpacked, byte order mark dropped. May be
 * called again for another reading.
 * @throws DispatcherError CATALOG_UNREADABLE for what is not UTF-8; the signal's reason once it is aborted
 */
export async function* readText(source: Source, options: TextOptions): AsyncGenerator<string> {
  const { signal, sizeMaxBytes } = options;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let bytesOut = 0;
  try {
    for await (const chunk of unpacked(source, options)) {
      signal.throwIfAborted();
      bytesOut += chunk.byteLength;
      if (bytesOut > sizeMaxBytes) throw tooLarge(source.label, sizeMaxBytes);
      const text = decoder.decode(chunk, { stream: true });
      if (text !== "") yield text;
    }
    decoder.decode();
  } catch (error) {
    if (error instanceof DispatcherError || signal.aborted) throw error;
    throw unreadable(`${source.label} cannot be read: ${faultOf(error)}.`, error);
  }
}

/** The file's bytes, through gunzip when they begin as a gzip does; the name of a file or URL often does not tell. */
async function* unpacked(source: Source, { onBytes }: TextOptions): AsyncGenerator<Uint8Array> {
  const head = await source.file.read(Buffer.alloc(4), 0, 4, 0);
  const kind = kindOf(head.buffer.subarray(0, head.bytesRead));
  if (kind !== "plain" && kind !== "gzip") throw unreadable(`${source.label} cannot be read: ${kind}.`);
  const raw = counted(readBytes(source.file, 0), onBytes);
  // What goes wrong reaches the loop below, which reads the last stream of the two.
  yield* kind === "gzip" ? pipeline(raw, createGunzip(), () => undefined) : raw;
}

async function* counted(bytes: AsyncIterable<Uint8Array>, onBytes: TextOptions["onBytes"]): AsyncGenerator<Uint8Array> {
  let bytesDone = 0;
  for await (const chunk of bytes) {
    bytesDone += chunk.byteLength;
    onBytes?.(bytesDone);
    yield chunk;
  }
}

/** `plain`, `gzip`, or what it is instead. A JSON or CSV text never begins with one of these bytes. */
function kindOf(head: Buffer): string {
  const hex = head.toString("hex");
  if (hex.startsWith("1f8b")) return "gzip";
  if (hex.startsWith("fffe") || hex.startsWith("feff") || head.includes(0)) {
    return "it is UTF-16 or another encoding; save it as UTF-8";
  }
  return hex.startsWith("504b0304") ? "it is a ZIP archive; unpack it first" : "plain";
}

function faultOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return "it is not valid UTF-8; save it as UTF-8";
  if (code.startsWith("Z_") || code === "ERR_STREAM_PREMATURE_CLOSE") return "the gzip data are damaged or cut off";
  return code === "" ? String(error) : code;
}
