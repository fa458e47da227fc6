import { holdingOf } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";
import { describe, expect, test } from "vitest";
import { SHA256, finished, holdingOfAll, listed, open, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { Grant, ListedCopy, TestDispatcher, TestNode } from "../../test/support/test-dispatcher.ts";
import { NodeInventoryInput } from "../wire/node.ts";
import { hashText } from "./hash-text.ts";
import { moveSilentNodes } from "./move-silent-nodes.ts";
import { renewStandings } from "./renew-standings.ts";

const HOUR_MS = 3_600_000;
const OTHER = "cd".repeat(32);
const NOTHING = { adopted: [], dropped: [], notCounted: [], deletePermits: [] };

/** The node claims and stores so many files. */
async function store(node: TestNode, count = 1): Promise<readonly Grant[]> {
  const grants = await node.claim(count);
  if (grants.length !== count) throw new Error(`${grants.length} grants where ${count} were expected.`);
  await node.sync({ finished: grants.map((grant) => finished(grant)) });
  return grants;
}

async function storeOne(node: TestNode): Promise<Grant> {
  const [grant] = await store(node);
  if (grant === undefined) throw new Error("one grant");
  return grant;
}

async function standingOf({ sql }: TestDispatcher, id: AssetId) {
  const [row] = await sql<{ copies: number; places: number; trusts: string[] }[]>`
    select independent_copies as copies, places_left as places,
           array(select trust from replicas r where r.asset_id = s.asset_id order by r.node_id) as trusts
      from standings s where asset_id = ${id}`;
  if (row === undefined) throw new Error(`No asset ${id}.`);
  return row;
}

/** As if the database were one from before the node's copies: it knows nothing of them. */
async function forget({ sql }: TestDispatcher, node: TestNode): Promise<void> {
  const rows = await sql<{ id: AssetId }[]>`
    delete from assignments where node_id = ${node.nodeId} returning asset_id::text as id`;
  const zeros = "00".repeat(32);
  await sql`
    update nodes set held_bytes = 0, held_copies = 0, held_digest = decode(${zeros}, 'hex') where id = ${node.nodeId}`;
  await sql`update standings set due_at = now() where asset_id = any(${rows.map(({ id }) => id)}::bigint[])`;
}

async function renew(dispatcher: TestDispatcher): Promise<void> {
  while ((await renewStandings(dispatcher.dependencies, 100)) > 0);
}

async function wantsInventory(node: TestNode, copies: readonly ListedCopy[]): Promise<boolean> {
  return (await node.sync({ holding: holdingOfAll(copies) })).inventoryWanted;
}

describe("the holding that a sync tells", () => {
  test("is compared with what is on record after the reports of that sync", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const [first, second] = await node.claim(2);
    if (first === undefined || second === undefined) throw new Error("two grants");
    expect(await wantsInventory(node, [])).toBe(false);
    const both = [listed(second), listed(first)];
    const report = { finished: [finished(first), finished(second)], holding: holdingOfAll(both) };
    expect((await node.sync(report)).inventoryWanted).toBe(false);
    // The answer was lost, so the same is told again.
    expect(await node.sync(report)).toMatchObject({
      reports: [{ outcome: "repeated" }, { outcome: "repeated" }],
      inventoryWanted: false,
    });
    expect(await wantsInventory(node, [listed(first)])).toBe(true);
    expect((await node.sync()).inventoryWanted).toBe(false);
    expect(await wantsInventory(node, both)).toBe(false);
  });

  test("is not held against a node whose report is refused with the same answer", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const [grant] = await node.claim();
    if (grant === undefined) throw new Error("one grant");
    const wrong = listed(grant, { sha256: OTHER });
    const reply = await node.sync({
      finished: [finished(grant, { sha256: OTHER })],
      holding: holdingOfAll([wrong]),
    });
    expect(reply).toMatchObject({ reports: [{ outcome: "rejected" }], inventoryWanted: false });
    expect(await wantsInventory(node, [])).toBe(false);
    expect(await wantsInventory(node, [wrong])).toBe(true);
  });

  test("is the core's of the rows, in the columns of the node and in the view", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_QUOTA_MAX: "10" });
    await dispatcher.addAssets(7, (index) => ({ sizeBytes: index * 11 }));
    const node = await dispatcher.join("ada");
    const grants = [...(await store(node, 2)), ...(await store(node, 5))];
    const entries = grants.map(({ asset }) => ({
      assetId: asset.id,
      sizeBytes: asset.sizeBytes ?? -1,
      sha256: SHA256,
    }));
    const expected = holdingOf(entries, hashText);
    const columns = await dispatcher.sql`
      select held_copies as copies, held_bytes as bytes, encode(held_digest, 'hex') as digest from nodes`;
    const view = await dispatcher.sql`select copies, bytes, encode(digest, 'hex') as digest from holdings`;
    expect(columns).toEqual([expected]);
    expect(view).toEqual([expected]);
  });

  test("brings the copies of a node that was lost back at once, where all of them are there", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const grant = await storeOne(node);
    await dispatcher.silence(node.nodeId, 25 * HOUR_MS);
    await moveSilentNodes(dispatcher.dependencies, 100);
    await renew(dispatcher);
    expect(await standingOf(dispatcher, grant.asset.id)).toMatchObject({ copies: 0 });
    expect((await node.sync()).inventoryWanted).toBe(true);
    expect(await wantsInventory(node, [listed(grant)])).toBe(false);
    await renew(dispatcher);
    expect(await standingOf(dispatcher, grant.asset.id)).toMatchObject({ copies: 1 });
  });
});

