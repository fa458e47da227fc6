import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { startMidLife } from "../../test/support/mid-life.ts";
import { exportLines, importText } from "../../test/support/state-text.ts";
import { createTestDatabase } from "../../test/support/test-database.ts";
import { finished, open, startTestDispatcher } from "../../test/support/test-dispatcher.ts";
import type { Sql } from "../db/database.ts";
import { readChangedAssets, readEventCursor } from "../db/queries/events.ts";
import { beginMercy, holdSweeping, readMercy } from "../db/queries/service-state.ts";
import { expireLeases } from "../services/reclaim-leases.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";

const HOUR_MS = 3_600_000;

/** Lines that end as an export of them would, whatever is in them. */
function sealed(lines: readonly string[]): string {
  const body = lines.slice(0, -1).join("");
  const end = JSON.parse(lines.at(-1) ?? "") as { sha256: string };
  return `${body}${JSON.stringify({ ...end, sha256: createHash("sha256").update(body).digest("hex") })}\n`;
}

/** As above, the header changed. */
function withHeader(lines: readonly string[], changes: Readonly<Record<string, unknown>>): string {
  const [header = "", ...rest] = lines;
  return sealed([`${JSON.stringify({ ...(JSON.parse(header) as object), ...changes })}\n`, ...rest]);
}

