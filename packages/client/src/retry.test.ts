import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { isRepeatable, isWorthRetrying, pauseMs, retryAfterMsOf, wasRefusedUnread } from "./retry.ts";

test("queries and mutations that say the same twice are repeated, those that make something are not", () => {
  expect(isRepeatable("query", "asset.list")).toBe(true);
  expect(isRepeatable("mutation", "node.sync")).toBe(true);
  expect(isRepeatable("mutation", "asset.import")).toBe(true);
  expect(isRepeatable("mutation", "node.join")).toBe(false);
  expect(isRepeatable("mutation", "token.create")).toBe(false);
});

test("only failures that waiting may cure are worth a retry", () => {
  expect(isWorthRetrying(new DispatcherError("DATABASE_UNAVAILABLE", "Away."))).toBe(true);
  expect(isWorthRetrying(new DispatcherError("KEY_INVALID", "Wrong."))).toBe(false);
  expect(isWorthRetrying(new Error("a bug"))).toBe(false);
});

test("pauses double up to the longest, and jitter takes any part of them", () => {
  const options = { retries: 9, baseMs: 100, maxMs: 1000 };
  expect([0, 1, 2, 3, 4, 50].map((attempt) => pauseMs(attempt, options, () => 1))).toEqual([
    100, 200, 400, 800, 1000, 1000,
  ]);
  expect(pauseMs(3, options, () => 0)).toBe(0);
});

test("how long the server asks to wait is a number above nothing, or nothing", () => {
  const asked = [3_000, 0, -1, "soon"].map((retryAfterMs) =>
    retryAfterMsOf(new DispatcherError("OVERLOADED", "Busy.", { details: { retryAfterMs } })),
  );
  expect(asked).toEqual([3_000, 0, 0, 0]);
  expect(retryAfterMsOf(new DispatcherError("OVERLOADED", "Busy."))).toBe(0);
  expect(retryAfterMsOf(new Error("a bug"))).toBe(0);
});

test("what was refused unread may be sent again, whatever it does", () => {
  expect(wasRefusedUnread(new DispatcherError("RATE_LIMITED", "Often."))).toBe(true);
  expect(wasRefusedUnread(new DispatcherError("OVERLOADED", "Busy."))).toBe(true);
  expect(wasRefusedUnread(new DispatcherError("DATABASE_UNAVAILABLE", "Away."))).toBe(false);
  expect(wasRefusedUnread(new Error("a bug"))).toBe(false);
});
