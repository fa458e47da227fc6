import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BinaryHeap } from "./binary-heap.ts";

const RUNS = { numRuns: 1000 };
const numbers = fc.array(fc.nat({ max: 50 }), { maxLength: 40 });

function drained(heap: BinaryHeap<number>): number[] {
  const taken: number[] = [];
  for (let next = heap.pop(); next !== undefined; next = heap.pop()) taken.push(next);
  return taken;
}

test("what was there at first and what came later leave in order", () => {
  fc.assert(
    fc.property(numbers, numbers, (first, later) => {
      const heap = new BinaryHeap((a: number, b: number) => a < b, [...first]);
      later.forEach((number) => heap.push(number));
      expect(drained(heap)).toEqual([...first, ...later].toSorted((a, b) => a - b));
    }),
    RUNS,
  );
});

test("a top that moved back finds its place", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: 40 }),
      fc.nat({ max: 60 }),
      (values, moved) => {
        const things = values.map((value) => ({ value }));
        const heap = new BinaryHeap((a: { value: number }, b: { value: number }) => a.value < b.value, things);
        heap.top!.value += moved;
        heap.topChanged();
        const taken: number[] = [];
        for (let next = heap.pop(); next !== undefined; next = heap.pop()) taken.push(next.value);
        expect(taken).toEqual(taken.toSorted((a, b) => a - b));
        expect(taken).toHaveLength(values.length);
      },
    ),
    RUNS,
  );
});

test("an empty heap has no top, and nothing to take", () => {
  const heap = new BinaryHeap((a: number, b: number) => a < b);
  heap.topChanged();
  expect(heap.top).toBeUndefined();
  expect(heap.pop()).toBeUndefined();
});

test("only what is in it is compared, and never a place before the first", () => {
  const heap = new BinaryHeap((a: { value: number }, b: { value: number }) => a.value < b.value);
  [2, 1, 3].forEach((value) => heap.push({ value }));
  expect([1, 2, 3].map(() => heap.pop()?.value)).toEqual([1, 2, 3]);
});
