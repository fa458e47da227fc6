/**
 * The schema goes forward in numbered files, each applied once, in order, in a transaction of its own. Several servers may
 * start at once: whoever holds the lock applies the next one, the others wait and find it done. The lock belongs to the
 * transaction, so a server that dies leaves neither lock nor half a migration.
 */
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import type { Log } from "../log.ts";
import type { Database, Sql } from "./database.ts";

export type MigrateOptions = {
  readonly log: Pick<Log, "info">;
  /** Files `NNNN_name.sql`; default: those beside this file. */
  readonly folder?: string;
};

type Migration = { readonly version: number; readonly name: string; readonly sha256: string; readonly text: string };
type Applied = Pick<Migration, "version" | "name" | "sha256">;

/** The oldest PostgreSQL that is tested and still maintained. */
const SERVER_VERSION_MIN = 150_000;
/** "Migrate!"; any number does that nobody else locks in this database. */
const LOCK = 0x4d69_6772;

/**
 * Bring the database to the schema of this code. Answers the names of what it applied, in order; empty when there was
 * nothing to do.
 * @throws DispatcherError DATABASE_TOO_NEW (made by newer code), CONFIG_INVALID (PostgreSQL too old, no right to create
 * tables, a released file was edited, is missing or came late), DATABASE_UNAVAILABLE
 */
export async function migrate(db: Database, { log, folder }: MigrateOptions): Promise<readonly string[]> {
  await db.transaction(refuseOldServer);
  const migrations = await readMigrations(folder ?? MIGRATIONS);
  const names: string[] = [];
  for (;;) {
    // A large table takes its time to change, and whoever waits for that waits as long.
    const name = await db.transaction((sql) => applyNext(sql, migrations, log), { statementTimeoutMs: 0 });
    if (name === null) return names;
    log.info({ event: "database.migrated", migration: name }, `Applied the migration ${name}.`);
    names.push(name);
  }
}

/** How the schema of a database compares with this code's, without changing it. */
export type SchemaState = {
  /** The last migration it has; null for a database without any. */
  readonly schema: string | null;
  /** Those that the next start of a server applies, in order. */
  readonly missing: readonly string[];
};

/** @throws DispatcherError as `migrate` does for a database that does not fit */
export async function readSchemaState(db: Database): Promise<SchemaState> {
  const migrations = await readMigrations(join(import.meta.dirname, "migrations"));
  return db.transaction(async (sql) => {
    await refuseOldServer(sql);
    const [table] = await sql<[{ isThere: boolean }]>`select to_regclass('schema_migrations') is not null as "isThere"`;
    const applied = table.isThere
      ? await sql<Applied[]>`select version, name, sha256 from schema_migrations order by version`
      : [];
    refuseDifferences(applied, migrations);
    return {
      schema: applied.at(-1)?.name ?? null,
      missing: migrations.slice(applied.length).map(({ name }) => name),
    };
  });
}

async function refuseOldServer(sql: Sql): Promise<void> {
  const [row] = await sql<{ version: number; name: string }[]>`
    select current_setting('server_version_num')::integer as version, current_setting('server_version') as name`;
  if (row === undefined || row.version >= SERVER_VERSION_MIN) return;
  const needed = Math.floor(SERVER_VERSION_MIN / 10_000);
  const detail = `DATABASE_URL points to PostgreSQL ${row.name}, and Dispatcher needs ${needed} or newer.`;
  throw new DispatcherError("CONFIG_INVALID", detail);
}

const MIGRATIONS = join(import.meta.dirname, "migrations");

/** The newest migration that this code knows. */
export async function newestMigration(): Promise<string> {
  const newest =
    (await readdir(MIGRATIONS))
      .filter((file) => file.endsWith(".sql"))
      .toSorted()
      .at(-1) ?? "";
  return newest.slice(0, -".sql".length);
}

async function readMigrations(folder: string): Promise<readonly Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".sql")).toSorted();
  return Promise.all(
    files.map(async (file) => {
      const match = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(file);
      if (match === null) throw new Error(`${join(folder, file)} is not named NNNN_name.sql.`);
      // A checkout may have changed the line ends, which changes nothing.
      const text = (await readFile(join(folder, file), "utf8")).replaceAll("\r\n", "\n");
      const sha256 = createHash("sha256").update(text).digest("hex");
      return { version: Number(match[1]), name: file.slice(0, -".sql".length), sha256, text };
    }),
  );
}

async function applyNext(
  sql: Sql,
  migrations: readonly Migration[],
  log: MigrateOptions["log"],
): Promise<string | null> {
  await lockMigrations(sql, log);
  try {
    await sql`create table if not exists schema_migrations (
      version integer primary key, name text not null, sha256 text not null,
      applied_at timestamptz not null default now())`;
    const applied = await sql<Applied[]>`select version, name, sha256 from schema_migrations order by version`;
    refuseDifferences(applied, migrations);
    const next = migrations[applied.length];
    if (next === undefined) return null;
    await sql.unsafe(next.text).catch((cause: unknown) => {
      throw isForbidden(cause) ? cause : new Error(`The migration ${next.name} failed and was undone.`, { cause });
    });
    const { version, name, sha256 } = next;
    await sql`insert into schema_migrations (version, name, sha256) values (${version}, ${name}, ${sha256})`;
    return name;
  } catch (error) {
    if (!isForbidden(error)) throw error;
    const detail = `The role of DATABASE_URL may not create tables (${error.message}): grant it "create" on the schema.`;
    throw new DispatcherError("CONFIG_INVALID", detail, { cause: error });
  }
}

async function lockMigrations(sql: Sql, log: MigrateOptions["log"]): Promise<void> {
  const [row] = await sql<{ isOurs: boolean }[]>`select pg_try_advisory_xact_lock(${LOCK}::bigint) as "isOurs"`;
  if (row?.isOurs === true) return;
  log.info({ event: "database.migrating" }, "Waiting for another process that migrates the database.");
  await sql`select pg_advisory_xact_lock(${LOCK}::bigint)`;
}

/** What was applied has to be what our first files say, one for one. */
function refuseDifferences(applied: readonly Applied[], migrations: readonly Migration[]): void {
  const newest = migrations.at(-1);
  const newer = applied.find(({ version }) => version > (newest?.version ?? 0));
  if (newer !== undefined) {
    const ours = newest === undefined ? "none" : newest.name;
    const detail = `The database has the migration ${newer.name}, and the newest this Dispatcher knows is ${ours}.`;
    throw new DispatcherError("DATABASE_TOO_NEW", detail);
  }
  for (const [index, { version, name, sha256 }] of applied.entries()) {
    const file = migrations[index];
    if (file?.version === version && file.sha256 === sha256) continue;
    const fault =
      file?.version === version
        ? `the migration ${name} was edited after this database had applied it`
        : `the migration ${name} was applied to this database in the place of ${file?.name ?? "none"}`;
    throw new DispatcherError("CONFIG_INVALID", `This installation does not fit its database: ${fault}.`);
  }
}

function isForbidden(error: unknown): error is Error {
  return error instanceof Error && "code" in error && error.code === "42501";
}
