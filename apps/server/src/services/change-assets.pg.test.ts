import { expect, test } from "vitest";
import { failed, finished, open, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher, TestNode } from "../../test/support/test-dispatcher.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";
import type { Actor } from "./authenticate.ts";
import { renewStandings } from "./renew-standings.ts";

const admin: Actor = ADMIN_COMMAND;
const all = { limit: 1000, filter: { dataset: "test" } };
const kept = { ...all, deleteCopies: false };

async function idOf(dispatcher: TestDispatcher, path: string) {
  const { assets } = await dispatcher.services.listAssets({ limit: 1, startsWith: path });
  const [asset] = assets;
  if (asset === undefined) throw new Error(`No asset ${path}.`);
  return asset.id;
}

/** The only grant that a node gets. */
async function grantOf(node: TestNode) {
  const [grant, ...more] = await node.claim(1);
  if (grant === undefined || more.length > 0) throw new Error("One grant was expected.");
  return grant;
}

test("a priority puts an asset at the head of the queue of another server, which had it loaded", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(50);
  const other = dispatcher.another();
  const ben = await dispatcher.join("ben", { services: other.services });
  const first = await grantOf(ben);
  const id = await idOf(dispatcher, "f37");

  const done = await dispatcher.services.prioritizeAssets(
    { ids: [id], priority: 10, limit: 1000, reason: "now" },
    admin,
  );
  expect(done).toEqual({ matched: 1, changed: 1, next: null });
  // The other one hears of it by the log of events, before it decides.
  await other.hearLog();
  expect((await ben.sync({ wants: 1, open: [open(first)] })).grants.map((grant) => grant.asset.path)).toEqual(["f37"]);

  expect(await dispatcher.services.prioritizeAssets({ ids: [id], priority: 10, limit: 1000 }, admin)).toMatchObject({
    changed: 0,
  });
  const { acts } = await dispatcher.services.getAsset({ id, withNames: true });
  expect(acts).toMatchObject([{ kind: "assets.prioritized", reason: "now" }]);
  const shown = await dispatcher.services.getAsset({ id, withNames: false });
  expect(shown.acts).toMatchObject([{ kind: "assets.prioritized", reason: null }]);
});

test("by a filter an act goes through the catalog in pages, each asset once", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(25, (index) => ({ path: `${index % 2 === 0 ? "even" : "odd"}-${index}` }));
  const sums = { matched: 0, changed: 0, calls: 0 };
  let after: string | undefined;
  do {
    const done = await dispatcher.services.prioritizeAssets(
      { filter: { startsWith: "even-" }, priority: 9, limit: 5, ...(after === undefined ? {} : { after }) },
      admin,
    );
    sums.matched += done.matched;
    sums.changed += done.changed;
    sums.calls += 1;
    after = done.next ?? undefined;
  } while (after !== undefined);
  expect(sums).toEqual({ matched: 13, changed: 13, calls: 3 });
  const { assets } = await dispatcher.services.listAssets({ limit: 100 });
  expect(assets.filter(({ priority }) => priority === 9).every(({ path }) => path.startsWith("even-"))).toBe(true);
  expect(assets.slice(0, 13).every(({ priority }) => priority === 9)).toBe(true);
});

test("null gives the dataset's priority back, and an unknown id changes nothing", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  await dispatcher.services.prioritizeAssets({ ...all, priority: 2 }, admin);
  await dispatcher.services.prioritizeAssets({ ids: [await idOf(dispatcher, "f0")], limit: 1, priority: null }, admin);
  const { assets } = await dispatcher.services.listAssets({ limit: 10 });
  expect(assets.map(({ path, priority }) => [path, priority])).toEqual([
    ["f0", 5],
    ["f1", 2],
  ]);
  const ids = [await idOf(dispatcher, "f1"), "999" as never];
  await expect(dispatcher.services.prioritizeAssets({ ids, limit: 10, priority: 7 }, admin)).rejects.toMatchObject({
    code: "ASSET_UNKNOWN",
    details: { id: "999" },
  });
  expect((await dispatcher.services.listAssets({ limit: 10 })).assets.map(({ priority }) => priority)).toEqual([5, 2]);
});

