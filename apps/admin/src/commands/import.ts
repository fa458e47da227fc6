/**
 * `import`: read a catalog and hand it to the dispatcher in batches. Each batch is one transaction and naming an entry
 * again changes nothing, so whatever ends an import, running it again is the way on.
 */
import { setTimeout as pauseFor } from "node:timers/promises";
import { DEFAULT_COPIES, DispatcherError } from "@dispatcher/core";
import type { RouterInputs, RouterOutputs } from "@dispatcher/client";
import { ENTRIES_PER_IMPORT_MAX, readCatalog } from "@dispatcher/server/local";
import type { Catalog, CatalogEntry, CatalogFormat, CatalogProgress } from "@dispatcher/server/local";
import { Option } from "commander";
import type { Command } from "commander";
import type { OutputFormat } from "../answer.ts";
import { showBytes, showCount } from "../format.ts";
import { EXIT_INTERRUPTED } from "../io.ts";
import { examples, parseCount, parsePriority, reasonOption } from "../options.ts";
import { ProgressLine } from "../progress-line.ts";
import type { Runner } from "../session.ts";

type ImportInput = RouterInputs["asset"]["import"];
type ImportOutput = RouterOutputs["asset"]["import"];
type SkippedEntry = ImportOutput["skipped"][number];
type TextSink = { write(text: string): unknown };

/** There were entries and every one was skipped: EX_DATAERR of sysexits.h. Among others that were not, it is told only. */
const EXIT_ALL_SKIPPED = 65;

/** A database that restarts is back within seconds; one that is not back by then needs a person, who is waiting here. */
const RETRY_FOR_MS = 30_000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 8_000;

/** Places named for each reason: enough to see a pattern, few enough for one line. */
const PLACES_SHOWN = 5;

export type ImportCommand = {
  readonly source: string;
  readonly options: {
    readonly baseUrl?: string | undefined;
    /** The dataset's key; by default the catalog names it. */
    readonly dataset?: string | undefined;
    readonly format?: CatalogFormat | undefined;
    /** Of the dataset, for entries that name none. */
    readonly priority?: number | undefined;
    /** Independent copies of each file to aim at. */
    readonly copies?: number | undefined;
    /** Tell every skipped entry, not only the first of each reason. */
    readonly showSkipped?: boolean | undefined;
    readonly output?: OutputFormat | undefined;
  };
  /** `asset.import`. Expected failures reject with a DispatcherError; the retryable ones are tried again for 30 s. */
  readonly importBatch: (input: ImportInput) => Promise<ImportOutput>;
  readonly out: TextSink;
  readonly err: TextSink;
  /** `err` is one, so the line of progress is rewritten in place. */
  readonly isTerminal: boolean;
  /** Ctrl-C: the batch under way is finished, and none follows. */
  readonly signal: AbortSignal;
  readonly nowMs?: () => number;
  /** 0 up to 1; for jitter. */
  readonly random?: () => number;
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<unknown>;
};

/**
 * Import one catalog and print the summary. Answers the exit status: 0, 65 when every entry was skipped, 130 after Ctrl-C.
 * @throws DispatcherError CATALOG_UNREADABLE and INPUT_INVALID before anything is imported; what `importBatch` rejects
 * with, after saying on `err` how far the import came
 */
export async function runImport(command: ImportCommand): Promise<number> {
  const { source, options, signal, out, err } = command;
  const nowMs = command.nowMs ?? (() => performance.now());
  const progress = new ProgressLine(err, command.isTerminal, nowMs);
  const tally = new Tally(isForPrograms(options.output), options.showSkipped === true ? out : null, progress);
  try {
    const catalog = await readCatalog({
      source,
      baseUrl: options.baseUrl,
      datasetKey: options.dataset,
      format: options.format,
      signal,
      onProgress: (step) => progress.show(readingText(step)),
    });
    try {
      tally.begin(catalog);
      await importEntries(command, catalog, tally, progress);
    } finally {
      await catalog[Symbol.asyncDispose]();
    }
  } catch (error) {
    progress.clear();
    if (tally.isBegun) err.write(`${tally.describeStop(signal.aborted)}\n`);
    if (!signal.aborted) throw error;
    if (!tally.isBegun) err.write("Stopped before anything was imported.\n");
    return EXIT_INTERRUPTED;
  }
  progress.clear();
  out.write(isForPrograms(options.output) ? `${JSON.stringify(tally.toJson())}\n` : tally.describe());
  return tally.isAllSkipped ? EXIT_ALL_SKIPPED : 0;
}

