import type { Obstacle } from "./catalog.ts";
import { analyze, prepareDatabase } from "./dispatcher-database.ts";
import { percentile } from "./run.ts";
import type { Line, Run, Section } from "./run.ts";
import { startBenchServer } from "./server.ts";
import type { BenchServer } from "./server.ts";

const PER_CALL = 10;
const CALLS = 200;
const FLEET = 8;

type Case = {
  readonly label: string;
  readonly name: string;
  readonly assets: number;
  readonly obstacle: Obstacle;
  readonly obstacles: number;
};

function casesOf({ assets, isSmoke }: Run): readonly [Case, ...Case[]] {
  const small = isSmoke ? 1_000 : 10_000;
  const none = { obstacle: "none", obstacles: 0 } as const;
  const size = (count: number): Case => ({
    label: `${count.toLocaleString("en")} assets`,
    name: `assets_${count}`,
    assets: count,
    ...none,
  });
  const large = Math.min(assets, isSmoke ? 2_000 : 1_000_000);
  const blocked = (obstacle: Obstacle, name: string): Case => ({
    label: `${large.toLocaleString("en")} assets, the first ${(large / 2).toLocaleString("en")} ${name}`,
    name: name.replaceAll(/[ -]/g, "_"),
    assets: large,
    obstacle,
    obstacles: large / 2,
  });
  return [
    size(small),
    size(large),
    ...(assets > large && !isSmoke ? [size(assets)] : []),
    blocked("too big", "too big"),
    blocked("saturated", "of busy origins"),
  ];
}

/** One node after the other, so that the time of a call is the engine's and not that of a queue before it. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, rounds, tell } = run;
  await using stack = new AsyncDisposableStack();
  const cases: { one: Case; server: BenchServer; latencies: number[] }[] = [];
  for (const one of casesOf(run)) {
    const { url, nodes } = await prepareDatabase(run, one.name, { ...one, fleet: FLEET + 1 });
    stack.defer(() => postgres.drop(one.name));
    const server = stack.use(await startBenchServer({ databaseUrl: url }));
    const [holder, ...others] = nodes;
    if (one.obstacle === "saturated" && holder !== undefined) {
      // It takes the one slot of each busy origin and keeps it.
      await server.tell({ do: "crew", nodes: [holder], inFlight: 1, perCall: PER_CALL });
      await server.tell({ do: "latencies", forMs: 60_000, calls: 1 });
    }
    await server.tell({ do: "crew", nodes: others, inFlight: 1, perCall: PER_CALL });
    await server.tell({ do: "warm up", forMs: forMs / 3 });
    await analyze(url);
    cases.push({ one, server, latencies: [] });
  }
  for (let round = 1; round <= rounds; round += 1) {
    for (const { one, server, latencies } of cases) {
      const found = await server.tell({ do: "latencies", forMs: forMs * 3, calls: CALLS });
      latencies.push(...found);
      tell(
        `round ${round} of ${rounds}: ${one.label}, ${found.length} calls, p50 ${percentile(found, 0.5).toFixed(1)} ms`,
      );
    }
  }
  const lines: Line[] = [];
  const [base] = cases;
  if (base === undefined) return lines;
  for (const { one, server, latencies } of cases) {
    const isBase = one === base.one;
    for (const share of [0.5, 0.99]) {
      const value = percentile(latencies, share);
      const against = percentile(base.latencies, share);
      lines.push({
        label: `${one.label}, p${share * 100}${isBase ? "" : ` / ${base.one.label}`}`,
        value,
        unit: "ms",
        ratio: isBase ? null : value / against,
        goal: isBase ? null : { floor: 2, aim: null, isLimit: true },
      });
    }
    const { rssBytes, heapBytes } = await server.tell({ do: "memory" });
    const [rss, heap] = [rssBytes / 2 ** 20, heapBytes / 2 ** 20];
    lines.push({ label: `${one.label}, memory of the server`, value: rss, unit: "MB RSS", ratio: null, goal: null });
    lines.push({ label: `${one.label}, of that JavaScript`, value: heap, unit: "MB heap", ratio: null, goal: null });
  }
  return lines;
}

export const latency: Section = {
  name: "latency",
  about: `a sync that claims and finishes ${PER_CALL}, in large catalogs and behind 500,000 files nobody may take, against a small one`,
  measure,
};
