import { describe, expect, test } from "vitest";
import {
  failed,
  finished,
  holdingOfAll,
  listed as listedCopy,
  open,
  startBalanced,
} from "../../../test/support/test-dispatcher.ts";
import type { Grant, TestDispatcher } from "../../../test/support/test-dispatcher.ts";
import { recountCopies } from "../../db/queries/nodes.ts";
import { beginMercy } from "../../db/queries/service-state.ts";
import { expireLeases } from "../reclaim-leases.ts";
import { renewStandings } from "../renew-standings.ts";
import { moveSilentNodes } from "../move-silent-nodes.ts";
import { ADMIN_COMMAND } from "../authenticate.ts";

const HOUR_MS = 3_600_000;

async function assetOf(dispatcher: TestDispatcher, path = "f0") {
  const { assets } = await dispatcher.services.listAssets({ limit: 1000 });
  const found = assets.find((asset) => asset.path === path);
  if (found === undefined) throw new Error(`No asset ${path}.`);
  return dispatcher.services.getAsset({ id: found.id, withNames: true });
}

async function nodeOf(dispatcher: TestDispatcher, nodeId: string) {
  const { nodes } = await dispatcher.services.listNodes(null, ADMIN_COMMAND);
  const found = nodes.find((node) => node.id === nodeId);
  if (found === undefined) throw new Error(`No node ${nodeId}.`);
  return found;
}

function only(grants: readonly Grant[]): Grant {
  const [grant, ...more] = grants;
  if (grant === undefined || more.length > 0) throw new Error(`${grants.length} grants where one was expected.`);
  return grant;
}

