import { inject, expect, test } from "vitest";
import { createEmptyDatabase, silentLog } from "../../test/support/test-database.ts";
import { openDatabase } from "./database.ts";
import type { Sql } from "./database.ts";

test("rows carry whole numbers, times in ms, exact decimals as text, bytes, JSON and arrays of these", async () => {
  await using database = await createEmptyDatabase();
  const [row] = await database.sql`
    select 9007199254740991::bigint as big, -5 as small, 1.10::numeric as exact, 0.5::double precision as half,
           timestamptz '2026-11-24 03:08:00.123456+01' as time, '\\x00ff'::bytea as bytes, '{"a": [1]}'::jsonb as json,
           null::bigint as nothing, true as yes,
           array[1, null, 9007199254740991]::bigint[] as bigs, array['a"b\\c', 'NULL', null, '', 'd,e']::text[] as texts,
           array[true, false] as booleans, array['\\x01'::bytea] as byteses, '{}'::integer[] as none,
           array[timestamptz '1970-01-01 00:00:01Z'] as times`;
  expect(row).toEqual({
    big: 9007199254740991,
    small: -5,
    exact: "1.10",
    half: 0.5,
    time: Date.parse("2026-11-24T02:08:00.123Z"),
    bytes: Buffer.from([0, 255]),
    json: { a: [1] },
    nothing: null,
    yes: true,
    bigs: [1, null, 9007199254740991],
    texts: ['a"b\\c', "NULL", null, "", "d,e"],
    booleans: [true, false],
    byteses: [Buffer.from([1])],
    none: [],
    times: [1000],
  });
});

test("parameters are taken in the forms that rows carry", async () => {
  await using database = await createEmptyDatabase();
  const texts = ['a"b\\c', "NULL", null, "", "d,e", "{f}"];
  const [row] = await database.sql`
    select ${9007199254740991}::bigint as big, ${1000}::timestamptz as time, ${new Date(2000)}::timestamptz as date,
           ${Buffer.from([0, 255])}::bytea as bytes, ${database.sql.json({ a: 1 })}::jsonb as json, ${null}::bigint as nothing,
           ${["1", "2"]}::bigint[] as ids, ${[1, 2]}::bigint[] as bigs, ${texts}::text[] as texts,
           ${[true, null, false]}::boolean[] as booleans, ${[Buffer.from([7])]}::bytea[] as byteses,
           ${[1000, null]}::timestamptz[] as times, ${[]}::bigint[] as none`;
  expect(row).toEqual({
    big: 9007199254740991,
    time: 1000,
    date: 2000,
    bytes: Buffer.from([0, 255]),
    json: { a: 1 },
    nothing: null,
    ids: [1, 2],
    bigs: [1, 2],
    texts,
    booleans: [true, null, false],
    byteses: [Buffer.from([7])],
    times: [1000, null],
    none: [],
  });
});

test("a number that JavaScript would round is an error, and so is a time that is no point in time", async () => {
  await using database = await createEmptyDatabase();
  await expect(database.sql`select 9007199254740992::bigint`).rejects.toThrow("past 2^53 - 1");
  await expect(database.sql`select array[9007199254740992]::bigint[]`).rejects.toThrow("past 2^53 - 1");
  await expect(database.sql`select timestamptz 'infinity'`).rejects.toThrow("no point in time");
});

test("statements nest as fragments, and helpers write identifiers, rows and lists", async () => {
  await using database = await createEmptyDatabase();
  const { sql } = database;
  await sql`create table things (id bigint, name text)`;
  await sql`insert into things ${sql([
    { id: 1, name: "one" },
    { id: 2, name: "two" },
  ])}`;
  const filter = sql`where id in ${sql([1, 2])}`;
  expect(await sql`select ${sql("name")} from things ${filter} order by id`).toEqual([
    { name: "one" },
    { name: "two" },
  ]);
  expect(await sql.unsafe("select name from things where id = $1", [2])).toEqual([{ name: "two" }]);
});

test("a statement that cannot be encoded fails alone: its neighbours get their own answers", async () => {
  await using database = await createEmptyDatabase();
  const { sql } = database;
  const answers = await Promise.allSettled(
    Array.from({ length: 300 }, (_, index) => {
      // Two of three cannot be encoded, so that such ones follow each other.
      const value = index % 3 !== 0 ? (undefined as unknown as number) : index;
      return sql<{ value: number }[]>`select ${value}::integer as value`.then(([row]) => row?.value);
    }),
  );
  for (const [index, answer] of answers.entries()) {
    expect(answer).toMatchObject(index % 3 !== 0 ? { status: "rejected" } : { status: "fulfilled", value: index });
  }
});

