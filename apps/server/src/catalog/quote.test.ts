import { expect, test } from "vitest";
import { quote } from "./quote.ts";

test("no control or format character reaches a terminal", () => {
  expect(quote("a\u001B[31mb\u009B\u202Ec\u2028")).toBe(String.raw`"a\u001b[31mb\u{9b}\u{202e}c\u{2028}"`);
});

test("a long value is cut", () => {
  expect(quote("x".repeat(5000))).toHaveLength(123);
  expect(quote(["x".repeat(5000)]).length).toBeLessThan(125);
});

test("values that are not text are shown as JSON", () => {
  expect([quote(-1), quote(null), quote(undefined), quote({ a: 1 })]).toEqual(["-1", "null", "undefined", '{"a":1}']);
});
