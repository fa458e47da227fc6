import { expect, test } from "vitest";
import { CopyTable } from "./copy-table.ts";

const table = (): CopyTable => new CopyTable({ assets: 3, operatorOf: Int32Array.from([0, 0, 1, 2]) });

test("copies on two nodes of one operator are one independent copy", () => {
  const copies = table();
  copies.add(1, 0);
  copies.add(1, 1);
  expect([copies.countOf(1), copies.independentOf(1, 3)]).toEqual([2, 1]);
  copies.add(1, 3);
  expect([copies.countOf(1), copies.independentOf(1, 3), copies.independentOf(1, 1)]).toEqual([3, 2, 1]);
});

test("what a node held is gone with it, from the front, the middle and the end of the lists", () => {
  for (const leaving of [0, 2, 3]) {
    const copies = table();
    for (const asset of [0, 1]) for (const node of [0, 2, 3]) copies.add(asset, node);
    const told: number[] = [];
    copies.removeNode(leaving, (asset) => told.push(asset));
    expect(told.toSorted((a, b) => a - b)).toEqual([0, 1]);
    for (const asset of [0, 1]) {
      expect(copies.countOf(asset)).toBe(2);
      expect(copies.find(asset, (node) => node === leaving)).toBeNull();
      for (const node of [0, 2, 3].filter((one) => one !== leaving)) {
        expect(copies.find(asset, (one) => one === node)).toBe(node);
      }
    }
    copies.add(0, leaving);
    expect(copies.countOf(0)).toBe(3);
  }
});
