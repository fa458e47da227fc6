import type { Database } from "../../src/db/database.ts";
import { exportState } from "../../src/state/export-state.ts";
import { importState } from "../../src/state/import-state.ts";
import type { ImportOptions, Imported } from "../../src/state/import-state.ts";

/** The state of a database, as the lines of its export, each with its end. */
export async function exportLines(db: Database, { withEvents = true } = {}): Promise<readonly string[]> {
  const chunks: Uint8Array[] = [];
  const write = (bytes: Uint8Array): Promise<void> => {
    chunks.push(bytes);
    return Promise.resolve();
  };
  await exportState(db, { withEvents, write, signal: new AbortController().signal });
  return Buffer.concat(chunks)
    .toString("utf8")
    .split(/(?<=\n)/);
}

/** Import bytes cut into chunks of so many, so that lines are cut anywhere. */
export function importText(
  db: Database,
  text: string | Uint8Array,
  { chunkBytes = 1000, ...options }: Partial<ImportOptions> & { readonly chunkBytes?: number } = {},
): Promise<Imported | null> {
  const bytes = Buffer.from(text);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < bytes.length; start += chunkBytes) yield bytes.subarray(start, start + chunkBytes);
  }
  return importState(db, {
    chunks: chunks(),
    mercyMs: 0,
    confirm: () => Promise.resolve(true),
    signal: new AbortController().signal,
    ...options,
  });
}
