import { prepareDatabase } from "./dispatcher-database.ts";
import { callIdle, callNothing, callRate, openCaller } from "./http-calls.ts";
import { interleave, median, ratioOf } from "./run.ts";
import type { Line, Run, Section } from "./run.ts";
import { startBenchServer } from "./server.ts";

const LANES = 32;
const FLEET = 500;

/** Most syncs say nothing: what they cost over a call that does nothing. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, isSmoke, cpuProfiles } = run;
  const fleet = isSmoke ? LANES : FLEET;
  await using stack = new AsyncDisposableStack();
  const { url, nodes, name } = await prepareDatabase(run, "idle", { assets: 1_000, fleet });
  stack.defer(() => postgres.drop(name));
  const server = stack.use(await startBenchServer({ databaseUrl: url, cpuProfiles }));
  const caller = stack.use(openCaller(server.url, LANES));
  let turn = 0;
  const sync = () => callRate(() => callIdle(caller, nodes, (turn += 1)), { lanes: LANES, forMs });
  const nothing = () => callRate(() => callNothing(caller), { lanes: LANES, forMs });
  await sync();
  await nothing();
  const figures = await interleave(run, { nothing, idle: sync });
  const unit = "calls/s";
  return [
    { label: `an empty mutation, ${LANES} connections`, value: median(figures.nothing), unit, ratio: null, goal: null },
    {
      label: "a sync with nothing to say / an empty mutation",
      value: median(figures.idle),
      unit,
      ratio: ratioOf(figures.idle, figures.nothing),
      goal: { floor: 0.5, aim: null },
    },
  ];
}

export const idle: Section = {
  name: "idle",
  about: "syncs with nothing to say, against an empty mutation behind the same Fastify",
  measure,
};
