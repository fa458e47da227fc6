import { expect, test } from "vitest";
import { DEFAULT_COPIES, asPriority, asRank } from "./asset.ts";
import { refusalOf } from "./testing.ts";

test("priorities run from 1 to 10", () => {
  expect(asPriority(1)).toBe(1);
  expect(asPriority(10)).toBe(10);
});

test.each([0, 11, 1.5, Number.NaN, -1, Infinity])("%d is no priority", (value) => {
  expect(refusalOf(() => asPriority(value)).code).toBe("INPUT_INVALID");
});

test("ranks begin at 1 and have no end", () => {
  expect(asRank(1)).toBe(1);
  expect(asRank(Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
});

test.each([0, -1, 2.5, Number.NaN, Number.MAX_SAFE_INTEGER + 1])("%d is no rank", (value) => {
  expect(refusalOf(() => asRank(value)).code).toBe("INPUT_INVALID");
});

test("the copies wanted by default are ordered: min, target, max", () => {
  expect(DEFAULT_COPIES).toEqual({ min: 2, target: 3, max: 5 });
});