test("a transaction commits what its work wrote, and undoes it when the work rejects", async () => {
  await using database = await createEmptyDatabase();
  const { db, sql } = database;
  await sql`create table things (id bigint)`;
  expect(await db.transaction(async (tx) => (await tx`insert into things values (1) returning id`)[0])).toEqual({
    id: 1,
  });
  const refusal = new Error("no");
  const failing = db.transaction(async (tx) => {
    await tx`insert into things values (2)`;
    throw refusal;
  });
  await expect(failing).rejects.toBe(refusal);
  expect(await sql`select id from things`).toEqual([{ id: 1 }]);
});

test("a transaction that hides the failure of a statement is not reported as committed", async () => {
  await using database = await createEmptyDatabase();
  const hiding = database.db.transaction(async (sql) => {
    await sql`create table things (id int)`;
    await sql`select 1/0`.catch(() => null);
  });
  await expect(hiding).rejects.toThrow("hid the failure");
  expect(await database.sql`select to_regclass('things') as things`).toEqual([{ things: null }]);
});

test("a transaction is over when its call is, though statements were still under way when its work gave up", async () => {
  await using database = await createEmptyDatabase();
  await using db = openDatabase({ ...anything(database.url), poolSize: 2 });
  await db.sql`create table things (id bigint)`;
  const hasty = db.transaction((tx) =>
    Promise.all([tx`select 1/0`, tx`select pg_sleep(0.1)`, tx`insert into things values (1)`]),
  );
  await expect(hasty).rejects.toMatchObject({ code: "22012" });
  await db.transaction((tx) => tx`insert into things values (2)`);
  expect(await db.sql`select id from things`).toEqual([{ id: 2 }]);
});

test("a statement written before a transaction and awaited within it is no part of it", async () => {
  await using database = await createEmptyDatabase();
  const { db, sql } = database;
  await sql`create table things (id bigint)`;
  const early = sql`insert into things values (1)`;
  const failing = db.transaction(async (tx) => {
    await tx`insert into things values (2)`;
    await early;
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(await sql`select id from things`).toEqual([{ id: 1 }]);
});

/** Two transactions that each read what the other writes: one of them has to give way. */
async function collide(run: (mine: number, other: number) => Promise<unknown>): Promise<void> {
  await Promise.all([run(1, 2), run(2, 1)]);
}

/** Resolves for everyone when the second arrives, and at once for those who come later. */
function meetingOfTwo(): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let arrived = 0;
  return () => {
    arrived += 1;
    if (arrived === 2) resolve();
    return promise;
  };
}

test("a serialization fault is repeated until it goes through", async () => {
  await using database = await createEmptyDatabase();
  const { db, sql } = database;
  await sql`create table things as select id, 0 as value from generate_series(1, 2) id`;
  const meet = meetingOfTwo();
  let runs = 0;
  const swap = async (tx: Sql, mine: number, other: number): Promise<void> => {
    runs += 1;
    const [row] = await tx<{ value: number }[]>`select value from things where id = ${other}`;
    await meet();
    await tx`update things set value = ${(row?.value ?? 0) + 1} where id = ${mine}`;
  };
  await collide((mine, other) => db.transaction((tx) => swap(tx, mine, other), { isolation: "serializable" }));
  // More when a repeat meets the other one once more, which has not quite ended.
  expect(runs).toBeGreaterThanOrEqual(3);
  expect((await sql`select value from things order by value`).map(({ value }) => value as number)).toEqual([1, 2]);
});

test("a deadlock is repeated until it goes through", async () => {
  await using database = await createEmptyDatabase();
  const { db, sql } = database;
  await sql`create table things as select id, 0 as value from generate_series(1, 2) id`;
  const meet = meetingOfTwo();
  let runs = 0;
  await collide((mine, other) =>
    db.transaction(async (tx) => {
      runs += 1;
      await tx`set local deadlock_timeout = '50ms'`;
      await tx`update things set value = value + 1 where id = ${mine}`;
      await meet();
      await tx`update things set value = value + 1 where id = ${other}`;
    }),
  );
  // More when a repeat takes its row back before the other one has woken.
  expect(runs).toBeGreaterThanOrEqual(3);
  expect(await sql`select id, value from things order by id`).toEqual([
    { id: 1, value: 2 },
    { id: 2, value: 2 },
  ]);
});

test("repeats have an end, and pauses that double, with jitter", async () => {
  const pauses: number[] = [];
  await using database = await createEmptyDatabase();
  await using db = openDatabase({
    url: database.url,
    applicationName: "test",
    poolSize: 2,
    log: silentLog,
    random: () => 0.5,
    sleep: async (ms) => void pauses.push(ms),
  });
  let runs = 0;
  const hopeless = db.transaction(async (sql) => {
    runs += 1;
    await sql`do $$ begin raise exception sqlstate '40001'; end $$`;
  });
  await expect(hopeless).rejects.toMatchObject({ code: "40001" });
  expect(runs).toBe(8);
  expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 320]);
});

