import { expect, test } from "vitest";
import { failed, finished, listed, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher, TestNode } from "../../test/support/test-dispatcher.ts";
import { countHours } from "./count-hours.ts";
import { createOverviews, renewOverview } from "./overview.ts";
import { renewStandings } from "./renew-standings.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

const HOUR_MS = 3_600_000;

async function grantOf(node: TestNode) {
  const [grant, ...more] = await node.claim(1);
  if (grant === undefined || more.length > 0) throw new Error("One grant was expected.");
  return grant;
}

/** Nothing is counted that is younger than a transaction under way, those of other databases of this PostgreSQL included. */
async function countAll(dispatcher: TestDispatcher, limit = 100): Promise<void> {
  const countOn = async (): Promise<number> => {
    while ((await countHours(dispatcher.dependencies, limit)) === limit);
    const [left] = await dispatcher.sql<[{ events: number }]>`
      select count(*) as events from events e cross join service_state s where e.id > coalesce(s.counted_event_id, 0)`;
    return left.events;
  };
  await expect.poll(countOn, { timeout: 20_000, interval: 10 }).toBe(0);
}

test("each event is added to its hour once, by however many servers, and days are sums of hours", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(6);
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  const first = await grantOf(ada);
  await ada.sync({ finished: [finished(first)] });
  await ada.sync({ failed: [failed(await grantOf(ada), "STALLED")] });
  await ben.claim(2);
  await dispatcher.endLeases();
  // Two who sweep at once, and batches of one event.
  await Promise.all([countAll(dispatcher, 1), countAll(dispatcher, 1)]);
  await ben.list([listed(first)]);
  await countAll(dispatcher);
  await countAll(dispatcher);

  const { buckets, nowMs, countedUntilMs } = await dispatcher.services.readThroughput({ by: "hour", last: 3 });
  const sums = { granted: 4, stored: 1, storedBytes: 100, failed: 1, adopted: 1, dropped: 0 };
  expect(buckets).toHaveLength(3);
  // The clock may have struck meanwhile.
  const total = (of: keyof typeof sums) => buckets.reduce((sum, bucket) => sum + bucket[of], 0);
  for (const of of Object.keys(sums) as (keyof typeof sums)[]) expect([of, total(of)]).toEqual([of, sums[of]]);
  expect(buckets.at(-1)?.startMs).toBe(Math.floor(nowMs / HOUR_MS) * HOUR_MS);
  expect(countedUntilMs).not.toBeNull();
  const days = await dispatcher.services.readThroughput({ by: "day", last: 2 });
  expect(days.buckets).toHaveLength(2);
  expect(days.buckets.reduce((sum, bucket) => sum + bucket.stored, 0)).toBe(1);
});

test("counting goes on with the oldest event that is kept, once the last counted one is dropped", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  const ada = await dispatcher.join("ada");
  await ada.claim(1);
  await countAll(dispatcher);
  await dispatcher.sql`delete from events`;
  await ada.claim(1);
  await countAll(dispatcher);
  const { buckets } = await dispatcher.services.readThroughput({ by: "hour", last: 2 });
  expect(buckets.reduce((sum, bucket) => sum + bucket.granted, 0)).toBe(2);
});

