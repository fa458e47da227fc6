import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { readSettings } from "./config.ts";

const NOTHING = { flags: {}, env: {} };

function faultOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof DispatcherError && error.code === "CONFIG_INVALID") return error.detail;
    throw error;
  }
  throw new Error("There was no fault.");
}

const readToken = (flags: { readonly tokenFile?: string }, env: Readonly<Record<string, string>>) =>
  readSettings({ needed: ["token"] }, { flags, env }).token;
const readPatience = (patience: string) =>
  readSettings({ needed: ["patience"] }, { flags: { patience }, env: {} }).patience;
const readName = (name: string) => readSettings({ needed: ["name"] }, { flags: { name }, env: {} }).name;

const faultIn = (name: "home" | "logLevel" | "token", text: string) =>
  faultOf(() => readSettings({ needed: [name] }, { flags: { [name]: text }, env: {} }));

test("what has a fallback needs nothing", () => {
  expect(readSettings({ needed: ["home", "concurrency", "patience", "stopAfter", "logLevel"] }, NOTHING)).toEqual({
    home: "./.dispatcher-agent",
    concurrency: 2,
    patience: 60_000,
    stopAfter: 10_000,
    logLevel: "INFO",
  });
});

test("an argument goes before a variable, and empty is not given", () => {
  const env = { DISPATCHER_AGENT_HOME: "/env", DISPATCHER_AGENT_CONCURRENCY: "" };
  expect(readSettings({ needed: ["home"] }, { flags: {}, env })).toEqual({ home: "/env" });
  expect(readSettings({ needed: ["home"] }, { flags: { home: "/flag" }, env })).toEqual({ home: "/flag" });
  expect(readSettings({ needed: ["concurrency"] }, { flags: {}, env })).toEqual({ concurrency: 2 });
});

test("an optional setting that is not given is null", () => {
  expect(readSettings({ needed: [], optional: ["capacity", "margin"] }, { flags: { margin: "1GB" }, env: {} })).toEqual(
    {
      capacity: null,
      margin: 1024 ** 3,
    },
  );
});

test("every fault is told at once, by the name it was given under", () => {
  const fault = faultOf(() =>
    readSettings(
      { needed: ["url", "token", "name", "capacity", "margin", "concurrency", "patience"] },
      {
        flags: { url: "dispatcher.example.org", capacity: "lots", patience: "0" },
        env: { DISPATCHER_AGENT_CONCURRENCY: "7" },
      },
    ),
  );
  expect(fault).toContain("faults (7)");
  expect(fault).toContain("--url dispatcher.example.org: an http or https URL");
  expect(fault).toContain("--token (or DISPATCHER_JOIN_TOKEN) is missing");
  expect(fault).toContain("--name (or DISPATCHER_AGENT_NAME) is missing");
  expect(fault).toContain("--capacity lots: a size such as 500GB");
  expect(fault).toContain("--margin (or DISPATCHER_AGENT_MARGIN) is missing");
  expect(fault).toContain("DISPATCHER_AGENT_CONCURRENCY 7: a whole number from 1 to 6");
  expect(fault).toContain("--patience 0: milliseconds");
});

test("what may be chosen is said", () => {
  expect(faultIn("home", "")).toContain("--home : the path of a folder");
  expect(faultIn("logLevel", "loud")).toContain("--log-level loud: DEBUG, INFO, WARNING or ERROR");
  expect(faultIn("token", " ")).toContain("--token (not shown): 1 to 200 characters");
});

test("a faulty token is not shown", () => {
  const secret = "s".repeat(300);
  expect(faultOf(() => readSettings({ needed: ["token"] }, { flags: { token: secret }, env: {} }))).not.toContain(
    "sss",
  );
});

test("a value comes from a file where one is named", async () => {
  const folder = await mkdtemp(join(tmpdir(), "config-"));
  try {
    const path = join(folder, "token");
    await writeFile(path, "secret\n");
    expect(readToken({ tokenFile: path }, {})).toBe("secret");
    expect(readToken({}, { DISPATCHER_JOIN_TOKEN_FILE: path })).toBe("secret");
    expect(readToken({}, { DISPATCHER_JOIN_TOKEN: "direct", DISPATCHER_JOIN_TOKEN_FILE: path })).toBe("direct");
    const missing = join(folder, "missing");
    expect(faultOf(() => readToken({ tokenFile: missing }, {}))).toBe(
      `There are faults (1) in the settings: --token cannot be read from --token-file ${missing} (ENOENT).`,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("times are read with and without a unit", () => {
  expect(["1500", "1500ms", "60s", "5m", "24h"].map(readPatience)).toEqual([1500, 1500, 60_000, 300_000, 86_400_000]);
  for (const text of ["", "-1", "1.5s", "25h", "1d", "s"])
    expect(() => readPatience(text), text).toThrow(DispatcherError);
});

test("a name is one line", () => {
  expect(readName(" home server ")).toBe("home server");
  for (const name of ["", " ", "a\nb", "x".repeat(101)]) expect(() => readName(name), name).toThrow(DispatcherError);
});
