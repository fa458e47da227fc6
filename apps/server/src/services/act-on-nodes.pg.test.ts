import { expect, test } from "vitest";
import { finished, holdingOfAll, listed, open, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { TestNode } from "../../test/support/test-dispatcher.ts";
import { renewStandings } from "./renew-standings.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

const admin = ADMIN_COMMAND;

async function grantOf(node: TestNode) {
  const [grant, ...more] = await node.claim(1);
  if (grant === undefined || more.length > 0) throw new Error("One grant was expected.");
  return grant;
}

test("a draining node finishes what it has and gets nothing new, on any server, until it is active again", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(5);
  const other = dispatcher.another();
  const ada = await dispatcher.join("ada", { services: other.services });
  const grant = await grantOf(ada);
  const act = { id: ada.nodeId, reason: "moving house" };
  const drained = await dispatcher.services.changeDuty(act, { to: "draining", actor: admin });
  expect(drained).toMatchObject({ changed: true, node: { duty: "draining", openLeases: 1 } });
  const reply = await ada.sync({ wants: 3, open: [open(grant, 10)] });
  expect(reply).toMatchObject({ grants: [], cancels: [], leases: [{ assignmentId: grant.assignmentId }] });
  expect(reply.refusal).toMatchObject({ reason: "NODE_PAUSED" });
  expect(reply.message).toContain("drains");
  expect(await ada.sync({ wants: 3, finished: [finished(grant)] })).toMatchObject({
    grants: [],
    reports: [{ outcome: "accepted" }],
  });
  expect(await dispatcher.services.changeDuty(act, { to: "draining", actor: admin })).toMatchObject({ changed: false });
  await dispatcher.services.changeDuty({ id: ada.nodeId }, { to: "active", actor: admin });
  expect(await ada.claim(1)).toHaveLength(1);
  const events =
    await dispatcher.sql`select kind, detail, node_id from events where actor = 'admin' and node_id is not null`;
  expect(events).toMatchObject([
    { kind: "node.drained", detail: { from: "active", reason: "moving house" } },
    { kind: "node.undrained", detail: { from: "draining" } },
  ]);
});

test("a blocked node stops, its copies count no more, and again once it has listed them", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  await dispatcher.addAssets(2);
  const ada = await dispatcher.join("ada");
  const stored = await grantOf(ada);
  await ada.sync({ finished: [finished(stored)] });
  const begun = await grantOf(ada);
  await ada.sync({ open: [open(begun, 10)] });
  await dispatcher.services.changeDuty({ id: ada.nodeId }, { to: "blocked", actor: admin });
  await renewStandings(dispatcher.dependencies, 10);
  const copies = async () =>
    (await dispatcher.services.listAssets({ limit: 9 })).assets.map((asset) => asset.copies).toSorted((a, b) => a - b);
  expect(await copies()).toEqual([0, 0]);
  const holding = holdingOfAll([listed(stored)]);
  const told = await ada.sync({ wants: 2, holding, open: [open(begun, 20)] });
  expect(told).toMatchObject({ grants: [], leases: [], cancels: [{ assignmentId: begun.assignmentId }] });
  expect(told.message).toContain("blocked");
  expect(await ada.sync({ wants: 2, holding })).toMatchObject({ grants: [], leases: [], cancels: [] });
  // It holds what it says, and that helps it nothing while it is blocked.
  expect(await copies()).toEqual([0, 0]);
  expect(await dispatcher.services.changeDuty({ id: ada.nodeId }, { to: "active", actor: admin })).toMatchObject({
    changed: false,
  });

  await dispatcher.services.unblockNode({ id: ada.nodeId }, admin);
  await ada.sync({ holding });
  await renewStandings(dispatcher.dependencies, 10);
  expect(await copies()).toEqual([0, 1]);
  expect(await ada.claim(1)).toHaveLength(1);
});

test("what would be missing without a node is told before it is retired, and is wanted again after", async () => {
  const dispatcher = await startBalanced({ DISPATCHER_COPIES_MIN: "2", DISPATCHER_COPIES_TARGET: "2" });
  await dispatcher.addAssets(2);
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  const first = await grantOf(ada);
  await ada.sync({ finished: [finished(first)] });
  const second = await grantOf(ada);
  await ada.sync({ finished: [finished(second)] });
  const its = await grantOf(ben);
  await ben.sync({ finished: [finished(its)] });
  const open1 = await grantOf(ben);
  expect(await dispatcher.services.getNode(ben.nodeId)).toMatchObject({
    duty: "active",
    loss: { copies: 1, bytes: 100, belowMin: 1, lastCopies: 0 },
    open: [{ assignmentId: open1.assignmentId, path: open1.asset.path, state: "granted" }],
  });
  expect((await dispatcher.services.getNode(ada.nodeId)).loss).toMatchObject({ copies: 2, belowMin: 1, lastCopies: 1 });

  const act = { id: ben.nodeId, reason: "gone for good" };
  expect(await dispatcher.services.retireNode(act, admin)).toMatchObject({
    changed: true,
    node: { life: "retired", openLeases: 0, reservedBytes: 0 },
  });
  expect(await dispatcher.services.retireNode(act, admin)).toMatchObject({ changed: false });
  await renewStandings(dispatcher.dependencies, 10);
  const { assets } = await dispatcher.services.listAssets({ limit: 9 });
  expect(assets.map(({ copies }) => copies)).toEqual([1, 1]);
  await expect(ben.sync()).rejects.toMatchObject({ code: "NODE_RETIRED" });
  await expect(dispatcher.services.changeDuty(act, { to: "draining", actor: admin })).rejects.toMatchObject({
    code: "NODE_RETIRED",
  });
});

test("a volunteer is told what a coordinator says, with each sync, until it is taken away", async () => {
  const dispatcher = await startBalanced();
  const ada = await dispatcher.join("ada");
  const tell = (message: string | null) => dispatcher.services.messageNode({ id: ada.nodeId, message }, admin);
  expect(await tell("Please update.")).toMatchObject({ changed: true, node: { message: "Please update." } });
  expect((await ada.sync()).message).toBe("Please update.");
  expect((await ada.sync()).message).toBe("Please update.");
  expect(await tell("Please update.")).toMatchObject({ changed: false });
  await tell(null);
  expect((await ada.sync()).message).toBeNull();
  await expect(dispatcher.services.messageNode({ id: "99" as never, message: "x" }, admin)).rejects.toMatchObject({
    code: "NODE_UNKNOWN",
  });
});
