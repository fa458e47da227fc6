/**
 * Rebuild a dispatcher from an exported state: all of it or nothing, in one transaction that commits only when the last line
 * has come and its digest is that of all the lines before.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { DispatcherError } from "@dispatcher/core";
import type { Database, Sql } from "../db/database.ts";
import {
  analyzeTables,
  beginMercyNow,
  findFilledTables,
  insertStateRows,
  isServed,
  lockForImport,
  readDatabaseName,
  readSchemaName,
  readStateTables,
  setIdentities,
} from "../db/queries/state.ts";
import type { StateTable } from "../db/queries/state.ts";
import { damaged, endLine, incompatible, isEndLine, parseHeader, parseRow, readLines } from "./state-format.ts";
import type { RowCounts, StateHeader, StateLine, StateRow } from "./state-format.ts";

export type ImportOptions = {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Nothing expires for so long from the import on. */
  readonly mercyMs: number;
  /** Asked when nothing stands in the way, before anything is written. */
  readonly confirm: (target: ImportTarget) => Promise<boolean>;
  readonly onProgress?: (table: string, rows: number) => void;
  readonly signal: AbortSignal;
  /** So long for whoever holds a table of a database that nobody should use. */
  readonly lockWithinMs?: number;
};

export type ImportTarget = { readonly header: StateHeader; readonly database: string };
export type Imported = ImportTarget & {
  readonly rows: RowCounts;
  /** False when it failed, which costs speed for a while and nothing else. */
  readonly isAnalyzed: boolean;
};

/** Rows, and bytes of lines, for one statement. Fewer is slower, more is larger. */
const BATCH_ROWS = 1000;
const BATCH_BYTES = 8 * 2 ** 20;
const LOCK_WITHIN_MS = 10_000;
/** Without it a dispatcher can do its work. */
const OPTIONAL_TABLES: ReadonlySet<string> = new Set(["events"]);

/**
 * Answers null when `confirm` says no.
 * @throws DispatcherError DATABASE_NOT_EMPTY, DATABASE_IN_USE, EXPORT_DAMAGED, EXPORT_INCOMPATIBLE: nothing is imported
 */
export async function importState(db: Database, options: ImportOptions): Promise<Imported | null> {
  const lines = readLines(options.chunks);
  const digest = createHash("sha256");
  const first = await lines.next();
  const header = parseHeader(first.done === true ? undefined : first.value);
  if (first.done !== true) digest.update(first.value.bytes);

  // Also asked below, under the lock; here so that nobody says yes in vain.
  const target = await db.transaction(async (sql) => {
    await refuseTarget(sql, header);
    return { header, database: await readDatabaseName(sql) };
  });
  if (!(await options.confirm(target))) return null;

  let hasBegun = false;
  const { tables, rows } = await db.transaction(
    async (sql) => {
      if (hasBegun) throw new Error("PostgreSQL wants the import anew, when a part of the file is read.");
      await lockUnused(sql, options.lockWithinMs ?? LOCK_WITHIN_MS);
      const found = await refuseTarget(sql, header);
      hasBegun = true;
      const counts = await insertLines(sql, found, { lines, header, digest, options });
      await setIdentities(sql, found);
      await beginMercyNow(sql, options.mercyMs);
      options.signal.throwIfAborted();
      return { tables: found, rows: counts };
    },
    { statementTimeoutMs: 0 },
  );
  return { ...target, rows, isAnalyzed: await analyze(db, tables) };
}

async function lockUnused(sql: Sql, withinMs: number): Promise<void> {
  try {
    await lockForImport(sql, await readStateTables(sql), withinMs);
  } catch (cause) {
    if (sqlStateOf(cause) !== "55P03") throw cause;
    throw new DispatcherError("DATABASE_IN_USE", "Somebody holds on to a table of this database.", { cause });
  }
}

