import { expect, test } from "vitest";
import {
  ATTEMPTS_BEFORE_REVIEW,
  FAILURE_CODES,
  NODES_BEFORE_REVIEW,
  countsAsAttempt,
  failureClassOf,
  saysGone,
} from "./failure.ts";

test("every failure code has a class, says whether it counts as an attempt, and whether it means gone", () => {
  const told = FAILURE_CODES.map(
    (code) =>
      `${code}: ${failureClassOf(code)}${countsAsAttempt(code) ? ", an attempt" : ""}${saysGone(code) ? ", gone" : ""}`,
  );
  expect(told).toEqual([
    "NOT_FOUND: origin, gone",
    "GONE: origin, gone",
    "FORBIDDEN: origin",
    "THROTTLED: origin",
    "ORIGIN_ERROR: origin",
    "CHANGED: origin",
    "CONNECT_FAILED: network, an attempt",
    "CONNECTION_CUT: network, an attempt",
    "STALLED: network, an attempt",
    "DISK_FULL: node, an attempt",
    "DISK_ERROR: node, an attempt",
    "BAD_DIGEST: node, an attempt",
    "BAD_URL: asset",
    "LOGIN_WALL: asset",
    "TOO_LARGE: asset",
  ]);
});

test("five attempts over three nodes send an asset to review", () => {
  expect([ATTEMPTS_BEFORE_REVIEW, NODES_BEFORE_REVIEW]).toEqual([5, 3]);
});