async function importEntries(
  command: ImportCommand,
  catalog: Catalog,
  tally: Tally,
  progress: ProgressLine,
): Promise<void> {
  const { options, signal } = command;
  const dataset = {
    ...catalog.dataset,
    ...(options.priority !== undefined && { priority: options.priority }),
    ...(options.copies !== undefined && { copies: copyRange(options.copies) }),
  };
  let batch: CatalogEntry[] = [];
  const send = async (): Promise<void> => {
    if (batch.length === 0) return;
    const entries = batch;
    batch = [];
    signal.throwIfAborted();
    tally.addBatch(entries.length, await importPersistently(command, { dataset, entries }, progress));
    progress.show(tally.describeProgress());
  };
  for await (const item of catalog.entries) {
    if (item.ok) batch.push(item.entry);
    else tally.addSkipped({ place: item.place, code: item.code, message: item.message });
    if (batch.length === ENTRIES_PER_IMPORT_MAX) await send();
  }
  await send();
}

/** The usual range, widened as far as the target needs it. */
function copyRange(target: number): NonNullable<ImportInput["dataset"]["copies"]> {
  return { min: Math.min(DEFAULT_COPIES.min, target), target, max: Math.max(DEFAULT_COPIES.max, target) };
}

/** Send one batch, again and again while it fails in a way that passes, for 30 s from its first failure. */
async function importPersistently(
  command: ImportCommand,
  input: ImportInput,
  progress: ProgressLine,
): Promise<ImportOutput> {
  const { importBatch, err, signal, nowMs = () => performance.now(), random = Math.random } = command;
  const pause = command.pause ?? ((ms: number, until: AbortSignal) => pauseFor(ms, undefined, { signal: until }));
  let firstFailureMs: number | null = null;
  for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_MAX_MS)) {
    try {
      return await importBatch(input);
    } catch (error) {
      if (!(error instanceof DispatcherError) || !error.isRetryable) throw error;
      firstFailureMs ??= nowMs();
      const jitteredMs = pauseMs * (0.75 + 0.5 * random());
      if (nowMs() + jitteredMs > firstFailureMs + RETRY_FOR_MS) throw error;
      progress.clear();
      err.write(`${error.code}: ${error.detail} Trying again in ${(jitteredMs / 1000).toFixed(1)} s.\n`);
      await pause(jitteredMs, signal);
    }
  }
}

/** A summary is one thing: every format but the table is its JSON. */
function isForPrograms(output: OutputFormat | undefined): boolean {
  return output !== undefined && output !== "table";
}

function readingText({ phase, bytesDone, bytesTotal }: CatalogProgress): string {
  const verb = phase === "downloading" ? "Downloading" : "Checking";
  return `${verb} the catalog: ${showBytes(bytesDone)}${bytesTotal === null ? "" : ` of ${showBytes(bytesTotal)}`}`;
}

type Reason = { readonly code: string; count: number; readonly message: string; readonly places: string[] };

/** What became of the entries, by numbers, and by reason with the first places of each. */
class Tally {
  readonly #isJson: boolean;
  /** Where skipped entries are told one by one, if that is asked for. */
  readonly #skippedOut: TextSink | null;
  readonly #progress: ProgressLine;
  #dataset: string | null = null;
  #itemCount = 0;
  /** Entries sent to the dispatcher and answered. */
  #sent = 0;
  #taken = 0;
  #updated = 0;
  #unchanged = 0;
  readonly #reasons = new Map<string, Reason>();
  /** Only for JSON, which is one object and so cannot be written as it comes. */
  readonly #allSkipped: SkippedEntry[] = [];

  constructor(isJson: boolean, skippedOut: TextSink | null, progress: ProgressLine) {
    this.#isJson = isJson;
    this.#skippedOut = skippedOut;
    this.#progress = progress;
  }

  begin(catalog: Catalog): void {
    this.#dataset = catalog.dataset.key;
    this.#itemCount = catalog.itemCount;
  }

  /** The catalog was readable. */
  get isBegun(): boolean {
    return this.#dataset !== null;
  }

  get #skipped(): number {
    return [...this.#reasons.values()].reduce((sum, { count }) => sum + count, 0);
  }

  get isAllSkipped(): boolean {
    return this.#itemCount > 0 && this.#skipped >= this.#itemCount;
  }

