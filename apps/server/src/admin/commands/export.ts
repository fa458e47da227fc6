/** `export`: everything a dispatcher has to remember, into a file or a pipe. */
import type { Writable } from "node:stream";
import { DispatcherError } from "@dispatcher/core";
import type { Database } from "../../db/database.ts";
import { exportState } from "../../state/export-state.ts";
import type { Exported } from "../../state/export-state.ts";
import { createStateFile, streamSink } from "../../state/state-file.ts";
import { showBytes } from "../show.ts";
import type { OutputFormat } from "../show.ts";
import { ProgressLine } from "./progress-line.ts";
import { EXIT_INTERRUPTED, countOf, describeRows } from "./state-rows.ts";

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
        onProgress: (table, rows) => progress.show(`Exporting ${table}: ${countOf(rows)} rows`),
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
      options.output === "json"
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
