import { expect, test } from "vitest";
import { NODES_MAX, planFleet } from "./fleet-plan.ts";

const MB = 1024 ** 2;
const WISH = { nodeCount: 3, copies: 2, catalogBytes: 40 * MB, freeBytes: 10_000 * MB };

test("three nodes are of three operators, with three capacities that each hold the catalog", () => {
  const nodes = planFleet(WISH);
  expect(new Set(nodes.map(({ name }) => name)).size).toBe(3);
  expect(new Set(nodes.map(({ operator }) => operator)).size).toBe(3);
  expect(nodes.map(({ capacityBytes }) => capacityBytes / MB)).toEqual([90, 60, 45]);
});

test("the most nodes there may be all have names of their own", () => {
  const nodes = planFleet({ ...WISH, nodeCount: NODES_MAX, copies: NODES_MAX - 1 });
  expect(new Set(nodes.map(({ name }) => name)).size).toBe(NODES_MAX);
  expect(new Set(nodes.map(({ operator }) => operator)).size).toBe(NODES_MAX);
});

test.each([
  [{ nodeCount: 1, copies: 2 }, "there are only 1"],
  [{ nodeCount: 1, copies: 1 }, "one node more than copies"],
  [{ nodeCount: 3, copies: 3 }, "one node more than copies"],
  [{ nodeCount: 3, copies: 4 }, "--copies 4 with --nodes 3"],
  [{ nodeCount: NODES_MAX + 1 }, "at most 12"],
  [{ freeBytes: 280 * MB - 1 }, "280 MB on disk"],
])("%j is refused", (wish, reason) => {
  expect(() => planFleet({ ...WISH, ...wish })).toThrow(reason);
});

test("just enough disk is enough", () => {
  expect(planFleet({ ...WISH, freeBytes: 280 * MB })).toHaveLength(3);
});
