import { expect, test } from "vitest";
import { isDispatcherError } from "./error-details.ts";
import { DispatcherError } from "./errors.ts";
import type * as Errors from "./errors.ts";

test("an expected failure is told from a bug, and by its code", () => {
  const error = new DispatcherError("RATE_LIMITED", "Often.", { details: { retryAfterMs: 5 } });
  expect(isDispatcherError(error)).toBe(true);
  expect(isDispatcherError(error, "OVERLOADED", "RATE_LIMITED")).toBe(true);
  expect(isDispatcherError(error, "OVERLOADED")).toBe(false);
  for (const other of [new Error("a bug"), { code: "RATE_LIMITED" }, "RATE_LIMITED", null, undefined]) {
    expect(isDispatcherError(other)).toBe(false);
  }
});

test("an error of another copy of the module is one as well", async () => {
  const path = "./errors.ts?another";
  const another = (await import(path)) as typeof Errors;
  expect(another.DispatcherError).not.toBe(DispatcherError);
  expect(new another.DispatcherError("INTERNAL", "It happened.")).toBeInstanceOf(DispatcherError);
  expect(new DispatcherError("INTERNAL", "It happened.")).toBeInstanceOf(another.DispatcherError);
});
