/**
 * An entry of a plain list: an object of a JSON array, a line of NDJSON, a row of CSV.
 *
 * | name | meaning |
 * |---|---|
 * | url | where the file is; http or https |
 * | path | its name within the dataset; without url, also where it is, below the base URL |
 * | name | its name within the dataset, where there is no path |
 * | size_bytes, bytes, size | whole bytes |
 * | digest, hash | `sha256:…`, `sha512:…`, `sha1:…`, `md5:…`, or bare hex |
 * | sha256, sha512, sha1, md5 | bare hex of that algorithm; the first in this order is kept |
 * | media_type, mediatype | such as text/csv |
 * | priority | 1 to 10, 10 most urgent |
 * | remove_by | ISO 8601 date by which the origin may drop the file |
 *
 * Case, blanks, `_` and `-` in names do not matter: `size_bytes`, `sizeBytes` and `Size bytes` are one name. Of two names
 * with one meaning, the first that says something counts. Other names are passed over.
 */
import { DIGEST_ALGORITHMS } from "@dispatcher/core";
import { EntryFault } from "./entry.ts";
import type { CatalogEntry } from "./entry.ts";
import { isAbsent, readDigest, readMediaType, readPriority, readRemoveBy, readSize } from "./fields.ts";
import { fileName, isAbsoluteUrl, locate } from "./locate.ts";
import { quote } from "./quote.ts";

export type ListField =
  | "url"
  | "path"
  | "name"
  | "size"
  | "digest"
  | "sha256"
  | "sha512"
  | "sha1"
  | "md5"
  | "mediaType"
  | "priority"
  | "removeBy";

const FIELD_BY_NAME: ReadonlyMap<string, ListField> = new Map<string, ListField>([
  ["url", "url"],
  ["path", "path"],
  ["name", "name"],
  ["sizebytes", "size"],
  ["bytes", "size"],
  ["size", "size"],
  ["digest", "digest"],
  ["hash", "digest"],
  ["sha256", "sha256"],
  ["sha512", "sha512"],
  ["sha1", "sha1"],
  ["md5", "md5"],
  ["mediatype", "mediaType"],
  ["priority", "priority"],
  ["removeby", "removeBy"],
]);

type ListFields = Partial<Record<ListField, unknown>>;

/** The field that a key of an object or a column of a table means, or null. */
export function listFieldOf(name: string): ListField | null {
  return FIELD_BY_NAME.get(name.toLowerCase().replace(/[\s_-]/g, "")) ?? null;
}

/** Each known field with the first value that says something. */
function fieldsOf(named: Iterable<readonly [name: string, value: unknown]>): ListFields {
  const fields: ListFields = {};
  for (const [name, value] of named) {
    const field = listFieldOf(name);
    if (field !== null && isAbsent(fields[field])) fields[field] = value;
  }
  return fields;
}

/** @throws EntryFault for a name that is there and is not text */
function textOf(field: "url" | "path" | "name", value: unknown): string | null {
  if (isAbsent(value)) return null;
  if (typeof value === "string") return value.trim();
  throw new EntryFault(field === "url" ? "BAD_URL" : "BAD_NAME", `The ${field} ${quote(value)} is not text.`);
}

/** @throws EntryFault whatever is wrong with this entry alone */
export function readListEntry(
  named: Iterable<readonly [name: string, value: unknown]>,
  base: URL | null,
): Omit<CatalogEntry, "place"> {
  const fields = fieldsOf(named);
  const url = textOf("url", fields.url);
  const path = textOf("path", fields.path);
  const where = url ?? path;
  if (where === null) throw new EntryFault("NO_PATH", "It has neither url nor path.");
  const location = locate(where, base);
  const given = path !== null && !isAbsoluteUrl(path) ? path : textOf("name", fields.name);
  const digests = [
    readDigest(fields.digest),
    ...DIGEST_ALGORITHMS.map((algorithm) => readDigest(fields[algorithm], algorithm)),
  ];
  return {
    url: location.url,
    path: given === null ? location.path : fileName(given),
    sizeBytes: readSize(fields.size),
    digest: digests.find((digest) => digest !== null) ?? null,
    mediaType: readMediaType(fields.mediaType),
    priority: readPriority(fields.priority),
    removeByMs: readRemoveBy(fields.removeBy),
  };
}
