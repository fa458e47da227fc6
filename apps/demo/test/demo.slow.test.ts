import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startChild, waitFor } from "@dispatcher/testbed";
import type { Child } from "@dispatcher/testbed";
import type { DemoReport } from "../src/report.ts";
import { afterEach, beforeEach, expect, test } from "vitest";

/** Everything the demo starts has this folder in its arguments or in its environment, which is how it is found again. */
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "demo-test-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function startDemo(...args: string[]): Child {
  return startChild("demo", { args: ["--json", "--port", "0", ...args], env: { TMPDIR: folder, NO_COLOR: "1" } });
}

/** The commands of all living processes that know the folder. */
async function processesOfDemo(): Promise<readonly string[]> {
  const showEnvironment = process.platform === "darwin" ? "axEww" : "axeww";
  const { stdout } = await promisify(execFile)("ps", [showEnvironment, "-o", "command="], { maxBuffer: 2 ** 26 });
  return stdout.split("\n").filter((line) => line.includes(folder));
}

async function expectNothingLeft(): Promise<void> {
  expect(await processesOfDemo()).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
}

const toSay = (demo: Child, text: string) =>
  waitFor(`the demo to say "${text}"`, () => demo.errors.some((line) => line.includes(text)), { timeoutMs: 120_000 });

test("three nodes rescue the catalog, one is killed, and the report says so on the last line", async () => {
  const demo = startDemo();
  try {
    expect([await demo.exited, demo.errors.slice(-15)]).toEqual([{ code: 0, signal: null }, expect.anything()]);
    const report: DemoReport = JSON.parse(demo.output.at(-1) ?? "");
    expect(report).toMatchObject({
      ok: true,
      assets: 73,
      catalogBytes: 42_614_250,
      copiesEach: 2,
      lost: 0,
      mismatched: 0,
      budget: 4,
      killed: { isBack: true, takeover: { node: expect.any(String) } },
      nodes: [{ files: expect.any(Number) }, { files: expect.any(Number) }, { files: expect.any(Number) }],
      missing: [],
    });
    const { copies, bytes, reassigned, originPeak } = report;
    expect(copies).toBeGreaterThanOrEqual(146);
    expect(bytes).toBeGreaterThanOrEqual(2 * 42_614_250);
    expect(reassigned).toBeGreaterThanOrEqual(1);
    expect(originPeak).toBeLessThanOrEqual(4);
    await expectNothingLeft();
  } finally {
    await demo.kill();
  }
});

test("more copies than operators are refused at once, with nothing started", async () => {
  const demo = startDemo("--nodes", "2", "--copies", "3");
  expect(await demo.exited).toEqual({ code: 65, signal: null });
  expect(demo.errors).toEqual([expect.stringMatching(/^INPUT_INVALID: --copies 3 with --nodes 2: /)]);
  await expectNothingLeft();
});

test("when the time is over it ends with 1 and says what is missing", async () => {
  const demo = startDemo("--timeout", "8");
  try {
    expect((await demo.exited).code).toBe(1);
    const report: DemoReport = JSON.parse(demo.output.at(-1) ?? "");
    expect(report).toMatchObject({ ok: false, missing: expect.arrayContaining(["The time was over after 8 s."]) });
    await expectNothingLeft();
  } finally {
    await demo.kill();
  }
});

const MOMENTS: readonly (readonly [string, (demo: Child) => Promise<unknown>])[] = [
  ["its folder appears", () => waitFor("the folder", async () => (await readdir(folder)).length > 0, { everyMs: 2 })],
  [
    "PostgreSQL is being made",
    () => waitFor("initdb", async () => (await processesOfDemo()).some((line) => line.includes("initdb"))),
  ],
  ["the server listens", (demo) => toSay(demo, "server on http")],
  ["the nodes join", (demo) => toSay(demo, "imported from")],
  ["the nodes are at work", (demo) => toSay(demo, "at work")],
  ["a node is down", (demo) => toSay(demo, "killed (SIGKILL)")],
  ["the node starts again", (demo) => toSay(demo, "does it now")],
  ["the files are read back", (demo) => toSay(demo, "the agents stop")],
];

const ENDINGS = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const;

test.each(MOMENTS.map(([name, moment], index) => [name, ...(ENDINGS[index % 2] ?? ENDINGS[0]), moment] as const))(
  "when %s, %s leaves no process and no folder behind",
  async (_name, signal, code, moment) => {
    const demo = startDemo();
    try {
      await moment(demo);
      expect([await demo.kill(signal), demo.errors.at(-1)]).toEqual([
        { code, signal: null },
        `Interrupted by ${signal}. Everything is stopped.`,
      ]);
      await expectNothingLeft();
    } finally {
      await demo.kill();
    }
  },
);

test("an impatient second and third Ctrl-C change nothing", async () => {
  const demo = startDemo();
  try {
    await toSay(demo, "at work");
    void demo.kill("SIGINT");
    void demo.kill("SIGINT");
    expect(await demo.kill("SIGINT")).toEqual({ code: 130, signal: null });
    await expectNothingLeft();
  } finally {
    await demo.kill();
  }
});

test("--keep leaves everything running until Ctrl-C, and the data after it", async () => {
  const demo = startDemo("--keep");
  try {
    await toSay(demo, "Everything runs on until Ctrl-C");
    const url =
      demo.errors
        .find((line) => line.includes("health"))
        ?.split(" ")
        .at(-1) ?? "";
    expect((await fetch(url)).status).toBe(200);
    expect((await processesOfDemo()).length).toBeGreaterThan(4);
    expect(await demo.kill("SIGINT")).toEqual({ code: 0, signal: null });
    expect(await processesOfDemo()).toEqual([]);
    expect(await readdir(folder)).toHaveLength(1);
  } finally {
    await demo.kill();
  }
});

test("after SIGKILL of the demo itself, what it started ends by itself", async () => {
  const demo = startDemo();
  try {
    await toSay(demo, "at work");
    expect((await processesOfDemo()).length).toBeGreaterThan(4);
    await demo.kill("SIGKILL");
    await waitFor("every process to end", async () => (await processesOfDemo()).length === 0, { everyMs: 200 });
  } finally {
    await demo.kill();
  }
});
