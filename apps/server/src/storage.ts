import { DispatcherError } from "@dispatcher/core";
import type { ServerConfig } from "./config.ts";
import { openDatabase } from "./db/database.ts";
import type { Database } from "./db/database.ts";
import { startEmbeddedPostgres } from "./db/embedded.ts";
import { migrate } from "./db/migrate.ts";
import type { Log } from "./log.ts";

export type Storage = {
  readonly db: Database;
  /** Close the connections; our own PostgreSQL stops with its last user. */
  close(): Promise<void>;
};

/**
 * The database that the configuration names, as it is: `DATABASE_URL`, or else our own PostgreSQL below the data directory,
 * started or shared with the process that started it.
 * @throws DispatcherError DATA_DIR_UNUSABLE, DATABASE_UNAVAILABLE (our own), CONFIG_INVALID
 */
export async function connectStorage(config: ServerConfig, log: Log, applicationName: string): Promise<Storage> {
  const { DATABASE_URL: url, DISPATCHER_DATA_DIR: dataDir, DISPATCHER_DATABASE_POOL: poolSize } = config;
  const embedded = url === undefined ? await startEmbeddedPostgres({ dataDir, log }) : null;
  const db = openDatabase({ url: embedded?.url ?? (url as string), applicationName, poolSize, log });
  return {
    db,
    close: async () => {
      await db.close();
      await embedded?.stop();
    },
  };
}

/**
 * The same, migrated and ready.
 * @throws DispatcherError DATABASE_UNAVAILABLE, DATABASE_TOO_NEW, DATA_DIR_UNUSABLE, CONFIG_INVALID
 */
export async function openStorage(config: ServerConfig, log: Log, applicationName: string): Promise<Storage> {
  const storage = await connectStorage(config, log, applicationName);
  try {
    await migrate(storage.db, { log });
  } catch (error) {
    await storage.close().catch((cause: unknown) => {
      if (!(cause instanceof DispatcherError)) throw cause;
    });
    throw error;
  }
  return storage;
}
