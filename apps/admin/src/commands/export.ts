/** `export`: everything a dispatcher has to remember, into a file or a pipe. */
import type { Writable } from "node:stream";
import { DispatcherError } from "@dispatcher/core";
import { createStateFile, exportState, streamSink } from "@dispatcher/server/local";
import type { Database, Exported } from "@dispatcher/server/local";
import type { Command } from "commander";
import type { OutputFormat } from "../answer.ts";
import { showBytes, showCount } from "../format.ts";
import { EXIT_INTERRUPTED } from "../io.ts";
import { examples } from "../options.ts";
import { ProgressLine } from "../progress-line.ts";
import type { Runner } from "../session.ts";
import { describeRows } from "../state-rows.ts";

type TextSink = { write(text: string): unknown };

export type ExportCommand = {
  readonly db: Database;
  readonly options: {
    /** A path, or `-` for `out`. */
    readonly out: string;
    readonly events: boolean;
    readonly output?: OutputFormat | undefined;
  };
  readonly out: Writable;
  readonly err: TextSink;
  readonly isTerminal: boolean;
  readonly signal: AbortSignal;
};

/** Export and say what was written. Answers the exit status: 0, or 130 after Ctrl-C. @throws DispatcherError FILE_UNWRITABLE */
export async function runExport(command: ExportCommand): Promise<number> {
  const { db, options, out, err, signal } = command;
  const progress = new ProgressLine(err, command.isTerminal, () => performance.now());
  const toPipe = options.out === "-";
  try {
    const sink = toPipe ? streamSink(out, "Standard output") : await createStateFile(options.out);
    let exported: Exported;
    try {
      exported = await exportState(db, {
        withEvents: options.events,
        write: (bytes) => sink.write(bytes),
        onProgress: (table, rows) => progress.show(`Exporting ${table}: ${showCount(rows)} rows`),
        signal,
      });
      signal.throwIfAborted();
      await sink.finish();
    } finally {
      await sink[Symbol.asyncDispose]();
    }
    progress.clear();
    // Standard output is the export itself, if it goes there.
    const told =
      options.output !== undefined && options.output !== "table"
        ? `${JSON.stringify(toJson(exported, options.out))}\n`
        : describe(exported, options.out);
    (toPipe ? err : out).write(told);
    return 0;
  } catch (error) {
    progress.clear();
    // What goes wrong because of a stop is no news.
    if (!signal.aborted || (error instanceof DispatcherError && error.code !== "FILE_UNWRITABLE")) throw error;
    err.write(toPipe ? "Stopped: the export is not whole.\n" : `Stopped: ${options.out} was not written.\n`);
    return EXIT_INTERRUPTED;
  }
}

function describe({ rows, sizeBytes, header, isServed }: Exported, out: string): string {
  const where = out === "-" ? "" : ` to ${out}`;
  const lines = [`Exported the state of ${header.exportedAt}${where}, ${showBytes(sizeBytes)}: ${describeRows(rows)}.`];
  if (isServed) {
    lines.push(
      "A server goes on with this database: good for a backup; for a move, stop every server and export again.",
    );
  }
  return `${lines.join("\n")}\n`;
}

function toJson({ header, rows, sizeBytes, sha256, isServed }: Exported, out: string): unknown {
  const { schema, exportedAt } = header;
  return { out, schema, exportedAt, rows: Object.fromEntries(rows), sizeBytes, sha256, isServed };
}

/** `admin export`. */
export function addExport(program: Command, run: Runner): void {
  program
    .command("export")
    .description("write everything the dispatcher has to remember, as it is at this moment; servers may go on")
    .option("--out <file>", "a file, which has its name once it is whole; - for standard output", "-")
    .option("--without-events", "leave out the log of what happened")
    .addHelpText(
      "after",
      "\nThe file has all that the database has: keys and join tokens as hashes only, and the names of operators and nodes.\n" +
        "It works on the database itself, not with --url.\n" +
        examples(
          "export --out backup.ndjson",
          "export | gzip > backup.ndjson.gz",
          "export --without-events --out small.ndjson",
        ),
    )
    .action(
      run.database<{ readonly out: string; readonly withoutEvents?: true }>(
        ({ storage, io }, { out, withoutEvents, output }) =>
          runExport({
            db: storage.db,
            options: { out, events: withoutEvents !== true, output },
            out: io.stdout,
            err: io.stderr,
            isTerminal: io.stderr.isTTY === true,
            signal: io.signal,
          }),
      ),
    );
}
