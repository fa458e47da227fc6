import { expect, test } from "vitest";
import { bearerOf } from "./bearer.ts";

test("the key of a bearer header is read, whatever the case of the word and the blanks behind it", () => {
  expect(bearerOf("Bearer dsp_1_x")).toBe("dsp_1_x");
  expect(bearerOf("bearer   dsp_1_x")).toBe("dsp_1_x");
  expect(bearerOf(`Bearer ${"x".repeat(8192)}`)).toHaveLength(8192);
});

test("no header, or one of another scheme, is no key", () => {
  expect(bearerOf(undefined)).toBeNull();
  expect(bearerOf("")).toBeNull();
  expect(bearerOf("Basic YTpi")).toBeNull();
});

test.each(["Bearer", "Bearer ", "Bearer a b", `Bearer ${"x".repeat(8193)}`])(
  "a bearer header without a readable key is refused: %.20s",
  (header) => {
    expect(() => bearerOf(header)).toThrow(expect.objectContaining({ code: "KEY_INVALID" }));
  },
);
