import { spawn, spawnSync } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase } from "../../src/db/database.ts";
import type { Database } from "../../src/db/database.ts";
import { readPostmaster } from "../../src/db/postmaster.ts";
import type { OwnerReport } from "./embedded-owner.ts";
import { silentLog } from "./test-database.ts";

const PROGRAM = join(import.meta.dirname, "embedded-owner.ts");

/** A folder for data directories; whatever PostgreSQL still runs in it is ended with it. */
export type DataFolder = AsyncDisposable & {
  readonly path: string;
  /** The folder of the cluster itself. */
  readonly cluster: string;
};

/** Empty, or a copy of one whose cluster does not run. */
export async function makeDataFolder(original?: DataFolder): Promise<DataFolder> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "embedded-")));
  if (original !== undefined) await cp(original.path, path, { recursive: true });
  const cluster = join(path, "postgres");
  return {
    path,
    cluster,
    [Symbol.asyncDispose]: async () => {
      await killPostmaster(cluster, "SIGQUIT");
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** The number of the server process, null when none runs. */
export async function pidOfPostmaster(cluster: string): Promise<number | null> {
  const found = await readPostmaster(cluster);
  return found !== null && found !== "unreadable" && found.isAlive ? found.pid : null;
}

/** End the server and wait until it and its processes are gone; SIGQUIT takes the processes along, SIGKILL alone not. */
export async function killPostmaster(cluster: string, signal: "SIGQUIT" | "SIGKILL"): Promise<void> {
  const pid = await pidOfPostmaster(cluster);
  if (pid === null) return;
  process.kill(pid, signal);
  // Not "until none runs": its users may have started another by the time we look.
  while ((await pidOfPostmaster(cluster)) === pid) await sleep(10);
}

export type Owner = AsyncDisposable & {
  readonly pid: number;
  /** What it said when it was ready or had failed. */
  readonly report: Promise<OwnerReport>;
  /** All that it logged so far. */
  readonly log: () => string;
  /** Let it leave in order. */
  leave(): Promise<void>;
  kill(signal: "SIGKILL" | "SIGINT"): Promise<void>;
};

/** The URL that an owner tells when it is ready. */
export async function urlOf(owner: Owner): Promise<string> {
  const report = await owner.report;
  if (!("url" in report)) throw new Error(`${report.code}: ${report.detail}`);
  return report.url;
}

export function databaseAt(url: string): Database {
  return openDatabase({ url, applicationName: "test", poolSize: 2, log: silentLog });
}

/** Leave a mark in the database, to be found by `read`. */
export async function write(url: string, mark: number): Promise<void> {
  await using db = databaseAt(url);
  await db.sql`create table if not exists marks (mark int)`;
  await db.sql`insert into marks values (${mark})`;
}

/** The marks in the database, in ascending order. */
export async function read(url: string): Promise<readonly number[]> {
  await using db = databaseAt(url);
  return (await db.sql<{ mark: number }[]>`select mark from marks order by mark`).map(({ mark }) => mark);
}

export type OwnerOptions = {
  readonly rootMode?: "namespace" | "user";
  /** Without the rights of root, whoever runs the test. */
  readonly isOrdinary?: boolean;
};

export function startOwner(dataDir: string, { rootMode, isOrdinary = false }: OwnerOptions = {}): Owner {
  const command = [
    ...(isOrdinary ? ordinary() : []),
    process.execPath,
    PROGRAM,
    dataDir,
    ...(rootMode ? [rootMode] : []),
  ];
  const [file = process.execPath, ...args] = command;
  // A process group of its own, as a shell gives to what is started at its prompt.
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  let logged = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (logged += chunk));
  child.stdin.on("error", () => {});
  const ended = once(child, "close");
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} cannot be started.`);
  const report = readReport(child, () => logged);
  // A test that kills it early asks for none.
  report.catch(() => {});
  return {
    pid,
    report,
    log: () => logged,
    leave: async () => {
      child.stdin.end();
      await ended;
    },
    kill: async (signal) => {
      process.kill(-pid, signal);
      await ended;
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    },
  };
}

async function readReport(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  logged: () => string,
): Promise<OwnerReport> {
  for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as OwnerReport;
  throw new Error(`It ended without a report: ${logged()}`);
}

/**
 * How to run a program without root's rights. A test that runs as root becomes nobody; where nobody may not read the
 * programs (a clone below a folder only root may enter), root in a user namespace, who is nobody in particular, must do.
 */
function ordinary(): readonly string[] {
  if (userInfo().uid !== 0) return [];
  const asNobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
  const [file, ...args] = [...asNobody, process.execPath, "--check", PROGRAM];
  return spawnSync(file, args, { stdio: "ignore" }).status === 0 ? asNobody : ["unshare", "--user"];
}
