/**
 * One PostgreSQL for a whole test run. Each project of the run calls this set-up, in one process: they name the same
 * folder, so the first starts it, the others join, and the last to end stops it. Its files need not outlive a crash, so
 * it does not wait for the disk.
 */
import { rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { readPostmaster } from "../../src/db/postmaster.ts";
import { startGuard } from "./postgres-guard.ts";

declare module "vitest" {
  export interface ProvidedContext {
    postgresUrl: string;
  }
}

/** A folder in memory, where Linux has one. */
const MEMORY = "/dev/shm";
/** A few databases of 10 MB at a time, and 1 GB of write-ahead log at the most. */
const ROOM_BYTES = 2 * 2 ** 30;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = join(await findFolder(), `dispatcher-postgres-${process.pid}`);
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: { info: () => {}, warn: () => {} },
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "300" },
  });
  if (!postgres.adopted) startGuard(dataDir);
  project.provide("postgresUrl", postgres.url);
  return async () => {
    await postgres.stop();
    const isLast = (await readPostmaster(join(dataDir, "postgres"))) === null;
    if (isLast) await rm(dataDir, { recursive: true, force: true });
  };
}

/**
 * Each test makes a database and drops it, which costs a disk's file system 2 to 20 times the work of one in memory.
 * Containers have one that is too small by default.
 */
async function findFolder(): Promise<string> {
  const { bavail, bsize } = await statfs(MEMORY).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= ROOM_BYTES ? MEMORY : tmpdir();
}
