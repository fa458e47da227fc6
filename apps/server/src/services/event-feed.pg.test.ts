import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { createTestDatabase } from "../../test/support/test-database.ts";
import { startBalanced } from "../../test/support/test-dispatcher.ts";
import { appendEvents } from "../db/queries/events.ts";
import type { Sql } from "../db/database.ts";
import { EventFeed } from "./event-feed.ts";
import { followEvents } from "./follow-events.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

const everything = { kinds: null, nodeId: null, assetId: null };
const log = pino({ level: "silent" });

async function startFeed() {
  const database = await createTestDatabase();
  const feed = new EventFeed({ db: database.db, log });
  onTestFinished(async () => {
    feed.close();
    await database[Symbol.asyncDispose]();
  });
  return { database, feed };
}

/** Write events that are told apart by a number. */
async function note(sql: Sql, ...numbers: readonly number[]): Promise<void> {
  await appendEvents(
    sql,
    numbers.map((number) => ({ kind: "assets.renewed", actor: "server", detail: { number } })),
  );
}

/** Listens by itself and keeps what comes, until it is stopped or cut. */
function listen(
  feed: EventFeed,
  lastEventId: number | null = null,
  filter: Parameters<EventFeed["follow"]>[0] = everything,
) {
  const stop = new AbortController();
  const heard: { id: number; number: unknown }[] = [];
  const ended = (async () => {
    for await (const events of feed.follow(filter, { lastEventId, signal: stop.signal })) {
      for (const { id, detail } of events) heard.push({ id, number: detail["number"] });
    }
  })();
  ended.catch(() => undefined);
  const numbers = () => heard.map(({ number }) => number);
  return { heard, numbers, ended, stop: () => stop.abort() };
}

test("a listener hears what is written from then on, one that goes on hears what it missed, each once", async () => {
  const { database, feed } = await startFeed();
  await note(database.sql, 0);
  const first = listen(feed);
  await vi.waitFor(() => expect(feed.listeners).toBe(1), 30_000);
  await note(database.sql, 1, 2);
  // What was written in the last moments may come too: transactions of other databases were under way.
  await vi.waitFor(() => expect(first.numbers().filter((number) => number !== 0)).toEqual([1, 2]), 30_000);
  first.stop();
  await first.ended;
  expect(feed.listeners).toBe(0);

  await note(database.sql, 3);
  const second = listen(feed, first.heard.find(({ number }) => number === 1)?.id ?? 0);
  await vi.waitFor(() => expect(second.numbers()).toEqual([2, 3]), 30_000);
  await note(database.sql, 4);
  await vi.waitFor(() => expect(second.numbers()).toEqual([2, 3, 4]), 30_000);
  second.stop();
  await second.ended;
});

test("a listener that names event 0 hears the log from its beginning", async () => {
  const { database, feed } = await startFeed();
  await note(database.sql, 1, 2, 3);
  const stop = new AbortController();
  const options = { withNames: true, signal: stop.signal };
  const messages = followEvents(database, feed, { lastEventId: "0" }, options);
  const heard: unknown[] = [];
  let lastId = "";
  for await (const { id, events } of messages) {
    lastId = id;
    heard.push(...events.map(({ detail }) => detail?.["number"]));
    if (heard.length >= 3) break;
  }
  expect(heard).toEqual([1, 2, 3]);
  // Whoever names none hears first where it ends, and nothing of what was.
  const fromNow = followEvents(database, feed, {}, options);
  expect((await fromNow.next()).value).toEqual({ id: lastId, events: [] });
  stop.abort();
});

test("what commits late is neither missed nor told before what stands before it", async () => {
  const { database, feed } = await startFeed();
  const listener = listen(feed);
  await vi.waitFor(() => expect(feed.listeners).toBe(1), 30_000);
  const { promise: mayCommit, resolve: commit } = Promise.withResolvers<void>();
  const { promise: hasBegun, resolve: begin } = Promise.withResolvers<void>();
  const late = database.db.transaction(async (sql) => {
    await note(sql, 1);
    begin();
    await mayCommit;
  });
  await hasBegun;
  await note(database.sql, 2);
  // Somebody who comes now and somebody who was there before are told the same.
  const other = listen(feed);
  await vi.waitFor(() => expect(feed.listeners).toBe(2), 30_000);
  commit();
  await late;
  await vi.waitFor(() => expect(listener.numbers()).toEqual([1, 2]), 30_000);
  await vi.waitFor(() => expect(other.numbers()).toEqual([1, 2]), 30_000);
  for (const one of [listener, other]) one.stop();
});

