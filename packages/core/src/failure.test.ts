/* oxlint-disable vitest/no-conditional-expect -- a property asks more of some cases than of others */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ATTEMPTS_BEFORE_REVIEW,
  FAILURE_CODES,
  NODES_BEFORE_REVIEW,
  NODES_TO_BELIEVE,
  countsAsAttempt,
  failureClassOf,
  judgeFailures,
  saysGone,
} from "./failure.ts";
import type { FailureCode, RecordedFailure } from "./failure.ts";
import { nodeId, refusalOf } from "./testing.ts";

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

test("five attempts over three nodes send an asset to review; an origin's answer is believed from two", () => {
  expect([ATTEMPTS_BEFORE_REVIEW, NODES_BEFORE_REVIEW, NODES_TO_BELIEVE]).toEqual([5, 3, 2]);
});

test.each(["", "not_found", "toString", "__proto__"])("%j is no failure code", (code) => {
  for (const ask of [failureClassOf, countsAsAttempt]) {
    const refusal = refusalOf(() => ask(code as FailureCode));
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", "code"]);
  }
});

/** `"1 STALLED"`: node 1 has failed so. */
function failures(...told: readonly string[]): RecordedFailure[] {
  return told.map((one) => {
    const [node, code] = one.split(" ");
    return { nodeId: nodeId(Number(node)), code: code as FailureCode };
  });
}

/** The verdict when the last failure is the new one. */
function verdictOn(...told: readonly string[]) {
  const all = failures(...told);
  return judgeFailures(
    all,
    all.slice(-1).map(({ code }) => code),
    { baseMs: 1000, jitter: 1 },
  );
}

