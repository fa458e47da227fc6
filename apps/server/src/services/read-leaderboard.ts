import type { z } from "zod";
import { readLeaderboard } from "../db/queries/stats.ts";
import type { StatsLeaderboardInput, StatsLeaderboardOutput } from "../wire/stats.ts";
import type { Dependencies } from "./dependencies.ts";

/**
 * Operators by what their nodes hold. Without `withNames` nobody learns who the volunteers are: they may have reasons to hold
 * threatened data quietly. O(nodes).
 */
export async function readLeaderboardShown(
  { db }: Dependencies,
  { limit }: z.output<typeof StatsLeaderboardInput>,
  { withNames }: { readonly withNames: boolean },
): Promise<z.output<typeof StatsLeaderboardOutput>> {
  const rows = await readLeaderboard(db.sql, limit);
  return {
    operators: rows.map(({ operator, sinceMs, ...row }) => ({
      operator: withNames ? operator : null,
      sinceMs: Math.floor(sinceMs),
      ...row,
    })),
  };
}
