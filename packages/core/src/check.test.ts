import { describe, expect, test } from "vitest";
import { requireAmount, requireCount, requireFinite, requireOneOf, requireShare } from "./check.ts";
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
  for (const require of [requireCount, requireFinite, requireAmount, requireShare]) {
    const refusal = refusalOf(() => require(value, "bytes"));
    expect(refusal.code).toBe("INPUT_INVALID");
    expect(refusal.details).toEqual({ field: "bytes", value: String(value) });
  }
});

test("a time may be negative or a fraction", () => {
  expect(() => requireFinite(-0.5, "nowMs")).not.toThrow();
});

describe("an amount", () => {
  test.each([0, 0.5, Number.MAX_VALUE])("may be %d", (value) => {
    expect(() => requireAmount(value, "lengthMs")).not.toThrow();
  });

  test("is never below 0", () => {
    expect(refusalOf(() => requireAmount(-0.001, "lengthMs")).details).toEqual({ field: "lengthMs", value: -0.001 });
  });
});

describe("a share", () => {
  test.each([0, 0.5, 1])("may be %d", (value) => {
    expect(() => requireShare(value, "jitter")).not.toThrow();
  });

  test.each([-0.001, 1.001])("may not be %d", (value) => {
    expect(refusalOf(() => requireShare(value, "jitter")).details).toEqual({ field: "jitter", value });
  });
});

test("a word has to be one of those known, and the refusal lists them", () => {
  expect(() => requireOneOf("b", ["a", "b"], "letter")).not.toThrow();
  const refusal = refusalOf(() => requireOneOf("c", ["a", "b"], "letter"));
  expect(refusal.detail).toBe("letter is c; it has to be one of a, b.");
  expect(refusal.details).toEqual({ field: "letter", value: "c" });
});

test.each([[null], [undefined], ["7"], [{}]])("%j, which the types forbid, is refused and not passed on", (value) => {
  for (const require of [requireCount, requireFinite, requireAmount, requireShare]) {
    expect(refusalOf(() => require(value as unknown as number, "bytes")).code).toBe("INPUT_INVALID");
  }
  expect(refusalOf(() => requireOneOf(value as unknown as string, ["a"], "letter")).code).toBe("INPUT_INVALID");
});
