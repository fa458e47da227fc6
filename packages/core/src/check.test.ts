import { expect, test } from "vitest";
import { requireCount } from "./check.ts";
import { refusalOf } from "./testing.ts";

test.each([0, 1, Number.MAX_SAFE_INTEGER])("%d is a count", (value) => {
  expect(() => requireCount(value, "bytes")).not.toThrow();
});

test.each([-1, 0.5, Number.MAX_SAFE_INTEGER + 1])("%d is no count, and the refusal names field and value", (value) => {
  const refusal = refusalOf(() => requireCount(value, "bytes"));
  expect(refusal.code).toBe("INPUT_INVALID");
  expect(refusal.details).toEqual({ field: "bytes", value });
});

test.each([Number.NaN, Infinity, -Infinity])("%d, which JSON cannot say, is told as text", (value) => {
  expect(refusalOf(() => requireCount(value, "bytes")).details).toEqual({ field: "bytes", value: String(value) });
});
