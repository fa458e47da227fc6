/**
 * Repeated work: the loop here, the rules in core. One server sweeps at a time, so that ten of them do the work of one: the
 * sweeper holds a lease in the database and says so again every few seconds; when it dies, another takes over. That is
 * thrift and no safety: each step is safe beside the same step of another server, because it judges again under row locks.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import type { Dependencies } from "../services/dependencies.ts";
import { beginMercy, giveUpSweeping, holdSweeping, recordSweep } from "../db/queries/service-state.ts";
import { keepEvents } from "../services/keep-events.ts";
import { countHours } from "../services/count-hours.ts";
import { renewOverview } from "../services/overview.ts";
import { markEvacuations, retireLeft } from "../services/evacuate.ts";
import { expireLeases } from "../services/reclaim-leases.ts";
import { moveSilentNodes } from "../services/move-silent-nodes.ts";
import { renewStandings } from "../services/renew-standings.ts";

/** So many rows in a transaction: long enough to be quick, short enough to let claims through. */
const BATCH = 500;
/** Without any sweep for so many intervals, all servers were away, and nodes had nobody to report to. */
const INTERVALS_TO_BE_AWAY = 12;
/** Without a word from the sweeper for so long, another server takes over. Too short: a pause of the process moves it. */
const SWEEPER_LEASE_MS = 10_000;
/** How often the sweeper says so again, and the others look. With the lease, the longest time without a sweeper. */
const SWEEPER_RENEW_MS = 3_000;

/** One sweep: everything that is due, in batches, for as long as `goesOn` answers true between them. */
export async function sweepOnce(
  dependencies: Dependencies,
  goesOn: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<void> {
  const { db, config } = dependencies;
  const { hasMercy } = await recordSweep(db.sql, {
    gapMs: Math.max(60_000, config.DISPATCHER_SWEEP_INTERVAL_MS * INTERVALS_TO_BE_AWAY),
    mercyMs: config.DISPATCHER_RESTART_MERCY_MS,
  });
  const judging = hasMercy ? [] : [expireLeases, moveSilentNodes, retireLeft];
  const steps = [...judging, markEvacuations, renewStandings, keepEvents, countHours];
  for (const step of steps) {
    for (let done = BATCH; done === BATCH;) {
      done = await step(dependencies, BATCH);
      if (step === expireLeases) dependencies.metrics?.leasesExpired(done);
      if (step === moveSilentNodes) dependencies.metrics?.nodesMoved(done);
      if (done === BATCH && !(await goesOn())) return;
    }
  }
}

/**
 * Sweep now and every interval until `signal` aborts, whenever this is the server that sweeps. A database that is away is
 * waited for; a bug is logged each time.
 */
export async function runSweeps(dependencies: Dependencies, signal: AbortSignal): Promise<void> {
  const { db, config, log } = dependencies;
  const serverId = randomUUID();
  let hasBegun = false;
  let isSweeper = false;
  let renewedAtMs = -Infinity;
  let dueAtMs = -Infinity;
  let counting: Promise<void> | null = null;

  const hold = async (): Promise<boolean> => {
    if (isSweeper && performance.now() - renewedAtMs < SWEEPER_RENEW_MS) return true;
    const holds = await holdSweeping(db.sql, { serverId, leaseMs: SWEEPER_LEASE_MS });
    if (holds && !isSweeper) log.info({ event: "sweeper.began" }, "this server sweeps from now on");
    if (!holds && isSweeper) log.warn({ event: "sweeper.lost" }, "another server sweeps: this one had been silent");
    isSweeper = holds;
    renewedAtMs = performance.now();
    return holds;
  };

  const logFailure = (error: unknown): void => {
    if (signal.aborted) return;
    const isExpected = error instanceof DispatcherError;
    const message = isExpected ? error.message : "a sweep failed unexpectedly";
    log[isExpected ? "warn" : "error"]({ event: "sweep.failed", ...(isExpected ? {} : { err: error }) }, message);
  };

  while (!signal.aborted) {
    try {
      if (!hasBegun) await beginMercy(db.sql, config.DISPATCHER_RESTART_MERCY_MS);
      hasBegun = true;
      if ((await hold()) && performance.now() >= dueAtMs) {
        dueAtMs = performance.now() + config.DISPATCHER_SWEEP_INTERVAL_MS;
        await sweepOnce(dependencies, async () => !signal.aborted && (await hold()));
        // Beside the sweeps: of a large catalog it takes longer than the sweeper's lease, and nothing is to wait for it.
        counting ??= renewOverview(dependencies)
          .catch(logFailure)
          .finally(() => (counting = null));
      }
    } catch (error) {
      logFailure(error);
    }
    const pauseMs = Math.min(SWEEPER_RENEW_MS, isSweeper ? Math.max(0, dueAtMs - performance.now()) : Infinity);
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
  }
  // The next server need not wait for the lease to run out; without a database it has to.
  await giveUpSweeping(db.sql, serverId).catch(() => undefined);
}