describe("granting", () => {
  test("a copy is granted, reported, and held by the ledger", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const grant = only(await node.claim());
    expect(grant).toMatchObject({
      term: 1,
      reservedBytes: 100,
      asset: { path: "f0", dataset: "test", sizeBytes: 100 },
    });
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ reservedBytes: 100, heldBytes: 0, openLeases: 1 });

    const reply = await node.sync({ finished: [finished(grant)] });
    expect(reply.reports).toEqual([{ assignmentId: grant.assignmentId, term: 1, outcome: "accepted" }]);
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({
      reservedBytes: 0,
      heldBytes: 100,
      copies: 1,
      quota: 4,
    });
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 1, replicas: [{ trust: "verified", counts: true }] });
  });

  test("a grant whose reply was lost comes again with the next sync", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const grant = only(await node.claim());
    const again = await node.sync();
    expect(again.grants).toEqual([grant]);
    const known = await node.sync({ open: [open(grant)] });
    expect(known.grants).toEqual([]);
    expect(known.leases).toMatchObject([{ assignmentId: grant.assignmentId, term: 1, reservedBytes: 100 }]);
  });

  test("the second copy goes to another operator", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const first = await dispatcher.join("ada");
    const sister = await dispatcher.join("ada", { name: "ada-2" });
    const other = await dispatcher.join("ben");
    await first.sync({ finished: [finished(only(await first.claim()))] });
    await other.sync();
    const refused = await sister.sync({ wants: 1 });
    expect(refused).toMatchObject({ grants: [], refusal: { reason: "NOTHING_LEFT" } });
    await other.sync({ finished: [finished(only(await other.claim()))] });
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 2, copiesTarget: 2 });
  });

  test("where one operator is alone, its second node may take a copy, which does not count as a second", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const first = await dispatcher.join("ada");
    const sister = await dispatcher.join("ada", { name: "ada-2" });
    await first.sync({ finished: [finished(only(await first.claim()))] });
    await sister.sync({ finished: [finished(only(await sister.claim()))] });
    const asset = await assetOf(dispatcher);
    expect(asset.copies).toBe(1);
    expect(asset.replicas).toHaveLength(2);
  });

  test("a node that is full is told by how much", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada", { offeredBytes: 99 });
    expect(await node.sync({ wants: 1, offeredBytes: 99 })).toMatchObject({
      grants: [],
      refusal: { reason: "NODE_FULL", missingBytes: 1 },
    });
  });

  test("the real disk counts as well as the offer", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    expect(await node.sync({ wants: 1, freeBytes: 60 })).toMatchObject({
      grants: [],
      refusal: { reason: "NODE_FULL", missingBytes: 40 },
    });
  });

  test("an asset too big for the asker does not stand in the way of those behind it", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(30, (index) => ({
      sizeBytes: index < 29 ? 50_000 : 100,
      priority: index < 29 ? 10 : 1,
    }));
    const node = await dispatcher.join("ada");
    expect(only(await node.claim()).asset.path).toBe("f29");
  });

  test("a saturated origin does not stand in the way of others", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_ORIGIN_CONCURRENCY: "1" });
    await dispatcher.addAssets(30, (index) => ({
      url: index < 29 ? `https://busy.example/f${index}` : "https://idle.example/f29",
      priority: index < 29 ? 10 : 1,
    }));
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    expect(only(await ada.claim()).asset.path).toBe("f0");
    expect(only(await ben.claim()).asset.path).toBe("f29");
    const cleo = await dispatcher.join("cleo");
    // f29 takes a second copy only when its origin has a slot again.
    expect(await cleo.sync({ wants: 1 })).toMatchObject({ grants: [], refusal: { reason: "ORIGIN_SATURATED" } });
  });

  test("the quota bounds open leases and says so", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(10);
    const node = await dispatcher.join("ada");
    const reply = await node.sync({ wants: 5 });
    expect(reply.grants).toHaveLength(2);
    expect(reply.refusal).toMatchObject({ reason: "QUOTA", openLeases: 2, limit: 2 });
  });

  test("claims of many nodes on several servers at once double nothing", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_ORIGIN_CONCURRENCY: "1000", DISPATCHER_QUOTA_MAX: "1000" });
    await dispatcher.addAssets(60);
    const nodes = await Promise.all(
      Array.from({ length: 12 }, (_, index) => dispatcher.join(`op${index % 4}`, { name: `n${index}` })),
    );
    await dispatcher.sql`update nodes set quota = 20`;
    // Each of these has rounds of its own, like another process on the same database.
    const { createServices } = await import("../index.ts");
    const servers = [
      dispatcher.services,
      createServices(dispatcher.dependencies),
      createServices(dispatcher.dependencies),
    ];
    const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 10_000, freeBytes: 1e9 };
    const nothing = { open: [], finished: [], failed: [], released: [] };
    const claim = async (index: number, wants: number) => {
      const { nodeId } = nodes[index] ?? {};
      if (nodeId === undefined) throw new Error(`There is no node ${index}.`);
      const input = { ...facts, ...nothing, wants };
      const reply = await servers[index % 3]?.syncNode({ nodeId, network: null, input });
      return (reply?.grants ?? []).map((grant) => ({ grant, node: nodes[index] }));
    };
    const atOnce = (await Promise.all(nodes.map((_node, index) => claim(index, 15)))).flat();
    // Who was refused for a grant that another did not get after all finds it with its next sync, which brings all again.
    const granted: typeof atOnce = [];
    for (const index of nodes.keys()) granted.push(...(await claim(index, 15)));
    expect(granted).toHaveLength(120);
    const given = new Set(granted.map(({ grant }) => grant.assignmentId));
    expect(atOnce.filter(({ grant }) => !given.has(grant.assignmentId))).toEqual([]);
    expect(new Set(atOnce.map(({ grant }) => grant.assignmentId)).size).toBe(atOnce.length);
    const operatorsByAsset = Map.groupBy(granted, ({ grant }) => grant.asset.id);
    for (const holders of operatorsByAsset.values()) {
      expect(new Set(holders.map(({ node }) => node?.operator)).size).toBe(holders.length);
    }
  });
});

