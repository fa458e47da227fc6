import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { childEnvironment, startScript } from "./child.ts";
import { runProgram } from "./run-program.ts";
import { waitFor } from "./wait-for.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "child-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Write a program into a file of its own; returns the path. */
async function scriptOf(text: string): Promise<string> {
  const path = join(folder, `${randomUUID()}.mjs`);
  await writeFile(path, text);
  return path;
}

const LIVES_ON = `setInterval(() => {}, 1000);`;
const STOPS_IN_ORDER = `${LIVES_ON}
process.on("SIGTERM", () => { console.log("stopping"); process.exit(0); });
console.log(JSON.stringify({ event: "program.started", port: 7 }));
console.error("a word");
console.log("{ not json");`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("lines and events are collected, and stop ends the program in order, once or twice", async () => {
  const script = await scriptOf(STOPS_IN_ORDER);
  await using child = startScript(script, {});
  expect(await child.waitForEvent("program.started")).toEqual({ event: "program.started", port: 7 });
  expect(await child.stop()).toEqual({ code: 0, signal: null });
  expect(child.isRunning).toBe(false);
  expect(child.output.slice(1)).toEqual(["{ not json", "stopping"]);
  expect(child.errors).toEqual(["a word"]);
  expect(child.events).toHaveLength(1);
  expect(await child.stop()).toEqual({ code: 0, signal: null });
});

test("kill is SIGKILL", async () => {
  const script = await scriptOf(STOPS_IN_ORDER);
  await using child = startScript(script, {});
  await child.waitForEvent("program.started");
  expect(await child.kill()).toEqual({ code: null, signal: "SIGKILL" });
  expect(isAlive(child.pid)).toBe(false);
});

test("waiting for an event of a program that ends first fails with its last words", async () => {
  const script = await scriptOf(`console.error("CODE: no disk"); process.exitCode = 74;`);
  await using child = startScript(script, {});
  await expect(child.waitForEvent("program.started")).rejects.toThrow("CODE: no disk");
  expect(await child.exited).toEqual({ code: 74, signal: null });
});

test("the settings of this shell do not reach a child, those given do", () => {
  process.env["DISPATCHER_PORT"] = "1";
  try {
    const env = childEnvironment({ LOG_LEVEL: "DEBUG" });
    expect(env["DISPATCHER_PORT"]).toBeUndefined();
    expect(env["LOG_LEVEL"]).toBe("DEBUG");
    expect(env["PATH"]).toBe(process.env["PATH"]);
  } finally {
    delete process.env["DISPATCHER_PORT"];
  }
});

test.each([
  ["is killed", "SIGKILL"],
  ["exits without disposing", "exit"],
])("a child stops in order behind a parent that %s, though nobody reads its last words", async (_, how) => {
  const trace = join(folder, `${how}.txt`);
  const script = await scriptOf(`
import { writeFileSync } from "node:fs";
${LIVES_ON}
process.on("SIGTERM", () => {
  console.log("stopping");
  console.error("stopping");
  setTimeout(() => {
    writeFileSync(${JSON.stringify(trace)}, "in order");
    process.exit(0);
  }, 200);
});
console.log(JSON.stringify({ event: "program.started" }));`);
  const childModule = fileURLToPath(new URL("child.ts", import.meta.url));
  const parentScript = await scriptOf(`
import { startScript } from ${JSON.stringify(childModule)};
const child = startScript(${JSON.stringify(script)}, {});
await child.waitForEvent("program.started");
console.log(child.pid);
process.stdin.once("data", () => process.exit(0));`);
  const parent = spawn(process.execPath, [parentScript], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(parent.stdout);
  const pid = await new Promise<number>((resolve) => lines.once("line", (line) => resolve(Number(line))));
  expect(isAlive(pid)).toBe(true);
  if (how === "exit") parent.stdin.write("go\n");
  else parent.kill("SIGKILL");
  await waitFor("the child to end", () => !isAlive(pid), { timeoutMs: 10_000 });
  expect(await readFile(trace, "utf8")).toBe("in order");
});

test("a program runs to its end with its output and exit status", async () => {
  const { exitCode, stdout, stderr } = await runProgram("admin", { args: ["no-such-command"] });
  expect(exitCode).toBeGreaterThan(0);
  expect(stdout).toBe("");
  expect(stderr).not.toBe("");
});

test("a program that is still running at the timeout is killed", async () => {
  expect(await runProgram("admin", { args: ["no-such-command"], timeoutMs: 1 })).toMatchObject({ exitCode: null });
});
