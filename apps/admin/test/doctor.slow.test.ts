/** `admin doctor` on databases and servers in various states of health. */
import postgres from "postgres";
import { expect, onTestFinished, test } from "vitest";
import { waitFor } from "@dispatcher/testbed";
import type { Finding } from "../src/checkup.ts";
import { createDatabase, startWorld } from "./support/world.ts";
import { runInProcess } from "./support/run-in-process.ts";

type Examined = { readonly status: number; readonly by: Readonly<Record<string, Finding>> };

async function examine(env: Readonly<Record<string, string>>, ...words: string[]): Promise<Examined> {
  const { status, out } = await runInProcess([...words, "doctor", "-o", "json"], { env });
  const findings = JSON.parse(out) as Finding[];
  return { status, by: Object.fromEntries(findings.map((finding) => [finding.check, finding])) };
}

function connect(url: string): postgres.Sql {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  onTestFinished(() => sql.end());
  return sql;
}

test("a service at work is well, but for a PostgreSQL that does not wait for its disk", async () => {
  const world = await startWorld();
  await world.addAssets(2);
  await (await world.join("Ada", "attic")).save(1);
  const env = { DATABASE_URL: world.databaseUrl };
  const { status, by } = await waitFor("a healthy service", async () => {
    const examined = await examine(env);
    return examined.by["standings"]?.verdict === "ok" && examined.by["sweeps"]?.verdict === "ok" ? examined : undefined;
  });
  // The PostgreSQL of the tests has fsync, full_page_writes and synchronous_commit off, which has to be noticed.
  expect(status).toBe(69);
  expect(by["durability"]).toMatchObject({
    verdict: "fail",
    found: "fsync is off, full_page_writes is off: a power cut may destroy the database",
    advice: "Set fsync = on, full_page_writes = on in PostgreSQL.",
  });
  expect(by["commit"]).toMatchObject({ verdict: "fail" });
  const well = [
    "settings",
    "database",
    "connections",
    "clock",
    "migrations",
    "sweeps",
    "nodes",
    "standings",
    "events",
    "ledgers",
  ];
  for (const check of well) expect(by[check]).toMatchObject({ check, verdict: "ok", advice: null });
  expect(by["ledgers"]?.found).toBe("1 node compared with their rows, all balance");
  expect(by["events"]?.found).toBe("tables are made for 7 days ahead");
});

test("ledgers that were changed by hand, events without a table and nobody who sweeps are found", async () => {
  const world = await startWorld();
  await world.addAssets(2);
  const { id, save } = await world.join("Ada", "attic");
  await save(1);
  await world.server.stop();
  const sql = connect(world.databaseUrl);
  await sql`update nodes set held_bytes = held_bytes + 7, last_sync_at = now() - interval '2 hours'`;
  await sql`update service_state set alive_at = now() - interval '1 hour', sweeper_until = '-infinity'`;
  await sql`update standings set due_at = now() - interval '1 hour' where asset_id = 2`;
  await sql`insert into events (at, kind, actor) values (now() - interval '40 years', 'node.moved', 'server')`;
  const { status, by } = await examine({ DATABASE_URL: world.databaseUrl });
  expect(status).toBe(69);
  expect(by["ledgers"]).toMatchObject({
    verdict: "fail",
    found: `1 fault among 1 node; node ${id} says 107 held bytes, its rows 100`,
  });
  expect(by["sweeps"]).toMatchObject({ verdict: "fail", found: "no server sweeps, the last time 60 min ago" });
  expect(by["nodes"]).toMatchObject({ verdict: "warn" });
  expect(by["standings"]).toMatchObject({
    verdict: "fail",
    found: "1 asset to be reckoned anew, the first for 60 min",
  });
  expect(by["events"]).toMatchObject({ verdict: "warn" });
});

test("a database without a schema is looked at, and stays without", async () => {
  const url = await createDatabase();
  const { by } = await examine({ DATABASE_URL: url });
  expect(by["migrations"]).toMatchObject({ verdict: "warn" });
  expect(by["migrations"]?.found).toMatch(/^\d+ migrations missing, the first is 0001_create_nodes$/);
  expect(by["sweeps"]).toBeUndefined();
  const sql = connect(url);
  expect(await sql`select 1 from pg_class where relname = 'schema_migrations'`).toHaveLength(0);
});

test("a database that is newer, not there, or of settings that cannot be read, is one failed line", async () => {
  const url = await createDatabase();
  await runInProcess(["status"], { env: { DATABASE_URL: url } });
  const sql = connect(url);
  await sql`insert into schema_migrations (version, name, sha256) values (9999, '9999_from_the_future', '')`;
  const newer = await examine({ DATABASE_URL: url });
  expect(newer).toMatchObject({ status: 69, by: { database: { verdict: "fail" } } });
  expect(newer.by["database"]?.found).toMatch(/^DATABASE_TOO_NEW: /);
  const away = await examine({ DATABASE_URL: "postgres://nobody@127.0.0.1:9/none" });
  expect(away.by["database"]?.found).toMatch(/^DATABASE_UNAVAILABLE: /);
  expect(away.by["database"]?.advice).toMatch(/^Check that PostgreSQL runs/);
  const unreadable = await examine({ DISPATCHER_PORT: "x" });
  expect(Object.keys(unreadable.by)).toEqual(["settings"]);
  expect(unreadable.status).toBe(69);
});

test("a server is looked at from outside, with and without a key", async () => {
  const world = await startWorld();
  const url = world.server.url;
  const { key } = await world.client.key.create.mutate({ role: "admin", name: "me" });
  const { key: viewer } = await world.client.key.create.mutate({ role: "viewer", name: "screen" });
  const good = await examine({ DISPATCHER_KEY: key }, "--url", url);
  expect(good.status).toBe(0);
  expect(Object.values(good.by).map(({ check, verdict }) => `${check} ${verdict}`)).toEqual([
    "server ok",
    "database ok",
    "version ok",
    "clock ok",
    "key ok",
  ]);
  const without = await examine({}, "--url", url);
  expect(without).toMatchObject({ status: 0, by: { key: { verdict: "warn" } } });
  const weak = await examine({ DISPATCHER_KEY: viewer }, "--url", url);
  expect(weak).toMatchObject({ status: 69, by: { key: { verdict: "fail" } } });
  expect(weak.by["key"]?.found).toMatch(/^FORBIDDEN: /);
});
