import { createHash } from "node:crypto";
import type { Database } from "../db/database.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import { beginReading, isServed, readSchemaName, readStateRows } from "../db/queries/state.ts";
import { VERSION } from "../version.ts";
import { STATE_FORMAT, STATE_VERSION, endLine, headerLine, rowLine } from "./state-format.ts";
import type { RowCounts, StateHeader } from "./state-format.ts";

export type ExportOptions = {
  /** Without the log of what happened, which is history and often the largest part. */
  readonly withEvents: boolean;
  /** Called one after the other; resolves when more may come. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly onProgress?: (table: string, rows: number) => void;
  readonly signal: AbortSignal;
};

export type Exported = {
  readonly header: StateHeader;
  readonly rows: RowCounts;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** A server ran meanwhile, so that the old state goes on: good for a backup, not for a move. */
  readonly isServed: boolean;
};

/** The one table that a dispatcher can do without. */
const EVENTS = "events";
/** Rows in memory at once. Fewer is slower, more is larger. */
const BATCH = 1000;

/** Write everything that has to last, as it is at one moment, while servers go on. O(1) memory. */
export function exportState(db: Database, options: ExportOptions): Promise<Exported> {
  let hasBegun = false;
  return db.transaction(
    async (sql) => {
      if (hasBegun) throw new Error("PostgreSQL wants the export anew, when a part of it is written.");
      const tables = (await beginReading(sql)).filter(({ name }) => options.withEvents || name !== EVENTS);
      const header: StateHeader = {
        format: STATE_FORMAT,
        version: STATE_VERSION,
        schema: await readSchemaName(sql),
        exportedAt: new Date(await readDatabaseTime(sql)).toISOString(),
        serverVersion: VERSION,
        tables: tables.map(({ name }) => name),
      };
      const served = await isServed(sql);
      const digest = createHash("sha256");
      const rows = new Map<string, number>();
      let sizeBytes = 0;
      const write = async (text: string): Promise<void> => {
        options.signal.throwIfAborted();
        const bytes = Buffer.from(text);
        digest.update(bytes);
        sizeBytes += bytes.length;
        hasBegun = true;
        await options.write(bytes);
      };

      await write(headerLine(header));
      for (const table of tables) {
        let count = 0;
        rows.set(table.name, count);
        for await (const batch of readStateRows(sql, table, BATCH)) {
          await write(batch.map((json) => rowLine(table.name, json)).join(""));
          count += batch.length;
          rows.set(table.name, count);
          options.onProgress?.(table.name, count);
        }
      }
      const sha256 = digest.copy().digest("hex");
      await write(endLine(rows, sha256));
      return { header, rows, sizeBytes, sha256, isServed: served };
    },
    { isolation: "repeatable read", statementTimeoutMs: 0 },
  );
}
