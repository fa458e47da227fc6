import { analyze, prepareDatabase } from "./dispatcher-database.ts";
import { latenciesOf, makeCrew, warmUp, work } from "./fleet.ts";
import { openCaller, overHttp } from "./http-calls.ts";
import { interleave, median, percentile, ratioOf } from "./run.ts";
import type { Line, Run, Section } from "./run.ts";
import { startBenchServer } from "./server.ts";

/** Many nodes with one file each, at once: what a server makes of it by answering several together. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, tell, isSmoke } = run;
  const connections = isSmoke ? 10 : 200;
  const assets = isSmoke ? 1_000 : 100_000;
  await using stack = new AsyncDisposableStack();
  // Calls may wait for a connection in vain: that is part of the answer, and the next call reports again.
  const failures = { coalesced: 0, uncoalesced: 0 };
  const prepare = async (name: "coalesced" | "uncoalesced") => {
    const isUncoalesced = name === "uncoalesced";
    const onFailure = (error: unknown): void => {
      failures[name] += 1;
      if (failures[name] === 1) tell(`${name}: a call failed: ${String(error).slice(0, 400)}`);
    };
    const database = await prepareDatabase(run, name, { assets, fleet: connections });
    stack.defer(() => postgres.drop(name));
    const server = stack.use(await startBenchServer({ databaseUrl: database.url, isUncoalesced }));
    const caller = stack.use(openCaller(server.url, connections));
    const crew = makeCrew(database.nodes, overHttp(caller), { inFlight: connections, perCall: 1 });
    await warmUp(crew, forMs, onFailure);
    await analyze(database.url);
    return { crew, rate: async () => (await work(crew, { forMs, onFailure })).rate };
  };
  const together = await prepare("coalesced");
  const alone = await prepare("uncoalesced");
  Object.assign(failures, { coalesced: 0, uncoalesced: 0 });
  const figures = await interleave(run, { coalesced: together.rate, uncoalesced: alone.rate });
  const latencies = await latenciesOf(together.crew, { forMs, calls: 20_000 });
  return [
    {
      label: `1 file a call, ${connections} connections, each call alone`,
      value: median(figures.uncoalesced),
      unit: "files/s",
      ratio: null,
      goal: null,
    },
    {
      label: "the same, coalesced / each call alone",
      value: median(figures.coalesced),
      unit: "files/s",
      ratio: ratioOf(figures.coalesced, figures.uncoalesced),
      goal: { floor: 2, aim: null },
    },
    ...(["coalesced", "uncoalesced"] as const).map((name) => ({
      label: `${name}, calls that failed`,
      value: failures[name],
      unit: "calls",
      ratio: null,
      goal: null,
    })),
    { label: "coalesced, p50 of a call", value: percentile(latencies, 0.5), unit: "ms", ratio: null, goal: null },
    { label: "coalesced, p99 of a call", value: percentile(latencies, 0.99), unit: "ms", ratio: null, goal: null },
  ];
}

export const coalescing: Section = {
  name: "coalescing",
  about: "one file a call from 200 connections, against the same with each call answered alone",
  measure,
};
