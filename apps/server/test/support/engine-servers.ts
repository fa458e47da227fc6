/** Two servers over one database, for tests that set them against a model: time that is moved, calls that break, and rows. */
import { setTimeout as delay } from "node:timers/promises";
import type { AssetId } from "@dispatcher/core";
import { vi } from "vitest";
import { openDatabase } from "../../src/db/database.ts";
import type { Database } from "../../src/db/database.ts";
import { assembleDependencies } from "../../src/services/dependencies.ts";
import type { Dependencies } from "../../src/services/dependencies.ts";
import { createServices } from "../../src/services/index.ts";
import type { Services } from "../../src/services/index.ts";
import { SETTINGS } from "./engine-model.ts";
import type { Rows } from "./engine-model.ts";
import { findImbalances } from "./find-imbalances.ts";
import { silentLog } from "./test-database.ts";
import { startTestDispatcher } from "./test-dispatcher.ts";
import type { TestDispatcher } from "./test-dispatcher.ts";

export const SERVER_NAMES = ["A", "B"] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

/** What may be locked, so that a call waits for it and can be broken there. */
export const LOCKED_TABLES = ["nodes", "standings", "origins"] as const;
export type LockedTable = (typeof LOCKED_TABLES)[number];

/** A history of some seconds is none of the half seconds that a view may be old. */
const SLOWNESS = 50;

export type Server = {
  readonly name: ServerName;
  readonly dependencies: Dependencies;
  readonly services: Services;
  /** By `performance.now()`: what was committed before then, it knows. */
  freshAtMs: number;
};

export class Servers implements AsyncDisposable {
  readonly #dispatcher: TestDispatcher;
  readonly #databases: ReadonlyMap<ServerName, Database>;
  readonly #servers = new Map<ServerName, Server>();
  readonly #clock: { readonly restore: () => unknown; aheadMs: number };

  private constructor(dispatcher: TestDispatcher, databases: ReadonlyMap<ServerName, Database>) {
    this.#dispatcher = dispatcher;
    this.#databases = databases;
    const now = performance.now.bind(performance);
    // The clock that servers measure their own waiting by goes with the database's, and hardly by itself: what they have in
    // memory ages in steps, on a quick machine and on a slow one.
    const spy = vi.spyOn(performance, "now");
    const clock = { restore: () => spy.mockRestore(), aheadMs: 0 };
    spy.mockImplementation(() => now() / SLOWNESS + clock.aheadMs);
    this.#clock = clock;
  }

  static async start(): Promise<Servers> {
    const { copies } = SETTINGS;
    const dispatcher = await startTestDispatcher({
      DISPATCHER_ORIGIN_CONCURRENCY: String(SETTINGS.concurrency),
      DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: String(SETTINGS.requestsPerMinute),
      DISPATCHER_QUOTA_MAX: String(SETTINGS.quotaMax),
      DISPATCHER_UNKNOWN_SIZE_BYTES: String(SETTINGS.unknownSizeBytes),
      DISPATCHER_RETRY_BASE_MS: String(SETTINGS.retryBaseMs),
      DISPATCHER_LEASE_MIN_MS: String(SETTINGS.leaseMs),
      DISPATCHER_LEASE_GRACE_MS: String(SETTINGS.graceMs),
      DISPATCHER_LEASE_CAP_MS: String(SETTINGS.capMs),
      DISPATCHER_SYNC_INTERVAL_MS: String(SETTINGS.suspectMs / 3),
      DISPATCHER_NODE_OFFLINE_MS: String(SETTINGS.offlineMs),
      DISPATCHER_NODE_LOST_MS: String(SETTINGS.lostMs),
      DISPATCHER_NODE_RETIRED_MS: String(SETTINGS.retiredMs),
      DISPATCHER_COPIES_MIN: String(copies.min),
      DISPATCHER_COPIES_TARGET: String(copies.target),
      DISPATCHER_COPIES_MAX: String(copies.max),
    });
    const { url } = dispatcher;
    const databases = SERVER_NAMES.map(
      (name) => [name, openDatabase({ url, applicationName: `server ${name}`, poolSize: 6, log: silentLog })] as const,
    );
    return new Servers(dispatcher, new Map(databases));
  }

