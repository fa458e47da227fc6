import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startServer } from "@dispatcher/testbed";
import { startBenchPostgres } from "./engine/bench-postgres.ts";
import { percentile } from "./engine/run.ts";
import type { AbuseFound, AbuseOrder } from "./load/abuse-program.ts";
import type { Found, Order, Times } from "./load/generator-program.ts";
import { REPORTS, SHARES } from "./load/mix.ts";
import type { KindName } from "./load/mix.ts";
import { SERVER_SETTINGS, notStored, prepare } from "./load/prepare.ts";
import { sample, watchServer } from "./load/watch-server.ts";
import type { Sample } from "./load/watch-server.ts";

export const name = "load";
export const about = "one server process under more requests than it can answer, by the clock, with abuse beside them";

const DEFAULTS = { seconds: 30, rate: 5_000, connections: 2_000 } as const;
const WARM_UP_MS = 3_000;
const EX_USAGE = 64;
/** As shells have it for Ctrl-C. */
const STOPPED = 130;
const MIB = 2 ** 20;

const GOALS = {
  acceptedP99Ms: 500,
  refusedP99Ms: 500,
  /** From the middle of the run on; before it, caches and pools fill. */
  growthBytes: 64 * MIB,
} as const;

const HELP = `Usage: pnpm bench load [options]

${about}. The exit status is 1 when a goal is missed.

  --seconds S      how long requests are offered (default: ${DEFAULTS.seconds})
  --rate N         requests offered a second (default: ${DEFAULTS.rate})
  --connections N  the most connections of the callers (default: ${DEFAULTS.connections})
  --cold           begin at once, with a server that has just started
  --no-abuse       without slowloris connections, huge bodies, deep JSON, huge batches, endless headers
  --cpu-prof DIR   a CPU profile of the server, into that folder
  --json           print one line of JSON instead of tables
  --help           print this
`;

type Choice = {
  readonly forMs: number;
  readonly rate: number;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly isAbused: boolean;
  readonly cpuProfiles: string | undefined;
  readonly isJson: boolean;
};

type Goal = { readonly label: string; readonly value: number; readonly unit: string; readonly most: number };

function count(option: string, text: string): number {
  if (!/^\d{1,7}$/.test(text) || Number(text) < 1) throw new Error(`--${option} has to be a whole number from 1 on.`);
  return Number(text);
}

/** @throws Error that says what is wrong with the arguments; null when help was asked for */
function read(args: readonly string[]): Choice | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: String(DEFAULTS.seconds) },
      rate: { type: "string", default: String(DEFAULTS.rate) },
      connections: { type: "string", default: String(DEFAULTS.connections) },
      cold: { type: "boolean", default: false },
      "no-abuse": { type: "boolean", default: false },
      "cpu-prof": { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  return {
    forMs: count("seconds", values.seconds) * 1000,
    rate: count("rate", values.rate),
    connections: count("connections", values.connections),
    warmUpMs: values.cold ? 0 : WARM_UP_MS,
    isAbused: !values["no-abuse"],
    cpuProfiles: values["cpu-prof"],
    isJson: values.json,
  };
}

/** Whoever wants no more of it, by Ctrl-C: all that was started is stopped, and nothing is left behind. */
async function unlessStopped<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** What a program of the bench says when it is done. */
async function heard<Said>(child: ChildProcess): Promise<Said> {
  const said = once(child, "message") as Promise<[Said]>;
  const gone = once(child, "exit").then(([code]) => {
    throw new Error(`A program of the bench ended with ${String(code)}.`);
  });
  const [what] = await Promise.race([said, gone]);
  gone.catch(() => {});
  return what;
}

function start(program: string): ChildProcess & Disposable {
  const child = fork(join(import.meta.dirname, "load", program), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill() });
}

type Outcome = {
  readonly found: Found;
  readonly abuse: AbuseFound | null;
  readonly samples: readonly Sample[];
  readonly after: { readonly healthStatus: number; readonly health: string; readonly rssBytes: number };
  /** Acknowledged, and not in the database. */
  readonly lost: readonly string[];
  readonly serverFaults: readonly string[];
};

