import { createHash, randomBytes } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { inject } from "vitest";
import { openDatabase } from "../../src/db/database.ts";
import type { Database, Sql } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";

export type TestDatabase = AsyncDisposable & {
  /** For processes started by the test. */
  readonly url: string;
  readonly db: Database;
  /** That of `db`. */
  readonly sql: Sql;
};

export const silentLog = { info: () => {}, warn: () => {} } as const;

/** Of this process, as is `administrator`: a connection costs PostgreSQL a process, as much work as half a database. */
let template: Promise<string> | undefined;
let administrator: postgres.Sql | undefined;

const MIGRATIONS = join(import.meta.dirname, "../../src/db/migrations");

/** A database of its own, migrated, gone with everything connected to it when the test ends. */
export async function createTestDatabase(): Promise<TestDatabase> {
  template ??= readyTemplate();
  return createDatabase({ template: await template });
}

/** As above, with nothing in it. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return createDatabase({ template: "template0" });
}

async function createDatabase({ template: source }: { readonly template: string }): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await administer().unsafe(`create database ${name} template ${source} strategy file_copy`);
  const url = urlOf(name);
  const db = openDatabase({ url, applicationName: "test", poolSize: 10, log: silentLog });
  return {
    url,
    db,
    sql: db.sql,
    [Symbol.asyncDispose]: async () => {
      await db.close();
      await administer().unsafe(`drop database ${name} with (force)`);
    },
  };
}

/**
 * The migrated database that the others are copied from. Test files run in several processes: the first to come
 * makes it under a lock, aside, and names it by its migrations, so that one that exists is whole and right.
 */
async function readyTemplate(): Promise<string> {
  const name = `template_${await digestOfMigrations()}`;
  // The lock is that of the connection.
  const sql = postgres(inject("postgresUrl"), { max: 1, onnotice: () => {} });
  try {
    await sql`select pg_advisory_lock(1)`;
    const [found] = await sql`select 1 from pg_database where datname = ${name}`;
    if (found === undefined) await makeTemplate(sql, name);
  } finally {
    await sql.end();
  }
  return name;
}

async function makeTemplate(sql: postgres.Sql, name: string): Promise<void> {
  const aside = `${name}_new`;
  await sql.unsafe(`drop database if exists ${aside} with (force)`);
  await sql.unsafe(`create database ${aside} template template0`);
  const db = openDatabase({ url: urlOf(aside), applicationName: "test template", poolSize: 2, log: silentLog });
  try {
    await migrate(db, { log: silentLog });
  } finally {
    await db.close();
  }
  await sql.unsafe(`alter database ${aside} rename to ${name}`);
}

async function digestOfMigrations(): Promise<string> {
  const hash = createHash("sha256");
  for (const file of (await readdir(MIGRATIONS)).toSorted()) hash.update(await readFile(join(MIGRATIONS, file)));
  return hash.digest("hex").slice(0, 16);
}

/** Closes its connection when there was nothing to do for a second. */
function administer(): postgres.Sql {
  administrator ??= postgres(inject("postgresUrl"), {
    max: 1,
    idle_timeout: 1,
    fetch_types: false,
    onnotice: () => {},
  });
  return administrator;
}

function urlOf(database: string): string {
  const url = new URL(inject("postgresUrl"));
  url.pathname = `/${database}`;
  return url.href;
}
