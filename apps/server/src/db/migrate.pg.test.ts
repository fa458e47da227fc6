import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createEmptyDatabase, createTestDatabase, silentLog } from "../../test/support/test-database.ts";
import { openDatabase } from "./database.ts";
import { migrate } from "./migrate.ts";

const FIRST = { "0001_make_things.sql": "create table things (id bigint primary key);" };
const SECOND = { "0002_add_names.sql": "alter table things add name text; insert into things values (1, 'one');" };

async function folderOf(
  files: Readonly<Record<string, string>>,
): Promise<{ readonly folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "migrations-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

test("migrations are applied in order, once, and remembered", async () => {
  await using database = await createEmptyDatabase();
  await using early = await folderOf(FIRST);
  await using late = await folderOf({ ...FIRST, ...SECOND });
  const { db } = database;
  expect(await migrate(db, { log: silentLog, folder: early.folder })).toEqual(["0001_make_things"]);
  expect(await migrate(db, { log: silentLog, folder: late.folder })).toEqual(["0002_add_names"]);
  expect(await migrate(db, { log: silentLog, folder: late.folder })).toEqual([]);
  expect(await db.sql`select id, name from things`).toEqual([{ id: 1, name: "one" }]);
  expect(await db.sql`select version, name, length(sha256) as digits from schema_migrations order by version`).toEqual([
    { version: 1, name: "0001_make_things", digits: 64 },
    { version: 2, name: "0002_add_names", digits: 64 },
  ]);
});

test("four servers starting at once apply each migration exactly once", async () => {
  await using database = await createEmptyDatabase();
  await using files = await folderOf({ ...FIRST, ...SECOND });
  const databases = Array.from({ length: 4 }, (_, index) =>
    openDatabase({ url: database.url, applicationName: `server ${index}`, poolSize: 2, log: silentLog }),
  );
  try {
    const applied = await Promise.all(databases.map((db) => migrate(db, { log: silentLog, folder: files.folder })));
    expect(applied.flat().toSorted()).toEqual(["0001_make_things", "0002_add_names"]);
    expect(await database.sql`select count(*) as count from things`).toEqual([{ count: 1 }]);
  } finally {
    await Promise.all(databases.map((db) => db.close()));
  }
});

test("a migration that fails leaves nothing behind, and those before it stay", async () => {
  await using database = await createEmptyDatabase();
  await using broken = await folderOf({ ...FIRST, "0002_break.sql": "create table half (id int); select 1/0;" });
  const { db } = database;
  await expect(migrate(db, { log: silentLog, folder: broken.folder })).rejects.toMatchObject({
    message: "The migration 0002_break failed and was undone.",
    cause: { code: "22012" },
  });
  expect(await db.sql`select to_regclass('half') as half, to_regclass('things')::text as things`).toEqual([
    { half: null, things: "things" },
  ]);
  expect(await db.sql`select name from schema_migrations`).toEqual([{ name: "0001_make_things" }]);
});

test("a file that was edited after its release is refused; other line ends are no edit", async () => {
  await using database = await createEmptyDatabase();
  await using files = await folderOf({ "0001_a.sql": "create table a (id int);\n-- end\n" });
  await using otherLineEnds = await folderOf({ "0001_a.sql": "create table a (id int);\r\n-- end\r\n" });
  await using edited = await folderOf({ "0001_a.sql": "create table a (id bigint);\n-- end\n" });
  await migrate(database.db, { log: silentLog, folder: files.folder });
  await migrate(database.db, { log: silentLog, folder: otherLineEnds.folder });
  await expect(migrate(database.db, { log: silentLog, folder: edited.folder })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    detail:
      "This installation does not fit its database: the migration 0001_a was edited after this database had applied it.",
  });
});

test("a database that newer code has migrated is refused", async () => {
  await using database = await createEmptyDatabase();
  await using newer = await folderOf({ ...FIRST, ...SECOND });
  await using older = await folderOf(FIRST);
  await migrate(database.db, { log: silentLog, folder: newer.folder });
  await expect(migrate(database.db, { log: silentLog, folder: older.folder })).rejects.toMatchObject({
    code: "DATABASE_TOO_NEW",
    detail: "The database has the migration 0002_add_names, and the newest this Dispatcher knows is 0001_make_things.",
  });
});

test("a migration that comes in before one already applied is refused", async () => {
  await using database = await createEmptyDatabase();
  await using before = await folderOf({ "0001_a.sql": "select 1;", "0003_c.sql": "select 3;" });
  await using after = await folderOf({
    "0001_a.sql": "select 1;",
    "0002_b.sql": "select 2;",
    "0003_c.sql": "select 3;",
  });
  await migrate(database.db, { log: silentLog, folder: before.folder });
  await expect(migrate(database.db, { log: silentLog, folder: after.folder })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
});

test("PostgreSQL 14 is refused", async () => {
  await using database = await createEmptyDatabase();
  // The server's own function cannot be told to lie; one of the same name that is found first can.
  await database.sql.unsafe(`
    create schema old;
    create function old.current_setting(text) returns text language sql return
      case $1 when 'server_version_num' then '140099' else '14.99' end`);
  const url = `${database.url}?search_path=old,pg_catalog,public`;
  await using db = openDatabase({ url, applicationName: "test", poolSize: 2, log: silentLog });
  await expect(migrate(db, { log: silentLog })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    detail: "DATABASE_URL points to PostgreSQL 14.99, and Dispatcher needs 15 or newer.",
  });
});

test("a role that may not create tables is told so", async () => {
  await using database = await createEmptyDatabase();
  const role = new URL(database.url).pathname.slice(1);
  await database.sql.unsafe(`create role ${role} login password 'secret'`);
  try {
    const url = new URL(database.url);
    url.username = role;
    url.password = "secret";
    await using db = openDatabase({ url: url.href, applicationName: "test", poolSize: 2, log: silentLog });
    await expect(migrate(db, { log: silentLog })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      detail: expect.stringContaining("may not create tables"),
    });
  } finally {
    await database.sql.unsafe(`drop role ${role}`);
  }
});

test("the released migrations bring an empty database to the schema, and a second run finds nothing to do", async () => {
  await using database = await createEmptyDatabase();
  expect((await migrate(database.db, { log: silentLog })).length).toBeGreaterThan(0);
  expect(await migrate(database.db, { log: silentLog })).toEqual([]);
});

test("each test database is migrated and apart from the others", async () => {
  await using one = await createTestDatabase();
  await using other = await createTestDatabase();
  await one.sql`create table mine (id int)`;
  expect(await other.sql`select to_regclass('mine') as mine, to_regclass('assets')::text as assets`).toEqual([
    { mine: null, assets: "assets" },
  ]);
});
