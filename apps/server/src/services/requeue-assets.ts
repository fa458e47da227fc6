import { FAILURE_CODES, compareIds, failureClassOf } from "@dispatcher/core";
import type { z } from "zod";
import { findDataset } from "../db/queries/asset-search.ts";
import { askAgain, findAside } from "../db/queries/asset-acts.ts";
import { appendEvents } from "../db/queries/events.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import { lockAssets } from "../db/queries/standings.ts";
import type { AssetRequeueInput, AssetRequeueOutput } from "../wire/asset.ts";
import { eventOf } from "./act.ts";
import { refreshAssetStandings } from "./asset-standing.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { refuseDataset } from "./find-assets.ts";

/**
 * Want assets once more that wait for people, or that were not found at their origin: they rest no longer, and what failed
 * before does not count against them. One transaction for at most 1,000 assets. O(those that wait).
 * @throws DispatcherError DATASET_UNKNOWN
 */
export async function requeueAssets(
  { db, vetting, feeder }: Dependencies,
  input: z.output<typeof AssetRequeueInput>,
  actor: Actor,
): Promise<z.output<typeof AssetRequeueOutput>> {
  const { state, dataset, failureClass, dryRun, limit, reason } = input;
  const { nodeId = null, olderThanMs = null, newerThanMs = null } = input;
  const datasetId = dataset === undefined ? null : ((await findDataset(db.sql, dataset)) ?? refuseDataset(dataset));
  const codes =
    failureClass === undefined ? null : FAILURE_CODES.filter((code) => failureClassOf(code) === failureClass);
  const filter = { state, datasetId, nodeId, codes, olderThanMs, newerThanMs };
  const found = await findAside(db.sql, filter, limit + 1);
  const meant = found.slice(0, limit);
  const hasMore = found.length > limit;
  if (dryRun || meant.length === 0) return { dryRun, assets: meant, hasMore };
  const ids = meant.map(({ id }) => id).toSorted(compareIds);
  const requeued = await db.transaction(async (sql) => {
    const assets = await lockAssets(sql, ids);
    // Somebody else may have decided otherwise meanwhile.
    const assetIds = assets.filter((asset) => asset.state === state).map(({ id }) => id);
    if (assetIds.length === 0) return new Set();
    await askAgain(sql, assetIds);
    await refreshAssetStandings(sql, assetIds, { vetting, nowMs: await readDatabaseTime(sql) });
    await appendEvents(sql, [eventOf({ actor, reason }, "assets.requeued", { assetIds, detail: { from: state } })]);
    return new Set(assetIds);
  });
  // Others hear of it by the log.
  feeder.markStale(ids);
  return { dryRun, assets: meant.filter(({ id }) => requeued.has(id)), hasMore };
}
