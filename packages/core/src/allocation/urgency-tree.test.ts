/** Trees against sorted arrays. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compareIds } from "../ids.ts";
import { assetId, elementAt } from "../testing.ts";
import { NO_SLOT, UrgencyTrees } from "./urgency-tree.ts";
import type { Limits, Slot } from "./urgency-tree.ts";

type Member = {
  readonly slot: Slot;
  readonly urgency: number;
  readonly bytes: number;
  readonly operators: number;
  readonly id: ReturnType<typeof assetId>;
};

const someLimits: fc.Arbitrary<Limits> = fc.record({
  maxBytes: fc.oneof(fc.constant(Infinity), fc.nat({ max: 12 })),
  operators: fc.nat({ max: 7 }),
});
const steps = fc.array(
  fc.record({
    isRemoval: fc.boolean(),
    which: fc.nat({ max: 100 }),
    urgency: fc.nat({ max: 6 }),
    bytes: fc.nat({ max: 10 }),
    operators: fc.nat({ max: 7 }),
    tree: fc.nat({ max: 1 }),
  }),
  { maxLength: 80 },
);

const isWithin = (limits: Limits, { bytes, operators }: Member): boolean =>
  bytes <= limits.maxBytes && (limits.operators === 0 || (operators & limits.operators) !== limits.operators);

test("two trees that share their arrays answer as two sorted arrays", () => {
  fc.assert(
    fc.property(steps, someLimits, (all, limits) => {
      const trees = new UrgencyTrees();
      const two: { root: Slot; members: Member[] }[] = [1, 2].map(() => ({ root: NO_SLOT, members: [] }));
      all.forEach(({ isRemoval, which, tree: place, ...facts }, number) => {
        const tree = elementAt(two, place);
        const leaving = isRemoval ? tree.members[which % Math.max(1, tree.members.length)] : undefined;
        if (leaving !== undefined) {
          tree.root = trees.remove(tree.root, leaving.slot);
          trees.release(leaving.slot);
          tree.members.splice(tree.members.indexOf(leaving), 1);
        } else {
          const id = assetId(number);
          const slot = trees.take(id);
          trees.set(slot, facts);
          tree.root = trees.insert(tree.root, slot);
          tree.members.push({ slot, id, ...facts });
        }
      });
      for (const { root, members: model } of two) {
        const inOrder = model.toSorted((a, b) => b.urgency - a.urgency || compareIds(a.id, b.id));
        expect(trees.first(root)).toBe(inOrder[0]?.slot ?? NO_SLOT);
        expect(trees.leastBytesBelow(root)).toBe(Math.min(Infinity, ...model.map(({ bytes }) => bytes)));
        const walk = trees.walk(root, limits);
        const walked: Slot[] = [];
        for (let slot = walk.next(); slot !== NO_SLOT; slot = walk.next()) walked.push(slot);
        expect(walked).toEqual(inOrder.filter((member) => isWithin(limits, member)).map(({ slot }) => slot));
        const suits = (slot: Slot): boolean => trees.urgencyAt(slot) % 2 === 0;
        const smallest = trees.smallest(root, suits, limits.operators);
        const suiting = model.filter((one) => suits(one.slot) && isWithin({ ...limits, maxBytes: Infinity }, one));
        const least = Math.min(Infinity, ...suiting.map(({ bytes }) => bytes));
        expect(smallest === NO_SLOT ? Infinity : trees.bytesAt(smallest)).toBe(least);
        expect(suiting.some(({ slot }) => slot === smallest)).toBe(smallest !== NO_SLOT);
      }
    }),
    { numRuns: 1000 },
  );
});

test("limits that become narrower while a walk goes on count from then on", () => {
  const trees = new UrgencyTrees();
  let root = NO_SLOT;
  for (let number = 1; number <= 9; number += 1) {
    const slot = trees.take(assetId(number));
    trees.set(slot, { urgency: 10 - number, bytes: number % 3, operators: 0 });
    root = trees.insert(root, slot);
  }
  const limits = { maxBytes: 2, operators: 0 };
  const walk = trees.walk(root, limits);
  const next = () => trees.idAt(walk.next());
  expect([next(), next()]).toEqual(["1", "2"]);
  limits.maxBytes = 0;
  expect([next(), next(), next()]).toEqual(["3", "6", "9"]);
  expect(walk.next()).toBe(NO_SLOT);
});

test("thousands in the order of their coming do not make a tree deep: each is found by a few steps", () => {
  const trees = new UrgencyTrees();
  let root = NO_SLOT;
  for (let number = 0; number < 20_000; number += 1) {
    const slot = trees.take(assetId(number));
    trees.set(slot, { urgency: -number, bytes: 1, operators: 0 });
    root = trees.insert(root, slot);
  }
  const walk = trees.walk(root, { maxBytes: Infinity, operators: 0 });
  for (let number = 0; number < 20_000; number += 1) expect(trees.urgencyAt(walk.next())).toBe(-number);
});
