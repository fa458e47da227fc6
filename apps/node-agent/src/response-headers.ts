/** Reading the headers an origin answers with. Pure. What is malformed counts as missing. */
import type { IncomingHttpHeaders } from "node:http";

/** Retry-After may name a day that never comes; a day from now is the most that is passed on. */
const RETRY_AFTER_MAX_MS = 86_400_000;
const ETAG_LENGTH_MAX = 500;
const DATE_LENGTH_MAX = 100;

export type Headers = Readonly<IncomingHttpHeaders>;

/** One version of a file at its origin, as far as its headers tell it apart from others. */
export type Version = {
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** What a resumed request names in If-Range; null where the origin gave nothing that is safe for that. */
  readonly ifRange: string | null;
  /** Of the whole file. */
  readonly sizeBytes: number | null;
};

export function readVersion(headers: Headers, sizeBytes: number | null): Version {
  const etag = shortText(headers.etag, ETAG_LENGTH_MAX);
  const lastModified = shortText(headers["last-modified"], DATE_LENGTH_MAX);
  // A weak tag is no name for bytes, and it forbids to use the date in its place (RFC 9110, section 13.1.5).
  const strongEtag = etag !== null && /^"[^"]*"$/.test(etag) ? etag : null;
  const ifRange = etag === null ? strongDate(lastModified, headers.date) : strongEtag;
  return { etag, lastModified, ifRange, sizeBytes };
}

/**
 * A date tells versions apart only if the file cannot have changed again within its second: when it was a second old or more
 * at the time of the answer (RFC 9110, section 8.8.2.2).
 */
function strongDate(lastModified: string | null, date: string | undefined): string | null {
  if (lastModified === null) return null;
  const ageMs = Date.parse(date ?? "") - Date.parse(lastModified);
  return ageMs >= 1000 ? lastModified : null;
}

export type ContentRange = {
  /** First byte sent; null in a 416, which sends none. */
  readonly first: number | null;
  /** Size of the whole file, where the origin knows it. */
  readonly totalBytes: number | null;
};

export function readContentRange(headers: Headers): ContentRange | null {
  const match = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(headers["content-range"]?.trim() ?? "");
  if (match === null) return null;
  const [, first, total = "*"] = match;
  return { first: first === undefined ? null : Number(first), totalBytes: total === "*" ? null : Number(total) };
}

export function readContentLength(headers: Headers): number | null {
  const text = headers["content-length"];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Seconds or a date, as ms from `nowMs`; 0 for a date that is past. */
export function readRetryAfter(headers: Headers, nowMs: number): number | null {
  const text = headers["retry-after"]?.trim() ?? "";
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS);
}

export function isHtml(headers: Headers): boolean {
  return /^(?:text\/html|application\/xhtml\+xml)\s*(?:;|$)/i.test(headers["content-type"]?.trim() ?? "");
}

function shortText(text: string | undefined, lengthMax: number): string | null {
  // Cut short it would name another version, so what is too long is no name at all.
  return text === undefined || text === "" || text.length > lengthMax ? null : text;
}
