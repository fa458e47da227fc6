/**
 * A program: the nodes of a fleet, each a volunteer of its own to the servers. They join once; started again with the same
 * log they go on as those they were. Nodes die and come back by themselves.
 *
 * Prints `fleet.ready` when all have joined. SIGUSR2: nobody dies any more, and the dead come back now. SIGTERM: nobody asks
 * for more, and the program ends when everything is said.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import type { NodeJoinOutput, NodeSyncOutput } from "../../src/wire/node.ts";
import { openFleetLog } from "./fleet-log.ts";
import type { FleetLog } from "./fleet-log.ts";
import { FleetNode } from "./fleet-node.ts";
import type { CallSync, FleetMood } from "./fleet-node.ts";
import { mutate } from "./mutate.ts";
import { between, pick, randomFrom } from "./random.ts";

export type FleetPlan = {
  readonly name: string;
  readonly log: string;
  readonly seed: number;
  readonly servers: readonly string[];
  readonly nodes: number;
  /** Of one operator each; they are used in turn. */
  readonly joinTokens: readonly string[];
  /** In the mean a node dies every so many ms; 0 for never. */
  readonly deathEveryMs: number;
};

const JOINS_AT_ONCE = 16;
/** Nodes that start together first speak over so long a time. */
const START_SPREAD_MS = 6_000;
/** One node of so many offers little, and is full soon. */
const SMALL_NODE_EVERY = 10;
const OFFER_BYTES = { small: 5e7, large: 5e10 };
/** Some are back before anybody has noticed, some when their leases are over. */
const DEAD_MS = { least: 100, most: 25_000 };

async function join(plan: FleetPlan, log: FleetLog): Promise<void> {
  const missing = Array.from({ length: plan.nodes - log.nodes().length }, (_, index) => log.nodes().length + index);
  const joinNext = async (): Promise<void> => {
    for (let index = missing.shift(); index !== undefined; index = missing.shift()) {
      const name = `${plan.name}-${index}`;
      const offeredBytes = index % SMALL_NODE_EVERY === 0 ? OFFER_BYTES.small : OFFER_BYTES.large;
      const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes };
      const server = plan.servers[index % plan.servers.length] ?? "";
      const joinToken = plan.joinTokens[index % plan.joinTokens.length];
      const { nodeId, key } = await mutate<z.output<typeof NodeJoinOutput>>(
        server,
        "node.join",
        { joinToken, name, ...facts },
        {},
      );
      log.append([{ event: "joined", node: nodeId, atMs: Date.now(), name, key, offeredBytes }]);
    }
  };
  await Promise.all(Array.from({ length: JOINS_AT_ONCE }, joinNext));
}

/** Mostly quick, now and then longer than a lease that nobody renews; all quick once the fleet is calm. */
function fetchMsFrom(random: () => number, calm: AbortSignal): FleetMood["fetchMs"] {
  return (sizeBytes) => {
    const chance = random();
    if (sizeBytes === 0 || chance < 0.85 || calm.aborted) return between(random, 20, 500);
    return chance < 0.97 ? between(random, 500, 2_000) : between(random, 4_000, 14_000);
  };
}

const call: CallSync = (server, key, input, signal) =>
  mutate<z.output<typeof NodeSyncOutput>>(server, "node.sync", input, { key, signal });

async function main(plan: FleetPlan): Promise<void> {
  using log = openFleetLog(plan.log);
  await join(plan, log);
  // Each start is another story, and the same one when it is played again.
  const random = randomFrom(plan.seed + log.nodes().reduce((sum, node) => sum + log.entriesOf(node).length, 0));
  const leaving = new AbortController();
  const calm = new AbortController();
  process.on("SIGUSR2", () => calm.abort());
  process.on("SIGTERM", () => {
    calm.abort();
    leaving.abort();
  });
  const mood: FleetMood = {
    servers: plan.servers,
    copiesAtOnce: 8,
    failureShare: 0.5,
    fetchMs: fetchMsFrom(random, calm.signal),
    isLeaving: () => leaving.signal.aborted,
  };
  const deaths = new Map<string, AbortController>();
  const rest = async (ms: number): Promise<void> => {
    await sleep(ms, undefined, { signal: calm.signal }).catch(() => {});
  };
  const live = async (nodeId: string): Promise<void> => {
    await rest(between(random, 0, START_SPREAD_MS));
    for (;;) {
      const death = new AbortController();
      const node = new FleetNode({ nodeId, log, call, mood, random });
      const wake = (): void => node.wake();
      deaths.set(nodeId, death);
      leaving.signal.addEventListener("abort", wake);
      await node.live(death.signal);
      leaving.signal.removeEventListener("abort", wake);
      deaths.delete(nodeId);
      if (!death.signal.aborted) return;
      await rest(between(random, DEAD_MS.least, DEAD_MS.most));
    }
  };
  const kill = async (): Promise<void> => {
    while (plan.deathEveryMs > 0 && !calm.signal.aborted) {
      await rest(between(random, 0, 2 * plan.deathEveryMs));
      if (!calm.signal.aborted && deaths.size > 0) pick(random, [...deaths.values()]).abort();
    }
  };
  process.stdout.write(`${JSON.stringify({ event: "fleet.ready", nodes: log.nodes().length })}\n`);
  await Promise.all([...log.nodes().map(live), kill()]);
}

await main(JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as FleetPlan);