async function countRows(sql: Sql): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    select (select count(*) from operators) + (select count(*) from nodes) + (select count(*) from datasets)
           + (select count(*) from assets) + (select count(*) from events) as count`;
  return row.count;
}

/** A migration that is yet to come: a table, columns, a day of events. */
async function migrateOn(sql: Sql): Promise<void> {
  await sql`create table "Pets" (name text, node_id bigint not null references nodes, born date, primary key (node_id, name))`;
  await sql`alter table nodes add column "odd "" name" numeric, add column doubled bigint generated always as (held_bytes * 2) stored`;
  await sql`alter table service_state add column motto text not null default 'none'`;
  await sql`create table events_of_a_day partition of events for values from ('2020-01-01') to ('2020-01-02')`;
}

describe("moving a dispatcher in the middle of its life", () => {
  test("the second export has the bytes of the first, and every ledger balances", async () => {
    await using old = await startMidLife();
    await using database = await createTestDatabase();
    const states = await old.dispatcher.sql<{ state: string }[]>`select distinct state from assignments order by state`;
    expect(states.map(({ state }) => state)).toEqual(["expired", "failed", "granted", "stored"]);
    const trusts = await old.dispatcher.sql<{ trust: string }[]>`select distinct trust from replicas order by trust`;
    expect(trusts.map(({ trust }) => trust)).toEqual(["agreed", "claimed", "verified"]);

    const first = await exportLines(old.dispatcher.dependencies.db);
    expect(await old.dispatcher.imbalances()).toEqual([]);
    const imported = await importText(database.db, first.join(""));
    expect(imported).toMatchObject({ isAnalyzed: true });
    const again = await exportLines(database.db);
    // The header alone tells of the moment.
    const { exportedAt } = JSON.parse(first[0] ?? "") as { exportedAt: string };
    expect(withHeader(again, { exportedAt })).toBe(first.join(""));
    await using moved = await startTestDispatcher();
    await importText(moved.dependencies.db, again.join(""), { chunkBytes: 7 });
    expect(await moved.imbalances()).toEqual([]);
  });

  test("an open lease is renewed, finished and accepted at the new one, with the old key", async () => {
    await using old = await startMidLife();
    await using next = await startTestDispatcher({ DISPATCHER_LEASE_GRACE_MS: "0" });
    await importText(next.dependencies.db, (await exportLines(old.dispatcher.dependencies.db)).join(""));
    const { services } = next;
    expect(await services.authenticate(old.key)).toMatchObject({ kind: "node", nodeId: old.nodeId });
    const facts = { agentVersion: "1.0.0", schemes: ["http", "https"], marginBytes: 0, offeredBytes: 100_000 };
    const said = { ...facts, freeBytes: 1e9, wants: 0, open: [], finished: [], failed: [], released: [] };
    const sync = (input: object) =>
      services.syncNode({ nodeId: old.nodeId, network: null, input: { ...said, ...input } });
    const { assignmentId, term } = old.grant;
    const renewed = await sync({ open: [open(old.grant, 50)] });
    expect(renewed).toMatchObject({ grants: [], cancels: [], leases: [{ assignmentId, term }] });
    const done = await sync({ finished: [finished(old.grant)] });
    expect(done.reports).toEqual([{ assignmentId, term, outcome: "accepted" }]);
    // Behind all ids that the old one may have given out since.
    const [granted] = (await sync({ wants: 1 })).grants;
    expect(Number(granted?.assignmentId)).toBeGreaterThan(Number(assignmentId) + 1e9 - 1);
    const { joinToken } = await services.createJoinToken({ operator: "eve", uses: 1, lifeMs: HOUR_MS }, ADMIN_COMMAND);
    await services.joinNode({ joinToken, name: "eve-1", ...facts }, null);
    expect(await next.imbalances()).toEqual([]);
  });

  test("leases that ran out on the way are not reclaimed before their nodes are heard", async () => {
    await using old = await startMidLife();
    await old.dispatcher.endLeases();
    await using next = await startTestDispatcher({ DISPATCHER_LEASE_GRACE_MS: "0" });
    const text = (await exportLines(old.dispatcher.dependencies.db)).join("");
    await importText(next.dependencies.db, text, { mercyMs: HOUR_MS });
    expect(await readMercy(next.sql)).toBeGreaterThan(Date.now() + HOUR_MS / 2);
    expect(await expireLeases(next.dependencies, 100)).toBe(0);
    await next.sql`update service_state set mercy_until = now()`;
    expect(await expireLeases(next.dependencies, 100)).toBe(1);
  });

  test("the log may stay behind", async () => {
    await using old = await startMidLife();
    await using next = await startTestDispatcher();
    const lines = await exportLines(old.dispatcher.dependencies.db, { withEvents: false });
    expect(lines.filter((line) => line.startsWith('{"table":"events"'))).toEqual([]);
    await importText(next.dependencies.db, lines.join(""));
    expect(await next.sql`select from events`).toHaveLength(0);
    expect(await next.imbalances()).toEqual([]);
  });

  test("old events are news to whoever reads the new log, whatever numbers their transactions had", async () => {
    await using old = await startMidLife();
    await using next = await createTestDatabase();
    const lines = await exportLines(old.dispatcher.dependencies.db);
    expect(lines.filter((line) => line.includes('"xid"'))).toEqual([]);
    const cursor = await readEventCursor(next.sql);
    await importText(next.db, lines.join(""));
    const { events } = await readChangedAssets(next.sql, cursor);
    const changed = await old.dispatcher.sql`select from events where asset_ids <> '{}'`;
    expect(events).toHaveLength(changed.length);
    expect(await next.sql`select distinct xid from events where xid < pg_current_xact_id()`).toHaveLength(1);
  });

  test("what a later migration adds comes along", async () => {
    await using old = await startMidLife();
    await migrateOn(old.dispatcher.sql);
    await old.dispatcher.sql`update nodes set "odd "" name" = 0.1234567890123456789012345678901234567890`;
    await old.dispatcher.sql`insert into "Pets" select 'rex', id, '4713-01-01 BC' from nodes`;
    await old.dispatcher.sql`update service_state set motto = 'save all'`;
    await old.dispatcher.sql`insert into events (at, kind, actor) values ('2020-01-01 12:00Z', 'node.moved', 'admin')`;
    await using next = await createTestDatabase();
    await migrateOn(next.sql);
    const lines = await exportLines(old.dispatcher.dependencies.db);
    await importText(next.db, lines.join(""));
    expect((await exportLines(next.db)).slice(1, -1)).toEqual(lines.slice(1, -1));
    expect(await next.sql`select motto from service_state`).toEqual([{ motto: "save all" }]);
    expect(await next.sql`select from events_of_a_day`).toHaveLength(1);
  });

  test("an export is of one moment, whatever is written meanwhile", async () => {
    await using old = await startMidLife();
    const { db } = old.dispatcher.dependencies;
    const before = await exportLines(db);
    const { exportState } = await import("./export-state.ts");
    let text = "";
    await exportState(db, {
      withEvents: true,
      write: async (bytes) => {
        if (text === "") await old.dispatcher.join("late");
        text += Buffer.from(bytes).toString("utf8");
      },
      signal: new AbortController().signal,
    });
    expect(text.split(/(?<=\n)/).slice(1, -1)).toEqual(before.slice(1, -1));
  });
});

describe("an import is refused, and nothing is changed,", () => {
  test.each([
    ["DATABASE_NOT_EMPTY", "operators", (sql: Sql) => sql`insert into operators (name) values ('ada')`],
    [
      "DATABASE_NOT_EMPTY",
      "events",
      (sql: Sql) => sql`insert into events (kind, actor) values ('node.moved', 'admin')`,
    ],
    [
      "DATABASE_NOT_EMPTY",
      "datasets",
      (sql: Sql) =>
        sql`insert into datasets (key, priority, copies_min, copies_target, copies_max) values ('d', 5, 1, 1, 1)`,
    ],
    [
      "DATABASE_IN_USE",
      "server",
      (sql: Sql) => holdSweeping(sql, { serverId: "8f6a8f36-9f8c-4b47-9ad0-6a1e9a6b1a11", leaseMs: 10_000 }),
    ],
  ])("%s: %s", async (code, word, prepare) => {
    await using empty = await createTestDatabase();
    const lines = await exportLines(empty.db);
    await using database = await createTestDatabase();
    await prepare(database.sql);
    const rowsBefore = await countRows(database.sql);
    let asked = 0;
    const confirm = (): Promise<boolean> => Promise.resolve((asked += 1) > 0);
    const imported = importText(database.db, lines.join(""), { confirm });
    await expect(imported).rejects.toMatchObject({ code, detail: expect.stringContaining(word) as string });
    expect(asked).toBe(0);
    expect(await countRows(database.sql)).toBe(rowsBefore);
  });

  test("when a table is held for long", async () => {
    await using database = await createTestDatabase();
    const lines = await exportLines(database.db);
    const { promise: isHeld, resolve: hold } = Promise.withResolvers<void>();
    const { promise: isOver, resolve: release } = Promise.withResolvers<void>();
    const holding = database.db.transaction(async (sql) => {
      await sql`lock table nodes in row exclusive mode`;
      hold();
      await isOver;
    });
    await isHeld;
    const imported = importText(database.db, lines.join(""), { lockWithinMs: 100 });
    await expect(imported).rejects.toMatchObject({ code: "DATABASE_IN_USE" });
    release();
    await holding;
  });

  test("when somebody says no", async () => {
    await using old = await startMidLife();
    await using database = await createTestDatabase();
    const lines = await exportLines(old.dispatcher.dependencies.db);
    expect(await importText(database.db, lines.join(""), { confirm: () => Promise.resolve(false) })).toBeNull();
    expect(await countRows(database.sql)).toBe(0);
  });

  test("when it is stopped", async () => {
    await using old = await startMidLife();
    await using database = await createTestDatabase();
    const lines = await exportLines(old.dispatcher.dependencies.db);
    const stopping = new AbortController();
    const imported = importText(database.db, lines.join(""), {
      signal: stopping.signal,
      onProgress: () => stopping.abort(),
    });
    await expect(imported).rejects.toMatchObject({ name: "AbortError" });
    expect(await countRows(database.sql)).toBe(0);
  });

  test("for every file that is not an export of this schema, whole and untouched", async () => {
    await using old = await startMidLife();
    await using database = await createTestDatabase();
    const lines = await exportLines(old.dispatcher.dependencies.db);
    const [header = "", second = "", ...rest] = lines;
    const end = lines.at(-1) ?? "";
    const whole = lines.join("");
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ["EXPORT_DAMAGED", "", /empty/],
      ["EXPORT_INCOMPATIBLE", "id,name\n1,x\n", /not the exported state/],
      ["EXPORT_INCOMPATIBLE", "[1]\n", /not the exported state/],
      ["EXPORT_INCOMPATIBLE", `${second}${rest.join("")}`, /not the exported state/],
      ["EXPORT_INCOMPATIBLE", withHeader(lines, { format: "other" }), /not the exported state/],
      ["EXPORT_INCOMPATIBLE", withHeader(lines, { version: 2 }), /version 2 .* reads 1/],
      ["EXPORT_INCOMPATIBLE", withHeader(lines, { schema: "0006_old" }), /schema 0006_old/],
      ["EXPORT_INCOMPATIBLE", withHeader(lines, { tables: ["operators", "pets"] }), /none here: pets/],
      ["EXPORT_INCOMPATIBLE", withHeader(lines, { tables: ["operators"] }), /lacks tables/],
      ["EXPORT_DAMAGED", withHeader(lines, { tables: [7] }), /Line 1/],
      ["EXPORT_DAMAGED", whole.slice(0, -1), new RegExp(`middle of line ${lines.length}`)],
      ["EXPORT_DAMAGED", whole.slice(0, header.length + 20), /middle of line 2/],
      ["EXPORT_DAMAGED", whole.slice(0, -end.length), /its last line is missing/],
      ["EXPORT_DAMAGED", whole + end, /Lines follow/],
      ["EXPORT_DAMAGED", `${whole}\n`, /Lines follow/],
      ["EXPORT_DAMAGED", [header, "nonsense\n", second, ...rest].join(""), /Line 2 is malformed/],
      ["EXPORT_DAMAGED", [header, "\n", second, ...rest].join(""), /Line 2 is malformed/],
      ["EXPORT_DAMAGED", [header, header, second, ...rest].join(""), /Line 2 is malformed/],
      ["EXPORT_DAMAGED", sealed([header, '{"table":"pets","row":{}}\n', ...rest]), /Line 2 is malformed/],
      ["EXPORT_DAMAGED", sealed([header, '{"table":"datasets","row":{}}\n', ...rest]), /no row of datasets/],
      ["EXPORT_DAMAGED", sealed([header, second.replace('"id":"1"', '"id":1'), ...rest]), /no row of datasets/],
      [
        "EXPORT_DAMAGED",
        sealed([header, second.replace('"id":"1"', '"id":"x"'), ...rest]),
        /datasets can take: .*bigint/,
      ],
      ["EXPORT_DAMAGED", sealed([header, second, second, ...rest]), /datasets can take: .*unique/],
      [
        "EXPORT_DAMAGED",
        sealed([header, second, ...rest.filter((line) => !line.startsWith('{"table":"origins"'))]),
        /foreign key/,
      ],
      [
        "EXPORT_DAMAGED",
        [...lines.slice(0, -1), end.replace('"sha256":"', '"sha256":"0')].join(""),
        /last line is not/,
      ],
      [
        "EXPORT_DAMAGED",
        [...lines.slice(0, -1), end.replace(/"sha256":".{8}/, '"sha256":"00000000')].join(""),
        /SHA-256/,
      ],
      [
        "EXPORT_DAMAGED",
        [...lines.slice(0, -1), end.replace('"datasets":1', '"datasets":2')].join(""),
        /last line is not/,
      ],
      ["EXPORT_DAMAGED", [...lines.slice(0, -1), end.replace('"end":true', '"end":1')].join(""), /last line is not/],
      ["EXPORT_DAMAGED", whole.replace("/f1?", "/f2?"), /SHA-256/],
    ];
    for (const [code, text, detail] of cases) {
      await expect(importText(database.db, text), `${code} ${String(detail)}`).rejects.toMatchObject({
        code,
        detail: expect.stringMatching(detail) as string,
      });
      expect(await countRows(database.sql)).toBe(0);
    }
    // The same database still takes the whole one.
    expect(await importText(database.db, whole)).not.toBeNull();
  });

  test("for any one line that is flipped, removed, doubled or swapped", { timeout: 120_000 }, async () => {
    await using old = await startMidLife();
    await using database = await createTestDatabase();
    const lines = await exportLines(old.dispatcher.dependencies.db);
    const parts = lines.map((line) => Buffer.from(line));
    const at = fc.nat(parts.length - 1);
    const change = fc.oneof(
      at.map((line) => ({ what: `${line} removed`, parts: parts.toSpliced(line, 1) })),
      at.map((line) => ({
        what: `${line} doubled`,
        parts: parts.flatMap((part, index) => (index === line ? [part, part] : [part])),
      })),
      at.map((line) => ({
        what: `${line} swapped with the next`,
        parts: [...parts.slice(0, line), ...parts.slice(line, line + 2).toReversed(), ...parts.slice(line + 2)],
      })),
      fc.tuple(at, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([line, place, flip]) => {
        const bytes = Buffer.from(parts[line] ?? "");
        const index = place % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ flip;
        return { what: `byte ${index} of ${line} flipped by ${flip}`, parts: parts.with(line, bytes) };
      }),
    );
    const whole = Buffer.concat(parts);
    await fc.assert(
      fc.asyncProperty(change, async (changed) => {
        const bytes = Buffer.concat(changed.parts);
        fc.pre(!bytes.equals(whole));
        await expect(importText(database.db, bytes), changed.what).rejects.toMatchObject({
          code: expect.stringMatching(/^EXPORT_(DAMAGED|INCOMPATIBLE)$/) as string,
        });
      }),
      { numRuns: 150 },
    );
    expect(await countRows(database.sql)).toBe(0);
  });
});

test("a server that starts after an import finds a mercy that it may only lengthen", async () => {
  await using empty = await createTestDatabase();
  await using database = await createTestDatabase();
  await importText(database.db, (await exportLines(empty.db)).join(""), { mercyMs: HOUR_MS });
  const mercyUntilMs = await readMercy(database.sql);
  await beginMercy(database.sql, 0);
  expect(await readMercy(database.sql)).toBe(mercyUntilMs);
});
