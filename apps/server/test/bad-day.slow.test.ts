/** What goes wrong around the server is one clear line each: what, why, what to do; and nothing is lost. */
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAdmin, runProgram, startServer } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { createTestDatabase } from "./support/test-database.ts";

/** A line `CODE: what happened. What to do.` and nothing else. */
function expectOneLine(text: string, code: string): void {
  expect(text.trimEnd().split("\n")).toHaveLength(1);
  expect(text).toMatch(new RegExp(`^${code}: .+\\. .+\\.\n$`));
  expect(text).not.toContain("    at ");
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-story-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const loopback = { DISPATCHER_HOST: "127.0.0.1" };

test("a port that is taken", async () => {
  const blocker = createServer().listen(0, "127.0.0.1");
  await once(blocker, "listening");
  onTestFinished(() => void blocker.close());
  await using database = await createTestDatabase();
  const { port } = blocker.address() as AddressInfo;
  const { exitCode, stderr } = await runProgram("server", {
    env: { ...loopback, DISPATCHER_PORT: String(port), DATABASE_URL: database.url },
  });
  expect(exitCode).toBe(69);
  expectOneLine(stderr, "PORT_TAKEN");
  expect(stderr).toContain(String(port));
});

test("a data directory that cannot be", async () => {
  const file = join(await makeFolder(), "file");
  await writeFile(file, "in the way");
  const { exitCode, stderr } = await runProgram("server", {
    env: { ...loopback, DISPATCHER_PORT: "0", DISPATCHER_DATA_DIR: join(file, "data") },
  });
  expect(exitCode).toBe(73);
  expectOneLine(stderr, "DATA_DIR_UNUSABLE");
});

test("a PostgreSQL that is down at the start", async () => {
  const { exitCode, stderr } = await runProgram("server", {
    env: { ...loopback, DISPATCHER_PORT: "0", DATABASE_URL: "postgres://nobody:secret@127.0.0.1:1/nothing" },
  });
  expect(exitCode).toBe(69);
  expectOneLine(stderr, "DATABASE_UNAVAILABLE");
  expect(stderr).not.toContain("secret");
});

test("settings that are wrong, all of them at once", async () => {
  const { exitCode, stderr } = await runProgram("server", { env: { DISPATCHER_PORT: "http", LOG_LEVEL: "chatty" } });
  expect(exitCode).toBe(78);
  expectOneLine(stderr, "CONFIG_INVALID");
  expect(stderr).toContain("DISPATCHER_PORT=http");
  expect(stderr).toContain("LOG_LEVEL=chatty");
});

test("an argument that the server does not take, and --help that teaches", async () => {
  const wrong = await runProgram("server", { args: ["--prot", "80"] });
  expect(wrong.exitCode).toBe(64);
  expect(wrong.stderr).toContain("--help");
  const help = await runProgram("server", { args: ["--help"] });
  expect(help.exitCode).toBe(0);
  expect(help.stdout).toContain("DATABASE_URL");
});

test("catalogs that cannot be read, one line and nothing imported", async () => {
  const folder = await makeFolder();
  await using database = await createTestDatabase();
  await writeFile(join(folder, "half.json"), '{"name": "half", "resources": [{"path": "a.csv", "bytes": 1}, {"pa');
  await writeFile(join(folder, "page.json"), "<!doctype html><title>Not found</title>");
  await mkdir(join(folder, "folder.json"));
  for (const name of ["half.json", "page.json", "folder.json", "missing.json"]) {
    const { exitCode, stderr } = await runAdmin(
      ["import", join(folder, name), "--base-url", "https://origin.example/"],
      {
        database: { databaseUrl: database.url },
      },
    );
    expect(exitCode, name).toBe(66);
    expectOneLine(stderr, "CATALOG_UNREADABLE");
  }
  expect(await database.sql`select 1 from assets`).toHaveLength(0);
});

test("an unknown admin command exits as a usage error", async () => {
  await using database = await createTestDatabase();
  const { exitCode, stderr } = await runAdmin(["explode"], { database: { databaseUrl: database.url } });
  expect(exitCode).toBe(64);
  expect(stderr).toContain("explode");
});

test("a stop in order answers what is under way and exits 0", async () => {
  await using database = await createTestDatabase();
  await using server = await startServer({ database: { databaseUrl: database.url } });
  expect(await server.stop()).toEqual({ code: 0, signal: null });
});
