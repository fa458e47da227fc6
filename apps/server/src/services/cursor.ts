import { DispatcherError } from "@dispatcher/core";

type Part = string | number | null;

/** A place in a list, as it is given out: opaque outside, only what `next` gave may come back as `after`. */
export function toCursor(parts: readonly Part[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/**
 * What `read` makes of the parts of a cursor; it answers null for those that are not of its list.
 * @throws DispatcherError INPUT_INVALID
 */
export function fromCursor<Place>(cursor: string, read: (parts: readonly unknown[]) => Place | null): Place {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    parts = null;
  }
  const place = Array.isArray(parts) ? read(parts as unknown[]) : null;
  if (place !== null) return place;
  throw new DispatcherError("INPUT_INVALID", "`after` is not the `next` of a page of this list.", {
    details: { field: "after" },
  });
}

/** Of an id as cursors carry it. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && /^\d{1,19}$/.test(value) && BigInt(value) < 2n ** 63n;
}
