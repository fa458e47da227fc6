import { randomBytes } from "node:crypto";
import { link, mkdir, mkdtemp, open, readFile, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import type { Log } from "../log.ts";
import { findPrograms } from "./embedded-programs.ts";
import type { Programs, RootMode } from "./embedded-programs.ts";
import { Link } from "./link.ts";
import type { Sql } from "./link.ts";
import { readPostmaster, removeUnreadable } from "./postmaster.ts";
import type { Postmaster } from "./postmaster.ts";

/** A session in the running server that holds the shared lock. */
export type Entry = {
  readonly keeper: Link;
  readonly port: number;
  readonly isStartedHere: boolean;
  /** Resolves when the session ends without having been closed. */
  readonly lost: Promise<void>;
};

type ClusterOptions = {
  readonly log: Pick<Log, "info" | "warn">;
  readonly rootMode?: RootMode;
  readonly settings?: Readonly<Record<string, string>>;
};

const USER = "dispatcher";
/** "Dispatch" in two halves, as advisory locks take them; any pair does that nobody else uses in this cluster. */
const LOCK = { first: 0x44697370, second: 0x61746368 } as const;

/** Longest wait for a server to be ready. The recovery after a crash replays up to 1 GB: minutes on a slow disk. */
const READY_WITHIN_MS = 10 * 60_000;
/** Between two looks; a start takes some 50 ms. */
const LOOK_EVERY_MS = 25;
const TELL_EVERY_MS = 5_000;
/** A `postmaster.pid` that is being written is whole in an instant; one that is not for so long never will be. */
const UNREADABLE_FOR_MS = 2_000;
/** Processes of a killed server notice that within seconds; what is there for longer is another server. */
const REMAINS_FOR_MS = 30_000;
/** An unfinished new cluster that is younger is being made, which takes seconds. */
const ABANDONED_AFTER_MS = 10 * 60_000;
/** Another program may take a free port before PostgreSQL does; so often is no accident. */
const PORT_ATTEMPTS = 10;
const STOP_WITHIN_S = 60;
const SESSION_TIMEOUT_MS = 10_000;

/** Settings that the sharing of the cluster rests on, or that keep its log from filling the disk: a file a weekday. */
const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  logging_collector: "on",
  log_directory: "log",
  log_filename: "postgresql-%a.log",
  log_rotation_age: "1d",
  log_rotation_size: "0",
  log_truncate_on_rotation: "on",
  timezone: "UTC",
  log_timezone: "UTC",
} as const;

/** The files of one cluster, and the programs for them. */
export class Cluster {
  readonly #dir: string;
  readonly #password: string;
  readonly #programs: Programs;
  readonly #options: ClusterOptions;

  private constructor(dir: string, password: string, programs: Programs, options: ClusterOptions) {
    this.#dir = dir;
    this.#password = password;
    this.#programs = programs;
    this.#options = options;
  }

  /** See to it that the cluster's files are there, whole and fit for our PostgreSQL. */
  static async prepare(dataDir: string, options: ClusterOptions): Promise<Cluster> {
    const programs = await findPrograms(options.rootMode);
    const wanted = resolve(dataDir);
    try {
      await makeFolder(wanted);
      const folder = await realpath(wanted);
      const dir = join(folder, "postgres");
      const passwordFile = join(folder, "postgres-password");
      if ((await readVersion(dir)) === null) {
        await makePassword(passwordFile);
        await programs.handOver(passwordFile);
        await makeCluster({ folder, dir, passwordFile, programs });
      }
      checkVersion(dir, await readVersion(dir), programs.version);
      const password = (await readFile(passwordFile, "utf8")).trim();
      return new Cluster(dir, password, programs, options);
    } catch (error) {
      if (error instanceof DispatcherError) throw error;
      throw unusable(wanted, error instanceof Error ? error.message : String(error), error);
    }
  }

  urlOf(database: string, port: number): string {
    return `postgresql://${USER}:${this.#password}@127.0.0.1:${port}/${database}`;
  }