describe("reports", () => {
  test("a report sent again is answered as repeated and counts once", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const report = finished(only(await node.claim()));
    await node.sync({ finished: [report] });
    const again = await node.sync({ finished: [report] });
    expect(again.reports).toMatchObject([{ outcome: "repeated" }]);
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ heldBytes: 100, copies: 1 });
  });

  test("bytes with another digest are refused, the assignment fails and the quota is halved", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const [good, bad] = await node.claim(2);
    if (good === undefined || bad === undefined) throw new Error("two grants");
    const reply = await node.sync({ finished: [finished(bad, { sha256: "00".repeat(32) }), finished(good)] });
    expect(reply.reports).toMatchObject([{ outcome: "rejected", code: "DIGEST_MISMATCH" }, { outcome: "accepted" }]);
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ copies: 1, reservedBytes: 0, quota: 2 });
    const { assignments } = await assetOf(dispatcher, bad.asset.path);
    expect(assignments).toMatchObject([{ state: "failed", failureCode: "BAD_DIGEST" }]);
  });

  test("the digest the catalog declares is compared in its own algorithm", async () => {
    const dispatcher = await startBalanced();
    const digest = { algorithm: "sha1", hex: "cd".repeat(20) } as const;
    await dispatcher.addAssets(2, () => ({ digest }));
    const node = await dispatcher.join("ada");
    const [one, two] = await node.claim(2);
    if (one === undefined || two === undefined) throw new Error("two grants");
    const reply = await node.sync({ finished: [finished(one, { digest }), finished(two)] });
    expect(reply.reports).toMatchObject([{ outcome: "accepted" }, { outcome: "rejected", code: "DIGEST_MISMATCH" }]);
  });

  test("another length is refused", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const reply = await node.sync({ finished: [finished(only(await node.claim()), { sizeBytes: 99 })] });
    expect(reply.reports).toMatchObject([{ outcome: "rejected", code: "SIZE_MISMATCH" }]);
  });

  test("a node speaks for its own assignments alone, and under their term", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    const grant = only(await ada.claim());
    const stolen = await ben.sync({ finished: [finished(grant)], failed: [failed(grant, "BAD_URL")] });
    expect(stolen.reports).toMatchObject([
      { outcome: "rejected", code: "ASSIGNMENT_UNKNOWN" },
      { outcome: "rejected", code: "ASSIGNMENT_UNKNOWN" },
    ]);
    const stale = await ada.sync({ open: [open(grant)], finished: [finished({ ...grant, term: 7 })] });
    expect(stale.reports).toMatchObject([{ outcome: "rejected", code: "LEASE_TERM_STALE" }]);
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 0, openLeases: 1, state: "wanted" });
  });

  test("progress renews the lease, a sign of life does not", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const grant = only(await node.claim());
    await dispatcher.sql`update assignments set lease_expires_at = now() + interval '1 minute'`;
    const [before] = (await node.sync({ open: [open(grant)] })).leases;
    const [after] = (await node.sync({ open: [open(grant, 50)] })).leases;
    const [same] = (await node.sync({ open: [open(grant, 50)] })).leases;
    expect(before?.expiresAtMs).toBeLessThan(grant.expiresAtMs);
    expect(after?.expiresAtMs).toBeGreaterThan(before?.expiresAtMs ?? 0);
    expect(same).toEqual(after);
  });

  test("work that is given back goes to the next", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const { assignmentId, term } = only(await node.claim());
    const reply = await node.sync({ released: [{ assignmentId, term, reason: "stopping" }] });
    expect(reply.reports).toMatchObject([{ outcome: "accepted" }]);
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ reservedBytes: 0, quota: 2 });
    const other = await dispatcher.join("ben");
    expect(only(await other.claim())).toMatchObject({ term: 2 });
  });

  test("what a node finds of a file of unknown size is what the next one needs room for", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_UNKNOWN_SIZE_BYTES: "1000" });
    await dispatcher.addAssets(1, () => ({ sizeBytes: null }));
    const small = await dispatcher.join("ada", { offeredBytes: 2000 });
    const grant = only(await small.claim());
    expect(grant.reservedBytes).toBe(1000);
    await small.sync({ offeredBytes: 2000, open: [{ ...open(grant, 900), wantBytes: 5000 }] });
    const { assignmentId, term } = grant;
    await small.sync({ offeredBytes: 2000, released: [{ assignmentId, term, reason: "no room" }] });
    const smallToo = await dispatcher.join("ben", { offeredBytes: 4999 });
    expect(await smallToo.sync({ wants: 1, offeredBytes: 4999 })).toMatchObject({
      grants: [],
      refusal: { reason: "NODE_FULL", missingBytes: 1 },
    });
    const large = await dispatcher.join("cleo");
    expect(only(await large.claim())).toMatchObject({ reservedBytes: 5000, asset: { sizeBytes: null } });
  });

  test("a file of unknown size is reserved by guess and may grow as far as the ledger has room", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_UNKNOWN_SIZE_BYTES: "1000" });
    await dispatcher.addAssets(1, () => ({ sizeBytes: null }));
    const node = await dispatcher.join("ada");
    const grant = only(await node.claim());
    expect(grant.reservedBytes).toBe(1000);
    const grown = await node.sync({ open: [open(grant, 10, 4000)] });
    expect(grown.leases).toMatchObject([{ reservedBytes: 4000 }]);
    const tooMuch = await node.sync({ open: [open(grant, 20, 10_001)] });
    expect(tooMuch.leases).toMatchObject([{ reservedBytes: 4000 }]);
    await node.sync({ finished: [finished(grant, { sizeBytes: 3500 })] });
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ heldBytes: 3500, reservedBytes: 0 });
  });

  test("a smaller offer than what is in use gets no new work and an explanation", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(3);
    const node = await dispatcher.join("ada");
    await node.sync({ finished: [finished(only(await node.claim()))] });
    const reply = await node.sync({ wants: 1, offeredBytes: 50 });
    expect(reply.message).toContain("100 are in use");
    expect(reply).toMatchObject({ grants: [], refusal: { reason: "NODE_FULL", missingBytes: 100 } });
  });
});

