import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compareIds } from "./ids.ts";
import { assetId } from "./testing.ts";

test("decimal ids sort as their numbers do", () => {
  const sorted = [10, 9, 100, 1, 99, 2].map(assetId).toSorted(compareIds);
  expect(sorted).toEqual(["1", "2", "9", "10", "99", "100"]);
});

test("the order of ids is total: two ids are equal or one comes first, whichever is asked about", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      expect(compareIds(a, b) < 0).toBe(compareIds(b, a) > 0);
      expect(compareIds(a, b) === 0).toBe(a === b);
    }),
    { numRuns: 1000 },
  );
});