test("a small catalog is counted for who asks, and a large one is told as it was last counted", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(3, (index) => ({ sizeBytes: 100 * (index + 1) }));
  const ada = await dispatcher.join("ada");
  await ada.sync({ finished: [finished(await grantOf(ada))] });
  const { services, sql } = dispatcher;
  expect(await services.readOverview()).toMatchObject({ ageMs: 0, assets: { total: 3, belowMin: 3, withoutCopy: 2 } });
  expect(await services.readCopies()).toMatchObject({
    ageMs: 0,
    bars: [
      { copies: 0, assets: 2, bytes: 500 },
      { copies: 1, assets: 1, bytes: 100 },
    ],
  });
  // Nothing is stored where nothing has to be.
  await renewOverview(dispatcher.dependencies);
  expect(await sql`select from overviews`).toHaveLength(0);

  // As large as a large one in what counting it has to read, with nothing in it.
  await sql`alter table standings drop constraint standings_asset_id_fkey`;
  await sql`insert into standings (asset_id, origin_id, size_class, places_left, urgency)
            select -n, 1, 1, 0, 0 from generate_series(1, 400000) n`;
  await sql`delete from standings where asset_id < 0`;
  await renewOverview(dispatcher.dependencies);
  await sql`update overviews set counted_at = counted_at - interval '10 seconds'`;
  await dispatcher.addAssets(4);
  const told = await services.readOverview();
  expect(told).toMatchObject({ assets: { total: 3 }, leases: { stored: 1 } });
  expect(told.ageMs).toBeGreaterThanOrEqual(10_000);
  await renewOverview(dispatcher.dependencies);
  expect(await services.readOverview()).toMatchObject({ assets: { total: 3 } });
  await sql`update overviews set counted_at = now() - interval '1 day'`;
  await renewOverview(dispatcher.dependencies);
  expect(await services.readOverview()).toMatchObject({ assets: { total: 4 } });
});

test("a catalog that takes a moment to count is counted for all who ask within twenty such moments", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(3);
  const { sql } = dispatcher;
  await sql`alter table standings drop constraint standings_asset_id_fkey`;
  await sql`insert into standings (asset_id, origin_id, size_class, places_left, urgency)
            select -n, 1, 1, 0, 0 from generate_series(1, 60000) n`;
  await sql`delete from standings where asset_id < 0`;
  let nowMs = 0;
  const { readOverview } = createOverviews(dispatcher.dependencies, () => (nowMs += 10));
  expect(await readOverview()).toMatchObject({ ageMs: 0, assets: { total: 3 } });
  await dispatcher.addAssets(4);
  expect(await readOverview()).toMatchObject({ ageMs: 20, assets: { total: 3 } });
  nowMs += 200;
  expect(await readOverview()).toMatchObject({ ageMs: 0, assets: { total: 4 } });
});

test("what is in danger: too few copies, or soon to be removed and not complete", async () => {
  const dispatcher = await startBalanced({ DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_TARGET: "2" });
  const nowMs = Date.now();
  const dayMs = 24 * HOUR_MS;
  await dispatcher.addAssets(4, (index) => ({ removeByMs: index === 0 ? null : nowMs + index * 10 * dayMs }));
  const ada = await dispatcher.join("ada");
  const grant = await grantOf(ada);
  await ada.sync({ finished: [finished(grant)] });
  const risk = await dispatcher.services.readAtRisk({ limit: 10, withinMs: 25 * dayMs });
  expect(risk.endingSoon.map(({ path }) => path)).toEqual(["f1", "f2"]);
  expect(risk.belowMin.map(({ id }) => id)).not.toContain(grant.asset.id);
  expect(risk.belowMin).toHaveLength(3);
});

test("operators stand by the copies that count, with names for those who may know them", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(3);
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  for (const node of [ben, ben, ada]) await node.sync({ finished: [finished(await grantOf(node))] });
  const { operators } = await dispatcher.services.readLeaderboard({ limit: 5 }, { withNames: true });
  expect(operators).toMatchObject([
    { operator: "ben", nodes: 1, copies: 2, bytes: 200, verifiedCopies: 2 },
    { operator: "ada", nodes: 1, copies: 1, bytes: 100 },
  ]);
  await dispatcher.services.retireNode({ id: ben.nodeId }, ADMIN_COMMAND);
  const shown = await dispatcher.services.readLeaderboard({ limit: 5 }, { withNames: false });
  expect(shown.operators).toMatchObject([
    { operator: null, copies: 1 },
    { operator: null, nodes: 0, copies: 0, verifiedCopies: 2 },
  ]);
  await renewStandings(dispatcher.dependencies, 10);
});

test("the version of the server and of its schema", async () => {
  const dispatcher = await startBalanced();
  expect(await dispatcher.services.readVersion()).toMatchObject({
    version: expect.stringMatching(/^\d+\./),
    schema: expect.stringMatching(/^\d{4}_/),
  });
});
