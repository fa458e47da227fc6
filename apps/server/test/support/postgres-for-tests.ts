/**
 * One PostgreSQL for a whole test run. Each project of the run calls this set-up, in one process: they name the same
 * folder, so the first starts it, the others join, and the last to end stops it. Its files need not outlive a crash, so
 * it does not wait for the disk.
 */
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { readPostmaster } from "../../src/db/postmaster.ts";

declare module "vitest" {
  export interface ProvidedContext {
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = join(tmpdir(), `dispatcher-postgres-${process.pid}`);
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: { info: () => {}, warn: () => {} },
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "300" },
  });
  project.provide("postgresUrl", postgres.url);
  return async () => {
    await postgres.stop();
    const isLast = (await readPostmaster(join(dataDir, "postgres"))) === null;
    if (isLast) await rm(dataDir, { recursive: true, force: true });
  };
}
