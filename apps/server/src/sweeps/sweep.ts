/**
 * Repeated work: the loop here, the rules in core. Every server sweeps; each step is safe beside the same step of another
 * server, because it judges again under row locks.
 */
import { setTimeout as delay } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import type { Dependencies } from "../services/dependencies.ts";
import { beginMercy, recordSweep } from "../db/queries/service-state.ts";
import { expireLeases } from "../services/reclaim-leases.ts";
import { moveSilentNodes } from "../services/move-silent-nodes.ts";
import { renewStandings } from "../services/renew-standings.ts";

/** So many rows in a transaction: long enough to be quick, short enough to let claims through. */
const BATCH = 500;
/** Without any sweep for so many intervals, all servers were away, and nodes had nobody to report to. */
const INTERVALS_TO_BE_AWAY = 12;

/** One sweep: everything that is due, in batches. */
export async function sweepOnce(dependencies: Dependencies): Promise<void> {
  const { db, config } = dependencies;
  const { hasMercy } = await recordSweep(db.sql, {
    gapMs: Math.max(60_000, config.DISPATCHER_SWEEP_INTERVAL_MS * INTERVALS_TO_BE_AWAY),
    mercyMs: config.DISPATCHER_RESTART_MERCY_MS,
  });
  if (!hasMercy) {
    while ((await expireLeases(dependencies, BATCH)) === BATCH);
    while ((await moveSilentNodes(dependencies, BATCH)) === BATCH);
  }
  while ((await renewStandings(dependencies, BATCH)) === BATCH);
}

/** Sweep now and every interval until `signal` aborts. A database that is away is waited for; a bug is logged each time. */
export async function runSweeps(dependencies: Dependencies, signal: AbortSignal): Promise<void> {
  const { db, config, log } = dependencies;
  let hasBegun = false;
  while (!signal.aborted) {
    try {
      if (!hasBegun) await beginMercy(db.sql, config.DISPATCHER_RESTART_MERCY_MS);
      hasBegun = true;
      await sweepOnce(dependencies);
    } catch (error) {
      const isExpected = error instanceof DispatcherError;
      const message = isExpected ? error.message : "a sweep failed unexpectedly";
      log[isExpected ? "warn" : "error"]({ event: "sweep.failed", ...(isExpected ? {} : { err: error }) }, message);
    }
    await delay(config.DISPATCHER_SWEEP_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
