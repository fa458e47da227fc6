import { describe, expect, test } from "vitest";
import { finished, holdingOfAll, listed, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { Grant, ListedCopy, TestDispatcher, TestNode } from "../../test/support/test-dispatcher.ts";
import { markEvacuations, retireLeft } from "./evacuate.ts";
import { renewStandings } from "./renew-standings.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

const admin = ADMIN_COMMAND;

/** A node that keeps what it saves, and deletes what it may. */
class Keeper {
  readonly node: TestNode;
  copies: ListedCopy[] = [];

  constructor(node: TestNode) {
    this.node = node;
  }

  get paths(): number {
    return this.copies.length;
  }

  /** Take all that there is, save it, and do as it is told. */
  async work(wants = 20): Promise<void> {
    for (;;) {
      const grants = wants === 0 ? [] : (await this.sync({ wants })).grants;
      if (grants.length === 0) return;
      await this.save(grants);
    }
  }

  async save(grants: readonly Grant[]): Promise<void> {
    const copies = grants.map((grant) => listed(grant));
    this.copies.push(...copies);
    await this.sync({ finished: grants.map((grant) => finished(grant)) });
  }

  async sync(said: Parameters<TestNode["sync"]>[0] = {}, isHeard = true) {
    const reply = await this.node.sync({ holding: holdingOfAll(this.copies), ...said });
    if (isHeard) {
      const gone = new Set<string>(reply.deletePermits.map(({ assetId }) => assetId));
      this.copies = this.copies.filter(({ assetId }) => !gone.has(assetId));
    }
    return reply;
  }
}

async function join(dispatcher: TestDispatcher, ...operators: readonly string[]): Promise<Keeper[]> {
  const keepers: Keeper[] = [];
  for (const operator of operators) keepers.push(new Keeper(await dispatcher.join(operator)));
  return keepers;
}

async function sweep({ dependencies }: TestDispatcher): Promise<void> {
  while ((await markEvacuations(dependencies, 2)) === 2);
  await renewStandings(dependencies, 500);
  await retireLeft(dependencies, 10);
}

const copiesOf = async ({ services }: TestDispatcher) =>
  (await services.listAssets({ limit: 100 })).assets.map(({ copies }) => copies);

describe("leaving", () => {
  test("copies are made elsewhere first and deleted then, and the node is retired when it has none left", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(5);
    const [ada, ben, cleo] = await join(dispatcher, "ada", "ben", "cleo");
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("Three nodes joined.");
    await ada.work();
    await ben.work();
    expect(await copiesOf(dispatcher)).toEqual([2, 2, 2, 2, 2]);

    const input = { how: "gracefully", reason: "the disk is sold" } as const;
    const would = await dispatcher.services.leaveNode(ada.node.nodeId, { ...input, dryRun: true });
    expect(would).toMatchObject({ duty: "active", isRetired: false, loss: { copies: 5, belowMin: 5, lastCopies: 0 } });
    const leave = () => dispatcher.services.leaveNode(ada.node.nodeId, { ...input, dryRun: false });
    expect(await leave()).toMatchObject({ duty: "leaving", isRetired: false });
    expect(await leave()).toMatchObject({ duty: "leaving" });
    await sweep(dispatcher);
    // They are there still, and nobody has the word to delete one.
    expect(await copiesOf(dispatcher)).toEqual([2, 2, 2, 2, 2]);
    expect(await ada.sync({ wants: 3 })).toMatchObject({ grants: [], deletePermits: [], inventoryWanted: false });

    await cleo.save((await cleo.sync({ wants: 2 })).grants);
    expect((await copiesOf(dispatcher)).toSorted((a, b) => b - a)).toEqual([3, 3, 2, 2, 2]);
    // The answer with the permits is lost, and comes again.
    const lost = await ada.sync({}, false);
    expect(lost.deletePermits).toHaveLength(2);
    expect(lost.deletePermits).toMatchObject([{ reason: "LEAVING" }, { reason: "LEAVING" }]);
    expect(await copiesOf(dispatcher)).toEqual([2, 2, 2, 2, 2]);
    expect((await ada.sync()).deletePermits).toEqual(lost.deletePermits);
    expect(ada.copies).toHaveLength(3);
    expect(await ada.sync()).toMatchObject({ deletePermits: [], inventoryWanted: false });

    await cleo.work();
    await ada.sync();
    await sweep(dispatcher);
    // It has not shown yet that it deleted the last ones.
    expect(await dispatcher.services.getNode(ada.node.nodeId)).toMatchObject({ life: "online", copies: 0 });
    await ada.sync();
    await sweep(dispatcher);
    await expect(ada.sync()).rejects.toMatchObject({ code: "NODE_RETIRED" });
    expect(await copiesOf(dispatcher)).toEqual([2, 2, 2, 2, 2]);
    expect([ada.copies.length, ben.copies.length, cleo.copies.length]).toEqual([0, 5, 5]);
  });

  test("the last copy of anything stays until there is another, however long that takes", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(1);
    const [ada] = await join(dispatcher, "ada");
    if (ada === undefined) throw new Error("A node joined.");
    await ada.work();
    await dispatcher.services.leaveNode(ada.node.nodeId, { how: "gracefully", dryRun: false });
    for (let round = 0; round < 3; round += 1) {
      await sweep(dispatcher);
      expect((await ada.sync()).deletePermits).toEqual([]);
    }
    expect(await copiesOf(dispatcher)).toEqual([1]);
    const [ben] = await join(dispatcher, "ben");
    await ben?.work();
    // One copy there was when it began to leave, and one there is without it.
    expect((await ada.sync()).deletePermits).toHaveLength(1);
    expect(await copiesOf(dispatcher)).toEqual([1]);
  });

  test("all holders of an asset leave at once: all copies are replaced, above the maximum for a while", async () => {
    const dispatcher = await startBalanced({ DISPATCHER_COPIES_MAX: "2" });
    await dispatcher.addAssets(1);
    const [ada, ben, cleo, dora] = await join(dispatcher, "ada", "ben", "cleo", "dora");
    if (ada === undefined || ben === undefined) throw new Error("They joined.");
    for (const one of [ada, ben]) await one.work();
    for (const one of [ada, ben]) {
      await dispatcher.services.changeDuty({ id: one.node.nodeId }, { to: "draining", actor: admin });
    }
    await sweep(dispatcher);
    await cleo?.work();
    for (const one of [ada, ben]) expect((await one.sync()).deletePermits).toEqual([]);
    await dora?.work();
    for (const one of [ada, ben]) expect((await one.sync()).deletePermits).toHaveLength(1);
    expect(await copiesOf(dispatcher)).toEqual([2]);
  });

  test("immediately is at once, and what is missing is wanted again", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(2);
    const [ada, ben] = await join(dispatcher, "ada", "ben");
    if (ada === undefined || ben === undefined) throw new Error("They joined.");
    await ada.work();
    const left = await dispatcher.services.leaveNode(ada.node.nodeId, { how: "immediately", dryRun: false });
    expect(left).toMatchObject({ isRetired: true, loss: { copies: 2, lastCopies: 2 } });
    await renewStandings(dispatcher.dependencies, 10);
    expect(await copiesOf(dispatcher)).toEqual([0, 0]);
    await expect(ada.sync()).rejects.toMatchObject({ code: "NODE_RETIRED" });
    await ben.work();
    expect(await copiesOf(dispatcher)).toEqual([1, 1]);
  });

  test("who changes his mind keeps what he still has", async () => {
    const dispatcher = await startBalanced();
    await dispatcher.addAssets(3);
    const [ada, ben, cleo] = await join(dispatcher, "ada", "ben", "cleo");
    if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("They joined.");
    for (const one of [ada, ben]) await one.work();
    await dispatcher.services.changeDuty({ id: ada.node.nodeId }, { to: "draining", actor: admin });
    await sweep(dispatcher);
    await cleo.save((await cleo.sync({ wants: 1 })).grants);
    expect((await ada.sync()).deletePermits).toHaveLength(1);
    await dispatcher.services.changeDuty({ id: ada.node.nodeId }, { to: "active", actor: admin });
    await sweep(dispatcher);
    await cleo.work();
    expect(await ada.sync()).toMatchObject({ deletePermits: [], inventoryWanted: false });
    expect(ada.copies).toHaveLength(2);
    expect(await copiesOf(dispatcher)).toEqual([2, 2, 2]);
    expect(await dispatcher.sql`select from leaving_copies`).toHaveLength(0);
  });
});

