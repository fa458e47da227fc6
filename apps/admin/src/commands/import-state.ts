/** `import-state`: rebuild a dispatcher from what `export` wrote. */
import type { Readable } from "node:stream";
import { DispatcherError } from "@dispatcher/core";
import { importState, readStateFile, readStateStream } from "@dispatcher/server/local";
import type { Database, ImportTarget, Imported } from "@dispatcher/server/local";
import type { Command } from "commander";
import type { OutputFormat } from "../answer.ts";
import { showCount } from "../format.ts";
import { EXIT_INTERRUPTED, UsageFault, askOnTerminal } from "../io.ts";
import type { Io } from "../io.ts";
import { ProgressLine } from "../progress-line.ts";
import type { Runner } from "../session.ts";
import { describeRows } from "../state-rows.ts";

type TextSink = { write(text: string): unknown };

export type ImportStateCommand = {
  readonly db: Database;
  /** A path, or `-` for `input`. */
  readonly file: string;
  readonly output?: OutputFormat | undefined;
  readonly mercyMs: number;
  readonly input: Readable;
  /** Null when it is confirmed already. */
  readonly ask: ((question: string) => Promise<boolean>) | null;
  readonly out: TextSink;
  readonly err: TextSink;
  readonly isTerminal: boolean;
  readonly signal: AbortSignal;
};

/** Import and say what to do next. Answers the exit status: 0, or 130 after Ctrl-C or a no. */
export async function runImportState(command: ImportStateCommand): Promise<number> {
  const { db, file, ask, out, err, signal } = command;
  const progress = new ProgressLine(err, command.isTerminal, () => performance.now());
  try {
    const imported = await importState(db, {
      chunks: file === "-" ? readStateStream(command.input, "Standard input", signal) : readStateFile(file, signal),
      mercyMs: command.mercyMs,
      confirm: async (target) => (ask === null ? true : await ask(question(target))),
      onProgress: (table, rows) => progress.show(`Importing ${table}: ${showCount(rows)} rows`),
      signal,
    });
    progress.clear();
    if (imported === null) {
      err.write("Nothing was imported.\n");
      return EXIT_INTERRUPTED;
    }
    out.write(
      command.output !== undefined && command.output !== "table"
        ? `${JSON.stringify(toJson(imported))}\n`
        : describe(imported, command.mercyMs),
    );
    return 0;
  } catch (error) {
    progress.clear();
    if (!signal.aborted || error instanceof DispatcherError) throw error;
    err.write("Stopped: nothing was imported.\n");
    return EXIT_INTERRUPTED;
  }
}

function question({ header, database }: ImportTarget): string {
  return `Import the state of ${header.exportedAt} into the database "${database}"? From then on the old one must not run.`;
}

function describe({ header, database, rows, isAnalyzed }: Imported, mercyMs: number): string {
  const lines = [
    `Imported the state of ${header.exportedAt} into the database "${database}": ${describeRows(rows)}.`,
    ...(isAnalyzed
      ? []
      : [`Its statistics are not made yet: run "analyze" in it, or it is slow for the first minutes.`]),
    "",
    "Next:",
    "  1. Keep the old servers stopped, for good. Never run both: two dispatchers would hand out the same leases.",
    "  2. Start the server on this database, with the settings (DISPATCHER_*) of the old one.",
    "  3. Let the address that nodes call (its DNS name or proxy) lead to it. Agents go on with their keys and open leases;",
    `     no lease ends within ${Math.round(mercyMs / 1000)} s of the server's start (DISPATCHER_RESTART_MERCY_MS).`,
  ];
  return `${lines.join("\n")}\n`;
}

function toJson({ header, database, rows, isAnalyzed }: Imported): unknown {
  const { schema, exportedAt, serverVersion } = header;
  return { database, schema, exportedAt, serverVersion, rows: Object.fromEntries(rows), isAnalyzed };
}

/** `admin import-state`. */
export function addImportState(program: Command, run: Runner, io: Io): void {
  program
    .command("import-state <file>")
    .description("rebuild a dispatcher in an empty database from an exported file, or from standard input (-)")
    .option("--yes", "do not ask; the old servers are stopped")
    .addHelpText(
      "after",
      "\nAll of it is imported or nothing. Never run the old dispatcher and the new one at once: both would hand out the same\n" +
        "leases. It works on the database itself, not with --url.\n\nExamples:\n" +
        "  DATABASE_URL=postgres://dispatcher@db/dispatcher pnpm admin import-state backup.ndjson\n" +
        "  gunzip -c backup.ndjson.gz | pnpm admin import-state - --yes",
    )
    .action(
      run.database<{ readonly yes?: true }>(
        ({ storage, config }, { yes, output }, file = "") =>
          runImportState({
            db: storage.db,
            file,
            output,
            mercyMs: config.DISPATCHER_RESTART_MERCY_MS,
            input: io.stdin,
            ask: yes === true ? null : (text) => askOnTerminal(io, text),
            out: io.stdout,
            err: io.stderr,
            isTerminal: io.stderr.isTTY === true,
            signal: io.signal,
          }),
        ({ yes }, file) => {
          if (yes === true || (file !== "-" && io.stdin.isTTY === true)) return;
          throw new UsageFault(
            "There is no terminal to ask whether the old servers are stopped: if they are, add --yes.",
          );
        },
      ),
    );
}