describe("copies on record", () => {
  test("that are listed stay, and nothing is locked or written for them", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const copies = (await store(node, 2)).map((grant) => listed(grant));
    const [before] =
      await dispatcher.sql`select pg_current_xact_id_if_assigned() as x, (select max(id) from events) as e`;
    expect(await node.list(copies, { page: 1, pages: 2 })).toEqual(NOTHING);
    expect(
      await dispatcher.sql`select pg_current_xact_id_if_assigned() as x, (select max(id) from events) as e`,
    ).toEqual([before]);
  });

  test("that are not listed, or with other bytes, are dropped and made anew elsewhere", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const [gone, changed] = await store(node, 2);
    if (gone === undefined || changed === undefined) throw new Error("two grants");
    const answer = await node.list([listed(changed, { sha256: OTHER })]);
    expect(answer).toEqual({
      ...NOTHING,
      dropped: [gone.asset.id, changed.asset.id].toSorted(),
      notCounted: [{ assetId: changed.asset.id, reason: "OTHER_BYTES" }],
    });
    expect(await standingOf(dispatcher, gone.asset.id)).toMatchObject({ copies: 0, trusts: [] });
    expect(await wantsInventory(node, [])).toBe(false);
    const events = await dispatcher.sql<{ kind: string; assets: string[] }[]>`
      select kind, asset_ids::text[] as assets from events order by id desc limit 1`;
    expect(events).toEqual([{ kind: "copies.reconciled", assets: [gone.asset.id, changed.asset.id].toSorted() }]);
    const ben = await dispatcher.join("ben");
    expect(await ben.claim(2)).toHaveLength(2);
  });

  test("are not missed by a page of another range, nor by a list that was begun before they were stored", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const ids = (await store(node, 2)).map(({ asset }) => asset.id).toSorted();
    const [first, second] = ids;
    if (first === undefined || second === undefined) throw new Error("two grants");
    expect(await node.list([], { asOfMs: Date.now() - HOUR_MS })).toEqual(NOTHING);
    expect(await node.list([], { afterId: second })).toEqual(NOTHING);
    expect(await node.list([], { afterId: first, upToId: second })).toEqual({ ...NOTHING, dropped: [second] });
    expect(await node.list([], { upToId: first })).toEqual({ ...NOTHING, dropped: [first] });
    expect(await node.list([])).toEqual(NOTHING);
  });

  test("are settled in batches, however many they are", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(900, () => ({ sizeBytes: 1 }));
    const node = await dispatcher.join("ada");
    const { assets } = await dispatcher.services.listAssets({ limit: 1000 });
    const copies = assets.map(({ id }) => listed({ asset: { id, sizeBytes: 1 } } as Grant));
    expect((await node.list(copies)).adopted).toHaveLength(900);
    expect(await wantsInventory(node, copies)).toBe(false);
    expect((await node.list([])).dropped).toHaveLength(900);
    expect(await wantsInventory(node, [])).toBe(false);
  });

  test("that are too many after a node came back are given up by it, with a permit", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_COPIES_MAX: "2" });
    await dispatcher.addAssets(1);
    const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("three nodes");
    const grant = await storeOne(ada);
    await storeOne(ben);
    await dispatcher.silence(ada.nodeId, 25 * HOUR_MS);
    await moveSilentNodes(dispatcher.dependencies, 100);
    await renew(dispatcher);
    await storeOne(cleo);
    // All is there, and it is asked all the same, for the sake of those that are too many.
    expect(await wantsInventory(ada, [listed(grant)])).toBe(true);
    const permit = { assetId: grant.asset.id, reason: "LEAVING" };
    expect(await ada.list([listed(grant)])).toEqual({ ...NOTHING, deletePermits: [permit] });
    expect(await wantsInventory(ada, [])).toBe(false);
    // It died before it deleted: the same again.
    expect(await wantsInventory(ada, [listed(grant)])).toBe(true);
    expect(await ada.list([listed(grant)])).toEqual({ ...NOTHING, deletePermits: [permit] });
    await renew(dispatcher);
    expect(await standingOf(dispatcher, grant.asset.id)).toMatchObject({ copies: 2 });
  });

  test("are counted anew with the last page, should a server of before have left the digest behind", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const copies = [listed(await storeOne(node))];
    await dispatcher.sql`update nodes set held_copies = 7, held_digest = decode(${OTHER}, 'hex')`;
    expect(await wantsInventory(node, copies)).toBe(true);
    expect(await node.list(copies)).toEqual(NOTHING);
    expect(await wantsInventory(node, copies)).toBe(false);
  });
});

