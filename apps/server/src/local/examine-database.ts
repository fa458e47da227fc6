import { readSchemaState } from "../db/migrate.ts";
import type { SchemaState } from "../db/migrate.ts";
import type { Database } from "../db/database.ts";
import {
  compareLedgers,
  hasStrayEvents,
  readDueStandings,
  readPostgresFacts,
  readSilence,
  readSweeping,
} from "../db/queries/checkup.ts";
import type { LedgerFault, PostgresFacts, SilenceFacts } from "../db/queries/checkup.ts";
import { readEventDays, shiftDay } from "../db/queries/events.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";

/** Enough to meet a fault that many have, few enough to answer within seconds. */
const NODES_COMPARED = 50;
/** Beyond that the exact number says nothing more. */
export const DUE_COUNTED_MAX = 100_000;

/** What there is to see of a database whose schema is this code's. */
export type ServiceFacts = {
  readonly sweeping: { readonly sweptMsAgo: number; readonly isHeld: boolean };
  readonly silence: SilenceFacts;
  /** Counted up to `DUE_COUNTED_MAX`. */
  readonly standings: { readonly due: number; readonly oldestMs: number | null };
  /** Days from tomorrow on, without a gap, that have a table for their events. */
  readonly eventDaysAhead: number;
  readonly hasStrayEvents: boolean;
  readonly ledgers: { readonly compared: number; readonly faults: readonly LedgerFault[] };
};

export type DatabaseFacts = {
  readonly postgres: PostgresFacts;
  /** The database's clock less `nowMs()`, and by how much that may be wrong: half of what the question took. */
  readonly clock: { readonly aheadMs: number; readonly uncertainMs: number };
  readonly schema: SchemaState;
  /** Null where migrations are missing. */
  readonly service: ServiceFacts | null;
};

/**
 * Look at a database, and change nothing.
 * @throws DispatcherError DATABASE_UNAVAILABLE, DATABASE_TOO_NEW, CONFIG_INVALID
 */
export async function examineDatabase(db: Database, nowMs: () => number): Promise<DatabaseFacts> {
  const postgres = await readPostgresFacts(db.sql);
  const askedMs = nowMs();
  const databaseMs = await readDatabaseTime(db.sql);
  const uncertainMs = (nowMs() - askedMs) / 2;
  const schema = await readSchemaState(db);
  return {
    postgres,
    clock: { aheadMs: databaseMs - askedMs - uncertainMs, uncertainMs },
    schema,
    service: schema.missing.length === 0 ? await examineService(db) : null,
  };
}

async function examineService({ sql }: Database): Promise<ServiceFacts> {
  const { today, days } = await readEventDays(sql);
  const known = new Set(days);
  let eventDaysAhead = 0;
  while (known.has(shiftDay(today, eventDaysAhead + 1))) eventDaysAhead += 1;
  return {
    sweeping: await readSweeping(sql),
    silence: await readSilence(sql),
    standings: await readDueStandings(sql, DUE_COUNTED_MAX),
    eventDaysAhead,
    hasStrayEvents: await hasStrayEvents(sql),
    ledgers: await compareLedgers(sql, NODES_COMPARED),
  };
}
