/**
 * The rescue in numbers. Counting it reads every asset and assignment, so of a large catalog it is done by the sweeps, now and
 * then, and who asks gets what was counted last with its age. While it takes little time it is counted for who asks, and kept
 * for a moment: pages that many look at must not be most of what the database does.
 */
import type { z } from "zod";
import { countOverview, readCountedBytes, readStoredOverview, storeOverview } from "../db/queries/stats.ts";
import type { Overview } from "../db/queries/stats.ts";
import type { StatsCopiesOutput, StatsOverviewOutput } from "../wire/stats.ts";
import type { Dependencies } from "./dependencies.ts";

/** Up to this size of its tables, some thousand assets, counting costs less than it would to look whether it is needed. */
const COUNTED_EACH_TIME_BYTES = 2 * 2 ** 20;
/** Up to this size of its tables the count takes some tens of milliseconds: about a hundred thousand assets. */
const COUNTED_AT_ONCE_BYTES = 24 * 2 ** 20;
/** So many times as long as a count takes nothing is counted: it is a twentieth of one connection's work at most. */
const REST_FACTOR = 20;
/** Not more often than this, however quick it is. */
const COUNT_EVERY_MS = 30_000;

type Aged = { readonly overview: Overview; readonly ageMs: number };

/** Count now, for as long as it takes, and let others see it. */
async function count({ db }: Dependencies): Promise<Overview> {
  const startedMs = performance.now();
  // Of a catalog of millions it may well take longer than statements may.
  const overview = await db.transaction((sql) => countOverview(sql), { statementTimeoutMs: 0 });
  await storeOverview(db.sql, overview, performance.now() - startedMs);
  return overview;
}

/** Count a large catalog anew when that is due. O(assets + assignments), seldom. */
export async function renewOverview(dependencies: Dependencies): Promise<void> {
  const { sql } = dependencies.db;
  if ((await readCountedBytes(sql)) <= COUNTED_AT_ONCE_BYTES) return;
  const stored = await readStoredOverview(sql);
  if (stored !== null && stored.ageMs < Math.max(COUNT_EVERY_MS, REST_FACTOR * stored.tookMs)) return;
  await count(dependencies);
}

/** For who asks; those who ask while something is counted get that. */
export function createOverviews(dependencies: Dependencies, clockMs = (): number => performance.now()) {
  let underWay: Promise<Aged> | null = null;

  let kept: { readonly overview: Overview; readonly countedAtMs: number; readonly tookMs: number } | null = null;

  const countOrKeep = async (bytes: number): Promise<Aged> => {
    const nowMs = clockMs();
    const ageMs = kept === null ? Infinity : nowMs - kept.countedAtMs;
    if (kept !== null && bytes > COUNTED_EACH_TIME_BYTES && ageMs < REST_FACTOR * kept.tookMs) {
      return { overview: kept.overview, ageMs: Math.round(ageMs) };
    }
    const overview = await countOverview(dependencies.db.sql);
    kept = { overview, countedAtMs: nowMs, tookMs: clockMs() - nowMs };
    return { overview, ageMs: 0 };
  };
  const find = async (): Promise<Aged> => {
    const { sql } = dependencies.db;
    const bytes = await readCountedBytes(sql);
    if (bytes <= COUNTED_AT_ONCE_BYTES) return countOrKeep(bytes);
    // The first time somebody has to wait, unless a sweep was first.
    return (await readStoredOverview(sql)) ?? { overview: await count(dependencies), ageMs: 0 };
  };
  const read = (): Promise<Aged> => (underWay ??= find().finally(() => (underWay = null)));

  return {
    readOverview: async (): Promise<z.output<typeof StatsOverviewOutput>> => {
      const { overview, ageMs } = await read();
      const { histogram: _histogram, ...numbers } = overview;
      return { ...numbers, ageMs };
    },
    readCopies: async (): Promise<z.output<typeof StatsCopiesOutput>> => {
      const { overview, ageMs } = await read();
      return { nowMs: overview.nowMs, ageMs, bars: [...overview.histogram] };
    },
  };
}
