/** The command: `pnpm bench simulate`. Tables and JSON go to stdout, progress and complaints to stderr. */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { drawChart } from "./chart.ts";
import { DEFAULT_POLICIES, POLICIES } from "./policies.ts";
import { describeReport } from "./report.ts";
import { run } from "./run.ts";
import type { RunOptions } from "./run.ts";

const EX_USAGE = 64;

class UsageError extends Error {}

function usage(): string {
  const width = Math.max(...Object.keys(POLICIES).map((name) => name.length));
  return `Usage: pnpm bench simulate [--nodes N] [--assets N] [--days D] [--seed S] [--policies A,B,...]
                           [--json] [--svg FILE]

Simulates a fleet of volunteers that saves a catalog from its origins, once for each policy, and compares the outcomes.
Volunteers join, sleep, fill up, lie and leave; some origins throttle, some die. All policies meet the very same world.
The same options always give the same numbers.

  --nodes N       machines of volunteers (1 to 100000; 1000)
  --assets N      files to save (100 to 10000000; 100 for each node)
  --days D        simulated time (1 to 365; 30)
  --seed S        another seed, another world (0 to 4294967295; 1)
  --policies ...  which to compare, separated by commas (${DEFAULT_POLICIES.join(",")}):
${Object.entries(POLICIES)
  .map(([name, { about }]) => `                    ${name.padEnd(width)}  ${about}`)
  .join("\n")}
  --json          print one line of JSON, with the curves, instead of the table
  --svg FILE      draw a chart into FILE
  --help          print this

Two policies run at a time, each on a core. With 1000 nodes all four take about 45 seconds of processor time; ten thousand
nodes and a million assets take about 800, and up to 4 GB of memory.

Examples:
  pnpm bench simulate --nodes 100
  pnpm bench simulate --nodes 10000 --assets 1000000 --seed 1 --svg docs/allocation-simulation.svg
  pnpm bench simulate --policies rescueFirst,rarestFirst --json`;
}

function wholeNumber(name: string, text: string, [least, most]: readonly [number, number]): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${name} has to be a whole number from ${least} to ${most}; got ${text}.`);
}

function readPolicies(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !Object.hasOwn(POLICIES, name));
  if (unknown !== undefined) {
    throw new UsageError(`There is no policy called "${unknown}". Choose from ${Object.keys(POLICIES).join(", ")}.`);
  }
  return [...new Set(names)];
}

type Command =
  | { readonly help: true }
  | (RunOptions & { readonly help: false; readonly json: boolean; readonly svg: string | null });

function readArguments(args: readonly string[]): Command {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        nodes: { type: "string", default: "1000" },
        assets: { type: "string" },
        days: { type: "string", default: "30" },
        seed: { type: "string", default: "1" },
        policies: { type: "string", default: DEFAULT_POLICIES.join(",") },
        json: { type: "boolean", default: false },
        svg: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return { help: true };
  const nodes = wholeNumber("nodes", values.nodes, [1, 100_000]);
  return {
    help: false,
    nodes,
    assets: wholeNumber("assets", values.assets ?? String(Math.max(100, 100 * nodes)), [100, 10_000_000]),
    days: wholeNumber("days", values.days, [1, 365]),
    seed: wholeNumber("seed", values.seed, [0, 4_294_967_295]),
    policies: readPolicies(values.policies),
    json: values.json,
    svg: values.svg ?? null,
  };
}

/** One line that is written over on a terminal; elsewhere a line for every tenth of a run. */
function progressLine(policies: readonly string[]): (policy: string, share: number) => void {
  const shareByPolicy = new Map(policies.map((policy) => [policy, 0]));
  return (policy, share) => {
    const before = shareByPolicy.get(policy) ?? 0;
    shareByPolicy.set(policy, share);
    const line = [...shareByPolicy].map(([name, done]) => `${name} ${Math.floor(100 * done)} %`).join("   ");
    if (process.stderr.isTTY) process.stderr.write(`\r${line}${share === 1 ? "  " : ""}`);
    else if (Math.floor(10 * share) > Math.floor(10 * before)) process.stderr.write(`${line}\n`);
  };
}

/** @param args What follows the name of the command. Answers the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let command: Command;
  try {
    command = readArguments(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${usage()}\n`);
    return EX_USAGE;
  }
  if (command.help) {
    process.stdout.write(`${usage()}\n`);
    return 0;
  }
  const { nodes, assets, days, seed, policies, json, svg } = command;
  const startMs = performance.now();
  const report = await run({ nodes, assets, days, seed, policies }, progressLine(policies));
  const seconds = Math.round((performance.now() - startMs) / 1000);
  process.stderr.write(`${process.stderr.isTTY ? "\n" : ""}${policies.length} policies in ${seconds} s\n`);
  process.stdout.write(`${json ? JSON.stringify(report) : describeReport(report)}\n`);
  if (svg !== null) {
    await writeFile(svg, drawChart(report));
    process.stderr.write(`chart: ${svg}\n`);
  }
  return 0;
}