describe("the verdict after failures", () => {
  test.each([
    ["one node's 404", ["1 NOT_FOUND"], "wanted"],
    ["one node's 404, twice", ["1 NOT_FOUND", "1 GONE"], "wanted"],
    ["two nodes' 404 and 410", ["1 NOT_FOUND", "2 GONE"], "gone"],
    ["one node's 403, twice", ["1 FORBIDDEN", "1 FORBIDDEN"], "wanted"],
    ["two nodes' 403", ["1 FORBIDDEN", "2 FORBIDDEN"], "review"],
    ["one node's changed file", ["1 CHANGED", "1 CHANGED"], "wanted"],
    ["two nodes' changed file", ["1 CHANGED", "2 CHANGED"], "review"],
    ["a 403 and a changed file do not add up", ["1 FORBIDDEN", "2 CHANGED"], "wanted"],
    ["errors of the origin, however many", ["1", "2", "3", "4", "5", "6"].map((n) => `${n} ORIGIN_ERROR`), "wanted"],
    ["throttles, however many", ["1", "2", "3", "4", "5", "6"].map((n) => `${n} THROTTLED`), "wanted"],
    ["five attempts over two nodes", ["1", "1", "1", "2", "2"].map((n) => `${n} STALLED`), "wanted"],
    ["four attempts over four nodes", ["1", "2", "3", "4"].map((n) => `${n} DISK_FULL`), "wanted"],
    ["five attempts over three nodes", ["1", "1", "1", "2", "3"].map((n) => `${n} STALLED`), "review"],
    [
      "attempts of node and network add up",
      ["1 STALLED", "2 DISK_FULL", "3 BAD_DIGEST", "1 STALLED", "1 STALLED"],
      "review",
    ],
    ["a login page, once", ["1 LOGIN_WALL"], "review"],
    ["an old fault of the asset, seen by people since", ["1 LOGIN_WALL", "2 STALLED"], "wanted"],
    ["gone goes before review", ["1 GONE", "2 GONE", "3 LOGIN_WALL"], "gone"],
  ] as const)("%s", (_case, told, state) => {
    expect(verdictOn(...told).state).toBe(state);
  });

  test("the rest doubles with each failure, to an hour at most", () => {
    const told = Array.from({ length: 40 }, () => "1 STALLED");
    const rests = [1, 2, 3, 12, 13, 40].map((count) => verdictOn(...told.slice(0, count)).restMs);
    expect(rests).toEqual([1000, 2000, 4000, 2_048_000, 3_600_000, 3_600_000]);
  });

  test("it is between the half and the whole, as the jitter says", () => {
    const one = failures("1 STALLED");
    const rests = [0, 0.5, 1].map((jitter) => judgeFailures(one, ["STALLED"], { baseMs: 1000, jitter }).restMs);
    expect(rests).toEqual([500, 750, 1000]);
  });

  test("a throttle alone needs no rest; beside another failure the other one counts", () => {
    expect(verdictOn("1 STALLED", "2 THROTTLED").restMs).toBeNull();
    expect(verdictOn("1 THROTTLED", "2 THROTTLED", "3 STALLED").restMs).toBe(1000);
    const both = failures("1 THROTTLED", "2 STALLED");
    expect(judgeFailures(both, ["THROTTLED", "STALLED"], { baseMs: 1000, jitter: 1 }).restMs).toBe(1000);
  });

  test("a failure that is told of only as new rests as the first", () => {
    expect(judgeFailures([], ["STALLED"], { baseMs: 1000, jitter: 1 })).toEqual({ state: "wanted", restMs: 1000 });
  });

  test("without failures there is nothing to judge", () => {
    expect(judgeFailures([], [], { baseMs: 1000, jitter: 1 })).toEqual({ state: "wanted", restMs: null });
  });

  test.each([
    ["code", failures("1 TIRED"), [], { baseMs: 1, jitter: 1 }],
    ["code", [], ["TIRED" as FailureCode], { baseMs: 1, jitter: 1 }],
    ["baseMs", [], [], { baseMs: -1, jitter: 1 }],
    ["baseMs", [], [], { baseMs: Number.NaN, jitter: 1 }],
    ["jitter", [], [], { baseMs: 1, jitter: 1.1 }],
    ["jitter", [], [], { baseMs: 1, jitter: -0.1 }],
  ] as const)("a %s that is none is refused", (field, all, newCodes, rest) => {
    const refusal = refusalOf(() => judgeFailures(all, newCodes, rest));
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  });

  const someFailures = fc.array(
    fc.record({ nodeId: fc.integer({ min: 1, max: 5 }).map(nodeId), code: fc.constantFrom(...FAILURE_CODES) }),
    { minLength: 1, maxLength: 12 },
  );
  const rest = fc.record({ baseMs: fc.nat({ max: 100_000 }), jitter: fc.double({ min: 0, max: 1, noNaN: true }) });

  test("it is what counting by hand says, in any order, and throttles change nothing", () => {
    fc.assert(
      fc.property(someFailures, fc.nat({ max: 11 }), rest, fc.nat({ max: 8 }), (all, newest, how, throttles) => {
        const codes = [all[newest % all.length]?.code ?? "STALLED"];
        const { state, restMs } = judgeFailures(all, codes, how);
        const nodesOf: Record<string, Set<string>> = {
          gone: new Set(),
          FORBIDDEN: new Set(),
          CHANGED: new Set(),
          attempt: new Set(),
        };
        let attempts = 0;
        let counted = 0;
        for (const { nodeId: node, code } of all) {
          if (code === "NOT_FOUND" || code === "GONE") nodesOf["gone"]?.add(node);
          nodesOf[code]?.add(node);
          if (/^(CONNECT|STALLED|DISK|BAD_DIGEST)/.test(code)) {
            attempts += 1;
            nodesOf["attempt"]?.add(node);
          }
          if (code !== "THROTTLED") counted += 1;
        }
        const sizeOf = (key: string): number => nodesOf[key]?.size ?? 0;
        const isForPeople =
          /^(BAD_URL|LOGIN_WALL|TOO_LARGE)$/.test(codes[0] ?? "") ||
          sizeOf("FORBIDDEN") > 1 ||
          sizeOf("CHANGED") > 1 ||
          (attempts > 4 && sizeOf("attempt") > 2);
        expect(state).toBe(sizeOf("gone") > 1 ? "gone" : isForPeople ? "review" : "wanted");
        let longest = how.baseMs;
        for (let index = 1; index < counted; index++) longest *= 2;
        longest = Math.min(longest, 3_600_000);
        if (codes[0] === "THROTTLED") expect(restMs).toBeNull();
        else {
          expect(restMs).toBeGreaterThanOrEqual(longest / 2);
          expect(restMs).toBeLessThanOrEqual(longest);
        }
        expect(judgeFailures(all.toReversed(), codes, how)).toEqual({ state, restMs });
        const more = failures(...Array.from({ length: throttles }, (_, node) => `${node} THROTTLED`));
        expect(judgeFailures([...all, ...more], codes, how)).toEqual({ state, restMs });
      }),
      { numRuns: 1000 },
    );
  });
});
