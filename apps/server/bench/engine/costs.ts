import { DEFAULT_VETTING } from "@dispatcher/core";
import { assembleDependencies } from "../../src/services/dependencies.ts";
import { createServices } from "../../src/services/index.ts";
import { bareRate, claimBare, completeBare, loadBare } from "./bare-statements.ts";
import { log, open, openForLoading } from "./bench-postgres.ts";
import { analyze, prepareDatabase } from "./dispatcher-database.ts";
import { config, makeCrew, throughServices, warmUp, work } from "./fleet.ts";
import type { Line, Run, Section } from "./run.ts";
import { clockStatements } from "./statement-clock.ts";

const PER_CALL = 100;
/** Statements below that many ms in a hundred files are told in one line. */
const SHOWN_FROM_MS = 0.1;

function line(label: string, value: number): Line {
  return { label, value, unit: "ms/100", ratio: null, goal: null };
}

/** Where the time of a hundred claims and completions goes, statement by statement, with one call in flight. */
async function measure(run: Run): Promise<readonly Line[]> {
  const { postgres, forMs, isSmoke } = run;
  await using stack = new AsyncDisposableStack();
  const { url, nodes, name } = await prepareDatabase(run, "costs", { assets: isSmoke ? 4_000 : 200_000, fleet: 4 });
  stack.defer(() => postgres.drop(name));
  const clocked = clockStatements(stack.use(open(url)));
  const services = createServices(
    assembleDependencies({ db: clocked.db, config, log, vetting: DEFAULT_VETTING, random: Math.random }),
  );
  const crew = makeCrew(nodes, throughServices(services), { inFlight: 1, perCall: PER_CALL });
  await warmUp(crew, forMs);
  await analyze(url);
  await work(crew, { forMs: forMs / 3 });
  clocked.reset();
  const [cpu, begunAt] = [process.cpuUsage(), performance.now()];
  const { claimed } = await work(crew, { forMs: forMs * 2 });
  const wallMs = performance.now() - begunAt;
  const { user, system } = process.cpuUsage(cpu);
  const perHundred = (ms: number): number => (ms * 100) / claimed;

  const bareUrl = await postgres.create("bare_costs");
  stack.defer(() => postgres.drop("bare_costs"));
  const bare = stack.use(open(bareUrl));
  await using loader = openForLoading(bareUrl);
  await loadBare(loader, isSmoke ? 20_000 : 500_000);
  await bareRate(bare, { loops: 1, perCall: PER_CALL, forMs: forMs / 3 });
  let [claimMs, completeMs, cycles] = [0, 0, 0];
  for (const until = performance.now() + forMs; performance.now() < until; cycles += 1) {
    const claimAt = performance.now();
    const ids = await claimBare(bare, PER_CALL);
    const completeAt = performance.now();
    await completeBare(bare, ids);
    claimMs += completeAt - claimAt;
    completeMs += performance.now() - completeAt;
  }

  const times = clocked.times();
  const bareMs = (claimMs + completeMs) / cycles;
  return [
    line("a bare claim", claimMs / cycles),
    line("a bare completion", completeMs / cycles),
    { ...line("services, in all / bare claim and completion", perHundred(wallMs)), ratio: perHundred(wallMs) / bareMs },
    line("of it CPU of this process", perHundred((user + system) / 1000)),
    line("of it outside of statements", perHundred(wallMs - times.reduce((sum, { ms }) => sum + ms, 0))),
    ...times
      .filter(({ ms }) => perHundred(ms) >= SHOWN_FROM_MS)
      .map(({ text, calls, ms }) => line(`${perHundred(calls).toFixed(1)} x ${text}`, perHundred(ms))),
  ];
}

export const costs: Section = {
  name: "costs",
  about: "where the time of 100 claims and 100 completions goes, statement by statement",
  measure,
};
