import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { isWithinDepth, searchAssets } from "../db/queries/asset-search.ts";
import type { AssetFilter } from "../db/queries/asset-search.ts";
import type { AssetListInput, AssetListOutput } from "../wire/asset.ts";
import type { Dependencies } from "./dependencies.ts";
import { SEARCH_DEPTH, readPage, toFilter } from "./find-assets.ts";

/** Of a small dataset the most urgent may stand anywhere among the catalog's. */
async function isOfFew(sql: Sql, filter: AssetFilter): Promise<boolean> {
  if (filter.datasetId === null && filter.originId === null) return false;
  return isWithinDepth(sql, filter, SEARCH_DEPTH);
}

/**
 * A page of assets. An asset whose urgency changes between two pages may be seen twice or not at all; everything else is
 * seen once. It looks at 20,000 assets at most, whatever the catalog and the filter.
 * @throws DispatcherError DATASET_UNKNOWN, ORIGIN_UNKNOWN, INPUT_INVALID for a cursor of another list
 */
export async function listAssets(
  { db: { sql } }: Dependencies,
  input: z.output<typeof AssetListInput>,
): Promise<z.output<typeof AssetListOutput>> {
  const { limit, after, order = "urgency", startsWith } = input;
  const filter = await toFilter(sql, input);
  const search = {
    filter,
    order: startsWith === undefined ? order : "text",
    depth: SEARCH_DEPTH,
    isOfFew: order === "urgency" && (await isOfFew(sql, filter)),
  } as const;
  const { found, next } = await readPage(sql, { ...search, limit, after }, searchAssets);
  return { assets: found.map(({ key: _key, ...asset }) => asset), next };
}