test("a withdrawn asset is not granted, and its leases are stopped whether they have begun or not", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const [ada, ben, cleo] = [await dispatcher.join("ada"), await dispatcher.join("ben"), await dispatcher.join("cleo")];
  const begun = await grantOf(ada);
  const waiting = await grantOf(ben);
  await ada.sync({ open: [open(begun, 40)] });
  const done = await dispatcher.services.withdrawAssets({ ...kept, reason: "a request" }, admin);
  expect(done).toEqual({ matched: 1, changed: 1, leasesStopped: 2, copiesLeaving: 0, next: null });
  expect(await cleo.claim(1)).toEqual([]);

  // Its slot is the node's until it has been told and has stopped.
  for (const [node, lease, bytes] of [
    [ada, begun, 60],
    [ben, waiting, 0],
  ] as const) {
    const told = await node.sync({ open: [open(lease, bytes)] });
    expect(told.cancels).toMatchObject([{ assignmentId: lease.assignmentId }]);
    expect(told.leases).toEqual([]);
  }
  expect((await dispatcher.services.listOrigins({ limit: 10 })).origins).toMatchObject([{ inUse: 2 }]);
  for (const node of [ada, ben]) expect(await node.sync()).toMatchObject({ grants: [], cancels: [] });
  expect((await dispatcher.services.listOrigins({ limit: 10 })).origins).toMatchObject([{ inUse: 0 }]);
  const { assignments } = await dispatcher.services.getAsset({ id: begun.asset.id, withNames: true });
  expect(assignments.map(({ state }) => state)).toEqual(["released", "cancelled"]);
});

test("a lease that was granted in the moment of a withdrawal is stopped by the sweep", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const ada = await dispatcher.join("ada");
  const grant = await grantOf(ada);
  await dispatcher.services.withdrawAssets(kept, admin);
  // As if the withdrawal had not seen it.
  await dispatcher.sql`update assignments set is_surplus = false`;
  await dispatcher.sql`update standings set due_at = now()`;
  expect(await renewStandings(dispatcher.dependencies, 10)).toBe(1);
  expect((await ada.sync({ open: [open(grant, 10)] })).cancels).toHaveLength(1);
  await ada.sync();
});

test("a copy of a withdrawn asset stays, and a restored asset is wanted on", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  await ada.sync({ finished: [finished(await grantOf(ada))] });
  await dispatcher.services.withdrawAssets(kept, admin);
  expect(await dispatcher.services.withdrawAssets(kept, admin)).toMatchObject({ matched: 1, changed: 0 });
  expect(await ben.claim(1)).toEqual([]);
  expect((await dispatcher.services.listAssets({ limit: 1, state: "withdrawn" })).assets).toMatchObject([
    { copies: 1 },
  ]);

  expect(await dispatcher.services.restoreAssets(all, admin)).toEqual({ matched: 1, changed: 1, next: null });
  expect((await dispatcher.services.listAssets({ limit: 1, state: "withdrawn" })).assets).toEqual([]);
  await ben.sync({ finished: [finished(await grantOf(ben))] });
});

