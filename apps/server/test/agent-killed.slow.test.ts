/**
 * Agents are killed at random moments, again and again, while they fetch. Each start goes on with what is on the disk: in
 * the end every file is there twice, bytes as declared, and nothing acknowledged is lost.
 */
import { startOrigin, waitFor } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { Rescue, randomFiles } from "./support/rescue.ts";

const KILLS = 20;
const FILES = 60;

/** More files, numbered from `first` on. */
function makeFiles(first: number): ReadonlyMap<string, Buffer> {
  const sizes = Array.from({ length: FILES }, (_, index) => 50_000 + 40_000 * (index % 10));
  return randomFiles(Object.fromEntries(sizes.map((size, index) => [`f${first + index}.bin`, size])));
}

test(`after ${KILLS} kills of agents in the middle of their work, every file is saved twice and nothing is doubled`, async () => {
  await using rescue = await Rescue.start();
  const files = new Map(makeFiles(0));
  await using origin = await startOrigin({ files, bytesPerSecond: 400_000 });
  await rescue.importFiles(origin.url, files);
  await Promise.all(["ada", "ben", "cleo"].map((name) => rescue.addAgent(name)));

  let killed = 0;
  let killedWhileFetching = 0;
  while (killed < KILLS) {
    const agent = rescue.agents[killed % rescue.agents.length];
    if (agent === undefined) throw new Error("three agents");
    // Some bytes more, from anywhere in the work: another moment each time.
    const servedBefore = origin.bytesServed;
    const further = Math.floor(Math.random() * 400_000);
    const isOver = await waitFor("more bytes", async () => {
      const assets = [...(await rescue.assets()).values()];
      if (assets.every(({ copies }) => copies === 2)) return "over";
      return origin.bytesServed >= servedBefore + further ? "going on" : false;
    });
    if (isOver === "over") {
      // Where a start takes long, the others have done it all meanwhile.
      const more = makeFiles(files.size);
      for (const [path, bytes] of more) files.set(path, bytes);
      await rescue.importFiles(origin.url, files);
      continue;
    }
    if (origin.concurrency > 0) killedWhileFetching += 1;
    await agent.process.kill("SIGKILL");
    await rescue.restart(agent);
    killed += 1;
  }
  expect(killed).toBe(KILLS);
  expect(killedWhileFetching).toBeGreaterThan(KILLS / 2);

  await rescue.waitUntilSaved(2);
  expect(await rescue.imbalances()).toEqual([]);
  const copies = await rescue.readCopies();
  expect(copies).toHaveLength(2 * files.size);
  for (const { path, bytes } of copies) expect(bytes.equals(files.get(path) ?? Buffer.of()), path).toBe(true);
  // Partial files were resumed, not begun anew.
  expect(origin.requests.some((request) => request.status === 206)).toBe(true);
  const again = await rescue.sql`
    select asset_id, node_id from assignments where state in ('granted', 'running', 'stored')
     group by 1, 2 having count(*) > 1`;
  expect(again).toEqual([]);
  // Whatever was cut short, agents and server never disagreed about what the agents hold.
  expect(rescue.server.events.filter(({ event }) => event === "inventory.reconciled")).toEqual([]);
});

test("agents carry on by themselves when the server is killed and comes back", async () => {
  await using rescue = await Rescue.start();
  const files = randomFiles(Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`f${index}.bin`, 300_000])));
  await using origin = await startOrigin({ files, bytesPerSecond: 500_000 });
  await rescue.importFiles(origin.url, files);
  await Promise.all(["ada", "ben"].map((name) => rescue.addAgent(name)));
  for (let kill = 1; kill <= 5; kill += 1) {
    await waitFor("more copies", async () => {
      const [row] = await rescue.sql<[{ count: number }]>`select count(*) from replicas`;
      return row.count >= 6 * kill;
    });
    await rescue.server.kill("SIGKILL");
    await rescue.server.restart();
  }
  await rescue.waitUntilSaved(2);
  expect(await rescue.imbalances()).toEqual([]);
  for (const agent of rescue.agents) expect(agent.process.isRunning).toBe(true);
  for (const { path, bytes } of await rescue.readCopies())
    expect(bytes.equals(files.get(path) ?? Buffer.of())).toBe(true);
});
