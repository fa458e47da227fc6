import { open, openForLoading } from "./bench-postgres.ts";
import { bareRate, loadBare } from "./bare-statements.ts";
import { prepareDatabase, settle } from "./dispatcher-database.ts";
import { makeCrew, warmUp, work } from "./fleet.ts";
import { openCaller, overHttp } from "./http-calls.ts";
import { interleave, median, ratioOf } from "./run.ts";
import type { Line, Run, Section } from "./run.ts";
import { startBenchServer } from "./server.ts";

const PER_CALL = 100;
/** Nodes that wait for an answer at the same time: of 8, 16, 24 and 32 the best, as the loops of the bare statements are. */
const IN_FLIGHT = 16;
const FLEET = 32;
const LOOPS_MAX = 4;
/** More a second than any contender does here. */
const RATE_MAX = 60_000;
/** A machine that is shared may be so many times quicker in the next minute. */
const SPARE = 3;

/** How many jobs last for all rounds, at `rate` a second and somewhat more. */
function supplyFor({ forMs, rounds, isSmoke }: Run, rate: number): number {
  const seconds = ((forMs + 500) / 1000) * (rounds + 1);
  return isSmoke ? 10_000 : Math.ceil(seconds * Math.min(rate * SPARE, RATE_MAX));
}

type BareBaseline = AsyncDisposable & {
  readonly loops: number;
  /** Rows a second, measured for a moment. */
  readonly trialRate: number;
  readonly rate: (forMs: number) => Promise<number>;
};

/** The two statements, with the number of loops that is best here. */
async function openBare(run: Run): Promise<BareBaseline> {
  const { postgres, forMs, tell } = run;
  const url = await postgres.create("bare");
  await using loader = openForLoading(url);
  const rows = supplyFor(run, RATE_MAX) + LOOPS_MAX * RATE_MAX;
  tell(`bare: ${rows.toLocaleString("en")} rows`);
  await loadBare(loader, rows);
  const db = open(url, LOOPS_MAX * 3);
  const trials: { loops: number; rate: number }[] = [];
  for (let loops = 1; loops <= LOOPS_MAX; loops += 1) {
    const rate = await bareRate(db, { loops, perCall: PER_CALL, forMs: Math.min(forMs, 1000) });
    tell(`bare: ${loops} loops, ${Math.round(rate).toLocaleString("en")} a second`);
    trials.push({ loops, rate });
  }
  const best = trials.reduce((most, trial) => (trial.rate > most.rate ? trial : most));
  return {
    loops: best.loops,
    trialRate: best.rate,
    rate: (ms) => bareRate(db, { loops: best.loops, perCall: PER_CALL, forMs: ms }),
    [Symbol.asyncDispose]: async () => {
      await db.close();
      await postgres.drop("bare");
    },
  };
}

/** Through the services in a process of their own, and over HTTP from this one. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, tell, isSmoke, cpuProfiles } = run;
  const [bareName, bossName, workerName] = ["two bare statements", "pg-boss", "graphile-worker"] as const;
  await using stack = new AsyncDisposableStack();
  // Loaded here, so that finding the benches stays cheap.
  const { openGraphileWorker, openPgBoss } = await import("./queues.ts");
  const bare = stack.use(await openBare(run));
  const supply = supplyFor(run, bare.trialRate);
  // Each is claimed three times.
  const assets = isSmoke ? 4_000 : Math.max(100_000, Math.ceil(supply / 3));
  const queue = async (name: string): Promise<string> => {
    tell(`${name}: ${supply.toLocaleString("en")} jobs`);
    stack.defer(() => postgres.drop(name));
    return postgres.create(name);
  };
  const bossUrl = await queue("boss");
  const boss = stack.use(await openPgBoss(bossUrl, supply));
  const workerUrl = await queue("worker");
  const worker = stack.use(await openGraphileWorker(workerUrl, supply));

  const direct = await prepareDatabase(run, "services", { assets, fleet: FLEET });
  stack.defer(() => postgres.drop(direct.name));
  const engine = stack.use(await startBenchServer({ databaseUrl: direct.url, cpuProfiles }));
  await engine.tell({ do: "crew", nodes: direct.nodes, inFlight: IN_FLIGHT, perCall: PER_CALL });

  const remote = await prepareDatabase(run, "http", { assets, fleet: FLEET });
  stack.defer(() => postgres.drop(remote.name));
  const server = stack.use(await startBenchServer({ databaseUrl: remote.url, cpuProfiles }));
  const caller = stack.use(openCaller(server.url, IN_FLIGHT));
  const crew = makeCrew(remote.nodes, overHttp(caller), { inFlight: IN_FLIGHT, perCall: PER_CALL });

  tell("warm up");
  await engine.tell({ do: "warm up", forMs });
  await warmUp(crew, forMs);
  await boss.rate(forMs / 3);
  await worker.rate(forMs / 3);
  // Or autovacuum would come upon what was just loaded in the middle of somebody's round.
  for (const url of [bossUrl, workerUrl, direct.url, remote.url]) await settle(url);
  const figures = await interleave(run, {
    [bareName]: () => bare.rate(forMs),
    services: async () => (await engine.tell({ do: "work", forMs })).rate,
    [bossName]: () => boss.rate(forMs),
    http: async () => (await work(crew, { forMs })).rate,
    [workerName]: () => worker.rate(forMs),
  });
  const unit = "files/s";
  const { services, http, [bareName]: raw, [bossName]: pgBoss, [workerName]: graphile } = figures;
  const line = (label: string, figure: readonly number[], baseline: readonly number[] | null, goal: Line["goal"]) => ({
    label,
    value: median(figure),
    unit,
    ratio: baseline === null ? null : ratioOf(figure, baseline),
    goal,
  });
  return [
    line(`(a) two bare statements, ${PER_CALL} a call, ${bare.loops} loops`, raw, null, null),
    line("(b) pg-boss, fetch(500) + complete, 2 loops / (a)", pgBoss, raw, null),
    line("(c) graphile-worker, local queue of 500 / (a)", graphile, raw, null),
    line(`services, ${PER_CALL} a call, ${IN_FLIGHT} in flight / (a)`, services, raw, { floor: 0.5, aim: 0.8 }),
    line("services / (b)", services, pgBoss, { floor: 0.5, aim: 1 }),
    line("services / (c)", services, graphile, { floor: 0.4, aim: 0.8 }),
    line(`node.sync over HTTP, ${PER_CALL} a call, ${IN_FLIGHT} in flight / (a)`, http, raw, { floor: 0.3, aim: 0.6 }),
  ];
}

export const throughput: Section = {
  name: "throughput",
  about: "files claimed and finished a second, 100 a call, against bare SQL and two job queues",
  measure,
};
