import { z } from "zod";
import { AssetView } from "./asset.ts";
import { SizeBytes, TimeMs } from "./common.ts";

export const StatsOverviewOutput = z.object({
  /** When it was counted: what happened since is not in it. */
  nowMs: TimeMs,
  /** How long ago that was when it was answered. 0 where it was counted for this call, as it is while that takes no time. */
  ageMs: z.number().min(0),
  assets: z.object({
    total: z.int(),
    /** Assets that have their target of independent verified copies. */
    complete: z.int(),
    /** Wanted ones that have fewer than their minimum. */
    belowMin: z.int(),
    withoutCopy: z.int(),
    open: z.int(),
    gone: z.int(),
    review: z.int(),
    withdrawn: z.int(),
  }),
  bytes: z.object({
    /** Sum of the known sizes of wanted assets, once each. */
    catalog: SizeBytes,
    /** Sum over all copies that count. */
    copied: SizeBytes,
  }),
  copies: z.object({
    /** Independent copies there are of wanted assets, each asset's capped at its target. */
    counting: z.int(),
    /** Sum of the targets of wanted assets. */
    wanted: z.int(),
  }),
  nodes: z.object({ online: z.int(), suspect: z.int(), offline: z.int(), lost: z.int(), retired: z.int() }),
  leases: z.object({
    open: z.int(),
    granted: z.int(),
    stored: z.int(),
    failed: z.int(),
    released: z.int(),
    expired: z.int(),
    cancelled: z.int(),
    /** Leases that expired, failed or were given back, and whose asset was granted to another node after that. */
    reassigned: z.int(),
  }),
});

/** `degraded`: the work goes on, and somebody should look. */
const PartStatus = z.enum(["ok", "degraded", "unavailable"]);

export const SystemHealthOutput = z.object({
  /** `unavailable` as long as the service cannot do its work. */
  status: PartStatus,
  version: z.string(),
  database: z.object({ status: z.enum(["ok", "unavailable"]), message: z.string().nullable() }),
  /** The schema: `degraded` when a newer server has changed it, `unavailable` when it is not there. */
  migrations: z.object({ status: PartStatus, newest: z.string().nullable() }),
  /** Whether any server reclaims leases and judges silent nodes. */
  sweeps: z.object({ status: PartStatus, sweptMsAgo: z.int().nullable() }),
  /** What this server may give out, in memory. It hears of others' changes only when a node wants work. */
  view: z.object({ candidates: z.int(), queues: z.int(), ageMs: z.int().nullable() }),
});

export const SystemVersionOutput = z.object({
  /** Of this server. */
  version: z.string(),
  /** The last migration of its database. */
  schema: z.string(),
});

export const StatsThroughputInput = z
  .object({
    by: z.enum(["hour", "day"]).default("hour"),
    /** So many hours or days, the one under way among them. */
    last: z.int().min(1).max(1000).default(24),
  })
  .prefault({});

export const StatsThroughputOutput = z.object({
  nowMs: TimeMs,
  /** Events up to then are in it; null before the first. */
  countedUntilMs: TimeMs.nullable(),
  /** Oldest first, by UTC; those in which nothing happened are there too. */
  buckets: z.array(
    z.object({
      startMs: TimeMs,
      granted: z.int(),
      stored: z.int(),
      storedBytes: SizeBytes,
      failed: z.int(),
      released: z.int(),
      expired: z.int(),
      cancelled: z.int(),
      /** Copies that nodes listed and that were not on record. */
      adopted: z.int(),
      /** Copies that nodes did not have any more. */
      dropped: z.int(),
    }),
  ),
});

export const StatsLeaderboardInput = z.object({ limit: z.int().min(1).max(1000).default(100) }).prefault({});
export const StatsLeaderboardOutput = z.object({
  /** Most copies first. */
  operators: z.array(
    z.object({
      /** Told to an administrator alone; null for others. */
      operator: z.string().nullable(),
      /** That take part now. */
      nodes: z.int(),
      /** That count. */
      copies: z.int(),
      bytes: SizeBytes,
      /** Made since they joined, whether they are still there or not. */
      verifiedCopies: z.int(),
      sinceMs: TimeMs,
    }),
  ),
});

export const StatsAtRiskInput = z
  .object({
    limit: z.int().min(1).max(1000).default(100),
    /** How near the day of removal has to be. */
    withinMs: z
      .int()
      .min(0)
      .max(3650 * 86_400_000)
      .default(30 * 86_400_000),
  })
  .prefault({});

export const StatsAtRiskOutput = z.object({
  nowMs: TimeMs,
  /** Wanted, with fewer copies than their minimum; the most urgent first. Of 20,000 looked at. */
  belowMin: z.array(AssetView),
  /** Wanted, with fewer copies than their target, and soon to be removed; the soonest first. Of 20,000 looked at. */
  endingSoon: z.array(AssetView),
});

export const StatsCopiesOutput = z.object({
  /** As with the overview. */
  nowMs: TimeMs,
  ageMs: z.number().min(0),
  /** Wanted assets by how many independent copies they have, fewest first. */
  bars: z.array(z.object({ copies: z.int(), assets: z.int(), bytes: SizeBytes })),
});
