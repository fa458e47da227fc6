/**
 * `pnpm bench`: finds the benches of all packages, runs those named, and prints each case beside its baseline. Machines
 * and hours differ by a factor of two and more, so what counts is the ratio: subject and baseline take turns within one
 * run, and the ratio is the median over the turns.
 */
import { globSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** One thing measured and what it is measured against. Both may be called any number of times. */
type RatioCase = {
  readonly label: string;
  readonly subject: () => unknown;
  readonly baseline: () => unknown;
  /** What has to be done after each call for the next one, but is no part of it: the clock stands still. Synchronous. */
  readonly afterSubject?: () => void;
  readonly afterBaseline?: () => void;
};
/** Something that is counted once and has no baseline. */
type FigureCase = { readonly label: string; readonly figure: () => number; readonly unit: string };
type BenchCase = RatioCase | FigureCase;

/** What a file `bench/<something>.bench.ts` of a package exports. Importing it costs nothing; the work is in `cases`. */
type Bench = {
  readonly name: string;
  /** One line: what is measured, relative to what. */
  readonly about: string;
  /** A generator, so that a bench which needs a server starts it before its first case and stops it after its last. */
  readonly cases: () => AsyncIterable<BenchCase> | Iterable<BenchCase>;
};

/** A bench that is no comparison of times: a command with options of its own, run alone and only when it is named. */
type CommandBench = {
  readonly name: string;
  readonly about: string;
  /** Gets what follows its name, prints, and answers the exit status. */
  readonly main: (args: readonly string[]) => Promise<number>;
};

type Measure =
  | { readonly label: string; readonly subjectMs: number; readonly baselineMs: number; readonly ratio: number }
  | { readonly label: string; readonly figure: number; readonly unit: string };

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** A turn shorter than this measures the clock. */
const TURN_MS = 20;
/** More turns, steadier medians; with two turns of 20 ms each a case takes about half a second. */
const TURNS = 11;
const EX_USAGE = 64;

async function findBenches(): Promise<readonly (Bench | CommandBench)[]> {
  const files = globSync("{apps,packages}/*/bench/*.bench.ts", { cwd: ROOT }).toSorted();
  return Promise.all(
    files.map((file): Promise<Bench | CommandBench> => import(pathToFileURL(resolve(ROOT, file)).href)),
  );
}

function isRatio(bench: Bench | CommandBench): bench is Bench {
  return !isCommand(bench);
}

function isCommand(bench: Bench | CommandBench): bench is CommandBench {
  return "main" in bench;
}

async function msFor(times: number, act: () => unknown, after?: () => void): Promise<number> {
  const startMs = performance.now();
  let afterMs = 0;
  for (let count = 0; count < times; count++) {
    const result = act();
    if (result instanceof Promise) await result;
    if (after === undefined) continue;
    const stopMs = performance.now();
    after();
    afterMs += performance.now() - stopMs;
  }
  return performance.now() - startMs - afterMs;
}

/** How often `act` fits into a turn; warms it up on the way. */
async function timesPerTurn(act: () => unknown, after?: () => void): Promise<number> {
  let times = 1;
  while ((await msFor(times, act, after)) < TURN_MS) times *= 2;
  return times;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function measure(one: BenchCase): Promise<Measure> {
  if ("figure" in one) return { label: one.label, figure: one.figure(), unit: one.unit };
  const { label, subject, baseline, afterSubject, afterBaseline } = one;
  const subjectTimes = await timesPerTurn(subject, afterSubject);
  const baselineTimes = await timesPerTurn(baseline, afterBaseline);
  const turns: { subjectMs: number; baselineMs: number }[] = [];
  while (turns.length < TURNS) {
    const subjectMs = (await msFor(subjectTimes, subject, afterSubject)) / subjectTimes;
    const baselineMs = (await msFor(baselineTimes, baseline, afterBaseline)) / baselineTimes;
    turns.push({ subjectMs, baselineMs });
  }
  return {
    label,
    subjectMs: median(turns.map((turn) => turn.subjectMs)),
    baselineMs: median(turns.map((turn) => turn.baselineMs)),
    ratio: median(turns.map((turn) => turn.subjectMs / turn.baselineMs)),
  };
}

function usage(found: readonly (Bench | CommandBench)[]): string {
  const benches = found.filter(isRatio);
  const commands = found.filter(isCommand);
  const width = Math.max(...found.map((bench) => bench.name.length));
  return [
    "Usage: pnpm bench [name ...] [--json] [--help]",
    "",
    "Runs the benches named, or all of them:",
    ...benches.map((bench) => `  ${bench.name.padEnd(width)}  ${bench.about}`),
    "",
    "Or runs one of these alone, with the options that follow its name:",
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.about}`),
    "",
    "  --json  print one line of JSON instead of tables",
    "  --help  print this",
  ].join("\n");
}

function row(label: string, subject: string, baseline: string, ratio: string): string {
  return `  ${label.padEnd(64)}${subject.padStart(12)}${baseline.padStart(12)}${ratio.padStart(12)}`;
}

async function run(bench: Bench, print: (line: string) => void): Promise<readonly Measure[]> {
  print(`${bench.name}: ${bench.about}`);
  print(row("", "ms", "baseline ms", "ratio"));
  const measures: Measure[] = [];
  for await (const one of bench.cases()) {
    const measured = await measure(one);
    measures.push(measured);
    if ("figure" in measured) {
      print(row(measured.label, "", "", `${measured.figure.toFixed(0)} ${measured.unit}`));
    } else {
      const { label, subjectMs, baselineMs, ratio } = measured;
      print(row(label, subjectMs.toFixed(4), baselineMs.toFixed(4), ratio.toPrecision(3)));
    }
  }
  return measures;
}

async function main(args: readonly string[]): Promise<number> {
  const found = await findBenches();
  const command = found.filter(isCommand).find(({ name }) => name === args[0]);
  if (command !== undefined) return command.main(args.slice(1));
  const benches = found.filter(isRatio);
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage(found)}`);
    return EX_USAGE;
  }
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(usage(found));
    return 0;
  }
  const unknown = positionals.find((name) => !benches.some((bench) => bench.name === name));
  if (unknown !== undefined) {
    console.error(`There is no bench called ${unknown}.\n\n${usage(found)}`);
    return EX_USAGE;
  }
  const chosen = benches.filter((bench) => positionals.length === 0 || positionals.includes(bench.name));
  const results: { name: string; cases: readonly Measure[] }[] = [];
  for (const bench of chosen) {
    results.push({ name: bench.name, cases: await run(bench, values.json ? () => {} : console.log) });
  }
  if (values.json) console.log(JSON.stringify({ benches: results }));
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
