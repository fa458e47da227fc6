import { expect, test } from "vitest";
import { isHtml, readContentLength, readContentRange, readRetryAfter, readVersion } from "./response-headers.ts";

const JANUARY = "Thu, 01 Jan 2026 00:00:00 GMT";
const A_SECOND_LATER = "Thu, 01 Jan 2026 00:00:01 GMT";

test("a strong ETag names a version", () => {
  const headers = { etag: '"abc"', "last-modified": JANUARY, date: A_SECOND_LATER };
  expect(readVersion(headers, 7)).toEqual({ etag: '"abc"', lastModified: JANUARY, ifRange: '"abc"', sizeBytes: 7 });
});

test("a date names a version when there is no ETag and the file was a second old", () => {
  expect(readVersion({ "last-modified": JANUARY, date: A_SECOND_LATER }, null).ifRange).toBe(JANUARY);
  expect(readVersion({ "last-modified": JANUARY, date: JANUARY }, null).ifRange).toBeNull();
  expect(readVersion({ "last-modified": JANUARY }, null).ifRange).toBeNull();
  expect(readVersion({ "last-modified": "yesterday", date: A_SECOND_LATER }, null).ifRange).toBeNull();
});

test("a weak or malformed ETag names no version, and the date does not stand in", () => {
  for (const etag of ['W/"abc"', "abc"]) {
    const headers = { etag, "last-modified": JANUARY, date: A_SECOND_LATER };
    expect(readVersion(headers, null)).toMatchObject({ etag, ifRange: null });
  }
});

test("an ETag or date too long to pass on is no name", () => {
  const headers = { etag: `"${"x".repeat(500)}"`, "last-modified": "x".repeat(101) };
  expect(readVersion(headers, null)).toMatchObject({ etag: null, lastModified: null });
});

const readRange = (text: string) => readContentRange({ "content-range": text });

test("a content range is read with and without its parts", () => {
  expect(readRange("bytes 10-19/20")).toEqual({ first: 10, totalBytes: 20 });
  expect(readRange("bytes 10-19/*")).toEqual({ first: 10, totalBytes: null });
  expect(readRange("bytes */20")).toEqual({ first: null, totalBytes: 20 });
  for (const text of ["", "bytes 10-/20", "10-19/20", "lines 1-2/3", "bytes=10-19/20"])
    expect(readRange(text)).toBeNull();
  expect(readContentRange({})).toBeNull();
});

test("a content length is a plain number", () => {
  expect(readContentLength({ "content-length": "0" })).toBe(0);
  expect(readContentLength({ "content-length": "12" })).toBe(12);
  for (const text of ["", "-1", "1.5", "1e3", "12, 12"])
    expect(readContentLength({ "content-length": text })).toBeNull();
  expect(readContentLength({})).toBeNull();
});

test("a Retry-After is seconds or a date, at most a day", () => {
  const nowMs = Date.parse(JANUARY);
  const read = (text: string) => readRetryAfter({ "retry-after": text }, nowMs);
  expect(read("0")).toBe(0);
  expect(read("120")).toBe(120_000);
  expect(read(A_SECOND_LATER)).toBe(1000);
  expect(read("Wed, 31 Dec 2025 00:00:00 GMT")).toBe(0);
  expect(read("9999999999")).toBe(86_400_000);
  expect(read("soon")).toBeNull();
  expect(readRetryAfter({}, nowMs)).toBeNull();
});

test("a web page is told by its content type", () => {
  for (const type of ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"]) {
    expect(isHtml({ "content-type": type })).toBe(true);
  }
  for (const type of ["text/htmlx", "text/csv", ""]) expect(isHtml({ "content-type": type })).toBe(false);
  expect(isHtml({})).toBe(false);
});
