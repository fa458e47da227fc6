/**
 * The server's own PostgreSQL, for those who have none: a real one, below the data directory.
 *
 * It is a process of its own that nobody owns. Every Dispatcher process on the data directory (servers, the admin
 * command) finds it by PostgreSQL's `postmaster.pid` and shares it; whoever finds none starts it. Two who do so at once
 * are told apart by PostgreSQL itself, which lets one server into a folder: the other's ends, and its starter joins the
 * first. So the crash of a Dispatcher takes nothing down, and its next start finds the database where it was.
 *
 * Each holds a session with a shared advisory lock, which ends with the process however that ends. To stop, a process
 * gives its shared lock back and tries for the exclusive one in the same session: whoever gets it is alone, and nobody
 * can join until PostgreSQL has gone or that session has. The last of several leaving at once always gets it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import type { Log } from "../log.ts";
import { Cluster } from "./embedded-cluster.ts";
import type { Entry } from "./embedded-cluster.ts";
import type { RootMode } from "./embedded-programs.ts";
import type { Sql } from "./link.ts";

export type EmbeddedOptions = {
  /** Made if missing. PostgreSQL's files are in its folder `postgres`, the password beside it. */
  readonly dataDir: string;
  readonly log: Pick<Log, "info" | "warn">;
  /** How root runs PostgreSQL; without it, the first way that works. */
  readonly rootMode?: RootMode;
  /** PostgreSQL's own settings, where it is started here. */
  readonly settings?: Readonly<Record<string, string>>;
};

export type EmbeddedPostgres = {
  readonly url: string;
  /** It ran already, or another process was first to start it. */
  readonly adopted: boolean;
  /** Leave it; the last to leave shuts it down and waits until it is gone. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

const DATABASE = "dispatcher";
/** A PostgreSQL that died is started again after so long, and after doubling pauses when that fails. */
const REVIVE_PAUSE_MS = { first: 100, longest: 30_000 } as const;

/**
 * Find the PostgreSQL of this data directory running, or start it, and make what is missing: folder, cluster, database.
 * Should it die later, it is started again at the same address.
 * @throws DispatcherError DATA_DIR_UNUSABLE, DATABASE_TOO_NEW, DATABASE_UNAVAILABLE (not ready in time),
 * CONFIG_INVALID (no PostgreSQL for this machine)
 */
export async function startEmbeddedPostgres({ dataDir, ...options }: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const cluster = await Cluster.prepare(dataDir, options);
  const entry = await cluster.enter();
  try {
    await makeDatabase(entry.keeper.sql);
  } catch (error) {
    await entry.keeper.close(0);
    throw error;
  }
  const membership = new Membership(cluster, entry, options.log);
  return {
    url: cluster.urlOf(DATABASE, entry.port),
    adopted: !entry.isStartedHere,
    stop: () => membership.leave(),
    [Symbol.asyncDispose]: () => membership.leave(),
  };
}

async function makeDatabase(sql: Sql): Promise<void> {
  const [found] = await sql`select 1 from pg_database where datname = ${DATABASE}`;
  if (found !== undefined) return;
  try {
    await sql.unsafe(`create database ${DATABASE}`);
  } catch (error) {
    // Another process made it in between; the two codes are for a little earlier and a little later.
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code !== "42P04" && code !== "23505") throw error;
  }
}

/** This process among those that use the cluster: its session, kept alive until it leaves. */
class Membership {
  readonly #cluster: Cluster;
  readonly #log: EmbeddedOptions["log"];
  readonly #leaving = new AbortController();
  #entry: Entry;
  #revival: Promise<void> = Promise.resolve();
  #left: Promise<void> | undefined;

  constructor(cluster: Cluster, entry: Entry, log: EmbeddedOptions["log"]) {
    this.#cluster = cluster;
    this.#log = log;
    this.#entry = entry;
    void this.#watch(entry);
  }

  leave(): Promise<void> {
    this.#left ??= this.#leave();
    return this.#left;
  }

  async #leave(): Promise<void> {
    this.#leaving.abort();
    await this.#revival;
    const { keeper } = this.#entry;
    try {
      if (await this.#cluster.isOnlyOne(keeper.sql)) await this.#cluster.shutDown();
    } catch (error) {
      if (!(error instanceof DispatcherError)) throw error;
      this.#log.warn({ event: "postgres.left" }, `PostgreSQL was left as it is: ${error.detail}`);
    } finally {
      await keeper.close(0);
    }
  }

  async #watch({ lost }: Entry): Promise<void> {
    await lost;
    if (!this.#leaving.signal.aborted) this.#revival = this.#revive();
  }

  async #revive(): Promise<void> {
    const { signal } = this.#leaving;
    const { port } = this.#entry;
    this.#log.warn({ event: "postgres.lost" }, "The connection to the server's PostgreSQL broke; looking after it.");
    for (let pauseMs: number = REVIVE_PAUSE_MS.first; !signal.aborted; pauseMs = nextPauseMs(pauseMs)) {
      try {
        await sleep(pauseMs, undefined, { signal });
        this.#entry = await this.#cluster.enter({ signal, onlyPort: port });
        void this.#watch(this.#entry);
        this.#log.info({ event: "postgres.back" }, "The server's PostgreSQL is back.");
        return;
      } catch (error) {
        if (signal.aborted) return;
        const reason = error instanceof DispatcherError ? error.detail : String(error);
        this.#log.warn({ event: "postgres.down" }, `The server's PostgreSQL could not be brought back yet: ${reason}`);
      }
    }
  }
}

function nextPauseMs(pauseMs: number): number {
  return Math.min(pauseMs * 2, REVIVE_PAUSE_MS.longest);
}
