import type { z } from "zod";
import { findEndingSoon, searchAssets } from "../db/queries/asset-search.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import type { StatsAtRiskInput, StatsAtRiskOutput } from "../wire/stats.ts";
import type { Dependencies } from "./dependencies.ts";
import { SEARCH_DEPTH } from "./find-assets.ts";

/** The most urgent come first and have the fewest copies, so that what is looked at is what is in danger. */
const IN_DANGER = {
  datasetId: null,
  originId: null,
  state: "wanted",
  incomplete: false,
  belowMin: true,
  startsWith: null,
} as const;

/** Assets in danger. Looks at 20,000 of each kind at most. */
export async function readAtRisk(
  { db: { sql } }: Dependencies,
  { limit, withinMs }: z.output<typeof StatsAtRiskInput>,
): Promise<z.output<typeof StatsAtRiskOutput>> {
  const nowMs = Math.floor(await readDatabaseTime(sql));
  const search = { filter: IN_DANGER, order: "urgency", after: null, depth: SEARCH_DEPTH } as const;
  const belowMin = await searchAssets(sql, { ...search, limit });
  const endingSoon = await findEndingSoon(sql, { beforeMs: nowMs + withinMs, depth: SEARCH_DEPTH, limit });
  return { nowMs, belowMin: belowMin.map(({ key: _key, ...asset }) => asset), endingSoon: [...endingSoon] };
}