  get #sql() {
    return this.#dispatcher.sql;
  }

  /** An empty database, and servers that know nothing. */
  async reset(): Promise<void> {
    for (const table of [
      "events",
      "assignments",
      "standings",
      "assets",
      "datasets",
      "origins",
      "nodes",
      "join_tokens",
      "operators",
    ]) {
      await this.#sql.unsafe(`delete from ${table}`);
    }
    for (const name of SERVER_NAMES) this.kill(name);
  }

  /** Its process ends and another takes its place: what it had in memory is gone. */
  kill(name: ServerName): void {
    const { feeder: _gone, ...parts } = this.#dispatcher.dependencies;
    const db = this.#databases.get(name);
    if (db === undefined) throw new Error(`There is no server ${name}.`);
    const dependencies = assembleDependencies({ ...parts, db });
    const freshAtMs = performance.now();
    this.#servers.set(name, { name, dependencies, services: createServices(dependencies), freshAtMs });
  }

  server(name: ServerName): Server {
    const server = this.#servers.get(name);
    if (server === undefined) throw new Error(`There is no server ${name}.`);
    return server;
  }

  /** Time passes: everything that was, was so much earlier. */
  async step(ms: number): Promise<void> {
    const columns: Readonly<Record<string, readonly string[]>> = {
      nodes: ["created_at", "last_sync_at", "lease_due_at"],
      assets: ["created_at", "remove_by"],
      standings: ["due_at", "retry_at"],
      assignments: ["granted_at", "lease_expires_at", "ended_at", "reclaimed_at"],
      origins: ["tokens_at", "closed_until", "clean_since"],
      service_state: ["alive_at", "mercy_until"],
    };
    await this.#dispatcher.dependencies.db.transaction(async (sql) => {
      for (const [table, names] of Object.entries(columns)) {
        const changes = names.map((name) => `${name} = ${name} - ${ms} * interval '1 millisecond'`);
        await sql.unsafe(`update ${table} set ${changes.join(", ")}`);
      }
    });
    this.#clock.aheadMs += ms;
  }

  /** People change how an asset stands, in SQL, and say so in the log. */
  async setState(assetId: AssetId, state: "wanted" | "withdrawn"): Promise<void> {
    await this.#dispatcher.dependencies.db.transaction(async (sql) => {
      await sql`update standings set state = ${state} where asset_id = ${assetId}`;
      await sql`insert into events (kind, actor, asset_ids) values ('assets.renewed', 'admin', ${[assetId]}::bigint[])`;
    });
  }

  /**
   * Call while a table is locked, and end the connection that waits for it. Answers what came of the call: a call that
   * needs no such lock comes to its end.
   */
  async breakOff<Answer>(name: ServerName, table: LockedTable, call: () => Promise<Answer>): Promise<Answer | Error> {
    const locked = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const holding = this.#dispatcher.dependencies.db.transaction(async (sql) => {
      await sql.unsafe(`select 1 from ${table} for update`);
      locked.resolve();
      await done.promise;
    });
    await Promise.race([locked.promise, holding]);
    const patience = new AbortController();
    const ended = call()
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
      .finally(() => patience.abort());
    while (!patience.signal.aborted) {
      await this.#sql`
        select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = ${`server ${name}`} and wait_event_type = 'Lock'`;
      await Promise.race([ended, delay(2)]);
    }
    done.resolve();
    await holding;
    return ended;
  }

  /** All that there is. */
  async read(): Promise<Rows> {
    const sql = this.#sql;
    const [assets, leases, nodes, origins, datasets, imbalances, [clock]] = [
      await sql<Rows["assets"][number][]>`
        select a.id::text as id, d.key as dataset, a.path, o.host, a.priority, a.size_bytes as "sizeBytes",
               s.seen_bytes as "seenBytes", a.digest_hex as sha256, s.state, s.retry_at as "retryAtMs", coalesce(s.due_at <= now(), false) as "isDue",
               s.independent_copies as "independentCopies", s.places_left as "placesLeft"
          from assets a join standings s on s.asset_id = a.id join datasets d on d.id = a.dataset_id
          join origins o on o.id = a.origin_id and o.id = s.origin_id
         order by a.id`,
      await sql<(Rows["leases"][number] & CopyColumns)[]>`
        select x.id::text as id, x.asset_id::text as "assetId", x.node_id::text as "nodeId", o.host, x.state, x.term, x.turn,
               x.granted_at as "grantedAtMs", x.lease_expires_at as "expiresAtMs", x.ended_at as "endedAtMs",
               x.reserved_bytes as "reservedBytes", x.bytes_done as "bytesDone", x.failure_code as "failureCode", x.is_surplus as "isSurplus",
               x.size_bytes as "sizeBytes", encode(x.sha256, 'hex') as sha256, x.trust, x.counts
          from assignments x join origins o on o.id = x.origin_id order by x.id`,
      await sql<Rows["nodes"][number][]>`
        select n.id::text as id, n.name, p.name as operator, n.life, coalesce(n.last_sync_at, n.created_at) as "heardAtMs",
               n.offered_bytes as "offeredBytes", n.quota, n.verified_copies as "verifiedCopies",
               n.inventory_wanted as "inventoryWanted", n.held_bytes as "heldBytes", n.reserved_bytes as "reservedBytes"
          from nodes n join operators p on p.id = n.operator_id order by n.id`,
      await sql<Rows["origins"][number][]>`
        select host, in_use as "inUse", coalesce(concurrency, ${SETTINGS.concurrency}::integer) as concurrency, failures,
               closed_until as "closedUntilMs", clean_since as "cleanSinceMs" from origins order by id`,
      await sql<Rows["datasets"][number][]>`
        select key, copies_min as min, copies_target as target, copies_max as max from datasets order by id`,
      await findImbalances(sql, SETTINGS.concurrency),
      await sql<[{ nowMs: number }]>`select clock_timestamp() as "nowMs"`,
    ];
    return { nowMs: clock.nowMs, assets, leases: leases.map(withCopy), nodes, origins, datasets, imbalances };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const db of this.#databases.values()) await db.close();
    await this.#dispatcher[Symbol.asyncDispose]();
    // Last: a driver that has closed a connection by this clock would wait for it to be that late again before the next.
    this.#clock.restore();
  }
}

type Copy = NonNullable<Rows["leases"][number]["copy"]>;
type CopyColumns = { readonly [Key in keyof Copy]: Copy[Key] | null };

function withCopy({
  sizeBytes,
  sha256,
  trust,
  counts,
  ...lease
}: Rows["leases"][number] & CopyColumns): Rows["leases"][number] {
  const isCopy = sizeBytes !== null && sha256 !== null && trust !== null && counts !== null;
  return { ...lease, copy: isCopy ? { sizeBytes, sha256, trust, counts } : null };
}
