/** The command as a process: exit statuses, signals, pipes, keys that are never shown, wrong words. */
import { spawn } from "node:child_process";
import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { childEnvironment, runProgram } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { runInProcess } from "./support/run-in-process.ts";
import { createDatabase, startWorld } from "./support/world.ts";

const PROGRAM = fileURLToPath(new URL("../../../bin/dispatcher.mjs", import.meta.url));
const KEY = "dsp_1_this-is-a-secret-that-nobody-may-read";

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "admin-command-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("a wrong word is one line that names what was meant, or what is allowed", async () => {
  const faults = [
    [["stauts"], /unknown command 'stauts' \(Did you mean .*status.*\?\)\./],
    [["asset", "gte", "1"], /unknown command 'gte' \(Did you mean get\?\)\./],
    [["assets", "--incomplet"], /unknown option '--incomplet' \(Did you mean --incomplete\?\)\./],
    [["assets", "--state", "lost"], /Allowed choices are wanted, gone, review, withdrawn\./],
    [["status", "-o", "xml"], /Allowed choices are table, json, ndjson, csv\./],
    [["assets", "--limit", "0"], /whole number of 1 or more/],
    [["token", "create"], /required option '--operator <name>' not specified/],
    [["requeue", "--older", "2 weeks"], /a number with s, m, h or d/],
    [["prioritize", "1", "--priority", "11"], /from 1 to 10, 10 most urgent, or `dataset`/],
    [["prioritize", "--priority", "9"], /Name assets by their ids, or by a filter/],
    [["prioritize", "1", "--dataset", "d", "--priority", "9"], /not by both/],
    [["dataset", "update", "d"], /Say what to change/],
    [["node", "message", "1"], /Give a text, or --clear/],
    [["completion", "tcsh"], /Allowed choices are bash, zsh, fish\./],
    [["status", "--url", "example.org"], /an address such as/],
    [["status", "--key", KEY], /A key opens a server: name one with --url/],
    [["status", "--url", "http://127.0.0.1:9", "--key", KEY, "--key-file", "x"], /cannot be used with/],
    [["export", "--url", "http://127.0.0.1:9"], /export works on the database itself/],
    [["import-state", "x", "--yes", "--url", "http://127.0.0.1:9"], /import-state works on the database itself/],
  ] as const;
  for (const [words, err] of faults) {
    const told = await runInProcess([...words]);
    expect({ words, status: told.status, out: told.out }).toEqual({ words, status: 64, out: "" });
    expect(told.err).toMatch(err);
    expect(told.err).toMatch(/^USAGE: .* Run it with --help\.\n$/);
    expect(told.err).not.toContain(KEY);
  }
});

test("a key is told to the server alone, wherever it stands and whatever goes wrong", async () => {
  const world = await startWorld();
  const { key } = await world.client.key.create.mutate({ role: "admin", name: "me" });
  const folder = await makeFolder();
  const file = join(folder, "key");
  await writeFile(file, `${key}\n`);
  const url = ["--url", world.server.url];
  const good = [
    await runInProcess([...url, "--key", key, "keys"]),
    await runInProcess([...url, "--key-file", file, "keys"]),
    await runInProcess([...url, "keys"], { env: { DISPATCHER_KEY: key } }),
    await runInProcess([...url, "keys"], { env: { DISPATCHER_KEY_FILE: file } }),
  ];
  for (const { status, out } of good) expect({ status, names: out.includes("me") }).toEqual({ status: 0, names: true });
  await writeFile(file, `two ${KEY}\nlines`);
  const bad = [
    [await runInProcess([...url, "keys"]), 77, /^KEY_MISSING: /],
    [await runInProcess([...url, "--key", KEY, "keys"]), 77, /^KEY_INVALID: /],
    [await runInProcess([...url, "--key", `${KEY}\u0000\n`, "keys"]), 78, /^CONFIG_INVALID: --key holds no key/],
    [await runInProcess([...url, "--key-file", file, "keys"]), 78, /^CONFIG_INVALID: --key-file holds no key/],
    [await runInProcess([...url, "--key-file", "/nowhere", "keys"]), 66, /^FILE_UNREADABLE: \/nowhere/],
    [await runInProcess(["--url", "http://127.0.0.1:9", "--key", KEY, "node", "list"]), 64, /^USAGE: /],
    [await runInProcess([...url, "--key", KEY, "doctor"]), 69, /^$/],
  ] as const;
  for (const [{ status, out, err }, expected, words] of bad) {
    expect({ status, err }).toEqual({ status: expected, err: expect.stringMatching(words) as string });
    expect(out + err).not.toContain(KEY);
  }
});