async function halfASecond(sql: Sql): Promise<unknown> {
  return (await sql`select 'done' as state from pg_sleep(0.5)`)[0];
}

test("a statement past its time is ended, and its connection serves the next", async () => {
  await using database = await createEmptyDatabase();
  await using db = openDatabase({ ...anything(database.url), statementTimeoutMs: 200 });
  await expect(db.sql`select pg_sleep(60)`).rejects.toMatchObject({
    code: "DATABASE_UNAVAILABLE",
    cause: { code: "57014" },
  });
  await expect(db.transaction(halfASecond)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  expect(await db.transaction(halfASecond, { statementTimeoutMs: 0 })).toEqual({ state: "done" });
  await expect(db.transaction(halfASecond)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
});

function anything(url: string) {
  return { url, applicationName: `test ${Math.random()}`, poolSize: 6, log: silentLog };
}

test("many at once share the pool: never more connections than it may have, and all get through", async () => {
  await using database = await createEmptyDatabase();
  const options = anything(database.url);
  await using db = openDatabase(options);
  const connections = async (): Promise<number> => {
    const [row] = await database.sql<{ count: number }[]>`
      select count(*) as count from pg_stat_activity where application_name = ${options.applicationName}`;
    return row?.count ?? 0;
  };
  const counts: number[] = [];
  const work = Array.from({ length: 120 }, async (_, index) => {
    if (index % 2 === 0) await db.sql`select pg_sleep(0.002)`;
    else await db.transaction((sql) => sql`select pg_sleep(0.002)`);
    if (index % 10 === 0) counts.push(await connections());
  });
  await Promise.all(work);
  expect(Math.max(...counts)).toBeLessThanOrEqual(6);
  expect(await connections()).toBe(6);
});

test("closing lets transactions end, and refuses new calls", async () => {
  await using database = await createEmptyDatabase();
  const db = openDatabase(anything(database.url));
  const { promise: isAtWork, resolve: begun } = Promise.withResolvers<void>();
  const { promise: mayEnd, resolve: letEnd } = Promise.withResolvers<void>();
  const late = db.transaction(async (sql) => {
    begun();
    await mayEnd;
    return (await sql`select 'done' as state`)[0];
  });
  await isAtWork;
  const closed = db.close();
  await expect(db.transaction(async () => null)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  letEnd();
  expect(await late).toEqual({ state: "done" });
  await closed;
  await expect(db.ping()).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
});

test("a refused login and an unknown database are faults of the configuration", async () => {
  const wrongPassword = new URL(inject("postgresUrl"));
  wrongPassword.password = "wrong";
  const logged: unknown[] = [];
  const log = { info: (line: unknown) => void logged.push(line), warn: (line: unknown) => void logged.push(line) };
  await using refused = openDatabase({ ...anything(wrongPassword.href), log });
  await expect(refused.ping()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  await expect(refused.transaction(async () => null)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect(logged).toEqual([]);
  const elsewhere = new URL(inject("postgresUrl"));
  elsewhere.pathname = "/nowhere";
  await using unknown = openDatabase(anything(elsewhere.href));
  await expect(unknown.ping()).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    detail: expect.stringContaining('database "nowhere" does not exist'),
  });
});

test.for(["postgresql://u:secret@host:none/db", "postgresql://u:secret@host:99999/db", "no url"])(
  "%s is refused without being shown",
  (url) => {
    expect(() => openDatabase(anything(url))).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(() => openDatabase(anything(url))).not.toThrow("secret");
  },
);
