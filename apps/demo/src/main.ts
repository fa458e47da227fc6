import { constants } from "node:os";
import { describeFailure } from "@dispatcher/core";
import { ProgramFailure } from "@dispatcher/testbed";
import { Command, InvalidArgumentError } from "commander";
import { runDemo } from "./demo.ts";
import type { DemoReport } from "./report.ts";
import { describeReport } from "./report.ts";
import { openScreen } from "./screen.ts";

const EXIT_INCOMPLETE = 1;
const EXIT_USAGE = 64;

type Options = {
  readonly nodes: number;
  readonly copies: number;
  readonly port: number;
  readonly timeout: number;
  readonly json?: boolean;
  readonly keep?: boolean;
};

/** Reads a whole number within bounds, both included. */
function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It has to be a whole number from ${least} to ${most}.`);
  };
}

/** What commander says of a wrong word, as the one line that every failure of ours is. */
function usageFault(text: string): string {
  const said = text
    .replace(/^error: /, "")
    .trim()
    .replaceAll(/\s+/g, " ");
  return `USAGE: ${said.replace(/\.?$/, ".")} Run it with --help.\n`;
}

const program = new Command("pnpm demo")
  .description(
    "The whole system on this machine: a server with its PostgreSQL, an origin with 73 real files, and nodes of different " +
      "operators that rescue them. One node is killed in the middle of a file; others do its work. At the end every " +
      "stored file is read back and compared with the catalog. About half a minute; nothing is left behind.",
  )
  .option("--nodes <count>", "nodes, each of an operator of its own", wholeNumber(1, 999), 3)
  .option(
    "--copies <count>",
    "copies of every file, held by different operators; fewer than nodes, so that one can be killed",
    wholeNumber(1, 999),
    2,
  )
  .option("--port <port>", "port of the server, or the next free one; 0 for any", wholeNumber(0, 65_535), 8001)
  .option("--timeout <seconds>", "give up after so long and say what is missing", wholeNumber(1, 86_400), 300)
  .option("--json", "the report as one JSON line, last on stdout; all else goes to stderr")
  .option("--keep", "leave everything running behind the report until Ctrl-C, and the data after that")
  .addHelpText(
    "after",
    `
Ends with 0 when every file has its copies and every byte is right, else with 1 and a list of what is missing.

Examples:
  pnpm demo                         watch it
  pnpm demo --nodes 5 --copies 3    more nodes, more copies
  pnpm demo --keep                  look around afterwards: the URLs are printed
  pnpm demo --json 2>/dev/null      for programs: {"ok":true,"assets":73,"lost":0,...}`,
  )
  .configureOutput({ outputError: (text, write) => write(usageFault(text)) })
  .exitOverride((exit) => {
    process.exit(exit.exitCode === 0 ? 0 : EXIT_USAGE);
  });

class Interruption extends Error {
  readonly exitStatus: number;

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}.`);
    this.exitStatus = 128 + constants.signals[signal];
  }
}

const options = program.parse(process.argv).opts<Options>();
const isJson = options.json === true;
const controller = new AbortController();
// Not once: a second Ctrl-C from impatience must not cut the stopping short and leave processes behind.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => controller.abort(new Interruption(signal)));
}
// The reader of a pipe, or the terminal, is gone: nobody is watching any more.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", () => controller.abort(new Interruption("SIGPIPE")));
}

const screen = openScreen(isJson ? process.stderr : process.stdout);
function onReport(report: DemoReport): void {
  screen.print(describeReport(report, screen.paint));
  if (isJson) process.stdout.write(`${JSON.stringify(report)}\n`);
  process.exitCode = report.ok ? 0 : EXIT_INCOMPLETE;
}

try {
  const { nodes, copies, port, timeout, keep = false } = options;
  await runDemo(
    { nodes, copies, port, timeoutMs: timeout * 1000, keep },
    { screen, signal: controller.signal, onReport },
  );
} catch (error) {
  screen[Symbol.dispose]();
  if (error === controller.signal.reason && error instanceof Interruption) {
    process.stderr.write(`${error.message} Everything is stopped.\n`);
    process.exitCode = error.exitStatus;
  } else if (error instanceof ProgramFailure) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode ?? EXIT_INCOMPLETE;
  } else {
    const { text, exitStatus } = describeFailure(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = exitStatus;
  }
} finally {
  screen[Symbol.dispose]();
}
