import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { findPrograms } from "../../src/db/embedded-programs.ts";
import { readPostmaster } from "../../src/db/postmaster.ts";
import { silentLog } from "./test-database.ts";

/** A PostgreSQL that one test may stop and start as it likes, always at the same address. */
export type OwnPostgres = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** `immediate`: as in a crash. */
  stop(mode: "fast" | "immediate"): Promise<void>;
  /** A second one that follows the first, which has to be stopped for the moment; it answers reads alone. */
  startStandby(): Promise<OwnPostgres>;
};

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "own-postgres-"));
  // Makes the files and the database; from here on it is the test's to run.
  const made = await startEmbeddedPostgres({ dataDir, log: silentLog });
  await made.stop();
  const password = (await readFile(join(dataDir, "postgres-password"), "utf8")).trim();
  const server = await serverOf({ dataDir, password });
  await server.start();
  return server;
}

async function serverOf({
  dataDir,
  password,
}: {
  readonly dataDir: string;
  readonly password: string;
}): Promise<OwnPostgres> {
  const programs = await findPrograms();
  const dir = join(dataDir, "postgres");
  const port = await findFreePort();
  const settings = ["-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="];
  const stop = async (mode: "fast" | "immediate"): Promise<void> => {
    if ((await readPostmaster(dir)) === null) return;
    const { exitCode, output } = await programs.run("pg_ctl", ["stop", "-D", dir, "-m", mode, "-w"]);
    if (exitCode !== 0) throw new Error(output);
  };
  return {
    url: `postgresql://dispatcher:${password}@127.0.0.1:${port}/dispatcher`,
    port,
    start: async () => {
      const child = programs.startServer(["-D", dir, ...settings], {});
      child.stderr?.resume();
      child.unref();
      while (!(await isReady(dir))) {
        if (child.exitCode !== null) throw new Error(`PostgreSQL ended with status ${child.exitCode}.`);
        await sleep(10);
      }
      child.stderr?.destroy();
    },
    stop,
    startStandby: async () => {
      const copyDir = await mkdtemp(join(tmpdir(), "own-standby-"));
      await cp(dir, join(copyDir, "postgres"), { recursive: true });
      await writeFile(join(copyDir, "postgres", "standby.signal"), "");
      const standby = await serverOf({ dataDir: copyDir, password });
      await standby.start();
      return standby;
    },
    [Symbol.asyncDispose]: async () => {
      await stop("immediate");
      await rm(dataDir, { recursive: true, force: true });
    },
  };
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
