/** The settings of the server in the shapes that core takes. */
import type { LeaseTimes, LifeThresholds, OriginBudget } from "@dispatcher/core";
import type { ServerConfig } from "../config.ts";

export function leaseTimesOf(config: ServerConfig): LeaseTimes {
  return {
    minMs: config.DISPATCHER_LEASE_MIN_MS,
    graceMs: config.DISPATCHER_LEASE_GRACE_MS,
    capMs: config.DISPATCHER_LEASE_CAP_MS,
  };
}

/** The budget of origins that have none of their own. */
export function originBudgetOf(config: ServerConfig): OriginBudget {
  return {
    concurrencyMax: config.DISPATCHER_ORIGIN_CONCURRENCY,
    requestsPerMinute: config.DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE,
  };
}

/** Suspect follows from the sync interval; an offline threshold below it wins. */
export function lifeThresholdsOf(config: ServerConfig): LifeThresholds {
  return {
    suspectMs: Math.min(3 * config.DISPATCHER_SYNC_INTERVAL_MS, config.DISPATCHER_NODE_OFFLINE_MS),
    offlineMs: config.DISPATCHER_NODE_OFFLINE_MS,
    lostMs: config.DISPATCHER_NODE_LOST_MS,
    retiredMs: config.DISPATCHER_NODE_RETIRED_MS,
  };
}