test("the review queue is emptied by what failed, where and when; a dry run changes nothing", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(3);
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  const wall = await grantOf(ada);
  await ada.sync({ failed: [failed(wall, "LOGIN_WALL")] });
  const gone = await grantOf(ada);
  await ada.sync({ failed: [failed(gone, "NOT_FOUND")] });
  const again = (await ben.claim(2)).find(({ asset }) => asset.id === gone.asset.id);
  if (again === undefined) throw new Error("Nobody else was asked.");
  await ben.sync({ failed: [failed(again, "GONE")] });

  const ask = { state: "review", limit: 10, dryRun: false } as const;
  const { services } = dispatcher;
  expect(await services.requeueAssets({ ...ask, failureClass: "network" }, admin)).toMatchObject({ assets: [] });
  expect(await services.requeueAssets({ ...ask, nodeId: ben.nodeId }, admin)).toMatchObject({ assets: [] });
  expect(await services.requeueAssets({ ...ask, olderThanMs: 3_600_000 }, admin)).toMatchObject({ assets: [] });
  const wanted = {
    ...ask,
    failureClass: "asset",
    nodeId: ada.nodeId,
    newerThanMs: 3_600_000,
    dataset: "test",
  } as const;
  const would = await services.requeueAssets({ ...wanted, dryRun: true }, admin);
  expect(would).toMatchObject({ assets: [{ id: wall.asset.id, failureCode: "LOGIN_WALL" }], hasMore: false });
  expect((await services.listAssets({ limit: 9, state: "review" })).assets).toHaveLength(1);
  expect((await services.requeueAssets(wanted, admin)).assets).toEqual(would.assets);
  expect((await services.listAssets({ limit: 9, state: "review" })).assets).toEqual([]);

  expect((await services.requeueAssets({ ...ask, state: "gone" }, admin)).assets).toMatchObject([
    { id: gone.asset.id },
  ]);
  expect((await services.listAssets({ limit: 9, state: "wanted" })).assets).toHaveLength(3);
  await expect(services.requeueAssets({ ...ask, dataset: "none" }, admin)).rejects.toMatchObject({
    code: "DATASET_UNKNOWN",
  });
});

test("what failed before people asked again does not count against an asset", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const nodes = [await dispatcher.join("ada"), await dispatcher.join("ben"), await dispatcher.join("cleo")];
  const states = async () => (await dispatcher.services.listAssets({ limit: 1 })).assets.map(({ state }) => state);
  for (let attempt = 0; (await states())[0] === "wanted"; attempt += 1) {
    const node = nodes[attempt % 3];
    if (node === undefined || attempt > 20) throw new Error("It never came to the review queue.");
    for (const grant of await node.claim(1)) await node.sync({ failed: [failed(grant, "STALLED")] });
  }
  expect(await states()).toEqual(["review"]);
  await dispatcher.services.requeueAssets({ state: "review", limit: 10, dryRun: false }, admin);
  const [ada] = nodes;
  if (ada === undefined) throw new Error("There is a first one.");
  await ada.sync({ failed: [failed(await grantOf(ada), "STALLED")] });
  expect(await states()).toEqual(["wanted"]);
});

test("an explanation goes by the rows: who would get it, what keeps the others, and from what state", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1, () => ({ sizeBytes: 5_000 }));
  const big = await dispatcher.join("ada");
  const small = await dispatcher.join("ben", { offeredBytes: 1_000 });
  for (const node of [big, small]) await node.sync();
  const id = await idOf(dispatcher, "f0");
  const told = await dispatcher.services.explainAsset({ id, nodeId: small.nodeId });
  expect(told).toMatchObject({
    state: "wanted",
    nodesAsked: 2,
    chosen: big.nodeId,
    eligible: [big.nodeId],
    refused: [{ reason: "NODE_FULL", nodes: 1, nearest: small.nodeId, refusal: { missingBytes: 4_000 } }],
    change: null,
    node: { verdict: "refused", primary: { reason: "NODE_FULL", missingBytes: 4_000 } },
  });
  await dispatcher.services.pauseOrigin({ host: "origin.example:443" }, { paused: true, actor: admin });
  expect(await dispatcher.services.explainAsset({ id })).toMatchObject({ chosen: null, eligible: [], node: null });
  await dispatcher.services.withdrawAssets(kept, admin);
  expect((await dispatcher.services.explainAsset({ id })).change).toContain("withdrawn");
  await expect(dispatcher.services.explainAsset({ id: "77" as never })).rejects.toMatchObject({
    code: "ASSET_UNKNOWN",
  });
  await expect(dispatcher.services.explainAsset({ id, nodeId: "77" as never })).rejects.toMatchObject({
    code: "NODE_UNKNOWN",
  });
});