describe("failures", () => {
  test("a file that two nodes do not find is gone", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    await ada.sync({ failed: [failed(only(await ada.claim()), "NOT_FOUND")] });
    expect(await assetOf(dispatcher)).toMatchObject({ state: "wanted" });
    await ben.sync({ failed: [failed(only(await ben.claim()), "GONE")] });
    expect(await assetOf(dispatcher)).toMatchObject({ state: "gone" });
    expect(await ada.sync({ wants: 1 })).toMatchObject({ grants: [], refusal: { reason: "NOTHING_LEFT" } });
    expect((await nodeOf(dispatcher, ada.nodeId)).quota).toBe(2);
  });

  test("a throttling origin is left alone for its Retry-After, and the asset is not blamed", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(5);
    const node = await dispatcher.join("ada");
    await node.sync({ failed: [{ ...failed(only(await node.claim()), "THROTTLED"), retryAfterMs: 90_000 }] });
    const { grants, refusal } = await node.sync({ wants: 1 });
    expect(grants).toEqual([]);
    expect(refusal).toMatchObject({ reason: "ORIGIN_SATURATED" });
    expect(refusal?.retryAfterMs).toBeGreaterThan(80_000);
    const [origin] = await dispatcher.sql<{ concurrency: number }[]>`select concurrency from origins`;
    expect(origin?.concurrency).toBe(5);
    expect(await dispatcher.sql`select 1 from standings where retry_at is not null`).toHaveLength(0);
  });

  test("the fifth failure in a row opens the breaker of an origin", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_QUOTA_MAX: "10" });
    await dispatcher.addAssets(10);
    const node = await dispatcher.join("ada");
    await dispatcher.sql`update nodes set quota = 10`;
    const grants = await node.claim(5);
    await node.sync({
      failed: grants.slice(0, 4).map((grant) => failed(grant, "ORIGIN_ERROR")),
      open: grants.slice(4).map((grant) => open(grant)),
    });
    const fifth = grants[4];
    if (fifth === undefined) throw new Error("five grants");
    await node.sync({ failed: [failed(fifth, "ORIGIN_ERROR")] });
    expect(await node.sync({ wants: 1 })).toMatchObject({ grants: [], refusal: { reason: "ORIGIN_SATURATED" } });
    expect((await nodeOf(dispatcher, node.nodeId)).quota).toBe(10);
  });

  test("a file that people have to look at waits for them", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    await node.sync({ failed: [failed(only(await node.claim()), "LOGIN_WALL")] });
    expect(await assetOf(dispatcher)).toMatchObject({ state: "review", openLeases: 0 });
  });

  test("five failures over three nodes send a file to the review queue", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const nodes = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expect(await assetOf(dispatcher)).toMatchObject({ state: "wanted" });
      const node = nodes[attempt % 3];
      if (node === undefined) throw new Error("three nodes");
      await node.sync({ failed: [failed(only(await node.claim()), "CONNECTION_CUT")] });
    }
    expect(await assetOf(dispatcher)).toMatchObject({ state: "review" });
  });

  test("after a failure another node is asked before the same one", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_RETRY_BASE_MS: "1000" });
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    await ada.sync({ failed: [failed(only(await ada.claim()), "STALLED")] });
    await dispatcher.sql`update standings set retry_at = now()`;
    const ben = await dispatcher.join("ben");
    expect(await ada.claim()).toEqual([]);
    expect(await ben.claim()).toHaveLength(1);
  });

  test("a fault of the node halves its quota, floor 1", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(3);
    const node = await dispatcher.join("ada");
    await node.sync({ failed: [failed(only(await node.claim()), "DISK_FULL")] });
    expect((await nodeOf(dispatcher, node.nodeId)).quota).toBe(1);
    await node.sync({ failed: [failed(only(await node.claim()), "DISK_FULL")] });
    expect((await nodeOf(dispatcher, node.nodeId)).quota).toBe(1);
  });
});

