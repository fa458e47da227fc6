import * as fc from "fast-check";
import { expect, test } from "vitest";
import { CatalogEntryShape } from "../wire/asset.ts";
import { itemOf } from "./entry.ts";
import { listFieldOf, readListEntry } from "./list-entry.ts";

const BASE = new URL("https://data.example.org/files/");

test.for([
  ["size_bytes", "size"],
  ["sizeBytes", "size"],
  [" Size-Bytes ", "size"],
  ["SHA256", "sha256"],
  ["SHA-256", "sha256"],
  ["media_type", "mediaType"],
  ["remove by", "removeBy"],
  ["color", null],
  ["constructor", null],
  ["__proto__", null],
] as const)("%j means the field %s", ([name, field]) => {
  expect(listFieldOf(name)).toBe(field);
});

test("of two names with one meaning, the first that says something counts", () => {
  const entry = readListEntry(Object.entries({ path: "a", size: "", bytes: 2, size_bytes: 3 }), BASE);
  expect(entry.sizeBytes).toBe(2);
});

test("of several digests the strongest is kept, and each has to be one", () => {
  const digests = { md5: "a".repeat(32), sha256: "b".repeat(64), sha1: "c".repeat(40) };
  const entry = readListEntry(Object.entries({ path: "a", ...digests }), BASE);
  expect(entry.digest).toEqual({ algorithm: "sha256", hex: digests.sha256 });
  expect(() => readListEntry(Object.entries({ path: "a", ...digests, sha1: "c" }), BASE)).toThrow(/not sha1/);
});

test("whatever the values, an entry keeps to the wire shape or is told", () => {
  const value = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.webUrl(),
    fc.double(),
    fc.constantFrom("a.csv", "", null, 1, "1"),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const names = ["url", "path", "name", "size", "digest", "sha1", "media_type", "priority", "remove_by"];
  const entry = fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] });
  fc.assert(
    fc.property(entry, (said) => {
      const item = itemOf("[0]", () => readListEntry(Object.entries(said), BASE));
      const parsed = item.ok ? CatalogEntryShape.safeParse(item.entry) : null;
      expect(parsed?.error).toBeUndefined();
      expect(item).toEqual(parsed === null ? item : { ok: true, entry: parsed.data });
    }),
    { numRuns: 300 },
  );
});
