/** A resource of a Frictionless Data Package, version 1 or 2. */
import { itemOf, EntryFault } from "./entry.ts";
import type { CatalogItem } from "./entry.ts";
import { isAbsent, readDigest, readMediaType, readSize } from "./fields.ts";
import { locate } from "./locate.ts";
import { quote } from "./quote.ts";

const FIELDS: ReadonlySet<string> = new Set(["path", "bytes", "hash", "mediatype"]);

/** Whether a property of a resource says anything about the file itself; schemas and descriptions do not. */
export function isFrictionlessField(name: string): boolean {
  return FIELDS.has(name);
}

/**
 * The files of one resource: one, or as many as its `path` lists.
 * A resource in several files declares the size and digest of all of them together, so none of them is given either.
 */
export function* readFrictionlessResource(
  place: string,
  resource: Readonly<Record<string, unknown>>,
  base: URL | null,
): Generator<CatalogItem> {
  const { path, bytes, hash, mediatype } = resource;
  const paths: readonly unknown[] = Array.isArray(path) ? path : [path];
  const isWhole = paths.length === 1;
  for (const [index, one] of paths.entries()) {
    yield itemOf(Array.isArray(path) ? `${place}.path[${index}]` : place, () => ({
      ...locate(textOf(one, "data" in resource), base),
      sizeBytes: isWhole ? readSize(bytes) : null,
      digest: isWhole ? readDigest(hash) : null,
      mediaType: readMediaType(mediatype),
      priority: null,
      removeByMs: null,
    }));
  }
  if (paths.length === 0) {
    yield { ok: false, place, code: "NO_PATH", message: "Its list of paths is empty." };
  }
}

/** @throws EntryFault INLINE_DATA, NO_PATH, BAD_NAME */
function textOf(path: unknown, hasData: boolean): string {
  if (typeof path === "string" && !isAbsent(path)) return path;
  if (!isAbsent(path)) throw new EntryFault("BAD_NAME", `The path ${quote(path)} is not text.`);
  if (hasData) throw new EntryFault("INLINE_DATA", "Its data stand in the catalog itself; there is no file to fetch.");
  throw new EntryFault("NO_PATH", "It has no path.");
}
