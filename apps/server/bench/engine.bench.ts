import { mkdir } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { startBenchPostgres } from "./engine/bench-postgres.ts";
import type { BenchPostgres } from "./engine/bench-postgres.ts";
import { coalescing } from "./engine/coalescing.ts";
import { costs } from "./engine/costs.ts";
import { endurance } from "./engine/endurance.ts";
import { idle } from "./engine/idle.ts";
import { latency } from "./engine/latency.ts";
import type { Goal, Line, Run, Section } from "./engine/run.ts";
import { scaleOut } from "./engine/scale-out.ts";
import { throughput } from "./engine/throughput.ts";

export const name = "engine";
export const about = "claims, reports and syncs on one real PostgreSQL, each as a ratio to a baseline of the same run";

const SECTIONS: readonly Section[] = [throughput, coalescing, idle, endurance, latency, scaleOut, costs];
const DEFAULTS = { seconds: 3, assets: 1_000_000, servers: 4 } as const;
const FULL_ASSETS = 10_000_000;
const ROUNDS = 3;
const EX_USAGE = 64;
const EX_INTERRUPTED = 130;

const HELP = `Usage: pnpm bench engine [options]

${about}.

  --only a,b       some of: ${SECTIONS.map((section) => section.name).join(", ")}
  --seconds S      how long one contender works in one of ${ROUNDS} rounds (default: ${DEFAULTS.seconds})
  --assets N       the largest catalog of "latency" (default: ${DEFAULTS.assets.toLocaleString("en")})
  --full           the same as --assets ${FULL_ASSETS}; loading takes minutes and 10 GB below the temporary folder
  --servers N      the most servers of "servers" (default: ${DEFAULTS.servers})
  --cpu-prof DIR   CPU profiles of the servers of "throughput" and "idle", into that folder
  --smoke          see that everything runs, in seconds; the figures mean nothing
  --json           print one line of JSON instead of tables
  --help           print this

${SECTIONS.map((section) => `  ${section.name.padEnd(12)} ${section.about}`).join("\n")}
`;

type Found = { readonly section: string; readonly lines: readonly Line[] };
type Choice = Omit<Run, "postgres" | "tell"> & { readonly sections: readonly Section[]; readonly isJson: boolean };

function count(option: string, text: string, least: number): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) < least) throw new Error(`--${option} has to be ${least} or more.`);
  return Number(text);
}

/** @throws Error that says what is wrong with the arguments; null when help was asked for */
function read(args: readonly string[]): Choice | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      seconds: { type: "string", default: String(DEFAULTS.seconds) },
      assets: { type: "string" },
      full: { type: "boolean", default: false },
      servers: { type: "string", default: String(DEFAULTS.servers) },
      "cpu-prof": { type: "string" },
      smoke: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  const only = values.only?.split(",") ?? SECTIONS.map((section) => section.name);
  const unknown = only.find((one) => !SECTIONS.some((section) => section.name === one));
  if (unknown !== undefined) throw new Error(`There is no part called "${unknown}".`);
  return {
    sections: SECTIONS.filter((section) => only.includes(section.name)),
    forMs: (values.smoke ? 0.2 : count("seconds", values.seconds, 0.1)) * 1000,
    rounds: values.smoke ? 1 : ROUNDS,
    isSmoke: values.smoke,
    assets: count("assets", values.assets ?? String(values.full ? FULL_ASSETS : DEFAULTS.assets), 20_000),
    servers: values.smoke ? 2 : count("servers", values.servers, 1),
    cpuProfiles: values["cpu-prof"],
    isJson: values.json,
  };
}

function verdictOf(ratio: number | null, goal: Goal | null): string {
  if (ratio === null || goal === null) return "";
  const reaches = (mark: number): boolean => (goal.isLimit === true ? ratio <= mark : ratio >= mark);
  if (!reaches(goal.floor)) return "below the floor";
  return goal.aim === null || reaches(goal.aim) ? "reached" : "above the floor";
}

function row(cells: readonly [string, string, string, string, string, string, string]): string {
  const [label, value, unit, ratio, floor, aim, verdict] = cells;
  const figures = `${value.padStart(10)} ${unit.padEnd(8)}${ratio.padStart(8)}${floor.padStart(8)}${aim.padStart(6)}`;
  return `  ${label.padEnd(88)}${figures}  ${verdict}`.trimEnd();
}

function show({ label, value, unit, ratio, goal }: Line): string {
  const figure = value < 100 && !Number.isInteger(value) ? value.toFixed(2) : Math.round(value).toLocaleString("en");
  const mark = (at: number | null | undefined): string =>
    typeof at === "number" ? `${goal?.isLimit === true ? "<= " : ""}${at}` : "";
  const shownRatio = ratio === null ? "" : ratio.toFixed(ratio < 10 ? 3 : 1);
  return row([label, figure, unit, shownRatio, mark(goal?.floor), mark(goal?.aim), verdictOf(ratio, goal)]);
}

async function measure(choice: Choice): Promise<number> {
  const begunAt = performance.now();
  const tell = (text: string): void => {
    process.stderr.write(`${((performance.now() - begunAt) / 1000).toFixed(0).padStart(5)} s  ${text}\n`);
  };
  if (choice.cpuProfiles !== undefined) await mkdir(choice.cpuProfiles, { recursive: true });
  await using postgres = await startBenchPostgres();
  // A bench this long is cut short now and then, and leaves neither PostgreSQL nor its gigabytes behind.
  const stopped = new Promise<number>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve(EX_INTERRUPTED));
  });
  const done = measureAll(choice, postgres, tell).then(() => 0);
  const status = await Promise.race([done, stopped]);
  if (status === EX_INTERRUPTED) {
    // What goes on fails now because its PostgreSQL is taken away, which is no fault.
    done.catch(() => {});
    process.on("uncaughtException", () => {});
    await postgres[Symbol.asyncDispose]();
    process.exit(status);
  }
  return status;
}

async function measureAll(choice: Choice, postgres: BenchPostgres, tell: Run["tell"]): Promise<void> {
  const print = choice.isJson ? () => {} : console.log;
  const cores = cpus();
  const machine = `${cores.length} x ${cores[0]?.model ?? "unknown"}, Node ${process.versions.node}`;
  const settings = Object.entries(postgres.about).map(([setting, value]) => `${setting} ${value}`);
  print(`engine: ${about}\n${machine}, PostgreSQL ${settings.join(", ")}`);
  const found: Found[] = [];
  for (const section of choice.sections) {
    tell(section.name);
    const lines = await section.measure({ ...choice, postgres, tell: (text) => tell(`${section.name}: ${text}`) });
    found.push({ section: section.name, lines });
    print(`\n${section.name}: ${section.about}`);
    print(row(["", "median", "", "ratio", "floor", "aim", ""]));
    for (const line of lines) print(show(line));
  }
  if (choice.isJson) console.log(JSON.stringify({ bench: name, machine, postgres: postgres.about, sections: found }));
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
  return measure(choice);
}
