/** The numbers of the moment, for a scrape: those of this process, and those of the database as far as it answers. */
import { DispatcherError } from "@dispatcher/core";
import { readGauges } from "../db/queries/gauges.ts";
import type { GaugeRow } from "../db/queries/gauges.ts";
import type { GaugeValue, GaugeValues } from "../metrics.ts";
import type { Dependencies } from "./dependencies.ts";

/** A scrape is given up after some seconds; without the database it has a part all the same. */
const PATIENCE_MS = 2_000;

export async function readMetrics({ db, config, feeder }: Dependencies): Promise<GaugeValues> {
  const row = await readRow(() =>
    db.askWithin(PATIENCE_MS, (sql) => readGauges(sql, config.DISPATCHER_ORIGIN_CONCURRENCY)),
  );
  const { candidates, queues, ageMs } = feeder.view;
  return {
    dispatcher_database_up: one(row === null ? 0 : 1),
    dispatcher_database_sessions: byLabel("state", db.sessions),
    dispatcher_view_candidates: one(candidates),
    dispatcher_view_queues: one(queues),
    ...(ageMs === null ? {} : { dispatcher_view_age_seconds: one(ageMs / 1000) }),
    ...(row === null ? {} : gaugesOf(row)),
  };
}

async function readRow(read: () => Promise<GaugeRow>): Promise<GaugeRow | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DispatcherError) return null;
    throw error;
  }
}

function gaugesOf(row: GaugeRow): GaugeValues {
  return {
    dispatcher_sweep_age_seconds: one(row.sweptMsAgo / 1000),
    dispatcher_nodes: byLabel("life", row.nodes),
    dispatcher_ledger_bytes: byLabel("part", row.ledger),
    dispatcher_copies: one(row.copies),
    dispatcher_leases_open: one(row.openLeases),
    dispatcher_origins: byLabel("state", row.origins),
    dispatcher_origin_fetches: one(row.fetches),
    ...(row.assets < 0 ? {} : { dispatcher_assets_estimated: one(row.assets) }),
  };
}

function one(value: number): readonly GaugeValue[] {
  return [{ value }];
}

function byLabel(label: string, values: Readonly<Record<string, number>>): readonly GaugeValue[] {
  return Object.entries(values).map(([name, value]) => ({ value, labels: { [label]: name } }));
}