  /**
   * Enter the server that runs, or start one. With `onlyPort`, at that port or not at all: others were told of it.
   * @throws DispatcherError DATA_DIR_UNUSABLE, DATABASE_UNAVAILABLE; the signal's reason
   */
  async enter({
    signal,
    onlyPort,
  }: { readonly signal?: AbortSignal; readonly onlyPort?: number } = {}): Promise<Entry> {
    const wait = new Wait(this.#options.log, signal);
    let start: Start | null = null;
    let portsTaken = 0;
    let unreadableSinceMs: number | null = null;
    for (;;) {
      // Read before the file: a server of ours that has ended is then not in it any more.
      const end = start?.end ?? null;
      const found = await readPostmaster(this.#dir);
      // Since the last look at which it was whole, or not there: a server that is being started has just made it.
      unreadableSinceMs = found === "unreadable" ? (unreadableSinceMs ?? wait.elapsedMs) : null;
      if (found === "unreadable") {
        const unreadableMs = wait.elapsedMs - (unreadableSinceMs ?? 0);
        if (unreadableMs > UNREADABLE_FOR_MS) await removeUnreadable(this.#dir).catch(nullIfMissing);
      } else if (found?.isAlive === true) {
        const entry = await this.#enterIfReady(found, onlyPort, start);
        if (entry !== null) return entry;
      } else if (end !== null) {
        if (this.#isPortTaken(end, wait)) portsTaken += 1;
        if (portsTaken === (onlyPort === undefined ? PORT_ATTEMPTS : 1)) throw unusable(this.#dir, reasonOf(end));
        start = null;
      } else if (start === null) {
        // A killed server's port is taken up again where possible: others may know it.
        const formerPort = portsTaken === 0 ? found?.port : null;
        start = await this.#start(onlyPort ?? formerPort ?? (await findFreePort()), found?.pid);
      }
      await wait.next(found !== null && found !== "unreadable" && found.isAlive ? found.status : "starting");
    }
  }

  /** Give the shared lock back and see whether nobody else holds it; from then on nobody gets in. */
  async isOnlyOne(sql: Sql): Promise<boolean> {
    await sql`select pg_advisory_unlock_shared(${LOCK.first}::integer, ${LOCK.second}::integer)`;
    const [row] = await sql<{ isAlone: boolean }[]>`
      select pg_try_advisory_lock(${LOCK.first}::integer, ${LOCK.second}::integer) as "isAlone"`;
    return row?.isAlone === true;
  }

  /** Ends the sessions of everybody, and PostgreSQL in good order; in haste if that takes too long. */
  async shutDown(): Promise<void> {
    for (const mode of ["fast", "immediate"]) {
      const args = ["stop", "-D", this.#dir, "-m", mode, "-w", "-t", String(STOP_WITHIN_S)];
      const { exitCode, output } = await this.#programs.run("pg_ctl", args);
      if (exitCode === 0 || (await readPostmaster(this.#dir)) === null) return;
      this.#options.log.warn({ event: "postgres.stop" }, `PostgreSQL does not stop (${mode}): ${output.trim()}`);
    }
  }

  async #enterIfReady(found: Postmaster, onlyPort: number | undefined, start: Start | null): Promise<Entry | null> {
    const { pid, port, status } = found;
    if (port === null || !status.startsWith("ready")) return null;
    if (onlyPort !== undefined && port !== onlyPort) {
      throw unusable(
        this.#dir,
        `another process started it at port ${port} in place of ${onlyPort}; start this one again`,
      );
    }
    const session = await this.#openSession(port);
    if (session === null) return null;
    start?.forget();
    return { ...session, port, isStartedHere: pid === start?.pid };
  }

  /** Null while the server is about to stop, to start or to recover. */
  async #openSession(port: number): Promise<Pick<Entry, "keeper" | "lost"> | null> {
    const { promise: lost, resolve: onLost } = Promise.withResolvers<void>();
    const keeper = new Link({
      url: this.urlOf("postgres", port),
      addresses: () => [{ host: "127.0.0.1", port }],
      applicationName: "dispatcher keeper",
      connectTimeoutMs: SESSION_TIMEOUT_MS,
      statementTimeoutMs: SESSION_TIMEOUT_MS,
      mustBePrimary: false,
      onLost: () => onLost(),
      onAnswer: () => {},
    });
    try {
      const [row] = await keeper.sql<{ isIn: boolean }[]>`
        select pg_try_advisory_lock_shared(${LOCK.first}::integer, ${LOCK.second}::integer) as "isIn"`;
      if (row?.isIn === true) return { keeper, lost };
    } catch (error) {
      const code = error instanceof DispatcherError ? error.code : null;
      if (code === "CONFIG_INVALID") throw unusable(this.#dir, "the password beside it does not open it", error);
      if (code !== "DATABASE_UNAVAILABLE") throw error;
    }
    await keeper.close(0);
    return null;
  }

  async #start(port: number, stalePid: number | undefined): Promise<Start> {
    // Only now: a server that runs would lose its files with their owner.
    await this.#programs.handOver(this.#dir);
    const settings = Object.entries({ ...SETTINGS, ...this.#options.settings });
    const args = [
      "-D",
      this.#dir,
      "-p",
      String(port),
      ...settings.flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ];
    // The process named in a stale postmaster.pid may be another program by now, which PostgreSQL cannot tell. It takes
    // its starter's starter for no sign of life: so it is told that this is who that process is, and clears up itself.
    return watchStart(
      this.#programs.startServer(args, stalePid === undefined ? {} : { PG_GRANDPARENT_PID: String(stalePid) }),
    );
  }

  /** Whether another port is needed; false when another try will do. @throws DispatcherError for any other end */
  #isPortTaken(end: string, wait: Wait): boolean {
    if (/could not bind|could not create any TCP\/IP sockets/.test(end)) return true;
    const othersAreFirst = /lock file "postmaster\.pid" already exists/.test(end);
    const remainsOfKilled = /pre-existing shared memory block/.test(end) && wait.elapsedMs < REMAINS_FOR_MS;
    if (othersAreFirst || remainsOfKilled) return false;
    throw unusable(this.#dir, `${reasonOf(end)}${this.#programs.limits}`);
  }
}

/** Looks at something again and again, tells when that takes long, and ends it when it takes too long. */
class Wait {
  readonly #log: ClusterOptions["log"];
  readonly #signal: AbortSignal | undefined;
  readonly #begunAt = performance.now();
  #tellAtMs = TELL_EVERY_MS;

  constructor(log: ClusterOptions["log"], signal: AbortSignal | undefined) {
    this.#log = log;
    this.#signal = signal;
  }

  get elapsedMs(): number {
    return performance.now() - this.#begunAt;
  }

  async next(status: string): Promise<void> {
    await sleep(LOOK_EVERY_MS, undefined, { signal: this.#signal });
    const elapsed = `${Math.round(this.elapsedMs / 1000)} s`;
    if (this.elapsedMs > READY_WITHIN_MS) {
      const detail = `The server's own PostgreSQL is not ready after ${elapsed} (${status}).`;
      throw new DispatcherError("DATABASE_UNAVAILABLE", detail);
    }
    if (this.elapsedMs < this.#tellAtMs) return;
    this.#tellAtMs += TELL_EVERY_MS;
    this.#log.info({ event: "postgres.waiting" }, `Waiting for PostgreSQL (${status}), ${elapsed} so far.`);
  }
}

/** A server process from its start until it is ready or has ended. */
type Start = {
  readonly pid: number | undefined;
  /** What it said, once it has ended. */
  readonly end: string | null;
  /** It is ready and stays behind when we end. */
  forget(): void;
};

function watchStart(child: ReturnType<Programs["startServer"]>): Start {
  let output = "";
  let hasEnded = false;
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  child.once("error", (error) => {
    output += error.message;
    hasEnded = true;
  });
  child.once("close", () => {
    hasEnded = true;
  });
  child.unref();
  return {
    pid: child.pid,
    get end() {
      return hasEnded ? output : null;
    },
    forget: () => child.stderr?.destroy(),
  };
}

/** Node's own `recursive` never ends where a folder exists and takes no other, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (hasCode(error, "ENOENT") && dirname(path) !== path) {
      await makeFolder(dirname(path));
      await mkdir(path);
    } else if (!hasCode(error, "EEXIST")) throw error;
  }
}

/** The major version that made the cluster, null if there is none yet. */
async function readVersion(dir: string): Promise<number | null> {
  const text = await readFile(join(dir, "PG_VERSION"), "utf8").catch(nullIfMissing);
  if (text !== null) return Number(text.trim());
  const names = await readdir(dir).catch(nullIfMissing);
  if (names === null || names.length === 0) return null;
  throw unusable(dir, "it holds files that are no PostgreSQL cluster");
}

function checkVersion(dir: string, found: number | null, ours: number): void {
  if (found === ours) return;
  const detail = `${dir} was made by PostgreSQL ${found}, and this Dispatcher comes with PostgreSQL ${ours}.`;
  const details = { found, ours };
  if (found !== null && found > ours) throw new DispatcherError("DATABASE_TOO_NEW", detail, { details });
  const way = `Dump it with the Dispatcher that made it and load it into a new data directory, or run a PostgreSQL ${found}`;
  throw new DispatcherError("DATA_DIR_UNUSABLE", `${detail} ${way} on it and set DATABASE_URL.`, { details });
}

type Making = {
  readonly folder: string;
  readonly dir: string;
  readonly passwordFile: string;
  readonly programs: Programs;
};

/** Made aside and moved to its place in one step: what stands there is whole, whoever is killed or comes second. */
async function makeCluster({ folder, dir, passwordFile, programs }: Making): Promise<void> {
  await removeAbandoned(folder);
  const fresh = await mkdtemp(join(folder, "postgres.new-"));
  try {
    await programs.handOver(fresh);
    const { exitCode, output } = await programs.run("initdb", [
      `--pgdata=${fresh}`,
      `--username=${USER}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
    ]);
    if (exitCode !== 0) throw unusable(folder, `${reasonOf(output)}${programs.limits}`);
    await rename(fresh, dir).catch((error: unknown) => {
      // Another process made one meanwhile.
      if (!hasCode(error, "ENOTEMPTY") && !hasCode(error, "EEXIST")) throw error;
    });
    await syncFolder(folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith("postgres.new-")) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(nullIfMissing);
    if (found === null || Date.now() - found.mtimeMs < ABANDONED_AFTER_MS) continue;
    await rm(path, { recursive: true, force: true });
  }
}

/** The first of several processes to make one decides; it is whole from the moment it is there. */
async function makePassword(path: string): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString("hex")}`;
  const file = await open(aside, "wx", 0o600);
  try {
    await file.writeFile(`${randomBytes(24).toString("hex")}\n`);
    await file.sync();
    await file.close();
    await link(aside, path).catch((error: unknown) => {
      if (!hasCode(error, "EEXIST")) throw error;
    });
  } finally {
    await rm(aside);
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function findFreePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolvePort(port));
    });
  });
}

/** What a PostgreSQL program complained of, without the place and time before it. */
function reasonOf(output: string): string {
  const lines = output.trim().split("\n");
  const complaint = lines.find((line) => /\b(FATAL|PANIC|error):/.test(line)) ?? lines.at(-1) ?? "";
  return complaint.replace(/^.*?\b(?:FATAL|PANIC|error):\s*/, "") || "PostgreSQL ended without a word";
}

function unusable(path: string, reason: string, cause?: unknown): DispatcherError {
  const detail = `${path} cannot serve the server's own PostgreSQL: ${reason}.`;
  return new DispatcherError("DATA_DIR_UNUSABLE", detail, { cause, details: { path, reason } });
}

function nullIfMissing(error: unknown): null {
  if (hasCode(error, "ENOENT")) return null;
  throw error;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
