/** `admin export` and `admin import-state` as their users run them: real processes, pipes and signals. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { childEnvironment, runAdmin, waitFor } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { startMidLife } from "./support/mid-life.ts";
import { exportLines } from "./support/state-text.ts";
import { createTestDatabase } from "./support/test-database.ts";

const PROGRAM = fileURLToPath(new URL("../../../bin/dispatcher.mjs", import.meta.url));

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "move-state-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("a dispatcher moves through a file, and through a pipe", async () => {
  const folder = await makeFolder();
  await using old = await startMidLife();
  await using byFile = await createTestDatabase();
  await using byPipe = await createTestDatabase();
  const file = join(folder, "backup.ndjson");
  const exported = await runAdmin(["export", "--out", file], { database: { databaseUrl: old.url } });
  expect(exported).toMatchObject({ exitCode: 0, stderr: "" });
  expect(exported.stdout).toMatch(/^Exported the state of .* to .*backup\.ndjson, .* KB: .*20 assets.*\.\n$/);
  expect(await readdir(folder)).toEqual(["backup.ndjson"]);

  const imported = await runAdmin(["import-state", file, "--yes"], { database: { databaseUrl: byFile.url } });
  expect(imported).toMatchObject({ exitCode: 0, stderr: "" });
  expect(imported.stdout).toContain("20 assets");
  expect(imported.stdout).toContain("Never run both");
  const lines = (await readFile(file, "utf8")).split(/(?<=\n)/);
  expect((await exportLines(byFile.db)).slice(1, -1)).toEqual(lines.slice(1, -1));

  const from = childEnvironment({ DATABASE_URL: byFile.url });
  const into = childEnvironment({ DATABASE_URL: byPipe.url });
  const source = spawn(process.execPath, [PROGRAM, "admin", "export"], {
    env: from,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const sink = spawn(process.execPath, [PROGRAM, "admin", "import-state", "-", "--yes"], {
    env: into,
    stdio: [source.stdout, "ignore", "ignore"],
  });
  onTestFinished(() => void (source.kill("SIGKILL"), sink.kill("SIGKILL")));
  expect(await once(sink, "exit")).toEqual([0, null]);
  expect((await exportLines(byPipe.db)).slice(1, -1)).toEqual(lines.slice(1, -1));

  const again = await runAdmin(["import-state", file, "--yes"], { database: { databaseUrl: byPipe.url } });
  expect(again).toMatchObject({ exitCode: 78, stdout: "" });
  expect(again.stderr).toMatch(/^DATABASE_NOT_EMPTY: .*\n$/);
});

test("without a terminal to ask on, an import wants its --yes", async () => {
  await using database = await createTestDatabase();
  const asked = await runAdmin(["import-state", "backup.ndjson"], { database: { databaseUrl: database.url } });
  expect(asked).toMatchObject({ exitCode: 64, stdout: "" });
  expect(asked.stderr).toMatch(/^USAGE: .*--yes.*\n$/);
  const missing = await runAdmin(["import-state", "/nowhere/backup.ndjson", "--yes"], {
    database: { databaseUrl: database.url },
  });
  expect(missing).toMatchObject({ exitCode: 66, stdout: "" });
  expect(missing.stderr).toMatch(/^FILE_UNREADABLE: \/nowhere\/backup\.ndjson .*\n$/);
});

/** The export of a database to a standard output of the test's choice. */
async function exportTo(databaseUrl: string, stdout: number | "pipe") {
  const child = spawn(process.execPath, [PROGRAM, "admin", "export"], {
    env: childEnvironment({ DATABASE_URL: databaseUrl }),
    stdio: ["ignore", stdout, "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  if (stdout === "pipe") child.stdout?.destroy();
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode, said };
}

test("a reader that goes, and a disk that is full, are one line and an exit status", async () => {
  await using old = await startMidLife();
  expect(await exportTo(old.url, "pipe")).toEqual({
    exitCode: 73,
    said: expect.stringMatching(
      /^FILE_UNWRITABLE: Standard output cannot be written: whoever read it has gone\. .*\n$/,
    ) as string,
  });
  await using full = await open("/dev/full", "w");
  expect(await exportTo(old.url, full.fd)).toEqual({
    exitCode: 73,
    said: expect.stringMatching(
      /^FILE_UNWRITABLE: Standard output cannot be written: the disk is full\. .*\n$/,
    ) as string,
  });
});

test("Ctrl-C during an export leaves no file, and the one of before as it was", async () => {
  const folder = await makeFolder();
  const file = join(folder, "backup.ndjson");
  await using old = await startMidLife();
  // The export waits for this lock with its file begun.
  const { promise: isOver, resolve: release } = Promise.withResolvers<void>();
  const { promise: isHeld, resolve: hold } = Promise.withResolvers<void>();
  const holding = old.dispatcher.dependencies.db.transaction(async (sql) => {
    await sql`lock table assets in access exclusive mode`;
    hold();
    await isOver;
  });
  await isHeld;
  const child = spawn(process.execPath, [PROGRAM, "admin", "export", "--out", file], {
    env: childEnvironment({ DATABASE_URL: old.url }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const closed = once(child, "close");
  await waitFor("the export to begin", async () => (await readdir(folder)).includes("backup.ndjson.part"));
  child.kill("SIGINT");
  release();
  await holding;
  expect(await closed).toEqual([130, null]);
  expect(said).toBe(`Stopped: ${file} was not written.\n`);
  expect(await readdir(folder)).toEqual([]);
});