test("an agent that does not know of permits in a sync is asked for its list, and permitted there", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const [ada, ben, cleo] = await join(dispatcher, "ada", "ben", "cleo");
  if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("They joined.");
  for (const one of [ada, ben]) await one.work();
  await dispatcher.services.changeDuty({ id: ada.node.nodeId }, { to: "draining", actor: admin });
  await sweep(dispatcher);
  await cleo.work();
  await ada.sync({}, false);
  const asked = await ada.sync({}, false);
  expect(asked.inventoryWanted).toBe(true);
  const answer = await ada.node.list(ada.copies);
  expect(answer).toMatchObject({ adopted: [], deletePermits: [{ reason: "LEAVING" }] });
  ada.copies = [];
  expect(await ada.sync()).toMatchObject({ inventoryWanted: false, deletePermits: [] });
  expect(await dispatcher.sql`select from leaving_copies`).toHaveLength(0);
});

test("bytes that are given back are freed by the fewest and safest copies, and the offer stays low", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(4, (index) => ({ sizeBytes: [100, 200, 400, 1_000][index] ?? 0 }));
  const [ada, ben, cleo] = await join(dispatcher, "ada", "ben", "cleo");
  if (ada === undefined || ben === undefined || cleo === undefined) throw new Error("They joined.");
  for (const one of [ada, ben]) await one.work();
  const give = (offeredBytes: number | null) => dispatcher.services.giveBack(ada.node.nodeId, { offeredBytes });
  expect(await give(1_350)).toEqual({ bytesToFree: 350 });
  await sweep(dispatcher);
  await cleo.work();
  expect((await ada.sync()).deletePermits).toMatchObject([{ reason: "GIVEN_BACK" }]);
  await ada.sync();
  // The smallest that is enough.
  expect(ada.copies.map(({ sizeBytes }) => sizeBytes).toSorted((a, b) => a - b)).toEqual([100, 200, 1_000]);
  expect(await dispatcher.services.getNode(ada.node.nodeId)).toMatchObject({ offeredBytes: 1_350, heldBytes: 1_300 });
  await sweep(dispatcher);
  expect((await ada.sync()).deletePermits).toEqual([]);
  expect(await give(null)).toEqual({ bytesToFree: 0 });
  await ada.sync();
  expect(await dispatcher.services.getNode(ada.node.nodeId)).toMatchObject({ offeredBytes: 10_000 });
});

