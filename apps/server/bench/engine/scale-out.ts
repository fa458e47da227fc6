import { analyze, prepareDatabase } from "./dispatcher-database.ts";
import { median, ratioOf } from "./run.ts";
import type { Line, Run, Section } from "./run.ts";
import { startBenchServer } from "./server.ts";

const PER_CALL = 100;
const NODES_PER_SERVER = 8;
const IN_FLIGHT = 4;

/** Several servers on one database, each with nodes of its own. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, rounds, tell, isSmoke } = run;
  const counts = [1, 2, 4, 8].filter((count) => count <= run.servers);
  const most = counts.at(-1) ?? 1;
  await using stack = new AsyncDisposableStack();
  const { url, nodes, name } = await prepareDatabase(run, "servers", {
    assets: isSmoke ? 4_000 : 300_000,
    fleet: NODES_PER_SERVER * most,
  });
  stack.defer(() => postgres.drop(name));
  // All are there all the time, as they would be: those that have no calls only sweep.
  const servers = await Promise.all(
    Array.from({ length: most }, async (_, index) => {
      const server = stack.use(await startBenchServer({ databaseUrl: url }));
      const own = nodes.filter((_node, place) => place % most === index);
      await server.tell({ do: "crew", nodes: own, inFlight: IN_FLIGHT, perCall: PER_CALL });
      return server;
    }),
  );
  const rateOf = async (count: number): Promise<number> => {
    const those = servers.slice(0, count);
    // Those that have rested hear first of what the others have done meanwhile, as they do where all have work.
    await Promise.all(those.map((server) => server.tell({ do: "work", forMs: forMs / 3 })));
    const found = await Promise.all(those.map((server) => server.tell({ do: "work", forMs })));
    return found.reduce((sum, { rate }) => sum + rate, 0);
  };
  await Promise.all(servers.map((server) => server.tell({ do: "warm up", forMs })));
  await analyze(url);
  const figures = new Map(counts.map((count) => [count, [] as number[]]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const [count, rates] of figures) {
      rates.push(await rateOf(count));
      tell(
        `round ${round} of ${rounds}: ${count} servers, ${Math.round(rates.at(-1) ?? 0).toLocaleString("en")} a second`,
      );
    }
  }
  const one = figures.get(1) ?? [];
  return [...figures].map(([count, rates]) => ({
    label: count === 1 ? "1 server" : `${count} servers / 1 server`,
    value: median(rates),
    unit: "files/s",
    ratio: count === 1 ? null : ratioOf(rates, one),
    goal: null,
  }));
}

export const scaleOut: Section = {
  name: "servers",
  about: "the sum of what 2 and 4 servers on one database do, against one",
  measure,
};
