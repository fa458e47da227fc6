/** The checker of fleets finds each fault that it is there for. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeId } from "@dispatcher/core";
import { expect, onTestFinished, test } from "vitest";
import { AssetImportInput } from "../src/wire/asset.ts";
import { NodeSyncInput } from "../src/wire/node.ts";
import { checkFleet } from "./support/check-fleet.ts";
import { catalogBatches } from "./support/fleet-catalog.ts";
import { openFleetLog, readFleetLog } from "./support/fleet-log.ts";
import type { FleetEntry } from "./support/fleet-log.ts";
import { FleetNode } from "./support/fleet-node.ts";
import type { CallSync } from "./support/fleet-node.ts";
import { describeUndone, setBudgets } from "./support/fleet-rows.ts";
import { randomFrom } from "./support/random.ts";
import { startTestDispatcher } from "./support/test-dispatcher.ts";
import type { TestDispatcher } from "./support/test-dispatcher.ts";

const ORIGIN = { host: "origin.example:443", concurrencyMax: 3, requestsPerMinute: 6000 };
const FILES = 12;
const NODES = 5;

/** A small fleet that has saved a small catalog, and its log. */
async function rescue(dispatcher: TestDispatcher): Promise<readonly FleetEntry[]> {
  const folder = await mkdtemp(join(tmpdir(), "check-fleet-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "fleet.log");
  using log = openFleetLog(path);
  await setBudgets(dispatcher.sql, [ORIGIN]);
  const files = Array.from({ length: FILES }, (_, index) => ({ index, origin: ORIGIN }));
  for (const batch of catalogBatches(files, randomFrom(1))) {
    await dispatcher.services.importAssets(AssetImportInput.parse(batch));
  }
  const call: CallSync = (_server, key, input) =>
    dispatcher.services.syncNode({ nodeId: key as NodeId, network: null, input: NodeSyncInput.parse(input) });
  let isDone = false;
  const nodes = await Promise.all(
    Array.from({ length: NODES }, async (_, index) => {
      const { nodeId } = await dispatcher.join(`operator-${index}`, { offeredBytes: 1e9 });
      const joined = { event: "joined", name: `n${index}`, key: nodeId, offeredBytes: 1e9 } as const;
      log.append([{ ...joined, node: nodeId, atMs: Date.now() }]);
      const mood = { servers: ["server"], copiesAtOnce: 2, failureShare: 0, fetchMs: () => 5, isLeaving: () => isDone };
      return new FleetNode({ nodeId, log, call, mood, random: randomFrom(index) });
    }),
  );
  const never = new AbortController().signal;
  const lives = nodes.map((node) => node.live(never));
  await expect.poll(() => describeUndone(dispatcher.sql, 1), { timeout: 20_000 }).toEqual([]);
  isDone = true;
  for (const node of nodes) node.wake();
  await Promise.all(lives);
  return readFleetLog(path);
}

test("a fleet that lost, doubled, miscounted and overspent nothing is found without fault, each of these is named", async () => {
  await using dispatcher = await startTestDispatcher({
    DISPATCHER_SYNC_INTERVAL_MS: "100",
    DISPATCHER_UNKNOWN_SIZE_BYTES: "300000000",
    DISPATCHER_LEASE_HORIZON_MS: "31536000000",
  });
  const { sql } = dispatcher;
  const entries = await rescue(dispatcher);
  expect(await checkFleet(sql, entries)).toEqual([]);

  const grant = entries.find((entry) => entry.event === "granted");
  const acknowledged = entries.find((entry) => entry.event === "answered");
  if (grant === undefined || acknowledged === undefined) throw new Error("The fleet has done nothing.");
  const checkWith = (...planted: readonly FleetEntry[]): Promise<readonly string[]> =>
    checkFleet(
      sql,
      [...entries, ...planted].toSorted((a, b) => a.atMs - b.atMs),
    );
  const soonAfter = grant.atMs + 1;
  const { assetId, term, node } = grant;

  // The same asset to the same node, while it still fetches it.
  expect(await checkWith({ ...grant, assignmentId: "999", term: 99, atMs: soonAfter })).toContain(
    `node ${node}: asset ${assetId} was leased twice at once, by assignments ${grant.assignmentId} and 999`,
  );
  expect(await checkWith({ ...grant, assignmentId: "999", term: 99, atMs: soonAfter })).toContain(
    `node ${node}: the grant of asset ${assetId}, assignment 999, term 99, is not in the database: a lost grant`,
  );
  // To another node, under a number that was given out already.
  expect(await checkWith({ ...grant, assignmentId: "999", node: "998", atMs: soonAfter })).toContain(
    `asset ${assetId}: term ${term} was used twice, by assignments ${grant.assignmentId} and 999`,
  );
  expect(await checkWith({ ...acknowledged, assignmentId: "999" })).toContainEqual(
    expect.stringMatching(/finished assignment 999 was acknowledged by server and is unknown: a lost acknowledgement/),
  );
  const withoutItsEnd = entries.filter(
    (entry) => !(entry.event === "ended" && entry.assignmentId === grant.assignmentId),
  );
  expect(await checkFleet(sql, withoutItsEnd)).toContain(
    `assignment ${grant.assignmentId} has a copy on node ${node}, which never said so`,
  );
  expect(await checkWith({ event: "faulted", message: "INTERNAL", server: "server", node, atMs: soonAfter })).toContain(
    `node ${node}: server answered a fault: INTERNAL`,
  );
  // More at one moment than the origin allows, each for itself in order.
  const crowd = Array.from({ length: ORIGIN.concurrencyMax + 1 }, (_, index): FleetEntry[] => {
    const lease = { assignmentId: String(1000 + index), term: 100 + index, node: String(1000 + index) };
    return [
      { ...grant, ...lease, atMs: soonAfter },
      { event: "fetching", ...lease, atMs: soonAfter },
      { event: "ended", kind: "released", ...lease, atMs: soonAfter + 1000 },
    ];
  }).flat();
  const crowded = await checkWith(...crowd);
  for (const what of ["leases", "fetches"]) {
    const overBudget = new RegExp(
      `^origin origin\\.example:443 is over its budget: \\d+ ${what} at once, 3 allowed: assignment `,
    );
    expect(crowded).toContainEqual(expect.stringMatching(overBudget));
  }
  expect(crowded).toContainEqual(expect.stringMatching(/^asset \d+ had \d+ copies and leases at once, \d allowed$/));
  // The same crowd killed before its deadlines has overspent too; one whose leases had ended by then has not.
  const killedCrowd = (expiresAtMs: number): Promise<readonly string[]> =>
    checkWith(
      ...crowd.map((entry): FleetEntry => {
        if (entry.event === "granted") return { ...entry, expiresAtMs };
        return entry.event === "ended" ? { event: "died", node: entry.node, atMs: entry.atMs } : entry;
      }),
    );
  const tooManyFetches = expect.stringMatching(/is over its budget: \d+ fetches at once, 3 allowed: assignment /);
  expect(await killedCrowd(soonAfter + 500)).toContainEqual(tooManyFetches);
  expect(await killedCrowd(soonAfter)).not.toContainEqual(tooManyFetches);

  const plant = async (fault: string): Promise<readonly string[]> => {
    let found: readonly string[] = [];
    const undone = new Error("undone");
    const planting = dispatcher.dependencies.db.transaction(async (transaction) => {
      await transaction.unsafe(fault);
      found = await checkFleet(transaction, entries);
      throw undone;
    });
    await expect(planting).rejects.toBe(undone);
    return found;
  };
  expect(await plant("update nodes set held_bytes = held_bytes + 1")).toContainEqual(
    expect.stringMatching(/^node \d+ holds \d+ bytes and its replicas \d+$/),
  );
  expect(await plant("update origins set requests_per_minute = 1")).toContainEqual(
    expect.stringMatching(/^origin origin\.example:443 is over its budget: \d+ leases granted in a minute, 1 allowed$/),
  );
  expect(await plant("update origins set requests_per_minute = 1")).toContainEqual(
    expect.stringMatching(/^origin origin\.example:443 is over its budget: \d+ fetches begun in a minute, 4 at most$/),
  );
  expect(await plant("update assignments set term = 1")).toContainEqual(
    expect.stringMatching(/^asset \d+: a lease had term \d+, and the last one given is 1$/),
  );
  expect(await plant("update datasets set copies_min = 1, copies_target = 1, copies_max = 1")).toContainEqual(
    expect.stringMatching(/^asset \d+ has \d copies, 1 allowed$/),
  );
  expect(await plant("update datasets set copies_target = 9, copies_max = 9")).toContainEqual(
    expect.stringMatching(/^asset \d+ has \d independent copies of 9$/),
  );
});