test("a server that is not there is told as that, after a few tries", async () => {
  const { status, out, err } = await runInProcess(["--url", "http://127.0.0.1:9", "status"]);
  expect({ status, out }).toEqual({ status: 69, out: "" });
  expect(err).toMatch(/^SERVER_UNREACHABLE: .*\n$/);
});

test("settings that cannot be read are told all at once", async () => {
  const env = { DISPATCHER_PORT: "x", LOG_LEVEL: "LOUD" };
  const { status, out, err } = await runInProcess(["status"], { env });
  expect({ status, out }).toEqual({ status: 78, out: "" });
  expect(err).toMatch(/^CONFIG_INVALID: .*DISPATCHER_PORT.*LOG_LEVEL|LOG_LEVEL.*DISPATCHER_PORT/);
});

test("help needs no database, and goes to standard output", async () => {
  for (const words of [
    ["--help"],
    ["assets", "--help"],
    ["node", "retire", "--help"],
    ["help", "events"],
    ["--version"],
  ]) {
    const { status, out, err } = await runInProcess(words, { env: { DATABASE_URL: "nonsense" } });
    expect({ words, status, err, isEmpty: out === "" }).toEqual({ words, status: 0, err: "", isEmpty: false });
  }
  const bare = await runInProcess([]);
  expect(bare).toMatchObject({ status: 64, out: "" });
  expect(bare.err).toContain("Usage: pnpm admin");
});

test("who reads no further, as head does, ends the command in peace", async () => {
  const world = await startWorld();
  for (const dataset of ["a", "b", "c"]) await world.addAssets(1000, dataset);
  const words = [PROGRAM, "admin", "assets", "--limit", "100000", "-o", "ndjson"];
  const child = spawn(process.execPath, words, {
    env: childEnvironment({ DATABASE_URL: world.databaseUrl }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let err = "";
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  child.stdout.once("data", () => child.stdout.destroy());
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect({ code, err }).toEqual({ code: 0, err: "" });
});

test("a full disk is told as that", async () => {
  const env = childEnvironment({ DATABASE_URL: await createDatabase() });
  await using full = await open("/dev/full", "w");
  const child = spawn(process.execPath, [PROGRAM, "admin", "status"], { env, stdio: ["ignore", full.fd, "pipe"] });
  let err = "";
  child.stderr?.on("data", (chunk) => (err += String(chunk)));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(code).toBe(73);
  expect(err).toMatch(/^FILE_UNWRITABLE: Standard output cannot be written \(ENOSPC\)\. .*\n$/);
});

test("Ctrl-C ends a command that would go on, with what shells expect", async () => {
  const world = await startWorld();
  await world.addAssets(1);
  const [first] = (await world.client.event.list.query({})).events;
  await world.client.origin.pause.mutate({ host: "data.example.org:443" });
  const words = [PROGRAM, "admin", "events", "--follow", "--since", String(first?.id), "-o", "ndjson"];
  const child = spawn(process.execPath, words, {
    env: childEnvironment({ DATABASE_URL: world.databaseUrl }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let err = "";
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  child.stdout.once("data", () => child.kill("SIGINT"));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect({ code, err }).toEqual({ code: 130, err: "" });
});

test("a program in the way of another is told by its exit status, in a real process too", async () => {
  const env = { DATABASE_URL: await createDatabase() };
  expect(await runProgram("admin", { args: ["status", "-o", "json"], env })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await runProgram("admin", { args: ["asset", "get", "1"], env })).toMatchObject({ exitCode: 65, stdout: "" });
  expect(await runProgram("admin", { args: ["stauts"], env })).toMatchObject({ exitCode: 64, stdout: "" });
  expect((await runProgram("admin", { args: ["export"], env })).stdout).toMatch(/^\{"format":"dispatcher-state"/);
});

test("looking for the doctor makes no database where there is none", async () => {
  const folder = await makeFolder();
  const env = { DISPATCHER_DATA_DIR: join(folder, "data") };
  const { status, out } = await runInProcess(["doctor"], { env });
  expect(status).toBe(69);
  expect(out).toMatch(/^fail {2}database {2,}there is none: .*data does not exist {2}/m);
  expect(await readdir(folder)).toEqual([]);
});
