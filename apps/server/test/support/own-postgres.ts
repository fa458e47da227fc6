import { execFile } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { findPrograms } from "../../src/db/embedded-programs.ts";
import { readPostmaster } from "../../src/db/postmaster.ts";
import { startGuard } from "./postgres-guard.ts";
import { silentLog } from "./test-database.ts";

export type Settings = Readonly<Record<string, string>>;

/** A PostgreSQL that one test may stop and start as it likes, always at the same address. */
export type OwnPostgres = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  /** With settings that hold for this start alone. */
  start(settings?: Settings): Promise<void>;
  /** `immediate`: as in a crash. */
  stop(mode: "fast" | "immediate"): Promise<void>;
  /** SIGKILL to all of its processes at one moment, as when its machine goes. */
  kill(): Promise<void>;
  /**
   * A second one, from a copy of the first, which has to be stopped for the moment; it answers reads alone. With `follows`
   * it takes over what the first one writes from then on; its name there is `standby`.
   */
  startStandby(options?: { readonly follows: boolean }): Promise<OwnPostgres>;
  /** Let a standby take the place of the one it followed. */
  promote(): Promise<void>;
};

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "own-postgres-"));
  // Makes the files and the database; from here on it is the test's to run.
  const made = await startEmbeddedPostgres({ dataDir, log: silentLog });
  await made.stop();
  const password = (await readFile(join(dataDir, "postgres-password"), "utf8")).trim();
  const server = await serverOf({ dataDir, password, settings: {} });
  await server.start();
  return server;
}

type ServerParts = { readonly dataDir: string; readonly password: string; readonly settings: Settings };

async function serverOf({ dataDir, password, settings: lasting }: ServerParts): Promise<OwnPostgres> {
  const programs = await findPrograms();
  const dir = join(dataDir, "postgres");
  const port = await findFreePort();
  const fixed = { ...lasting, listen_addresses: "127.0.0.1", unix_socket_directories: "" };
  const guard = startGuard(dataDir);
  const stop = async (mode: "fast" | "immediate"): Promise<void> => {
    if (!(await isRunning(dir))) return;
    const { exitCode, output } = await programs.run("pg_ctl", ["stop", "-D", dir, "-m", mode, "-w"]);
    if (exitCode !== 0) throw new Error(output);
  };
  /** False while the remains of a killed one are still in the way. */
  const tryStart = async (args: readonly string[]): Promise<boolean> => {
    const left = await readPostmaster(dir);
    // The process that a killed server's file names may be another by now: see the embedded cluster.
    const env = left === null || left === "unreadable" ? {} : { PG_GRANDPARENT_PID: String(left.pid) };
    const child = programs.startServer(args, env);
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
    child.unref();
    while (!(await isReady(dir))) {
      if (child.exitCode !== null) {
        if (said.includes("pre-existing shared memory block")) return false;
        throw new Error(`PostgreSQL ended with status ${child.exitCode}: ${said}`);
      }
      await sleep(10);
    }
    child.stderr?.destroy();
    return true;
  };
  return {
    url: `postgresql://dispatcher:${password}@127.0.0.1:${port}/dispatcher`,
    port,
    start: async (settings = {}) => {
      const args = Object.entries({ ...fixed, ...settings }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
      while (!(await tryStart(["-D", dir, "-p", String(port), ...args])));
    },
    stop,
    kill: async () => {
      const found = await readPostmaster(dir);
      if (found === null || found === "unreadable" || !found.isAlive) return;
      // Stopped, it starts no further process while the others are looked for.
      process.kill(found.pid, "SIGSTOP");
      for (const pid of [found.pid, ...(await childrenOf(found.pid))]) {
        // One that has ended meanwhile is what was wanted.
        await promisify(execFile)("kill", ["-KILL", String(pid)]).catch(() => {});
      }
      while (await isRunning(dir)) await sleep(10);
    },
    startStandby: async ({ follows } = { follows: false }) => {
      const copyDir = await mkdtemp(join(tmpdir(), "own-standby-"));
      await cp(dir, join(copyDir, "postgres"), { recursive: true });
      await writeFile(join(copyDir, "postgres", "standby.signal"), "");
      const primary = `host=127.0.0.1 port=${port} user=dispatcher password=${password} application_name=standby`;
      const settings = follows ? { primary_conninfo: primary, wal_retrieve_retry_interval: "100ms" } : {};
      const standby = await serverOf({ dataDir: copyDir, password, settings: { ...lasting, ...settings } });
      await standby.start();
      return standby;
    },
    promote: async () => {
      const { exitCode, output } = await programs.run("pg_ctl", ["promote", "-D", dir, "-w"]);
      if (exitCode !== 0) throw new Error(output);
    },
    [Symbol.asyncDispose]: async () => {
      await stop("immediate");
      await rm(dataDir, { recursive: true, force: true });
      const hasEnded = once(guard, "exit");
      guard.stdin.end();
      await hasEnded;
    },
  };
}

async function isRunning(dir: string): Promise<boolean> {
  const found = await readPostmaster(dir);
  return found === "unreadable" || found?.isAlive === true;
}

async function childrenOf(parent: number): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid="]);
  return stdout
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid, ppid]) => (pid !== undefined && ppid === parent ? [pid] : []));
}

async function isReady(dir: string): Promise<boolean> {
  const found = await readPostmaster(dir);
  return found !== null && found !== "unreadable" && found.isAlive && /^(ready|standby)/.test(found.status);
}

export async function findFreePort(): Promise<number> {
  await using server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("A TCP server has an address.");
  return address.port;
}
