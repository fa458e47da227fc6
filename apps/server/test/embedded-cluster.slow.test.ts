import { access, chmod, mkdir, readFile, readdir, rename, stat, utimes, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  databaseAt,
  killPostmaster,
  makeDataFolder,
  pidOfPostmaster,
  read,
  startOwner,
  urlOf,
  write,
} from "./support/embedded-owners.ts";
import type { DataFolder } from "./support/embedded-owners.ts";
import { silentLog } from "./support/test-database.ts";
import type { Database } from "../src/db/database.ts";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";

async function answers(db: Database): Promise<boolean> {
  try {
    await db.ping();
    return true;
  } catch {
    return false;
  }
}

/** A cluster that has been used and stopped, of which most tests take a copy: making one takes a second. */
let made: DataFolder;
beforeAll(async () => {
  made = await makeDataFolder();
  const postgres = await startEmbeddedPostgres({ dataDir: made.path, log: silentLog });
  await write(postgres.url, 1);
  await postgres.stop();
});
afterAll(() => made[Symbol.asyncDispose]());

test("it makes a durable cluster in UTF-8 behind a password, for this machine alone, and keeps what was stored", async () => {
  await using folder = await makeDataFolder();
  // Longer than the path of a socket file may be.
  const dataDir = join(folder.path, "a folder with blanks", "x".repeat(150));
  const first = await startEmbeddedPostgres({ dataDir, log: silentLog });
  expect(first.adopted).toBe(false);
  await write(first.url, 1);
  const db = databaseAt(first.url);
  const [settings] = await db.sql`
    select current_setting('fsync') as fsync, current_setting('server_encoding') as encoding,
           current_setting('password_encryption') as passwords, current_setting('data_checksums') as checksums,
           'ä' < 'z' as "sortsByLanguage", lower('Ä') as lower`;
  expect(settings).toEqual({
    fsync: "on",
    encoding: "UTF8",
    passwords: "scram-sha-256",
    checksums: "on",
    sortsByLanguage: false,
    lower: "ä",
  });
  await db.close();
  expect((await stat(join(dataDir, "postgres-password"))).mode & 0o777).toBe(0o600);
  const { port } = new URL(first.url);
  const ownAddresses = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  for (const { address, internal } of ownAddresses) {
    if (internal || address.startsWith("fe80")) continue;
    const socket = connect(Number(port), address);
    await expect(once(socket, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  }
  await first.stop();
  expect(await pidOfPostmaster(join(dataDir, "postgres"))).toBeNull();
  await using second = await startEmbeddedPostgres({ dataDir, log: silentLog });
  expect(second.adopted).toBe(false);
  expect(await read(second.url)).toEqual([1]);
});

test("a second process shares the cluster, whoever leaves first; the last to leave stops it", async () => {
  await using folder = await makeDataFolder(made);
  await using first = startOwner(folder.path);
  const url = await urlOf(first);
  await using second = startOwner(folder.path);
  expect(await second.report).toEqual({ url, adopted: true });
  await using third = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  expect(third).toMatchObject({ url, adopted: true });
  await first.leave();
  await second.leave();
  expect(await read(url)).toEqual([1]);
  await third.stop();
  expect(await pidOfPostmaster(folder.cluster)).toBeNull();
});

test("processes that start at the same moment on a new folder share one cluster", async () => {
  await using folder = await makeDataFolder();
  await using first = startOwner(folder.path);
  await using second = startOwner(folder.path);
  await using third = startOwner(folder.path);
  const owners = [first, second, third];
  const reports = await Promise.all(owners.map((owner) => owner.report));
  expect(new Set(await Promise.all(owners.map(urlOf))).size).toBe(1);
  expect(reports.filter((report) => "adopted" in report && !report.adopted)).toHaveLength(1);
  expect((await readdir(folder.path)).toSorted()).toEqual(["postgres", "postgres-password"]);
  await Promise.all(owners.map((owner) => owner.leave()));
  expect(await pidOfPostmaster(folder.cluster)).toBeNull();
});

test.for(["SIGKILL", "SIGINT"] as const)(
  "%s of the process that started it leaves the cluster, and the next start finds it",
  async (signal) => {
    await using folder = await makeDataFolder(made);
    await using first = startOwner(folder.path);
    const url = await urlOf(first);
    // To the whole process group, as Ctrl-C at a terminal does.
    await first.kill(signal);
    await using second = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
    expect(second).toMatchObject({ url, adopted: true });
    expect(await read(url)).toEqual([1]);
    await second.stop();
    expect(await pidOfPostmaster(folder.cluster)).toBeNull();
  },
);

test("after SIGKILL of everything the next start recovers what was stored, at the same port", async () => {
  await using folder = await makeDataFolder(made);
  await using first = startOwner(folder.path);
  const url = await urlOf(first);
  await write(url, 2);
  const postmaster = await pidOfPostmaster(folder.cluster);
  await first.kill("SIGKILL");
  await killPostmaster(folder.cluster, "SIGKILL");
  await using second = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  expect(second).toMatchObject({ url, adopted: false });
  expect(await pidOfPostmaster(folder.cluster)).not.toBe(postmaster);
  expect(await read(url)).toEqual([1, 2]);
});

test("a postmaster.pid left behind is no obstacle when another program has got its number", async () => {
  await using folder = await makeDataFolder(made);
  const first = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  const pidFile = join(folder.cluster, "postmaster.pid");
  const left = await readFile(pidFile, "utf8");
  await first.stop();
  await writeFile(pidFile, left.replace(/^\d+/, String(process.pid)), { mode: 0o600 });
  await using second = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  expect(second.adopted).toBe(false);
  expect(await read(second.url)).toEqual([1]);
});

test.for([
  ["empty", ""],
  ["without a number", "gar\0bage\n".repeat(9)],
])("a postmaster.pid that is %s is cleared up", async ([, text]) => {
  await using folder = await makeDataFolder(made);
  await writeFile(join(folder.cluster, "postmaster.pid"), text ?? "", { mode: 0o600 });
  await using second = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  expect(await read(second.url)).toEqual([1]);
});

test("a PostgreSQL that dies under its users is brought back at the same address", async () => {
  await using folder = await makeDataFolder(made);
  await using one = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  await using other = startOwner(folder.path);
  await urlOf(other);
  await using db = databaseAt(one.url);
  await killPostmaster(folder.cluster, "SIGKILL");
  while (!(await answers(db))) await sleep(10);
  expect(await read(one.url)).toEqual([1]);
  // Both are its users again: the first to leave does not stop it.
  await other.leave();
  await db.ping();
});

test("a process killed while it makes the cluster leaves nothing that is used", async () => {
  await using folder = await makeDataFolder();
  await using first = startOwner(folder.path);
  const unfinished = async (): Promise<string | undefined> =>
    (await readdir(folder.path)).find((name) => name.startsWith("postgres.new-"));
  while ((await unfinished()) === undefined) await sleep(1);
  await first.kill("SIGKILL");
  const name = (await unfinished()) ?? "";
  // As if it were from another day.
  await utimes(join(folder.path, name), new Date(0), new Date(0));
  await using second = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  await write(second.url, 1);
  expect((await readdir(folder.path)).toSorted()).toEqual(["postgres", "postgres-password"]);
});

test.for([
  ["99", "DATABASE_TOO_NEW", "was made by PostgreSQL 99, and this Dispatcher comes with PostgreSQL 18"],
  ["12", "DATA_DIR_UNUSABLE", "was made by PostgreSQL 12, and this Dispatcher comes with PostgreSQL 18"],
])("files of PostgreSQL %s are refused with both versions", async ([version, code, text]) => {
  await using folder = await makeDataFolder();
  await mkdir(folder.cluster);
  await writeFile(join(folder.cluster, "PG_VERSION"), `${version}\n`);
  await expect(startEmbeddedPostgres({ dataDir: folder.path, log: silentLog })).rejects.toMatchObject({
    code,
    detail: expect.stringContaining(`${folder.cluster} ${text}`),
  });
});

test("files that are no cluster are left alone", async () => {
  await using folder = await makeDataFolder();
  await mkdir(folder.cluster);
  await writeFile(join(folder.cluster, "thesis.txt"), "");
  await expect(startEmbeddedPostgres({ dataDir: folder.path, log: silentLog })).rejects.toMatchObject({
    code: "DATA_DIR_UNUSABLE",
    detail: `${folder.cluster} cannot serve the server's own PostgreSQL: it holds files that are no PostgreSQL cluster.`,
  });
  expect(await readdir(folder.cluster)).toEqual(["thesis.txt"]);
});

test("a file where the data directory should be is told", async () => {
  await using folder = await makeDataFolder();
  const dataDir = join(folder.path, "file");
  await writeFile(dataDir, "");
  await expect(startEmbeddedPostgres({ dataDir, log: silentLog })).rejects.toMatchObject({
    code: "DATA_DIR_UNUSABLE",
    details: { path: dataDir },
  });
});

test("a cluster that lost its password, or has another one, is told", async () => {
  await using folder = await makeDataFolder(made);
  const password = join(folder.path, "postgres-password");
  const aside = join(folder.path, "aside");
  const first = await startEmbeddedPostgres({ dataDir: folder.path, log: silentLog });
  await rename(password, aside);
  await expect(startEmbeddedPostgres({ dataDir: folder.path, log: silentLog })).rejects.toMatchObject({
    code: "DATA_DIR_UNUSABLE",
    detail: expect.stringContaining(password),
  });
  await writeFile(password, "another\n");
  await expect(startEmbeddedPostgres({ dataDir: folder.path, log: silentLog })).rejects.toMatchObject({
    code: "DATA_DIR_UNUSABLE",
    detail: expect.stringContaining("the password beside it does not open it"),
  });
  await first.stop();
});

test("an ordinary user may use it, and is told of a folder it may not write to", async () => {
  await using folder = await makeDataFolder();
  await chmod(folder.path, 0o777);
  await using owner = startOwner(folder.path, { isOrdinary: true });
  await write(await urlOf(owner), 1);
  await owner.leave();
  expect(await pidOfPostmaster(folder.cluster)).toBeNull();
  await using refused = startOwner("/proc/dispatcher", { isOrdinary: true });
  expect(await refused.report).toMatchObject({
    code: "DATA_DIR_UNUSABLE",
    detail: expect.stringMatching(/^\/proc\/dispatcher cannot serve the server's own PostgreSQL: E[A-Z]+: /),
  });
});

test("root uses it below a folder that only root may enter", async () => {
  await using folder = await makeDataFolder();
  await chmod(folder.path, 0o700);
  await using owner = startOwner(join(folder.path, "data"), {});
  await write(await urlOf(owner), 1);
  await owner.leave();
  await expect(access(join(folder.path, "data", "postgres", "postmaster.pid"))).rejects.toMatchObject({
    code: "ENOENT",
  });
});
