/**
 * The form of an exported state: lines of JSON, the first of which says what it is and the last how it ends.
 *
 *     {"format":"dispatcher-state","version":1,"schema":"0007_create_events",...,"tables":["datasets",...]}
 *     {"table":"datasets","row":{"id":"1","key":"noaa",...}}
 *     {"end":true,"rows":{"datasets":1,...},"sha256":"..."}
 *
 * Values are PostgreSQL's own text, or null: nothing is rounded, whatever its type. The digest is that of all bytes before
 * the last line. So it can be made, read and checked without holding more than a line of it, it can be looked through with
 * the tools of any system, and a file that was cut off or touched is told from a whole one.
 */
import { DispatcherError } from "@dispatcher/core";

export const STATE_FORMAT = "dispatcher-state";
/** Goes up when a reader of before could misread what is written. What a migration changes is told by `schema`. */
export const STATE_VERSION = 1;

/** Longer than any row; a file without line ends is no export, and is not to be held in memory. */
const LINE_MAX_BYTES = 64 * 2 ** 20;
const LINE_END = 0x0a;

export type StateHeader = {
  readonly format: typeof STATE_FORMAT;
  readonly version: number;
  /** The last migration of the database it comes from. */
  readonly schema: string;
  /** By the database's clock, as ISO 8601. */
  readonly exportedAt: string;
  /** Of the Dispatcher that wrote it. */
  readonly serverVersion: string;
  /** In the order of their rows. */
  readonly tables: readonly string[];
};

export type StateRow = Readonly<Record<string, string | null>>;
export type StateLine = { readonly number: number; readonly bytes: Uint8Array; readonly text: string };
export type RowCounts = ReadonlyMap<string, number>;

export function headerLine(header: StateHeader): string {
  const { format, version, schema, exportedAt, serverVersion, tables } = header;
  return `${JSON.stringify({ format, version, schema, exportedAt, serverVersion, tables })}\n`;
}

/** `json`: the row as PostgreSQL writes it, an object on one line. */
export function rowLine(table: string, json: string): string {
  return `{"table":${JSON.stringify(table)},"row":${json}}\n`;
}

export function endLine(rows: RowCounts, sha256: string): string {
  return `${JSON.stringify({ end: true, rows: Object.fromEntries(rows), sha256 })}\n`;
}

export function isEndLine({ text }: StateLine): boolean {
  return text.startsWith('{"end":');
}

/** Cut bytes into lines. @throws DispatcherError EXPORT_DAMAGED for one without its end */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<StateLine> {
  let number = 0;
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_END); end !== -1; end = chunk.indexOf(LINE_END, start)) {
      const last = chunk.subarray(start, end + 1);
      const bytes = begun.length === 0 ? last : Buffer.concat([...begun, last]);
      begun = [];
      begunBytes = 0;
      start = end + 1;
      number += 1;
      yield { number, bytes, text: decode(bytes) };
    }
    const rest = chunk.subarray(start);
    if (rest.length === 0) continue;
    begun.push(rest);
    begunBytes += rest.length;
    if (begunBytes > LINE_MAX_BYTES) throw damaged(`Line ${number + 1} is longer than any row.`);
  }
  if (begun.length > 0) throw damaged(`The file is cut off in the middle of line ${number + 1}.`);
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength - 1).toString("utf8");
}

/** @throws DispatcherError EXPORT_INCOMPATIBLE for what is no export, or one of a newer format */
export function parseHeader(line: StateLine | undefined): StateHeader {
  if (line === undefined) throw damaged("The file is empty.");
  if (line.bytes[0] === 0x1f && line.bytes[1] === 0x8b) {
    throw incompatible(
      'The file is compressed: unpack it on the way, as in "gunzip -c FILE | pnpm admin import-state -".',
    );
  }
  const found = parseObject(line.text);
  if (found?.["format"] !== STATE_FORMAT) throw incompatible("The file is not the exported state of a dispatcher.");
  const { version, schema, exportedAt, serverVersion, tables } = found;
  if (version !== STATE_VERSION) {
    throw incompatible(
      `The file is of version ${JSON.stringify(version)} of the format, and this Dispatcher reads ${STATE_VERSION}.`,
    );
  }
  if (
    typeof schema !== "string" ||
    typeof exportedAt !== "string" ||
    typeof serverVersion !== "string" ||
    !Array.isArray(tables) ||
    !tables.every((table) => typeof table === "string")
  ) {
    throw damaged("Line 1 lacks what an export begins with.");
  }
  return { format: STATE_FORMAT, version, schema, exportedAt, serverVersion, tables };
}

/** @throws DispatcherError EXPORT_DAMAGED for anything but a row of one of these tables with exactly its columns */
export function parseRow(
  line: StateLine,
  columnsByTable: ReadonlyMap<string, readonly string[]>,
): { readonly table: string; readonly row: StateRow } {
  const found = parseObject(line.text);
  if (found === null) throw damaged(`Line ${line.number} is malformed: it is no JSON object.`);
  const { table, row, ...more } = found;
  const columns = typeof table === "string" ? columnsByTable.get(table) : undefined;
  if (typeof table !== "string" || columns === undefined || Object.keys(more).length > 0) {
    throw damaged(`Line ${line.number} is malformed: it is no row of a table of this export.`);
  }
  if (!isRow(row, columns)) throw damaged(`Line ${line.number} is malformed: it is no row of ${table}.`);
  return { table, row };
}

function isRow(value: unknown, columns: readonly string[]): value is StateRow {
  if (typeof value !== "object" || value === null || Object.keys(value).length !== columns.length) return false;
  const row = value as Readonly<Record<string, unknown>>;
  return columns.every(
    (column) => Object.hasOwn(row, column) && (row[column] === null || typeof row[column] === "string"),
  );
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

export function damaged(detail: string, cause?: unknown): DispatcherError {
  return new DispatcherError("EXPORT_DAMAGED", detail, cause === undefined ? {} : { cause });
}

export function incompatible(detail: string): DispatcherError {
  return new DispatcherError("EXPORT_INCOMPATIBLE", detail);
}
