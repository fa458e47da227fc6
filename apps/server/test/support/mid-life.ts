/** A dispatcher in the middle of its life, with a bit of everything that can be in its tables, odd texts among it. */
import type { NodeId } from "@dispatcher/core";
import { moveSilentNodes } from "../../src/services/move-silent-nodes.ts";
import { expireLeases } from "../../src/services/reclaim-leases.ts";
import { renewStandings } from "../../src/services/renew-standings.ts";
import { failed, finished, open, startTestDispatcher } from "./test-dispatcher.ts";
import type { Grant, TestDispatcher } from "./test-dispatcher.ts";
import { ADMIN_COMMAND } from "../../src/services/authenticate.ts";

const ODD_TEXT = `it's "quoted", \\ and \\N;\ttab,\r\n line ends   \u{1F6DF} ä \u0001 {"json":[null]} NULL`;
const ASSET_COUNT = 20;
const DAY_MS = 86_400_000;

export type MidLife = AsyncDisposable & {
  readonly dispatcher: TestDispatcher;
  /** Of its database. */
  readonly url: string;
  /** Of a node with an open lease. */
  readonly key: string;
  readonly nodeId: NodeId;
  readonly grant: Grant;
};

export async function startMidLife(): Promise<MidLife> {
  const dispatcher = await startTestDispatcher({ DISPATCHER_LEASE_GRACE_MS: "0" });
  const { services, dependencies, sql } = dispatcher;
  await dispatcher.addAssets(ASSET_COUNT, (index) => ({
    path: index === 0 ? `it's "odd" ä \u{1F6DF}.txt` : `f${index}`,
    url: `https://origin-${index % 3}.example/f${index}?q='"`,
    ...(index % 2 === 0 ? {} : { digest: null }),
    ...(index === ASSET_COUNT - 1 ? { sizeBytes: Number.MAX_SAFE_INTEGER } : {}),
    ...(index === ASSET_COUNT - 2 ? { sizeBytes: null, removeByMs: Date.now() + DAY_MS } : {}),
  }));
  const [ada, ben, cyd] = [
    await dispatcher.join("ada", { offeredBytes: Number.MAX_SAFE_INTEGER }),
    await dispatcher.join("ben"),
    await dispatcher.join(ODD_TEXT.slice(0, 60)),
  ];
  // Verified, claimed and agreed copies.
  for (let round = 0; round < 3; round += 1) {
    for (const node of [ada, ben, cyd]) {
      const grants = await node.claim(4);
      await node.sync({ finished: grants.map((grant) => finished(grant, { etag: '"e"', fetchMs: 3 })) });
    }
  }
  // Each way in which a lease can end without a copy.
  const [broken, ...unwanted] = await ada.claim(2);
  if (broken !== undefined)
    await ada.sync({ failed: [failed(broken, "CONNECTION_CUT")], open: unwanted.map((one) => open(one)) });
  await ben.claim(2);
  await dispatcher.endLeases();
  await expireLeases(dependencies, 100);
  // One is lost, and what it held is to be counted anew.
  await dispatcher.silence(cyd.nodeId, 2 * DAY_MS);
  for (let turn = 0; turn < 4; turn += 1) await moveSilentNodes(dependencies, 100);
  await renewStandings(dependencies, 100);

  const { joinToken } = await services.createJoinToken({ operator: "dee", uses: 2, lifeMs: DAY_MS }, ADMIN_COMMAND);
  const facts = { agentVersion: "1.0.0", schemes: ["http", "https"], marginBytes: 0, offeredBytes: 100_000 };
  const { nodeId, key } = await services.joinNode({ joinToken, name: "dee-1", ...facts }, "192.0.2.0/24");
  const { id: revoked } = await services.createKey({ role: "admin", name: "gone" }, ADMIN_COMMAND);
  await services.revokeKey({ id: revoked, reason: "for the test" }, ADMIN_COMMAND);
  await services.createKey({ role: "node", name: "spare", nodeId, lifeMs: DAY_MS }, ADMIN_COMMAND);
  const input = { ...facts, freeBytes: 1e9, wants: 1, open: [], finished: [], failed: [], released: [] };
  const { grants } = await services.syncNode({ nodeId, network: null, input });
  const [grant] = grants;
  if (grant === undefined) throw new Error("There is nothing left for the node of this test.");
  // What no call of ours writes, and PostgreSQL may hold: past 2^53, between two doubles, between two microseconds.
  await sql`update origins set tokens = 0.1::double precision + 0.2::double precision where id = (select min(id) from origins)`;
  await sql`update origins set closed_until = '2031-02-03 04:05:06.789012+00' where id = (select max(id) from origins)`;
  await sql`update datasets set title = ${ODD_TEXT}`;
  await sql`insert into events (kind, actor, node_id, asset_ids, detail)
            values ('node.moved', 'admin', 9223372036854775807, '{1,9007199254740993}', ${sql.json({ odd: ODD_TEXT, deep: { none: null } })})`;
  return {
    dispatcher,
    url: dispatcher.url,
    key,
    nodeId,
    grant,
    [Symbol.asyncDispose]: () => dispatcher[Symbol.asyncDispose](),
  };
}