describe("copies not on record", () => {
  test("are adopted as they were reported once, and once only", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const grant = await storeOne(node);
    await forget(dispatcher, node);
    await renew(dispatcher);
    const copies = [listed(grant, { etag: '"v1"' })];
    expect(await wantsInventory(node, copies)).toBe(true);
    expect(await node.list(copies)).toEqual({ ...NOTHING, adopted: [grant.asset.id] });
    expect(await node.list(copies)).toEqual(NOTHING);
    expect(await wantsInventory(node, copies)).toBe(false);
    expect(await standingOf(dispatcher, grant.asset.id)).toMatchObject({ copies: 1, trusts: ["verified"] });
    expect(await dispatcher.sql`select etag from replicas`).toEqual([{ etag: '"v1"' }]);
  });

  test("are adopted again after they were dropped, for a disk that came back", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const copies = [listed(await storeOne(node))];
    await node.list([]);
    expect(await node.list(copies)).toMatchObject({ adopted: [copies[0]?.assetId] });
    expect(await wantsInventory(node, copies)).toBe(false);
  });

  test("end the lease that their node has of the asset", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const [grant, other] = await node.claim(2);
    if (grant === undefined || other === undefined) throw new Error("two grants");
    expect(await node.list([listed(grant)])).toEqual({ ...NOTHING, adopted: [grant.asset.id] });
    const reply = await node.sync({ open: [open(grant, 1), open(other, 1)] });
    expect(reply.cancels).toMatchObject([{ assignmentId: grant.assignmentId }]);
    expect(reply.leases).toMatchObject([{ assignmentId: other.assignmentId }]);
    expect((await node.sync({ finished: [finished(grant)], open: [open(other, 2)] })).reports).toMatchObject([
      { outcome: "repeated" },
    ]);
  });

  test("without a declared digest are adopted alone or beside equals, and not beside others", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1, () => ({ digest: null }));
    const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("three nodes");
    const grant = await storeOne(ada);
    const { id: assetId } = grant.asset;
    await forget(dispatcher, ada);
    await renew(dispatcher);
    expect(await ada.list([listed(grant)])).toMatchObject({ adopted: [assetId] });
    expect(await cleo.list([listed(grant, { sha256: OTHER })])).toEqual({
      ...NOTHING,
      notCounted: [{ assetId, reason: "DIGEST_MISMATCH" }],
    });
    expect(await ben.list([listed(grant)])).toMatchObject({ adopted: [assetId] });
    expect(await standingOf(dispatcher, assetId)).toMatchObject({ copies: 2, trusts: ["agreed", "agreed"] });
  });

  test("are proved by the algorithm that the catalog declares", async () => {
    const dispatcher = await startBalanced();
    const digest = { algorithm: "sha1", hex: "ef".repeat(20) } as const;
    await dispatcher.addAssets(1, () => ({ digest }));
    const node = await dispatcher.join("ada");
    const [grant] = await node.claim();
    if (grant === undefined) throw new Error("one grant");
    const { id: assetId } = grant.asset;
    const unproved = { assetId, reason: "DIGEST_MISMATCH" };
    expect(await node.list([listed(grant)])).toEqual({ ...NOTHING, notCounted: [unproved] });
    expect(await node.list([listed(grant, { digest })])).toEqual({ ...NOTHING, adopted: [assetId] });
  });

  test("with other bytes than the catalog declares are never to be deleted, nor is what no catalog names", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(3);
    const node = await dispatcher.join("ada");
    const { assets } = await dispatcher.services.listAssets({ limit: 10 });
    const [short, wrong] = assets.map(({ id }) => ({ asset: { id, sizeBytes: 100 } }) as Grant).toReversed();
    if (short === undefined || wrong === undefined) throw new Error("three assets");
    const unknown = { asset: { id: "999" as AssetId } } as Grant;
    const answer = await node.list([
      listed(short, { sizeBytes: 99 }),
      listed(wrong, { sha256: OTHER }),
      listed(unknown),
    ]);
    expect(answer).toMatchObject({ adopted: [], dropped: [], deletePermits: [] });
    expect(Object.fromEntries(answer.notCounted.map(({ assetId, reason }) => [assetId, reason]))).toEqual({
      [short.asset.id]: "SIZE_MISMATCH",
      [wrong.asset.id]: "DIGEST_MISMATCH",
      999: "ASSET_UNKNOWN",
    });
  });

  test("that find no room in the ledger are not counted", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada", { offeredBytes: 100 });
    const grant = await storeOne(node);
    const { assets } = await dispatcher.services.listAssets({ limit: 10 });
    const other = assets.find(({ id }) => id !== grant.asset.id);
    if (other === undefined) throw new Error("two assets");
    const copy = { ...listed(grant), assetId: other.id };
    expect(await node.list([listed(grant), copy])).toEqual({
      ...NOTHING,
      notCounted: [{ assetId: other.id, reason: "LEDGER_EXCEEDED" }],
    });
  });

  test("beyond the most copies may be deleted while enough operators have one, else they stay", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_COPIES_MAX: "2" });
    await dispatcher.addAssets(1);
    const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("three nodes");
    const grant = await storeOne(ada);
    const { id: assetId } = grant.asset;
    await storeOne(ben);
    expect(await cleo.list([listed(grant)])).toEqual({ ...NOTHING, deletePermits: [{ assetId, reason: "LEAVING" }] });
    // Of two copies of one operator and a third of another, the third is the safety.
    await dispatcher.sql`
      update assignments set operator_id = (select operator_id from nodes where id = ${ada.nodeId}) where state = 'stored'`;
    await dispatcher.sql`update standings set due_at = now()`;
    await renew(dispatcher);
    expect(await cleo.list([listed(grant)])).toEqual({ ...NOTHING, notCounted: [{ assetId, reason: "COPIES_FULL" }] });
  });

  test("are never to be deleted where they are the only ones with the declared bytes", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_COPIES_MAX: "2" });
    await dispatcher.addAssets(1);
    const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("three nodes");
    const grant = await storeOne(ada);
    await storeOne(ben);
    // They were stored when nothing was declared yet.
    await dispatcher.sql`
      update assignments set trust = 'agreed', sha256 = decode(${OTHER}, 'hex') where state = 'stored'`;
    await dispatcher.sql`
      update nodes n set held_digest = h.digest from holdings h where h.node_id = n.id`;
    expect(await cleo.list([listed(grant)])).toMatchObject({
      deletePermits: [],
      notCounted: [{ reason: "COPIES_FULL" }],
    });
  });

  test("of two nodes at once take the one place that there is", async () => {
    const one = { DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MAX: "1" };
    const dispatcher = await startBalanced(one);
    await dispatcher.addAssets(1);
    const [ada, ben] = await Promise.all(["ada", "ben"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined) throw new Error("two nodes");
    const { assets } = await dispatcher.services.listAssets({ limit: 1 });
    const copies = assets.map(({ id }) => listed({ asset: { id, sizeBytes: 100 } } as Grant));
    const answers = await Promise.all([ada.list(copies), ben.list(copies)]);
    expect(answers.flatMap(({ adopted }) => adopted)).toHaveLength(1);
    expect(answers.flatMap(({ deletePermits }) => deletePermits)).toHaveLength(1);
  });

  test("and a grant of the same asset at the same time do not meet on one node", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(20);
    const node = await dispatcher.join("ada");
    await dispatcher.sql`update nodes set quota = 100`;
    const { assets } = await dispatcher.services.listAssets({ limit: 20 });
    const copies = assets.map(({ id }) => listed({ asset: { id, sizeBytes: 100 } } as Grant));
    const [answer] = await Promise.all([node.list(copies), node.sync({ wants: 20 })]);
    expect(answer.adopted).toHaveLength(20);
    expect(await wantsInventory(node, copies)).toBe(false);
  });
});

const copyOf = (id: string) => listed({ asset: { id: id as AssetId, sizeBytes: 1 } } as Grant);
const isTaken = (page: object) =>
  NodeInventoryInput.safeParse({ page: 1, pages: 1, asOfMs: 0, afterId: null, upToId: null, copies: [], ...page })
    .success;

test("a page whose copies are out of order or out of its range is refused", () => {
  expect(isTaken({ afterId: "8", upToId: "10", copies: [copyOf("9"), copyOf("10")] })).toBe(true);
  expect(isTaken({ copies: [copyOf("10"), copyOf("9")] })).toBe(false);
  expect(isTaken({ copies: [copyOf("9"), copyOf("9")] })).toBe(false);
  expect(isTaken({ afterId: "9", copies: [copyOf("9")] })).toBe(false);
  expect(isTaken({ upToId: "9", copies: [copyOf("10")] })).toBe(false);
  expect(isTaken({ page: 2 })).toBe(false);
});

test("a retired node is told so", async () => {
  const dispatcher = await startBalanced();
  const node = await dispatcher.join("ada");
  await dispatcher.sql`update nodes set life = 'retired'`;
  await expect(node.list([])).rejects.toMatchObject({ code: "NODE_RETIRED" });
});