async function measure(choice: Choice, tell: (text: string) => void, signal: AbortSignal): Promise<Outcome> {
  await using postgres = await startBenchPostgres();
  tell("a catalog and a fleet");
  const databaseUrl = await postgres.create("load");
  const whole = Object.values(SHARES).reduce((sum, share) => sum + share, 0);
  const perS = (kind: KindName): number => (choice.rate * SHARES[kind]) / whole;
  const work = { idleSyncsPerS: perS("sync, nothing to say"), workingSyncsPerS: perS("sync, finishes and claims") };
  const cast = await unlessStopped(prepare(databaseUrl, work), signal);
  await using server = await startServer({
    signal,
    database: { databaseUrl },
    env: {
      ...SERVER_SETTINGS,
      DISPATCHER_ADMIN_KEY: cast.adminKey,
      ...(choice.cpuProfiles === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${choice.cpuProfiles}` }),
    },
  });
  const { hostname, port } = new URL(server.url);

  using abuser = choice.isAbused ? start("abuse-program.ts") : null;
  abuser?.send({ host: hostname, port: Number(port), adminKey: cast.adminKey } satisfies AbuseOrder);
  using generator = start("generator-program.ts");
  const watching = new AbortController();
  const watched = watchServer(server.url, AbortSignal.any([watching.signal, signal]));
  watched.catch(() => {});
  tell(`${choice.rate} requests a second for ${choice.forMs / 1000} s`);
  const { rate, forMs, warmUpMs, connections } = choice;
  generator.send({ url: server.url, cast, rate, forMs, warmUpMs, connections } satisfies Order);
  const found = await unlessStopped(heard<Found>(generator), signal);
  watching.abort();
  const samples = await watched;
  let abuse: AbuseFound | null = null;
  if (abuser !== null) {
    const ended = heard<AbuseFound>(abuser);
    abuser.send("stop");
    abuse = await ended;
  }
  tell("afterwards");
  const health = await fetch(`${server.url}/health`);
  const after = {
    healthStatus: health.status,
    health: (await health.text()).slice(0, 300),
    rssBytes: (await sample(server.url, 0)).rssBytes,
  };
  return {
    found,
    abuse,
    samples,
    after,
    lost: await notStored(databaseUrl, found.reports.acknowledged),
    serverFaults: server.output.filter((line) => line.includes('"request.failed"')).slice(0, 5),
  };
}

function sumOf(found: Found, of: keyof Found["kinds"][KindName], kinds = Object.keys(SHARES) as KindName[]): number {
  return kinds.reduce((sum, kind) => sum + found.kinds[kind][of], 0);
}

function goalsOf({ found, samples, after, lost }: Outcome, { forMs, warmUpMs }: Choice): readonly Goal[] {
  const reportKinds = [...REPORTS];
  const refusedReports =
    sumOf(found, "offered", reportKinds) -
    sumOf(found, "accepted", reportKinds) -
    sumOf(found, "unanswered", reportKinds);
  const { sent, acknowledged, rejected } = found.reports;
  const middle = samples.findLast(({ atMs }) => atMs <= warmUpMs + forMs / 2) ?? samples[0];
  const growth = after.rssBytes - (middle?.rssBytes ?? Number.NaN);
  const none = { unit: "", most: 0 };
  return [
    { label: "accepted, p99", value: found.accepted.p99, unit: "ms", most: GOALS.acceptedP99Ms },
    { label: "refused with 503, p99", value: found.refused503.p99, unit: "ms", most: GOALS.refusedP99Ms },
    { label: "refused with 429, p99", value: found.refused429.p99, unit: "ms", most: GOALS.refusedP99Ms },
    { label: "syncs that were not taken", value: refusedReports, ...none },
    { label: "syncs without any answer", value: sumOf(found, "unanswered", reportKinds), ...none },
    { label: "other requests without any answer", value: sumOf(found, "unanswered"), ...none },
    { label: "answers 5xx but 503", value: sumOf(found, "failed"), ...none },
    { label: "reports of copies rejected", value: Object.keys(rejected).length, ...none },
    { label: "reports of copies never acknowledged", value: sent.length - acknowledged.length, ...none },
    { label: "reports acknowledged and not in the database", value: lost.length, ...none },
    { label: "memory grown since the middle", value: growth / MIB, unit: "MiB", most: GOALS.growthBytes / MIB },
    { label: "health afterwards other than 200", value: after.healthStatus === 200 ? 0 : 1, ...none },
  ];
}

// What never happened has no time, and so no fault.
const isReached = ({ value, most }: Goal): boolean => Number.isNaN(value) || value <= most;

function figure(value: number): string {
  if (Number.isNaN(value)) return "-";
  return value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ");
  return rows.map((row) => `  ${line(row).trimEnd()}`).join("\n");
}

function show(outcome: Outcome, choice: Choice): string {
  const { found, abuse, samples, after, serverFaults } = outcome;
  const kinds = Object.entries(found.kinds) as [KindName, Found["kinds"][KindName]][];
  const timesRow = (label: string, { count: times, p50, p99, max }: Times): string[] => [
    label,
    figure(times),
    figure(p50),
    figure(p99),
    figure(max),
  ];
  const during = samples.filter(({ atMs }) => atMs >= choice.warmUpMs && atMs <= choice.warmUpMs + choice.forMs);
  const [first, last] = [during[0], during.at(-1)];
  const serverCores =
    (((last?.cpuS ?? Number.NaN) - (first?.cpuS ?? 0)) * 1000) / ((last?.atMs ?? 0) - (first?.atMs ?? 0));
  const mib = (bytes: number | undefined): string => figure((bytes ?? Number.NaN) / MIB);
  const underWay = during.map(({ requests }) => requests);
  const lateness = during.map(({ latenessMs }) => latenessMs);
  const { sent, acknowledged, rejected } = found.reports;
  return [
    `offered ${figure(found.offered)} in ${choice.forMs / 1000} s: ${figure(found.offeredPerS)} a second ` +
      `over ${figure(found.connections)} connections`,
    "",
    table([
      ["", "offered", "accepted", "429", "503", "other 4xx", "5xx", "no answer"],
      ...kinds.map(([kind, of]) => [
        kind,
        ...[of.offered, of.accepted, of.refused429, of.refused503, of.turnedAway, of.failed, of.unanswered].map(figure),
      ]),
    ]),
    "",
    table([
      ["ms since due", "count", "p50", "p99", "max"],
      timesRow("accepted", found.accepted),
      timesRow("of these, syncs", found.acceptedReports),
      timesRow("refused with 429", found.refused429),
      timesRow("refused with 503", found.refused503),
      timesRow("generator late", found.generatorLateMs),
    ]),
    "",
    table([
      ["p99 by the second, ms", ...found.seconds.map((_, second) => String(second + 1))],
      ["accepted", ...found.seconds.map(({ accepted }) => figure(accepted.p99))],
      ["refused", ...found.seconds.map(({ refused }) => figure(refused.p99))],
    ]),
    "",
    `  server RSS, MiB: ${mib(during[0]?.rssBytes)} at the start, ` +
      `${mib(during[Math.floor(during.length / 2)]?.rssBytes)} in the middle, ${mib(during.at(-1)?.rssBytes)} at the end, ` +
      `${mib(after.rssBytes)} afterwards`,
    `  cores used: ${serverCores.toFixed(2)} by the server, ${found.generatorCores.toFixed(2)} by the generator`,
    `  process late, ms: ${figure(percentile(lateness, 0.5))} p50, ${figure(Math.max(...lateness))} max; ` +
      `/metrics answered in ${figure(Math.max(...during.map(({ scrapeMs }) => scrapeMs)))} at most`,
    `  requests under way: ${figure(percentile(underWay, 0.5))} p50, ${figure(Math.max(...underWay))} max`,
    `  reports of copies: ${sent.length} sent, ${acknowledged.length} acknowledged, ${Object.keys(rejected).length} rejected, ` +
      `${acknowledged.length - outcome.lost.length} in the database`,
    `  health afterwards: ${after.healthStatus} ${after.health}`,
    ...Object.entries(abuse ?? {}).map(
      ([kind, ends]) =>
        `  ${kind}: ${Object.entries(ends)
          .map(([end, times]) => `${end} ${times}`)
          .join(", ")}`,
    ),
    ...Object.entries(found.faults).map(([why, times]) => `  connections that failed: ${why} ${times}`),
    ...found.failures.map((failure) => `  failed: ${failure}`),
    ...serverFaults.map((line) => `  logged: ${line.slice(0, 400)}`),
  ].join("\n");
}

function showGoals(goals: readonly Goal[]): string {
  return table([
    ["goal", "is", "at most", "", ""],
    ...goals.map((goal) => [
      goal.label,
      figure(goal.value),
      figure(goal.most),
      goal.unit,
      isReached(goal) ? "reached" : "MISSED",
    ]),
  ]);
}

export async function main(args: readonly string[]): Promise<number> {
  let choice: Choice | null;
  try {
    choice = read(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    return EX_USAGE;
  }
  if (choice === null) {
    console.log(HELP);
    return 0;
  }
  const begunAtMs = performance.now();
  const tell = (text: string): void => {
    process.stderr.write(`${((performance.now() - begunAtMs) / 1000).toFixed(0).padStart(5)} s  ${text}\n`);
  };
  const loadBefore = loadavg()[0] ?? Number.NaN;
  const stopping = new AbortController();
  const signals = ["SIGINT", "SIGTERM"] as const;
  const stop = (): void => stopping.abort(new Error("Stopped before it was over."));
  for (const each of signals) process.once(each, stop);
  let outcome: Outcome;
  try {
    outcome = await measure(choice, tell, stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    console.error("load: stopped before it was over; nothing is left behind");
    return STOPPED;
  } finally {
    for (const each of signals) process.off(each, stop);
  }
  const goals = goalsOf(outcome, choice);
  const cores = cpus();
  const machine = `${cores.length} x ${cores[0]?.model ?? "unknown"}, Node ${process.versions.node}, load ${loadBefore.toFixed(1)} before`;
  if (choice.isJson) {
    const { found, ...rest } = outcome;
    const reports = {
      sent: found.reports.sent.length,
      acknowledged: found.reports.acknowledged.length,
      rejected: found.reports.rejected,
    };
    console.log(
      JSON.stringify({ bench: name, machine, loadBefore, choice, ...rest, found: { ...found, reports }, goals }),
    );
  } else {
    console.log(`load: ${about}\n${machine}\n\n${show(outcome, choice)}\n\n${showGoals(goals)}`);
  }
  return goals.every(isReached) ? 0 : 1;
}
