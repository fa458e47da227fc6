import { describeFailure } from "@dispatcher/core";
import { CommanderError } from "commander";
import type { Command } from "commander";
import { EXIT_USAGE, Stopped, UsageFault } from "./io.ts";
import type { Io } from "./io.ts";
import { createProgram } from "./program.ts";
import { Runner } from "./session.ts";

/** What commander says of a wrong word, as the one line that every failure of ours is. */
function usageFault(text: string): string {
  const said = text
    .replace(/^error: /, "")
    .trim()
    .replaceAll(/\s+/g, " ");
  return `USAGE: ${said.replace(/\.?$/, ".")} Run it with --help.\n`;
}

/** How commander ends and what it writes is inherited by no command that exists already. */
function catchExits(command: Command, { stdout, stderr }: Io): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => stdout.write(text),
    writeErr: (text) => stderr.write(text),
    outputError: (text, writeText) => writeText(usageFault(text)),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
    getOutHelpWidth: () => helpWidth(stdout.columns),
    getErrHelpWidth: () => helpWidth(stdout.columns),
  });
  for (const one of command.commands) catchExits(one, { stdout, stderr } as Io);
}

/** Lines much longer than this are hard to read on any terminal. */
function helpWidth(columns: number | undefined): number {
  return Math.min(columns ?? 100, 120);
}

/** Run the command that these words mean. Answers what the process ends with, as in sysexits.h; never rejects. */
export async function runAdmin(words: readonly string[], io: Io): Promise<number> {
  const run = new Runner(io);
  const program = createProgram(run, io);
  catchExits(program, io);
  try {
    await program.parseAsync(words, { from: "user" });
    return run.exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    // What goes wrong because of a stop is no news.
    const cause: unknown = io.signal.aborted ? io.signal.reason : error;
    if (cause instanceof Stopped) return cause.exitStatus;
    if (error instanceof UsageFault) {
      io.stderr.write(`USAGE: ${error.message} Run it with --help.\n`);
      return EXIT_USAGE;
    }
    const { text, exitStatus } = describeFailure(error);
    io.stderr.write(`${text}\n`);
    return exitStatus;
  }
}
