/**
 * Whether the service can do its work now, and each part it needs. `unavailable`: it cannot, and whoever balances load is to
 * leave it out. `degraded`: it can, and somebody should look at it.
 */
import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";
import { newestMigration } from "../db/migrate.ts";
import { readServiceState } from "../db/queries/service-state.ts";
import type { ServiceState } from "../db/queries/service-state.ts";
import { VERSION } from "../version.ts";
import type { SystemHealthOutput } from "../wire/stats.ts";
import type { Dependencies } from "./dependencies.ts";

export type Health = z.output<typeof SystemHealthOutput>;
type Status = Health["status"];

/** A probe waits a few seconds at most; so does whoever it asks. */
const PATIENCE_MS = 2_000;
/** Above it, nobody reclaims leases: several renewals of the sweeper, and a pause of a busy server. */
const SWEEP_AGE_MAX_MS = 60_000;
/** PostgreSQL's code for a table that is not there. */
const UNDEFINED_TABLE = "42P01";

/** Never throws for a database that is away or empty: that is the answer. */
export async function checkHealth({ db, config, feeder }: Dependencies): Promise<Health> {
  const view = feeder.view;
  const known = await newestMigration();
  const read = await readState(() => db.askWithin(PATIENCE_MS, readServiceState));
  if (typeof read === "string") {
    return {
      status: "unavailable",
      version: VERSION,
      database: { status: "unavailable", message: read },
      migrations: { status: "unavailable", newest: null },
      sweeps: { status: "unavailable", sweptMsAgo: null },
      view,
    };
  }
  const migrations = migrationsOf(read, known);
  const sweeps = sweepsOf(read, config.DISPATCHER_SWEEP_INTERVAL_MS);
  const status: Status = migrations.status === "unavailable" ? "unavailable" : worse(migrations.status, sweeps.status);
  return { status, version: VERSION, database: { status: "ok", message: null }, migrations, sweeps, view };
}

/** What the database says; null where its schema is missing; why it says nothing. */
async function readState(read: () => Promise<ServiceState>): Promise<ServiceState | null | string> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DispatcherError) return error.message;
    if (error instanceof Error && "code" in error && error.code === UNDEFINED_TABLE) return null;
    throw error;
  }
}

/** A database that a newer server has migrated may still do for this one, and may not. */
function migrationsOf(state: ServiceState | null, known: string): Health["migrations"] {
  if (state === null || state.migration < known) return { status: "unavailable", newest: state?.migration ?? null };
  return { status: state.migration === known ? "ok" : "degraded", newest: state.migration };
}

/** It does not matter which server sweeps, as long as one does. */
function sweepsOf(state: ServiceState | null, intervalMs: number): Health["sweeps"] {
  if (state === null) return { status: "unavailable", sweptMsAgo: null };
  const isLate = state.sweptMsAgo > Math.max(SWEEP_AGE_MAX_MS, 3 * intervalMs);
  return { status: isLate ? "degraded" : "ok", sweptMsAgo: state.sweptMsAgo };
}

function worse(a: Status, b: Status): Status {
  if (a === "ok") return b === "ok" ? "ok" : "degraded";
  return "degraded";
}