test("copies of what nobody wants any more are deleted, the last one too, unless it is restored before", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  const [ada, ben] = await join(dispatcher, "ada", "ben");
  if (ada === undefined || ben === undefined) throw new Error("They joined.");
  for (const one of [ada, ben]) await one.work();
  const selection = { filter: { dataset: "test" }, limit: 1000 };
  const done = await dispatcher.services.withdrawAssets({ ...selection, deleteCopies: true }, admin);
  expect(done).toMatchObject({ changed: 2, copiesLeaving: 4 });
  expect((await ada.sync()).deletePermits).toMatchObject([{ reason: "WITHDRAWN" }, { reason: "WITHDRAWN" }]);
  expect(await ada.sync()).toMatchObject({ deletePermits: [], inventoryWanted: false });
  expect(await copiesOf(dispatcher)).toEqual([1, 1]);
  await dispatcher.services.restoreAssets(selection, admin);
  expect((await ben.sync()).deletePermits).toEqual([]);
  expect(await copiesOf(dispatcher)).toEqual([1, 1]);
  await dispatcher.services.withdrawAssets({ ...selection, deleteCopies: true }, admin);
  await ben.sync();
  await ben.sync();
  expect(await copiesOf(dispatcher)).toEqual([0, 0]);
  expect(ben.copies).toEqual([]);
});
