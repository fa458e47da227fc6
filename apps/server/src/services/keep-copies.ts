import type { AssetId } from "@dispatcher/core";
import type { Sql } from "../db/database.ts";
import { keepLeaving } from "../db/queries/evacuations.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import { refreshAssetStandings } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";

/** What a locked node was to lose and has no permit for stays after all; answers the assets, for the log to tell. O(that). */
export async function keepCopies(
  { vetting }: Dependencies,
  sql: Sql,
  { id, nowMs }: NodeRow,
): Promise<readonly AssetId[]> {
  const assetIds = await keepLeaving(sql, { nodeId: id });
  await refreshAssetStandings(sql, assetIds, { vetting, nowMs });
  return assetIds;
}
