/** The table against a Map. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { elementAt } from "../testing.ts";
import { SlotsById } from "./slots-by-id.ts";
import { NO_SLOT } from "./urgency-tree.ts";

test("through any sequence of additions and removals it finds what a Map finds", () => {
  const steps = fc.array(fc.record({ id: fc.nat({ max: 60 }).map(String), isRemoval: fc.boolean() }), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(steps, (all) => {
      const ids: string[] = [];
      const table = new SlotsById((slot) => elementAt(ids, slot));
      const model = new Map<string, number>();
      for (const { id, isRemoval } of all) {
        if (isRemoval && model.delete(id)) table.remove(id);
        if (!isRemoval && !model.has(id)) {
          model.set(id, ids.push(id) - 1);
          table.add(id, ids.length - 1);
        }
        expect(table.size).toBe(model.size);
      }
      const every = Array.from({ length: 61 }, (_, at) => String(at));
      expect(every.map((id) => table.find(id))).toEqual(every.map((id) => model.get(id) ?? NO_SLOT));
    }),
    { numRuns: 1000 },
  );
});

test("a hundred thousand ids in a row are found without long looks", () => {
  const ids = Array.from({ length: 100_000 }, (_, at) => String(1_000_000 + at));
  let looks = 0;
  const table = new SlotsById((slot) => {
    looks += 1;
    return elementAt(ids, slot);
  });
  ids.forEach((id, slot) => table.add(id, slot));
  looks = 0;
  expect(ids.every((id, slot) => table.find(id) === slot)).toBe(true);
  expect(looks / ids.length).toBeLessThan(3);
});
