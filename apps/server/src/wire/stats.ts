import { z } from "zod";
import { SizeBytes, TimeMs } from "./common.ts";

export const StatsOverviewOutput = z.object({
  nowMs: TimeMs,
  assets: z.object({
    total: z.int(),
    /** Assets that have their target of independent verified copies. */
    complete: z.int(),
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

export const SystemHealthOutput = z.object({
  status: z.enum(["ok", "unavailable"]),
  version: z.string(),
  database: z.object({ status: z.enum(["ok", "unavailable"]), message: z.string().nullable() }),
});