/** One copy is wanted. The lease of ada has run out, her work is still to come, and ben has the asset now. */
async function startWithLate() {
  const dispatcher = await startBalanced({ DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MIN: "1" });
  await dispatcher.addAssets(1);
  const ada = await dispatcher.join("ada");
  const ben = await dispatcher.join("ben");
  const late = only(await ada.claim());
  await dispatcher.endLeases();
  await expireLeases(dispatcher.dependencies, 100);
  return { dispatcher, ada, ben, late, second: only(await ben.claim()) };
}

describe("time", () => {
  test("no lease is reclaimed while there is mercy after a start, however overdue", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    await ada.claim();
    await dispatcher.endLeases();
    await beginMercy(dispatcher.dependencies.db.sql, 60_000);
    expect(await expireLeases(dispatcher.dependencies, 100)).toBe(0);
  });

  test("an overdue lease is reclaimed and its work done by another", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    await ada.claim();
    expect(await expireLeases(dispatcher.dependencies, 100)).toBe(0);
    await dispatcher.endLeases();
    expect(await expireLeases(dispatcher.dependencies, 100)).toBe(1);
    const ben = await dispatcher.join("ben");
    expect(only(await ben.claim())).toMatchObject({ term: 2 });
    expect((await dispatcher.services.readOverview()).leases).toMatchObject({ expired: 1, reassigned: 1 });
  });

  test("late work is taken, and a lease elsewhere that has not begun is taken back", async () => {
    const { dispatcher, ada, ben, late, second } = await startWithLate();
    expect((await ada.sync({ finished: [finished(late)] })).reports).toMatchObject([{ outcome: "accepted" }]);
    expect((await dispatcher.services.readOverview()).leases).toMatchObject({ reassigned: 1, expired: 0 });
    const told = await ben.sync({ open: [open(second)] });
    expect(told).toMatchObject({ leases: [], cancels: [{ assignmentId: second.assignmentId }] });
    // It may begin the fetch before the reply arrives: the slot is its own until it says that it has stopped.
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 1, openLeases: 1 });
    expect((await ben.sync({ open: [open(second)] })).cancels).toHaveLength(1);
    expect(await ben.sync()).toMatchObject({ leases: [], cancels: [], grants: [] });
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 1, openLeases: 0 });
    expect((await dispatcher.services.readOverview()).leases).toMatchObject({ cancelled: 1 });
  });

  test("a surplus lease ends though its node has only a report of it that is refused", async () => {
    const { dispatcher, ada, ben, late, second } = await startWithLate();
    await ada.sync({ finished: [finished(late)] });
    // The server that granted it has it in memory, where nobody has written that it is surplus.
    const reply = await ben.sync({ finished: [{ ...finished(second), term: second.term - 1 }] });
    expect(reply.reports).toMatchObject([{ outcome: "rejected", code: "LEASE_TERM_STALE" }]);
    expect(reply.grants).toEqual([]);
    expect(await nodeOf(dispatcher, ben.nodeId)).toMatchObject({ reservedBytes: 0, openLeases: 0 });
  });

  test("a surplus lease that is listed under an older term is told to stop", async () => {
    const { dispatcher, ada, ben, late, second } = await startWithLate();
    await ada.sync({ finished: [finished(late)] });
    const reply = await ben.sync({ open: [{ ...open(second), term: second.term - 1 }] });
    expect(reply.leases).toEqual([]);
    expect(reply.cancels).toMatchObject([{ assignmentId: second.assignmentId }]);
    // Once it no longer lists it, its slot and its bytes are free.
    await ben.sync();
    expect(await nodeOf(dispatcher, ben.nodeId)).toMatchObject({ reservedBytes: 0, openLeases: 0 });
  });

  test("a surplus lease whose fetch has begun goes on, and its copy is taken", async () => {
    const { dispatcher, ada, ben, late, second } = await startWithLate();
    await ada.sync({ finished: [finished(late)] });
    const told = await ben.sync({ open: [open(second, 40)] });
    expect(told).toMatchObject({ leases: [{ assignmentId: second.assignmentId }], cancels: [] });
    expect((await ben.sync({ finished: [finished(second)] })).reports).toMatchObject([{ outcome: "accepted" }]);
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 2, openLeases: 0 });
  });

  test("late work beyond the most copies is refused", async () => {
    const env = { DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_MAX: "1" };
    const dispatcher = await startBalanced(env);
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    const late = only(await ada.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    await ben.sync({ finished: [finished(only(await ben.claim()))] });
    expect((await ada.sync({ finished: [finished(late)] })).reports).toMatchObject([
      { outcome: "rejected", code: "COPIES_FULL" },
    ]);
  });

  test("a node that was away goes on with its partial file under a new term", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const grant = only(await node.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    const back = await node.sync({ open: [open(grant, 40)] });
    expect(back.cancels).toEqual([]);
    expect(back.leases).toMatchObject([{ assignmentId: grant.assignmentId, term: 2 }]);
    const stale = await node.sync({ finished: [finished(grant)], open: [open({ ...grant, term: 2 }, 40)] });
    expect(stale.reports).toMatchObject([{ code: "LEASE_TERM_STALE" }]);
    const done = await node.sync({ finished: [finished({ ...grant, term: 2 })] });
    expect(done.reports).toMatchObject([{ outcome: "accepted" }]);
  });

  test("a node that was away keeps its partial file while the origin is busy, and goes on when it has a slot", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_ORIGIN_CONCURRENCY: "1" });
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    const grant = only(await ada.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    const other = only(await ben.claim());
    expect(await ada.sync({ open: [open(grant, 40)] })).toMatchObject({ leases: [], grants: [], cancels: [] });
    await ben.sync({ finished: [finished(other)] });
    const back = await ada.sync({ open: [open(grant, 40)] });
    expect(back.cancels).toEqual([]);
    expect(back.leases).toMatchObject([{ assignmentId: grant.assignmentId, term: 3 }]);
    const done = await ada.sync({ finished: [finished({ ...grant, term: 3 })] });
    expect(done.reports).toMatchObject([{ outcome: "accepted" }]);
  });

  test("a node that was away keeps what its quota or its offer has no room for now, and no more than that", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const [one, two] = await node.claim(2);
    if (one === undefined || two === undefined) throw new Error("two grants");
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    const listed = [open(one, 40), open(two, 40)];
    expect(await node.sync({ open: listed, offeredBytes: 99 })).toMatchObject({ leases: [], cancels: [] });
    // Its quota was halved for the leases that ran out.
    const back = await node.sync({ open: listed });
    expect(back).toMatchObject({ leases: [{ assignmentId: one.assignmentId }], cancels: [] });
    await dispatcher.sql`update standings set state = 'withdrawn' where asset_id = ${two.asset.id}`;
    const told = await node.sync({ open: [open({ ...one, term: 2 }, 40), open(two, 40)] });
    expect(told.cancels).toMatchObject([{ assignmentId: two.assignmentId }]);
  });

  test("a node that was away is told to stop where others have done its work", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MIN: "1" });
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    const grant = only(await ada.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    await ben.claim();
    expect((await ada.sync({ open: [open(grant, 40)] })).cancels).toMatchObject([{ assignmentId: grant.assignmentId }]);
  });

  test("a lost node's copies stop counting, and count again as far as it still lists them", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const grants = await node.claim(2);
    await node.sync({ finished: grants.map((grant) => finished(grant)) });
    await dispatcher.silence(node.nodeId, 25 * HOUR_MS);
    expect(await moveSilentNodes(dispatcher.dependencies, 100)).toBe(1);
    expect(await renewStandings(dispatcher.dependencies, 100)).toBe(2);
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 0, replicas: [{ counts: false }] });
    const ben = await dispatcher.join("ben");
    expect(await ben.claim(2)).toHaveLength(2);

    const back = await node.sync();
    expect(back.inventoryWanted).toBe(true);
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 0 });
    const [kept, dropped] = grants;
    if (kept === undefined || dropped === undefined) throw new Error("two grants");
    const held = [listedCopy(kept)];
    expect(await node.sync({ holding: holdingOfAll(held) })).toMatchObject({ inventoryWanted: true });
    expect(await node.list(held)).toMatchObject({ dropped: [dropped.asset.id], adopted: [], deletePermits: [] });
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 0 });
    expect(await node.sync({ holding: holdingOfAll(held) })).toMatchObject({ inventoryWanted: false });
    expect(await renewStandings(dispatcher.dependencies, 100)).toBe(1);
    expect(await assetOf(dispatcher, kept.asset.path)).toMatchObject({ copies: 1 });
    expect(await assetOf(dispatcher, dropped.asset.path)).toMatchObject({ copies: 0, replicas: [] });
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ heldBytes: 100 });
  });

  test("a node that is silent for a month is retired and has to join again", async () => {
    const dispatcher = await startBalanced();
    const node = await dispatcher.join("ada");
    await dispatcher.silence(node.nodeId, 31 * 24 * HOUR_MS);
    await moveSilentNodes(dispatcher.dependencies, 100);
    await expect(node.sync()).rejects.toMatchObject({ code: "NODE_RETIRED" });
  });
});

