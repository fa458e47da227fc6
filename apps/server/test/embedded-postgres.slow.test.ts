/** The embedded PostgreSQL on bad days: many processes, many kills, slow starts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";
import {
  killPostmaster,
  makeDataFolder,
  pidOfPostmaster,
  read,
  startOwner,
  urlOf,
  write,
} from "./support/embedded-owners.ts";
import { silentLog } from "./support/test-database.ts";

test("processes that come and go at the same moment always find a cluster, and leave none", async () => {
  await using folder = await makeDataFolder();
  const comeAndGo = async (mark: number): Promise<void> => {
    for (let turn = 0; turn < 4; turn += 1) {
      await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
      await write(postgres.url, mark * 10 + turn);
    }
  };
  await using first = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  await write(first.url, 0);
  await first.stop();
  await Promise.all([comeAndGo(1), comeAndGo(2)]);
  expect(await pidOfPostmaster(folder.cluster)).toBeNull();
  await using last = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  expect(await read(last.url)).toEqual([0, 10, 11, 12, 13, 20, 21, 22, 23]);
});

test("PostgreSQL may change between the ways root runs it, and keeps what was stored", async () => {
  await using folder = await makeDataFolder();
  await chmod(folder.path, 0o755);
  for (const [mark, rootMode] of (["namespace", "user", "namespace"] as const).entries()) {
    await using owner = startOwner(folder.path, { rootMode });
    await write(await urlOf(owner), mark);
    await owner.leave();
  }
  await using last = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  expect(await read(last.url)).toEqual([0, 1, 2]);
});

test("a server that starts for long is waited for, and that is told", { timeout: 20_000 }, async () => {
  await using folder = await makeDataFolder();
  const first = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  await first.stop();
  // A program that looks like a PostgreSQL at its recovery.
  const lines = ["", folder.cluster, "0", "1", "", "", "", "starting"];
  const stand = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "postgres", "-D", folder.cluster, "-p"]);
  await once(stand, "spawn");
  const pidFile = join(folder.cluster, "postmaster.pid");
  await writeFile(pidFile, [stand.pid, ...lines.slice(1)].join("\n"), { mode: 0o600 });
  await using owner = startOwner(folder.path);
  while (!owner.log().includes("Waiting for PostgreSQL (starting), 5 s so far.")) await sleep(20);
  // First the file: once the process is gone, it may be another one's already.
  await rm(pidFile);
  stand.kill();
  await once(stand, "exit");
  expect(await owner.report).toMatchObject({ adopted: false });
  await owner.leave();
});

test("kills at twenty moments of a start, of its process and of PostgreSQL, cost nothing that was stored", async () => {
  await using folder = await makeDataFolder();
  const marks: number[] = [];
  for (let turn = 0; turn < 20; turn += 1) {
    // Over the whole of a start: from the first import to a cluster in use, made anew at first.
    await using killed = startOwner(folder.path);
    await sleep(turn * 60);
    await killed.kill("SIGKILL");
    if (turn % 2 === 0) await killPostmaster(folder.cluster, "SIGKILL");
    if (turn % 4 !== 3) continue;
    await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
    await write(postgres.url, turn);
    marks.push(turn);
    expect(await read(postgres.url)).toEqual(marks);
  }
});
