import { z } from "zod";
import { Cursor, OriginIdShape, Reason, TimeMs, storableText } from "./common.ts";

/** Host and port: `data.example.org:443`. */
const Host = storableText(300).pipe(z.string().min(1));

export const OriginView = z.object({
  id: OriginIdShape,
  host: z.string(),
  budget: z.object({
    /** Fetches at once in good times. */
    concurrencyMax: z.int(),
    requestsPerMinute: z.int(),
    /** The servers' own, as nobody has set another one for it. */
    isDefault: z.boolean(),
  }),
  paused: z.boolean(),
  /** Fetches allowed at once now: fewer than the most after a throttle. */
  concurrency: z.int(),
  /** Open leases that fetch, or may begin to fetch, from it. */
  inUse: z.int(),
  /** Left alone until then, after a throttle or failures; null for not. */
  closedUntilMs: TimeMs.nullable(),
  /** Since the last success. */
  failures: z.int(),
  /** Fetches that could be granted now, ... */
  openSlots: z.int(),
  /** ... and when to look again once there is none. */
  retryAfterMs: z.number(),
});

export const OriginListInput = z
  .object({
    paused: z.boolean().optional(),
    limit: z.int().min(1).max(1000).default(100),
    after: Cursor,
  })
  .prefault({});
export const OriginListOutput = z.object({
  /** By host. */
  origins: z.array(OriginView),
  next: z.string().nullable(),
});

export const OriginGetInput = z.object({ host: Host });
export const OriginPauseInput = z.object({ host: Host, reason: Reason });
export const OriginBudgetInput = z.object({
  host: Host,
  /** Null: the servers' own again. */
  budget: z
    .object({ concurrencyMax: z.int().min(1).max(100_000), requestsPerMinute: z.int().min(1).max(1_000_000) })
    .nullable(),
  reason: Reason,
});
