import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { DispatcherError, ERROR_CODES, describeFailure, isErrorCode } from "./errors.ts";

const SYSEXITS = [64, 65, 66, 69, 70, 73, 74, 77, 78];

describe.each(ERROR_CODES)("%s", (code) => {
  const error = new DispatcherError(code, "It happened.");

  test("says what happened and then what to do, in sentences", () => {
    expect(error.message).toMatch(/^It happened\. [A-Z].*\.$/);
    expect(error.message).not.toMatch(/\s{2}|\n/);
    expect(error.detail).toBe("It happened.");
  });

  test("ends a command with a status of sysexits.h", () => {
    expect(SYSEXITS).toContain(error.exitStatus);
  });
});

test("the codes are listed in alphabetical order", () => {
  expect(ERROR_CODES).toEqual(ERROR_CODES.toSorted());
});

test("only what depends on the moment is retryable", () => {
  expect(ERROR_CODES.filter((code) => new DispatcherError(code, "").isRetryable)).toEqual([
    "DATABASE_UNAVAILABLE",
    "INTERNAL",
    "JWKS_UNAVAILABLE",
    "NOTHING_FITS",
    "OVERLOADED",
    "RATE_LIMITED",
    "REQUEST_TIMEOUT",
    "SERVER_UNREACHABLE",
    "STREAM_CUT",
  ]);
});

test("an error carries its facts for programs, and its cause", () => {
  const cause = new Error("deeper");
  const error = new DispatcherError("LEDGER_EXCEEDED", "Short of 5 bytes.", { cause, details: { missingBytes: 5 } });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: "DispatcherError",
    code: "LEDGER_EXCEEDED",
    details: { missingBytes: 5 },
    cause,
  });
});

test("an error without facts has none", () => {
  expect(new DispatcherError("INTERNAL", "").details).toEqual({});
});

test.each(["", "lease_ended", "toString", null, undefined, 7, {}])("%j is no error code", (value) => {
  expect(isErrorCode(value)).toBe(false);
});

test("every code is recognised", () => {
  expect(ERROR_CODES.every(isErrorCode)).toBe(true);
});

describe("describeFailure", () => {
  test("an expected failure is one line, and ends with its own status", () => {
    expect(describeFailure(new DispatcherError("CONFIG_INVALID", "DISPATCHER_PORT is x."))).toEqual({
      text: "CONFIG_INVALID: DISPATCHER_PORT is x. Correct the settings named and start again.",
      exitStatus: 78,
    });
  });

  test("a bug is shown with its stack", () => {
    const bug = new TypeError("x is not a function");
    const { text, exitStatus } = describeFailure(bug);
    expect(text).toContain("please report");
    expect(text).toContain(bug.stack);
    expect(exitStatus).toBe(70);
  });

  test("an error without a stack, or no error at all, is shown as it is", () => {
    const bare = new Error("bare");
    delete bare.stack;
    expect(describeFailure(bare).text).toMatch(/\nbare$/);
    expect(describeFailure("thrown text").text).toMatch(/\nthrown text$/);
  });
});

test("docs/errors.md has a row for every code, with its exit status and whether to retry", async () => {
  const page = await readFile(new URL("../../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` +\| (\d+) +\| (yes|no) +\|/gm)].map(([, ...cells]) =>
    cells.join(" "),
  );
  const facts = ERROR_CODES.map((code) => {
    const error = new DispatcherError(code, "Test.");
    return `${code} ${error.exitStatus} ${error.isRetryable ? "yes" : "no"}`;
  });
  expect(new Set(rows)).toEqual(new Set(facts));
});

test("a class that extends it knows its own instances from others", () => {
  class Special extends DispatcherError {}
  expect(new Special("INTERNAL", "Test.")).toBeInstanceOf(DispatcherError);
  expect(new Special("INTERNAL", "Test.")).toBeInstanceOf(Special);
  expect(new DispatcherError("INTERNAL", "Test.")).not.toBeInstanceOf(Special);
});