/** The tables of a database that can take this export. */
async function refuseTarget(sql: Sql, header: StateHeader): Promise<readonly StateTable[]> {
  const schema = await readSchemaName(sql);
  if (header.schema !== schema) {
    throw incompatible(
      `The file has the schema ${header.schema}, written by Dispatcher ${header.serverVersion}, and this Dispatcher has ${schema}.`,
    );
  }
  const tables = await readStateTables(sql);
  const names = new Set(tables.map(({ name }) => name));
  const unknown = header.tables.filter((name) => !names.has(name));
  if (unknown.length > 0) throw incompatible(`The file has tables that are none here: ${unknown.join(", ")}.`);
  const missing = [...names].filter((name) => !OPTIONAL_TABLES.has(name) && !header.tables.includes(name));
  if (missing.length > 0) throw incompatible(`The file lacks tables that are needed here: ${missing.join(", ")}.`);
  const filled = await findFilledTables(sql, tables);
  if (filled.length > 0) {
    const detail = `The database "${await readDatabaseName(sql)}" is not empty: there are rows in ${filled.join(", ")}.`;
    throw new DispatcherError("DATABASE_NOT_EMPTY", detail);
  }
  if (await isServed(sql)) {
    const detail = `A server runs on the database "${await readDatabaseName(sql)}", or did a few seconds ago.`;
    throw new DispatcherError("DATABASE_IN_USE", detail);
  }
  return tables;
}

type Batch = {
  readonly table: StateTable;
  readonly rows: StateRow[];
  readonly from: number;
  to: number;
  sizeBytes: number;
};

async function insertLines(
  sql: Sql,
  tables: readonly StateTable[],
  parts: {
    readonly lines: AsyncIterator<StateLine>;
    readonly header: StateHeader;
    readonly digest: Hash;
    readonly options: ImportOptions;
  },
): Promise<RowCounts> {
  const { lines, header, digest, options } = parts;
  const tableByName = new Map(tables.map((table) => [table.name, table]));
  const columnsByTable = new Map(
    header.tables.map((name) => [name, (tableByName.get(name)?.columns ?? []).map((column) => column.name)]),
  );
  const rows = new Map(header.tables.map((name) => [name, 0]));
  let batch: Batch | null = null;
  const store = async (full: Batch | null): Promise<void> => {
    if (full === null) return;
    options.signal.throwIfAborted();
    await insertBatch(sql, full);
    const count = (rows.get(full.table.name) ?? 0) + full.rows.length;
    rows.set(full.table.name, count);
    options.onProgress?.(full.table.name, count);
  };

  for (let next = await lines.next(); next.done !== true; next = await lines.next()) {
    const line = next.value;
    if (isEndLine(line)) {
      await store(batch);
      refuseOtherEnd(line, rows, digest.digest("hex"));
      if ((await lines.next()).done !== true) throw damaged(`Lines follow behind the last one, line ${line.number}.`);
      return rows;
    }
    digest.update(line.bytes);
    const { table: name, row } = parseRow(line, columnsByTable);
    const table = tableByName.get(name);
    if (table === undefined) throw new Error(`${name} has columns and is no table.`);
    if (batch === null || batch.table !== table || isFull(batch)) {
      await store(batch);
      batch = { table, rows: [], from: line.number, to: line.number, sizeBytes: 0 };
    }
    batch.rows.push(row);
    batch.to = line.number;
    batch.sizeBytes += line.bytes.length;
  }
  throw damaged("The file is cut off: its last line is missing.");
}

function isFull({ rows, sizeBytes }: Batch): boolean {
  return rows.length >= BATCH_ROWS || sizeBytes >= BATCH_BYTES;
}

async function insertBatch(sql: Sql, { table, rows, from, to }: Batch): Promise<void> {
  try {
    await insertStateRows(sql, table, rows);
  } catch (cause) {
    // Values that are none of their type, and rows that break a constraint.
    if (!/^2[23]/.test(sqlStateOf(cause) ?? "")) throw cause;
    const where = from === to ? `Line ${from} is no row` : `One of the lines ${from} to ${to} is no row`;
    const why = cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ") : "";
    throw damaged(`${where} that ${table.name} can take: ${why}.`, cause);
  }
}

function refuseOtherEnd(line: StateLine, rows: RowCounts, sha256: string): void {
  if (`${line.text}\n` === endLine(rows, sha256)) return;
  const why = line.text.includes(sha256)
    ? "its last line is not the one it was written with"
    : "its SHA-256 is another";
  throw damaged(`The file was altered: ${why}.`);
}

async function analyze(db: Database, tables: readonly StateTable[]): Promise<boolean> {
  try {
    await db.transaction((sql) => analyzeTables(sql, tables), { statementTimeoutMs: 0 });
    return true;
  } catch {
    return false;
  }
}

function sqlStateOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
