import * as fc from "fast-check";
import { expect, test } from "vitest";
import { PlacedHeap } from "./placed-heap.ts";

type Thing = { value: number; place: number };

/** Each element stands where it believes to stand, and none before the one it comes behind. */
function expectSound(heap: PlacedHeap<Thing>, members: readonly Thing[]): void {
  for (const thing of members) {
    expect(heap.at(thing.place)).toBe(thing);
    const behind = [heap.at(2 * thing.place + 1), heap.at(2 * thing.place + 2)];
    for (const other of behind) expect(other?.value ?? Infinity).toBeGreaterThanOrEqual(thing.value);
  }
  expect(heap.at(members.length)).toBeUndefined();
}

test("through any sequence of additions, changes and removals every element knows its place", () => {
  const step = fc.record({
    kind: fc.constantFrom("add", "add", "change", "remove"),
    value: fc.nat({ max: 20 }),
    which: fc.nat({ max: 30 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const heap = new PlacedHeap<Thing>((a, b) => a.value < b.value);
      const members: Thing[] = [];
      const gone: Thing[] = [];
      for (const { kind, value, which } of steps) {
        const known = members[which % Math.max(1, members.length)];
        if (kind === "add") {
          const thing = { value, place: -1 };
          heap.add(thing);
          members.push(thing);
        } else if (known !== undefined && kind === "change") {
          known.value = value;
          heap.changed(known);
        } else if (known !== undefined) {
          heap.remove(known);
          gone.push(known);
          members.splice(members.indexOf(known), 1);
        }
        expectSound(heap, members);
        expect(gone.filter(({ place }) => place !== -1)).toEqual([]);
      }
    }),
    { numRuns: 1000 },
  );
});
