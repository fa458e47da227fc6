/** Reading single values as catalogs write them: JSON values, or the text of a CSV cell. Blank text is no value. */
import { DIGEST_ALGORITHMS, parseDigest } from "@dispatcher/core";
import type { Digest, DigestAlgorithm } from "@dispatcher/core";
import { z } from "zod";
import { EntryFault } from "./entry.ts";
import { quote } from "./quote.ts";

/** The bound of the wire shape. */
const MEDIA_TYPE_LENGTH_MAX = 255;

/** Nothing was said: the key is missing, null, or a blank cell. */
export function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === "string" && value.trim() === "");
}

/** Digits alone, as a cell or a quoted number holds them; NaN for anything else. */
function wholeNumber(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
}

/** @throws EntryFault BAD_SIZE */
export function readSize(value: unknown): number | null {
  if (isAbsent(value)) return null;
  const size = wholeNumber(value);
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new EntryFault("BAD_SIZE", `Size ${quote(value)} is not a whole number of bytes from 0 to 2^53 - 1.`);
  }
  return size === 0 ? 0 : size; // -0 becomes 0
}

/** @throws EntryFault BAD_PRIORITY */
export function readPriority(value: unknown): number | null {
  if (isAbsent(value)) return null;
  const priority = wholeNumber(value);
  if (!Number.isInteger(priority) || priority < 1 || priority > 10) {
    throw new EntryFault("BAD_PRIORITY", `Priority ${quote(value)} is not a whole number from 1 to 10.`);
  }
  return priority;
}

/**
 * `sha1:…`, `sha256:…`, or bare hex. With `algorithm`, as from a column named `sha256`, only that one will do.
 * @throws EntryFault BAD_DIGEST
 */
export function readDigest(value: unknown, algorithm?: DigestAlgorithm): Digest | null {
  if (isAbsent(value)) return null;
  const digest = typeof value === "string" ? parseDigest(value) : null;
  if (digest === null || (algorithm !== undefined && digest.algorithm !== algorithm)) {
    const wanted = algorithm ?? DIGEST_ALGORITHMS.join(" or ");
    throw new EntryFault("BAD_DIGEST", `Digest ${quote(value)} is not ${wanted} in hexadecimal.`);
  }
  return digest;
}

const IsoDate = z.iso.date();
const IsoDateTime = z.iso.datetime({ offset: true, local: true });

/**
 * An ISO 8601 date, meaning its first moment (a file may go at any hour of its last day), or date and time; UTC where
 * no zone is named.
 * @throws EntryFault BAD_REMOVE_BY
 */
export function readRemoveBy(value: unknown): number | null {
  if (isAbsent(value)) return null;
  const text = typeof value === "string" ? value.trim() : "";
  const isDate = IsoDate.safeParse(text).success;
  const isDateTime = IsoDateTime.safeParse(text).success;
  const hasZone = isDate || /(?:Z|[+-]\d\d:?\d\d)$/.test(text);
  const atMs = isDate || isDateTime ? Date.parse(hasZone ? text : `${text}Z`) : Number.NaN;
  if (!Number.isSafeInteger(atMs) || atMs < 0) {
    throw new EntryFault(
      "BAD_REMOVE_BY",
      `Date ${quote(value)} is not an ISO 8601 date such as 2030-12-31, from 1970 on.`,
    );
  }
  return atMs;
}

/** Null for what cannot be a media type: no file is left to its fate over its label. */
export function readMediaType(value: unknown): string | null {
  if (typeof value !== "string" || isAbsent(value)) return null;
  const text = value.trim();
  return text.length <= MEDIA_TYPE_LENGTH_MAX && text.isWellFormed() && !/\p{Cc}/u.test(text) ? text : null;
}
