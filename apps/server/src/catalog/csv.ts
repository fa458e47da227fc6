import { Readable, pipeline } from "node:stream";
import { parse } from "csv-parse";
import type { Info } from "csv-parse";
import { listFieldOf } from "./list-entry.ts";
import { quote } from "./quote.ts";
import { unreadable } from "./source.ts";

/** A longer row is a quote that was never closed, and would swallow the rest of the file into memory. */
const ROW_BYTES_MAX = 2 ** 20;

const DELIMITERS = [",", ";", "\t"] as const;

export type CsvRow = {
  /** `line 13`, where the row begins; the first line is 1. */
  readonly place: string;
  /** Names of columns with the text of their cells; null when the row has more or fewer cells than the header. */
  readonly cells: readonly (readonly [name: string, value: string])[] | null;
  readonly cellCount: number;
  readonly columnCount: number;
};

/**
 * The rows below the header, one by one. Empty lines are passed over.
 * @throws DispatcherError CATALOG_UNREADABLE for a header without url or path, and for broken quotes, after the rows
 * that stand before them
 */
export async function* readCsv(label: string, firstLine: string, text: AsyncIterable<string>): AsyncGenerator<CsvRow> {
  const parser = parse({
    delimiter: delimiterOf(firstLine),
    info: true,
    trim: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: ROW_BYTES_MAX,
  });
  pipeline(Readable.from(withLineFeeds(text)), parser, () => undefined); // faults reach the loop below
  let columns: readonly string[] | null = null;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: readonly string[]; info: Info }>) {
      if (columns === null) {
        columns = checkedHeader(label, record);
        continue;
      }
      const names = columns;
      const linesWithin = record.reduce((count, cell) => count + (cell.match(/\n/g)?.length ?? 0), 0);
      yield {
        place: `line ${info.lines - linesWithin}`,
        cells: record.length === names.length ? record.map((cell, index) => [names[index] ?? "", cell]) : null,
        cellCount: record.length,
        columnCount: names.length,
      };
    }
  } catch (error) {
    if (error instanceof Error && "code" in error && isCsvFault(String(error.code))) {
      throw unreadable(`${label} is not valid CSV: ${error.message}.`, error);
    }
    throw error;
  }
  if (columns === null) throw unreadable(`${label} has no line with the names of its columns.`);
}

function isCsvFault(code: string): boolean {
  return code.startsWith("CSV_") || code === "INVALID_OPENING_QUOTE";
}

/** The separator that makes the most known names of the header line. */
function delimiterOf(firstLine: string): string {
  const knownNames = (delimiter: string): number =>
    firstLine.split(delimiter).filter((name) => listFieldOf(name.replaceAll('"', "")) !== null).length;
  return DELIMITERS.reduce((best, one) => (knownNames(one) > knownNames(best) ? one : best));
}

function checkedHeader(label: string, names: readonly string[]): readonly string[] {
  const fields = new Set(names.map(listFieldOf));
  if (!fields.has("url") && !fields.has("path")) {
    throw unreadable(
      `${label} has neither a column url nor a column path; its first line is ${quote(names.join(","))}.`,
    );
  }
  return names;
}

/** CR LF and a lone CR as LF, so that lines are counted alike wherever the file was written. */
async function* withLineFeeds(text: AsyncIterable<string>): AsyncGenerator<string> {
  let held = "";
  for await (const piece of text) {
    const whole = held + piece;
    // A CR at the end may be half of a line break.
    held = whole.endsWith("\r") ? "\r" : "";
    const ready = whole.slice(0, whole.length - held.length).replace(/\r\n?/g, "\n");
    if (ready !== "") yield ready;
  }
  if (held !== "") yield "\n";
}