test("a listener hears only what it asks for", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  const { assets } = await dispatcher.services.listAssets({ limit: 2 });
  const [{ id } = { id: "" as never }, other] = assets;
  const feed = new EventFeed({ db: dispatcher.dependencies.db, log });
  onTestFinished(() => feed.close());
  const byAsset = listen(feed, null, { ...everything, kinds: ["assets.prioritized", "assets.withdrawn"], assetId: id });
  const byOther = listen(feed, null, { ...everything, kinds: ["assets.withdrawn"], assetId: other?.id ?? id });
  const byKind = listen(feed, null, { ...everything, kinds: ["assets.prioritized"] });
  await vi.waitFor(() => expect(feed.listeners).toBe(3), 30_000);
  const admin = ADMIN_COMMAND;
  await dispatcher.services.prioritizeAssets({ ids: [id, other?.id ?? id], priority: 9, limit: 9 }, admin);
  await dispatcher.services.withdrawAssets({ ids: [id], limit: 9, deleteCopies: false }, admin);
  await vi.waitFor(() => expect([byAsset.heard.length, byKind.heard.length]).toEqual([2, 1]), 30_000);
  expect(byOther.heard).toEqual([]);
  for (const one of [byAsset, byOther, byKind]) one.stop();
});

test("500 listeners cost one look at the log, and all hear everything", async () => {
  const { database, feed } = await startFeed();
  const listeners = Array.from({ length: 500 }, () => listen(feed));
  await vi.waitFor(() => expect(feed.listeners).toBe(500), 30_000);
  const looks = async () => {
    const [row] = await database.sql<[{ looks: number }]>`
      select coalesce(sum(idx_scan), 0)::bigint as looks from pg_stat_user_indexes where indexrelname like 'events_%_xid%'`;
    return row.looks;
  };
  const before = await looks();
  for (let number = 0; number < 20; number += 1) await note(database.sql, number);
  await vi.waitFor(() => expect(listeners.every(({ heard }) => heard.length === 20)).toBe(true), 30_000);
  expect((await looks()) - before).toBeLessThan(500);
  for (const one of listeners) one.stop();
  await Promise.all(listeners.map(({ ended }) => ended));
});

test("a listener that does not take what comes is cut, the others are not, and it goes on behind its last event", async () => {
  const { database, feed } = await startFeed();
  const quick = listen(feed);
  const slow = feed.follow(everything, { lastEventId: null, signal: new AbortController().signal });
  const taken = slow.next();
  await vi.waitFor(() => expect(feed.listeners).toBe(2), 30_000);
  await note(database.sql, 0);
  const message = (await taken).value;
  const lastId = message?.at(-1)?.id ?? 0;
  const numbers = Array.from({ length: 6_000 }, (_, index) => index + 1);
  for (let start = 0; start < numbers.length; start += 1_000) {
    await note(database.sql, ...numbers.slice(start, start + 1_000));
  }
  await vi.waitFor(() => expect(quick.heard).toHaveLength(6_001), 30_000);
  await expect(slow.next()).rejects.toMatchObject({ code: "STREAM_CUT" });
  const again = listen(feed, lastId);
  await vi.waitFor(() => expect(again.numbers()).toEqual(numbers), 30_000);
  for (const one of [quick, again]) one.stop();
});

test("an event that is not in the log is refused, and a feed that closes cuts who listens", async () => {
  const { database, feed } = await startFeed();
  await note(database.sql, 0);
  await expect(listen(feed, 99_999).ended).rejects.toMatchObject({ code: "EVENT_UNKNOWN", details: { id: 99_999 } });
  const listener = listen(feed);
  await vi.waitFor(() => expect(feed.listeners).toBe(1), 30_000);
  feed.close();
  await expect(listener.ended).rejects.toMatchObject({ code: "STREAM_CUT" });
  await expect(listen(feed).ended).rejects.toMatchObject({ code: "STREAM_CUT" });
});

test("the log is listed newest first in pages, with details for those alone who may know names", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const ada = await dispatcher.join("ada");
  await dispatcher.join("ben");
  await ada.claim(1);
  const pages = [];
  let after: string | null | undefined;
  do {
    const page = await dispatcher.services.listEvents(
      { limit: 2, ...(typeof after === "string" ? { after } : {}) },
      { withNames: true },
    );
    pages.push(...page.events.map(({ kind }) => kind));
    after = page.next;
  } while (after !== null);
  const kinds = ["node.synced", "node.joined", "token.created", "node.joined", "token.created", "assets.imported"];
  expect(pages).toEqual(kinds);
  const joined = { limit: 9, kinds: ["node.joined"], nodeId: ada.nodeId };
  const { events } = await dispatcher.services.listEvents(joined, { withNames: true });
  expect(events).toMatchObject([{ actor: "node", nodeId: ada.nodeId, detail: { operator: "ada" } }]);
  const shown = await dispatcher.services.listEvents(joined, { withNames: false });
  expect(shown.events).toMatchObject([{ nodeId: ada.nodeId, detail: null }]);
});
