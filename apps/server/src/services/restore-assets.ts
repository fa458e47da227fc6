import type { z } from "zod";
import { askAgain } from "../db/queries/asset-acts.ts";
import { keepLeaving } from "../db/queries/evacuations.ts";
import { appendEvents } from "../db/queries/events.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import { lockAssets } from "../db/queries/standings.ts";
import type { AssetRestoreInput, AssetRestoreOutput } from "../wire/asset.ts";
import { eventOf } from "./act.ts";
import { refreshAssetStandings } from "./asset-standing.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { selectAssets } from "./find-assets.ts";

/**
 * Want assets that were withdrawn once more, with the copies that nobody has the permit to delete; others are left as they are. One transaction for at most 1,000 assets; doing it
 * again changes nothing. @throws DispatcherError ASSET_UNKNOWN, DATASET_UNKNOWN, ORIGIN_UNKNOWN, INPUT_INVALID
 */
export async function restoreAssets(
  { db, vetting, feeder }: Dependencies,
  { reason, ...selection }: z.output<typeof AssetRestoreInput>,
  actor: Actor,
): Promise<z.output<typeof AssetRestoreOutput>> {
  const { ids, next } = await selectAssets(db.sql, selection);
  const changed = await db.transaction(async (sql) => {
    const assets = await lockAssets(sql, ids);
    const assetIds = assets.filter(({ state }) => state === "withdrawn").map(({ id }) => id);
    if (assetIds.length === 0) return 0;
    await askAgain(sql, assetIds);
    await keepLeaving(sql, { withdrawnAssetIds: assetIds });
    await refreshAssetStandings(sql, assetIds, { vetting, nowMs: await readDatabaseTime(sql) });
    await appendEvents(sql, [eventOf({ actor, reason }, "assets.restored", { assetIds })]);
    return assetIds.length;
  });
  // Others hear of it by the log.
  feeder.markStale(ids);
  return { matched: ids.length, changed, next };
}
