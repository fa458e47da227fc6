/** `import-state`: rebuild a dispatcher from what `export` wrote. */
import type { Readable } from "node:stream";
import { DispatcherError } from "@dispatcher/core";
import type { Database } from "../../db/database.ts";
import { importState } from "../../state/import-state.ts";
import type { ImportTarget, Imported } from "../../state/import-state.ts";
import { readStateFile, readStateStream } from "../../state/state-file.ts";
import type { OutputFormat } from "../show.ts";
import { ProgressLine } from "./progress-line.ts";
import { EXIT_INTERRUPTED, countOf, describeRows } from "./state-rows.ts";

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
      onProgress: (table, rows) => progress.show(`Importing ${table}: ${countOf(rows)} rows`),
      signal,
    });
    progress.clear();
    if (imported === null) {
      err.write("Nothing was imported.\n");
      return EXIT_INTERRUPTED;
    }
    out.write(
      command.output === "json" ? `${JSON.stringify(toJson(imported))}\n` : describe(imported, command.mercyMs),
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
  return `Import the state of ${header.exportedAt} into the database "${database}"? From then on the old one must not run. (yes/no) `;
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
