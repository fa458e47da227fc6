import { expect, test, vi } from "vitest";
import { failed, finished, startBalanced } from "../../../test/support/test-dispatcher.ts";
import { readChangedAssets, readEventCursor } from "../../db/queries/events.ts";
import { ADMIN_COMMAND } from "../authenticate.ts";
import { assembleDependencies } from "../dependencies.ts";
import { createServices } from "../index.ts";
import { renewStandings } from "../renew-standings.ts";

const ORIGINS = 16;
const FILES_PER_ORIGIN = 60;
const SAID = {
  agentVersion: "1.0.0",
  schemes: ["https"],
  marginBytes: 0,
  offeredBytes: 10_000,
  freeBytes: 1e9,
  open: [],
  finished: [],
  failed: [],
  released: [],
};

test("servers on one database drain queues of their own, once they have met", async () => {
  const dispatcher = await startBalanced({ DISPATCHER_ORIGIN_CONCURRENCY: "1000", DISPATCHER_QUOTA_MAX: "1000" });
  await dispatcher.addAssets(ORIGINS * FILES_PER_ORIGIN, (index) => ({
    url: `https://origin-${index % ORIGINS}.example/f${index}`,
  }));
  const servers = [0x9e3779b1, 0x85ebca6b].map((salt) => {
    const dependencies = assembleDependencies({ ...dispatcher.dependencies, salt });
    return { services: createServices(dependencies), ends: vi.spyOn(dependencies.feeder, "settle") };
  });
  const nodes = await Promise.all(
    Array.from({ length: 16 }, (_, index) => dispatcher.join(`operator-${index}`, { name: `n${index}` })),
  );
  await dispatcher.sql`update nodes set quota = 1000`;
  /** A node of each server at the same time. Answers how many grants were overtaken. */
  const claimAtOnce = async (round: number): Promise<number> => {
    for (const { ends } of servers) ends.mockClear();
    const replies = await Promise.all(
      servers.map(async ({ services }, place) => {
        const { nodeId } = nodes[2 * round + place] ?? {};
        if (nodeId === undefined) throw new Error(`There is no node for round ${round}.`);
        return services.syncNode({ nodeId, network: null, input: { ...SAID, wants: 20 } });
      }),
    );
    for (const { grants } of replies) expect(grants.length).toBeGreaterThanOrEqual(10);
    return servers.flatMap(({ ends }) => ends.mock.calls).reduce((sum, [{ lost }]) => sum + lost.length, 0);
  };
  // Both begin at the same heads; whoever is overtaken knows of the company from then on.
  const [met] = [await claimAtOnce(0), await claimAtOnce(1), await claimAtOnce(2)];
  expect(met).toBeGreaterThan(10);
  const later = [await claimAtOnce(3), await claimAtOnce(4), await claimAtOnce(5), await claimAtOnce(6)];
  expect(later.reduce((sum, lost) => sum + lost, 0)).toBeLessThan(met / 2);
});

test("the log tells what has only become less urgent from what has come nearer again", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  const node = await dispatcher.join("ada");
  const { sql } = dispatcher;
  let cursor = await readEventCursor(sql);
  const seen = new Set<number>();
  const changes = async (): Promise<readonly (readonly [readonly string[], boolean])[]> => {
    const read = await readChangedAssets(sql, cursor);
    ({ cursor } = read);
    const fresh = read.events.filter(({ id }) => !seen.has(id));
    for (const { id } of fresh) seen.add(id);
    return fresh.map(({ assetIds, isProgress }) => [assetIds, isProgress]);
  };
  await changes();
  const [first, second] = await node.claim(2);
  if (first === undefined || second === undefined) throw new Error("two grants");
  expect(await changes()).toEqual([[[first.asset.id, second.asset.id], true]]);
  await node.sync({ finished: [finished(first)] });
  expect(await changes()).toEqual([[[first.asset.id], true]]);
  await node.sync({ failed: [failed(second, "CONNECTION_CUT")] });
  expect(await changes()).toEqual([[[second.asset.id], false]]);
  await dispatcher.services.prioritizeAssets({ ids: [first.asset.id], priority: 9, limit: 10 }, ADMIN_COMMAND);
  expect(await changes()).toEqual([[[first.asset.id], false]]);
});

test("a node whose copies are not counted for now gets other work, and never what it holds", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  const other = dispatcher.another();
  const ada = await dispatcher.join("ada", { services: other.services });
  const [first] = await ada.claim();
  if (first === undefined) throw new Error("a grant");
  await ada.sync({ finished: [finished(first)] });
  // As after it was lost: its copies count again once it has listed them.
  await dispatcher.sql`update nodes set inventory_wanted = true`;
  await dispatcher.sql`update standings set due_at = now()`;
  await renewStandings(dispatcher.dependencies, 10);
  const third = dispatcher.another();
  await third.hearLog();
  const { grants, refusal } = await third.services.syncNode({
    nodeId: ada.nodeId,
    network: null,
    input: { ...SAID, wants: 2 },
  });
  expect(grants.map(({ asset }) => asset.path)).toEqual([first.asset.path === "f0" ? "f1" : "f0"]);
  expect(refusal).not.toBeNull();
});
