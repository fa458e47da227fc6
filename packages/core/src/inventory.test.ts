import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NO_COPIES, addCopy, holdingOf, isSameHolding, removeCopy } from "./inventory.ts";
import type { InventoryEntry } from "./inventory.ts";
import { assetId } from "./testing.ts";

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Few ids, sizes and contents, so that lists come close to each other. */
const anEntry = fc.record({
  assetId: fc.integer({ min: 1, max: 6 }).map(assetId),
  sizeBytes: fc.integer({ min: 0, max: 3 }),
  sha256: fc.constantFrom("00".repeat(32), "ab".repeat(32), "ff".repeat(32)),
});
const aList = fc.array(anEntry, { maxLength: 8 });
const textOf = (entries: readonly InventoryEntry[]): string =>
  entries
    .map(({ assetId: id, sizeBytes, sha256 }) => `${id} ${sizeBytes} ${sha256}`)
    .toSorted()
    .join("\n");

test("the order of a list does not matter", () => {
  fc.assert(
    fc.property(
      aList.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
      ([list, shuffled]) => {
        expect(holdingOf(shuffled, hash)).toEqual(holdingOf(list, hash));
      },
    ),
  );
});

test("to take a copy away undoes to add it, whatever came between", () => {
  fc.assert(
    fc.property(aList, anEntry, aList, (before, entry, after) => {
      const withIt = holdingOf([...before, entry, ...after], hash);
      expect(removeCopy(withIt, entry, hash)).toEqual(holdingOf([...before, ...after], hash));
    }),
  );
});

test("lists that differ have other digests, equal ones the same", () => {
  fc.assert(
    fc.property(aList, aList, (a, b) => {
      expect(holdingOf(a, hash).digest === holdingOf(b, hash).digest).toBe(textOf(a) === textOf(b));
    }),
  );
});

const digestOf = (...ids: number[]): string =>
  holdingOf(
    ids.map((id) => ({ assetId: assetId(id), sizeBytes: 0, sha256: "00".repeat(32) })),
    hash,
  ).digest;

test("files of equal bytes are told apart by their assets, one counted twice from one counted not at all", () => {
  expect(digestOf(1, 4)).not.toBe(digestOf(2, 3));
  expect(digestOf(1, 1)).not.toBe(digestOf());
  expect(digestOf(1, 1)).not.toBe(digestOf(1));
});

const ones = (): string => "00000001".repeat(8);

test("numbers are added one by one, each modulo 2^32", () => {
  const entry = { assetId: assetId(1), sizeBytes: 5, sha256: "00".repeat(32) };
  const full = addCopy({ ...NO_COPIES, digest: "ffffffff".repeat(7) + "00000007" }, entry, ones);
  expect(full).toEqual({ copies: 1, bytes: 5, digest: "00000000".repeat(7) + "00000008" });
  expect(removeCopy({ copies: 1, bytes: 5, digest: NO_COPIES.digest }, entry, ones)).toEqual({
    copies: 0,
    bytes: 0,
    digest: "ffffffff".repeat(8),
  });
});

test("the text that is hashed is as the database has it, too", () => {
  const texts: string[] = [];
  addCopy(NO_COPIES, { assetId: assetId(12), sizeBytes: 34, sha256: "ab".repeat(32) }, (text) => {
    texts.push(text);
    return hash(text);
  });
  expect(texts).toEqual([`12:34:${"ab".repeat(32)}`]);
});

test("no more is taken away than there is", () => {
  const entry = { assetId: assetId(1), sizeBytes: 5, sha256: "00".repeat(32) };
  expect(() => removeCopy(NO_COPIES, entry, hash)).toThrow("copies is -1");
  expect(() => removeCopy({ ...NO_COPIES, copies: 1, bytes: 4 }, entry, hash)).toThrow("bytes is -1");
  expect(() => addCopy(NO_COPIES, { ...entry, sizeBytes: -1 }, hash)).toThrow("sizeBytes is -1");
});

test("two holdings are the same if all of them is", () => {
  const some = { copies: 2, bytes: 3, digest: "ab".repeat(32) };
  expect(isSameHolding(some, { ...some })).toBe(true);
  expect(isSameHolding(some, { ...some, copies: 1 })).toBe(false);
  expect(isSameHolding(some, { ...some, bytes: 4 })).toBe(false);
  expect(isSameHolding(some, { ...some, digest: "00".repeat(32) })).toBe(false);
});
