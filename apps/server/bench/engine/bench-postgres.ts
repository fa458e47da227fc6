/** One PostgreSQL for a run, as the server starts its own; each contender gets a database in it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { openDatabase } from "../../src/db/database.ts";
import type { Database } from "../../src/db/database.ts";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";

export const log = pino({ level: "silent" });

/** Loading millions of rows takes longer than any statement of a service may. */
const LOAD_TIMEOUT_MS = 3_600_000;

export type BenchPostgres = AsyncDisposable & {
  /** A new database; answers its address. */
  create(name: string): Promise<string>;
  drop(name: string): Promise<void>;
  /** The version, and the settings that the figures depend on. */
  readonly about: Readonly<Record<string, string>>;
};

/** Connections that a bench opens, at most as many as a server with this pool would. */
export function open(url: string, poolSize = 10): Database {
  return openDatabase({ url, applicationName: "bench", poolSize, log });
}

/** As above, for work before and after the clock runs. */
export function openForLoading(url: string): Database {
  return openDatabase({ url, applicationName: "bench load", poolSize: 3, log, statementTimeoutMs: LOAD_TIMEOUT_MS });
}

export async function startBenchPostgres(): Promise<BenchPostgres> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-bench-"));
  const settings = { max_connections: "200" };
  const cluster = await startEmbeddedPostgres({ dataDir: folder, log, settings });
  const admin = openForLoading(cluster.url);
  const names = ["server_version", "fsync", "synchronous_commit", "full_page_writes", "autovacuum", "shared_buffers"];
  const rows = await admin.sql<{ name: string; setting: string }[]>`
    select name, current_setting(name) as setting from unnest(${names}::text[]) as name`;
  return {
    about: Object.fromEntries(rows.map(({ name, setting }) => [name, setting])),
    create: async (name) => {
      await admin.sql.unsafe(`create database ${name}`);
      const url = new URL(cluster.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    drop: async (name) => {
      await admin.sql.unsafe(`drop database if exists ${name} with (force)`);
    },
    [Symbol.asyncDispose]: async () => {
      await admin.close();
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
