import type { z } from "zod";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import { readBuckets, readCountedUntil } from "../db/queries/stats.ts";
import type { StatsThroughputInput, StatsThroughputOutput } from "../wire/stats.ts";
import type { Dependencies } from "./dependencies.ts";

const LENGTH_MS = { hour: 3_600_000, day: 86_400_000 } as const;

const NOTHING = {
  granted: 0,
  stored: 0,
  storedBytes: 0,
  failed: 0,
  released: 0,
  expired: 0,
  cancelled: 0,
  adopted: 0,
  dropped: 0,
} as const;

/** What each of the last hours or days brought, the one under way among them. O(hours). */
export async function readThroughput(
  { db: { sql } }: Dependencies,
  { by, last }: z.output<typeof StatsThroughputInput>,
): Promise<z.output<typeof StatsThroughputOutput>> {
  const nowMs = await readDatabaseTime(sql);
  const lengthMs = LENGTH_MS[by];
  // Hours and days begin at whole multiples of their length, as UTC has no others.
  const toMs = (Math.floor(nowMs / lengthMs) + 1) * lengthMs;
  const fromMs = toMs - last * lengthMs;
  const byStart = new Map((await readBuckets(sql, { by, fromMs, toMs })).map((bucket) => [bucket.startMs, bucket]));
  const starts = Array.from({ length: last }, (_, index) => fromMs + index * lengthMs);
  const countedUntilMs = await readCountedUntil(sql);
  return {
    nowMs: Math.floor(nowMs),
    countedUntilMs: countedUntilMs === null ? null : Math.floor(countedUntilMs),
    buckets: starts.map((startMs) => byStart.get(startMs) ?? { startMs, ...NOTHING }),
  };
}
