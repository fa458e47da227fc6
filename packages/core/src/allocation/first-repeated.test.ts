import * as fc from "fast-check";
import { expect, test } from "vitest";
import { firstRepeated } from "./first-repeated.ts";

const things = (ids: readonly string[]) => ids.map((id) => ({ id }));

test("it names the first id that comes a second time", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 2 }), { maxLength: 60 }), (ids) => {
      const expected = ids.find((id, place) => ids.indexOf(id) < place) ?? null;
      expect(firstRepeated(things(ids), "id")).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test("among a hundred thousand it finds the one, and without it none", () => {
  const ids = Array.from({ length: 100_000 }, (_, at) => String(at));
  expect(firstRepeated(things(ids), "id")).toBeNull();
  expect(firstRepeated(things([...ids, "70000"]), "id")).toBe("70000");
});