  addBatch(sent: number, { taken, updated, unchanged, skipped }: ImportOutput): void {
    this.#sent += sent;
    this.#taken += taken;
    this.#updated += updated;
    this.#unchanged += unchanged;
    for (const one of skipped) this.addSkipped(one);
  }

  addSkipped(skipped: SkippedEntry): void {
    const { place, code, message } = skipped;
    const reason = this.#reasons.get(code);
    if (reason === undefined) this.#reasons.set(code, { code, count: 1, message, places: [place] });
    else {
      reason.count += 1;
      if (reason.places.length < PLACES_SHOWN) reason.places.push(place);
    }
    if (this.#skippedOut === null) return;
    if (this.#isJson) this.#allSkipped.push(skipped);
    else {
      this.#progress.clear();
      this.#skippedOut.write(`${place}\t${code}\t${message}\n`);
    }
  }

  describeProgress(): string {
    const percent = Math.floor((100 * this.#sent) / this.#itemCount);
    return `Importing ${this.#dataset}: ${showCount(this.#sent)} of ${showCount(this.#itemCount)} entries (${percent} %)`;
  }

  describeStop(isInterrupted: boolean): string {
    const why = isInterrupted ? "Stopped" : "The import broke off";
    return `${why}: ${this.#numbers()}, of ${showCount(this.#itemCount)} entries. Importing again is safe and takes the rest.`;
  }

  #numbers(): string {
    return `${showCount(this.#taken)} taken, ${showCount(this.#updated)} updated, ${showCount(this.#unchanged)} unchanged, ${showCount(this.#skipped)} skipped`;
  }

  /** The summary people read, most frequent reason first. Ends with a line break. */
  describe(): string {
    const entries = this.#itemCount === 1 ? "1 entry" : `${showCount(this.#itemCount)} entries`;
    const lines = [`${this.#dataset}: ${entries} read; ${this.#numbers()}.`];
    const reasons = this.#sortedReasons();
    for (const { code, count, message, places } of reasons) {
      const more = count > places.length ? ", ..." : "";
      lines.push(
        `  ${showCount(count)} ${code} at ${places.join(", ")}${more}: ${count > 1 ? "the first: " : ""}${message}`,
      );
    }
    if (this.#skippedOut === null && reasons.some(({ count, places }) => count > places.length)) {
      lines.push("  With --show-skipped, every skipped entry is told.");
    }
    return `${lines.join("\n")}\n`;
  }

  toJson(): unknown {
    return {
      dataset: this.#dataset,
      entries: this.#itemCount,
      taken: this.#taken,
      updated: this.#updated,
      unchanged: this.#unchanged,
      skipped: this.#skipped,
      skippedByReason: this.#sortedReasons(),
      ...(this.#skippedOut !== null && { skippedEntries: this.#allSkipped }),
    };
  }

  #sortedReasons(): readonly Reason[] {
    return [...this.#reasons.values()].toSorted((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1));
  }
}

type CommandOptions = ImportCommand["options"] & { readonly reason?: string };

/** `admin import`. */
export function addImport(program: Command, run: Runner): void {
  program
    .command("import <source>")
    .description("take in a catalog: a Frictionless datapackage.json, a JSON or a CSV list; a file or a URL")
    .option("--base-url <url>", "where relative paths start")
    .option("--dataset <key>", "the dataset's lasting name; without it, the catalog's own")
    .addOption(
      new Option("--format <format>", "of the catalog; told by its content unless given")
        .choices(["auto", "frictionless", "json", "csv"])
        .default("auto"),
    )
    .option("--priority <1-10>", "of files that name none; 10 is most urgent", parsePriority)
    .option("--copies <count>", "independent copies to aim at", parseCount)
    .option("--show-skipped", "name every entry that is not taken")
    .addOption(reasonOption())
    .addHelpText(
      "after",
      "\nImporting again is harmless, and goes on where it was cut. Exits with 65 if no entry could be taken.\n" +
        examples(
          "import datapackage.json --base-url https://data.example.org/files/",
          "import https://data.example.org/datapackage.json --priority 9 --copies 4",
          "import list.csv --dataset noaa --show-skipped",
        ),
    )
    .action(
      run.clientToItsEnd<CommandOptions>(({ client, io }, { reason, ...options }, source = "") =>
        runImport({
          source,
          options,
          importBatch: (input) => client.asset.import.mutate({ ...input, ...(reason !== undefined && { reason }) }),
          out: io.stdout,
          err: io.stderr,
          isTerminal: io.stderr.isTTY === true,
          signal: io.signal,
        }),
      ),
    );
}
