import type { z } from "zod";
import { setAssetState, stopLeasesOfAssets } from "../db/queries/asset-acts.ts";
import { appendEvents } from "../db/queries/events.ts";
import { findNodesHolding, markLeaving } from "../db/queries/evacuations.ts";
import { lockNodes } from "../db/queries/nodes.ts";
import { lockAssets, readHolders } from "../db/queries/standings.ts";
import type { AssetWithdrawInput, AssetWithdrawOutput } from "../wire/asset.ts";
import { eventOf } from "./act.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { selectAssets } from "./find-assets.ts";

/** Longer than a server's view may be behind, with the transaction in which it writes what it decided on it. */
const LOOK_AGAIN_MS = 5_000;

/**
 * Give assets up: nobody is granted one any more, and whoever works on one is told to stop with his next sync. Until then its
 * lease keeps its slot, for the node may be fetching. What another server granted in the same moment is stopped by the sweep
 * seconds later. Copies stay where they are, and count; or, with `deleteCopies`, their nodes are told to delete them. One transaction for at most 1,000 assets; doing it again changes
 * nothing.
 * @throws DispatcherError ASSET_UNKNOWN, DATASET_UNKNOWN, ORIGIN_UNKNOWN, INPUT_INVALID
 */
export async function withdrawAssets(
  { db, feeder, vetting }: Dependencies,
  { reason, deleteCopies, ...selection }: z.output<typeof AssetWithdrawInput>,
  actor: Actor,
): Promise<z.output<typeof AssetWithdrawOutput>> {
  const { ids, next } = await selectAssets(db.sql, selection);
  const done = await db.transaction(async (sql) => {
    // Nodes are locked before assets, as everywhere.
    const nodes = deleteCopies ? await lockNodes(sql, await findNodesHolding(sql, ids), vetting) : [];
    const assets = await lockAssets(sql, ids);
    const assetIds = assets.filter(({ state }) => state !== "withdrawn").map(({ id }) => id);
    await setAssetState(sql, assetIds, { state: "withdrawn", againMs: LOOK_AGAIN_MS });
    const leasesStopped = await stopLeasesOfAssets(sql, assetIds);
    const isLocked = new Set(nodes.map(({ id }) => id));
    const holders = deleteCopies ? await readHolders(sql, ids, vetting) : [];
    const copies = holders.filter((row) => row.replica !== null && !row.isSurplus && isLocked.has(row.nodeId));
    await markLeaving(
      sql,
      copies.map(({ nodeId, assetId }) => ({ nodeId, assetId, independentAtStart: 0 })),
      "WITHDRAWN",
    );
    const copiesLeaving = copies.length;
    const touched = [...new Set([...assetIds, ...copies.map(({ assetId }) => assetId)])];
    if (touched.length > 0) {
      const detail = { leasesStopped, copiesLeaving };
      await appendEvents(sql, [eventOf({ actor, reason }, "assets.withdrawn", { assetIds: touched, detail })]);
    }
    return { changed: touched.length, leasesStopped, copiesLeaving };
  });
  // Others hear of it by the log.
  feeder.markStale(ids);
  return { matched: ids.length, ...done, next };
}
