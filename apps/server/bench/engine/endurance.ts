import { analyze, prepareDatabase } from "./dispatcher-database.ts";
import { median } from "./run.ts";
import type { Line, Run, Section } from "./run.ts";
import { startBenchServer } from "./server.ts";

/** A slow engine is stopped before it gets there; the line tells how far it got. */
const PATIENCE_MS = 120_000;
const WINDOWS = 3;
const FLEET = 16;

/** Dead rows and entries gather at the head of the queue: how the rate stands up to that, with autovacuum as it comes. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, tell, isSmoke } = run;
  const claims = isSmoke ? 2_000 : 100_000;
  await using stack = new AsyncDisposableStack();
  const { url, nodes, name } = await prepareDatabase(run, "endurance", {
    assets: isSmoke ? 4_000 : 400_000,
    fleet: FLEET,
  });
  stack.defer(() => postgres.drop(name));
  const engine = stack.use(await startBenchServer({ databaseUrl: url }));
  await engine.tell({ do: "crew", nodes, inFlight: 8, perCall: 100 });
  await engine.tell({ do: "warm up", forMs: forMs / 2 });
  await analyze(url);
  let total = 0;
  const windows = async (): Promise<number> => {
    const rates: number[] = [];
    for (let count = 0; count < WINDOWS; count += 1) {
      const { claimed, rate } = await engine.tell({ do: "work", forMs });
      total += claimed;
      rates.push(rate);
    }
    return median(rates);
  };
  const first = await windows();
  tell(`start: ${Math.round(first).toLocaleString("en")} a second`);
  const begunAt = performance.now();
  while (total < claims && performance.now() - begunAt < PATIENCE_MS) {
    const { claimed } = await engine.tell({ do: "work", forMs: 10_000, files: claims - total });
    total += claimed;
    tell(`${total.toLocaleString("en")} of ${claims.toLocaleString("en")} claims`);
  }
  const reached = total;
  const last = await windows();
  return [
    { label: "at the start", value: first, unit: "files/s", ratio: null, goal: null },
    {
      label: `after ${reached.toLocaleString("en")} claims / at the start`,
      value: last,
      unit: "files/s",
      ratio: last / first,
      goal: { floor: 0.8, aim: null },
    },
  ];
}

export const endurance: Section = {
  name: "endurance",
  about: "the rate after 100,000 claims without a vacuum by hand, against the start",
  measure,
};
