/**
 * The server is killed at random moments, again and again, while nodes sync as fast as they can. What it acknowledged has
 * to be in the database afterwards, nothing may be leased twice, and every ledger has to balance.
 */
import { runAdmin, startServer, waitFor } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { findImbalances } from "./support/find-imbalances.ts";
import { randomFrom } from "./support/random.ts";
import { SimulatedNode } from "./support/simulated-node.ts";
import { SHA256 } from "./support/test-dispatcher.ts";
import { createTestDatabase } from "./support/test-database.ts";

const KILLS = 20;
const NODES = 6;
const CONCURRENCY = 12;
/** At so many answers at most after a restart the next kill comes. */
const ANSWERS_BETWEEN_KILLS = 40;

const ENV = {
  DISPATCHER_ADMIN_KEY: "admin-key-for-this-story",
  DISPATCHER_RESTART_MERCY_MS: "0",
  DISPATCHER_ORIGIN_CONCURRENCY: String(CONCURRENCY),
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "1000000",
  DISPATCHER_COPIES_TARGET: "3",
  DISPATCHER_QUOTA_MAX: "4",
};

test(`after ${KILLS} kills in the middle of syncs, nothing acknowledged is lost and nothing is doubled`, async () => {
  const seed = Date.now() % 1_000_000;
  onTestFinished(({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(`server-killed: seed ${seed}\n`);
  });
  const random = randomFrom(seed);
  await using database = await createTestDatabase();
  await using server = await startServer({ database: { databaseUrl: database.url }, env: ENV });

  // More than can be done before the last kill, so that every kill meets work.
  const entries = Array.from({ length: 1000 }, (_, index) => ({
    place: `[${index}]`,
    path: `f${index}`,
    url: `https://origin.example/f${index}`,
    sizeBytes: 100,
    digest: { algorithm: "sha256", hex: SHA256 },
    mediaType: null,
    priority: null,
    removeByMs: null,
  }));
  const imported = await fetch(`${server.url}/trpc/asset.import`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${ENV.DISPATCHER_ADMIN_KEY}` },
    body: JSON.stringify({ json: { dataset: { key: "d", title: null, sourceUrl: null }, entries } }),
  });
  expect(imported.status).toBe(200);

  const nodes = await Promise.all(
    Array.from({ length: NODES }, async (_, index) => {
      const made = await runAdmin(["token", "create", "--operator", `op${index % 3}`, "-o", "json"], {
        database: { databaseUrl: database.url },
      });
      const { joinToken } = JSON.parse(made.stdout) as { joinToken: string };
      return SimulatedNode.join(server.url, `n${index}`, joinToken);
    }),
  );

  let underWay = 0;
  let untilKill = Math.ceil(random() * ANSWERS_BETWEEN_KILLS);
  let kills = 0;
  let killsInTheMiddle = 0;
  let isBeingKilled: Promise<void> | null = null;
  let isOver = false;

  const killAndRestart = async (): Promise<void> => {
    if (underWay > 0) killsInTheMiddle += 1;
    await server.kill("SIGKILL");
    await server.restart();
    kills += 1;
    untilKill = Math.ceil(random() * ANSWERS_BETWEEN_KILLS);
    isBeingKilled = null;
  };

  const live = async (node: SimulatedNode): Promise<void> => {
    while (!isOver) {
      underWay += 1;
      try {
        await node.sync(4);
        if (random() < 0.8) node.finishAll();
        untilKill -= 1;
      } catch {
        // The server is away: the node waits for it and says the same again.
        await isBeingKilled;
      } finally {
        underWay -= 1;
      }
      if (kills >= KILLS) isOver = true;
      else if (untilKill <= 0 && isBeingKilled === null) isBeingKilled = killAndRestart();
    }
    await isBeingKilled;
  };
  await Promise.all(nodes.map(live));
  expect(kills).toBe(KILLS);
  expect(killsInTheMiddle).toBeGreaterThan(KILLS / 2);

  // Everybody says what is left, and the books are closed.
  for (const node of nodes) {
    await waitFor(`${node.name} to come to rest`, async () => {
      node.finishAll();
      await node.sync(0);
      return node.isIdle;
    });
  }

  const rows = await database.sql<{ assignmentId: string; nodeId: string; assetId: string }[]>`
    select assignment_id::text as "assignmentId", node_id::text as "nodeId", asset_id::text as "assetId" from replicas`;
  const stored = new Set(rows.map((row) => row.assignmentId));
  const lost = nodes.flatMap((node) => [...node.acknowledged].filter((id) => !stored.has(id)));
  expect(lost).toEqual([]);
  expect(nodes.flatMap((node) => node.rejected)).toEqual([]);
  // Replies were lost by the dozen, and never did the two disagree about what a node has.
  expect(nodes.map((node) => node.inventoriesWanted)).toEqual(nodes.map(() => 0));
  for (const node of nodes) {
    const assets = [...node.granted.values()].map((grant) => grant.asset.id);
    expect(new Set(assets).size).toBe(assets.length);
    const held = rows.filter((row) => row.nodeId === node.nodeId).map((row) => row.assetId);
    expect(held.toSorted()).toEqual(assets.toSorted());
  }
  expect(stored.size).toBeGreaterThan(KILLS);
  expect(await findImbalances(database.sql, CONCURRENCY)).toEqual([]);
});

test("the books do not balance when a report is lost, a lease doubled or a byte miscounted", async () => {
  await using database = await createTestDatabase();
  await using server = await startServer({ database: { databaseUrl: database.url }, env: ENV });
  const made = await runAdmin(["token", "create", "--operator", "ada", "-o", "json"], {
    database: { databaseUrl: database.url },
  });
  const { joinToken } = JSON.parse(made.stdout) as { joinToken: string };
  const node = await SimulatedNode.join(server.url, "n", joinToken);
  await database.sql`
    with d as (insert into datasets (key, priority, copies_min, copies_target, copies_max)
               values ('d', 5, 1, 1, 1) returning id),
         o as (insert into origins (host) values ('origin.example:443') returning id),
         a as (insert into assets (dataset_id, path, url, scheme, origin_id, size_bytes)
               select d.id, 'f' || n, 'https://origin.example/f' || n, 'https', o.id, 100 from d, o, generate_series(1, 2) n
               returning id, origin_id)
    insert into standings (asset_id, origin_id, size_class, places_left, urgency) select id, origin_id, 6, 1, 1 from a`;
  await node.sync(1);
  node.finishAll();
  await node.sync(1);
  expect(await findImbalances(database.sql, CONCURRENCY)).toEqual([]);

  const plant = async (...faults: readonly string[]): Promise<readonly string[]> => {
    const found: string[] = [];
    for (const fault of faults) {
      await database.db
        .transaction(async (sql) => {
          await sql.unsafe(fault);
          found.push(...(await findImbalances(sql, CONCURRENCY)));
          throw new Error("undone");
        })
        .catch(() => undefined);
    }
    return found;
  };
  expect(
    await plant(
      `update assignments set state = 'released', size_bytes = null, sha256 = null, trust = null, counts = null
        where state = 'stored'`,
    ),
  ).toContainEqual(expect.stringContaining("bytes and its replicas 0"));
  expect(await plant("update nodes set reserved_bytes = reserved_bytes - 1")).toContainEqual(
    expect.stringContaining("reserves"),
  );
  expect(
    await plant(
      `insert into assignments (asset_id, node_id, operator_id, origin_id, state, term, turn, granted_at, lease_expires_at, reserved_bytes)
       select asset_id, node_id, operator_id, origin_id, 'granted', term + 1, turn + 1, now(), now(), 0 from assignments where state = 'stored'`,
    ),
  ).toContainEqual(expect.stringContaining("times on node"));
});
