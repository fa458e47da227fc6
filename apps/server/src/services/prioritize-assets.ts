import type { z } from "zod";
import { setPriority } from "../db/queries/asset-acts.ts";
import { appendEvents } from "../db/queries/events.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import type { AssetPrioritizeInput, AssetPrioritizeOutput } from "../wire/asset.ts";
import { eventOf } from "./act.ts";
import { refreshAssetStandings } from "./asset-standing.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { selectAssets } from "./find-assets.ts";

/**
 * Give assets a priority of their own. Every server's queues follow within half a second, as they read the event. One
 * transaction for at most 1,000 assets; doing it again changes nothing.
 * @throws DispatcherError ASSET_UNKNOWN, DATASET_UNKNOWN, ORIGIN_UNKNOWN, INPUT_INVALID
 */
export async function prioritizeAssets(
  { db, vetting, feeder }: Dependencies,
  { priority, reason, ...selection }: z.output<typeof AssetPrioritizeInput>,
  actor: Actor,
): Promise<z.output<typeof AssetPrioritizeOutput>> {
  const { ids, next } = await selectAssets(db.sql, selection);
  const changed = await db.transaction(async (sql) => {
    const assetIds = await setPriority(sql, ids, priority);
    if (assetIds.length === 0) return 0;
    await refreshAssetStandings(sql, assetIds, { vetting, nowMs: await readDatabaseTime(sql) });
    await appendEvents(sql, [eventOf({ actor, reason }, "assets.prioritized", { assetIds, detail: { priority } })]);
    return assetIds.length;
  });
  // Others hear of it by the log.
  feeder.markStale(ids);
  return { matched: ids.length, changed, next };
}
