import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isDeeperThan } from "./json-depth.ts";

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

test("the depth of any JSON is found, whatever its strings look like", () => {
  const strings = fc.oneof(fc.string(), fc.stringMatching(/^["\\[\]{}]{0,8}$/));
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 8 },
      strings,
      fc.integer(),
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(strings, tie("tree"), { maxKeys: 3 }),
    ),
  }));
  fc.assert(
    fc.property(tree, fc.integer({ min: 0, max: 8 }), (value, max) => {
      expect(isDeeperThan(JSON.stringify(value), max)).toBe(depthOf(value) > max);
    }),
    { numRuns: 1000 },
  );
});

test("a string that never ends, or ends in backslashes, is no depth", () => {
  expect(isDeeperThan(`"${"[".repeat(100)}`, 3)).toBe(false);
  expect(isDeeperThan(`"${"\\".repeat(100)}"[[[[`, 3)).toBe(true);
  expect(isDeeperThan(`"${"\\".repeat(101)}"[[[["`, 3)).toBe(false);
});