describe("bytes that no catalog vouches for", () => {
  test("one copy is claimed; two operators with the same bytes agree", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1, () => ({ digest: null }));
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    await ada.sync({ finished: [finished(only(await ada.claim()))] });
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 1, replicas: [{ trust: "claimed" }] });
    await ben.sync({ finished: [finished(only(await ben.claim()))] });
    expect(await assetOf(dispatcher)).toMatchObject({
      copies: 2,
      replicas: [{ trust: "agreed" }, { trust: "agreed" }],
    });
  });

  test("two that disagree make the asset wanted again, and a third breaks the tie", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1, () => ({ digest: null }));
    const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("three nodes");
    await ada.sync({ finished: [finished(only(await ada.claim()))] });
    await ben.sync({ finished: [finished(only(await ben.claim()), { sha256: "00".repeat(32) })] });
    expect(await assetOf(dispatcher)).toMatchObject({ copies: 1 });
    await cleo.sync({ finished: [finished(only(await cleo.claim()), { sha256: "00".repeat(32) })] });
    expect(await assetOf(dispatcher)).toMatchObject({
      copies: 2,
      replicas: [{ trust: "claimed", counts: false }, { trust: "agreed" }, { trust: "agreed" }],
    });
  });
});

describe("catalogs that change and nodes that come back", () => {
  test("a lease outlives the move of its file to another origin", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const node = await dispatcher.join("ada");
    const [one, two] = await node.claim(2);
    if (one === undefined || two === undefined) throw new Error("two grants");
    await dispatcher.addAssets(2, (index) => ({ url: `https://mirror.example/f${index}` }));
    const reply = await node.sync({ finished: [finished(one)], failed: [failed(two, "ORIGIN_ERROR")] });
    expect(reply.reports).toMatchObject([{ outcome: "accepted" }, { outcome: "accepted" }]);
  });

  test("a copy that comes late takes the place of the node's own newer lease", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    const old = only(await node.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    const newer = only(await node.claim());
    expect(newer.assignmentId).not.toBe(old.assignmentId);
    const reply = await node.sync({ finished: [finished(old)], open: [open(newer)] });
    expect(reply.reports).toMatchObject([{ outcome: "accepted" }]);
    expect(reply.cancels).toMatchObject([{ assignmentId: newer.assignmentId }]);
    expect(await nodeOf(dispatcher, node.nodeId)).toMatchObject({ heldBytes: 100, reservedBytes: 0, copies: 1 });
  });

  test("what a lost node held is made anew by its operator's other node where nobody else can", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const lost = await dispatcher.join("ada");
    const sister = await dispatcher.join("ada", { name: "ada-2" });
    await dispatcher.join("ben", { offeredBytes: 1 });
    await lost.sync({ finished: [finished(only(await lost.claim()))] });
    await dispatcher.silence(lost.nodeId, 25 * HOUR_MS);
    await moveSilentNodes(dispatcher.dependencies, 100);
    await renewStandings(dispatcher.dependencies, 100);
    expect(await sister.claim()).toHaveLength(1);
  });

  test("late work is not refused for copies on nodes that are lost", async () => {
    const env = { DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_MAX: "1" };
    const dispatcher = await startBalanced(env);
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    const late = only(await ada.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    await ben.sync({ finished: [finished(only(await ben.claim()))] });
    await dispatcher.silence(ben.nodeId, 25 * HOUR_MS);
    await moveSilentNodes(dispatcher.dependencies, 100);
    expect((await ada.sync({ finished: [finished(late)] })).reports).toMatchObject([{ outcome: "accepted" }]);
    await renewStandings(dispatcher.dependencies, 100);
    // Copies on a lost node are none, and it holds one of the two there are.
    await dispatcher.sql`
      update assignments set state = 'released', size_bytes = null, sha256 = null, trust = null, counts = null
       where node_id = ${ben.nodeId} and state = 'stored'`;
    await dispatcher.sql`update nodes set held_bytes = 0 where id = ${ben.nodeId}`;
    await recountCopies(dispatcher.sql, ben.nodeId);
  });

  test("a late copy and an open lease reported together stay within the most copies, and the lease is given back", async () => {
    const one = { DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MAX: "1" };
    const dispatcher = await startBalanced({ ...one, DISPATCHER_LEASE_GRACE_MS: "0" });
    await dispatcher.addAssets(1);
    const ada = await dispatcher.join("ada");
    const ben = await dispatcher.join("ben");
    const late = only(await ada.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 10);
    const current = only(await ben.claim());
    const replies = await Promise.all([
      ada.sync({ finished: [finished(late)] }),
      ben.sync({ finished: [finished(current)] }),
    ]);
    const outcomes = replies.flatMap(({ reports }) => reports.map(({ outcome, code }) => code ?? outcome));
    expect(outcomes.toSorted()).toEqual(["COPIES_FULL", "accepted"]);
  });

  test("of surplus leases the newest is taken back, and none that the target needs", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_QUOTA_MAX: "10" });
    await dispatcher.addAssets(1);
    const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("three nodes");
    const late = only(await ada.claim());
    await dispatcher.endLeases();
    await expireLeases(dispatcher.dependencies, 100);
    const second = only(await ben.claim());
    const third = only(await cleo.claim());
    await ada.sync({ finished: [finished(late)] });
    expect((await ben.sync({ open: [open(second)] })).cancels).toEqual([]);
    expect((await cleo.sync({ open: [open(third)] })).cancels).toHaveLength(1);
  });

  test("a lease that runs out is a fault of its node, one fault however many ran out together", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_QUOTA_MAX: "16" });
    await dispatcher.addAssets(8);
    const node = await dispatcher.join("ada");
    await dispatcher.sql`update nodes set quota = 16`;
    expect(await node.claim(8)).toHaveLength(8);
    await dispatcher.endLeases();
    expect(await expireLeases(dispatcher.dependencies, 100)).toBe(8);
    expect((await nodeOf(dispatcher, node.nodeId)).quota).toBe(8);
  });

  test("being throttled does not shorten the rest that a failure has earned", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_RETRY_BASE_MS: "60000" });
    await dispatcher.addAssets(1);
    const [ada, ben] = await Promise.all(["ada", "ben"].map((operator) => dispatcher.join(operator)));
    if (ada === undefined || ben === undefined) throw new Error("two nodes");
    const first = only(await ada.claim());
    const second = only(await ben.claim());
    await ada.sync({ failed: [failed(first, "STALLED")] });
    await ben.sync({ failed: [failed(second, "THROTTLED")] });
    expect(await dispatcher.sql`select 1 from standings where retry_at > now()`).toHaveLength(1);
  });

  test("volunteers are named to administrators alone", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const node = await dispatcher.join("ada");
    await node.sync({ finished: [finished(only(await node.claim()))] });
    const { id } = await assetOf(dispatcher);
    const seen = await dispatcher.services.getAsset({ id, withNames: false });
    expect(JSON.stringify(seen)).not.toContain("ada");
    expect(seen.replicas).toMatchObject([{ node: null, operator: null, counts: true }]);
  });
});
