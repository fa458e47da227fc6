import { DispatcherError } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";
import { findAssetSummary, readAssetHistory } from "../db/queries/assets.ts";
import type { AssetHistory, AssetSummary } from "../db/queries/assets.ts";
import type { Dependencies } from "./dependencies.ts";

type PublicHistory = {
  readonly replicas: (Omit<AssetHistory["replicas"][number], "node" | "operator"> &
    Record<"node" | "operator", string | null>)[];
  readonly assignments: (Omit<AssetHistory["assignments"][number], "node"> & { readonly node: string | null })[];
};

/**
 * An asset with its copies and the history of its grants. Without `withNames` nobody learns who the volunteers are: they
 * may have reasons to hold threatened data quietly.
 * @throws DispatcherError ASSET_UNKNOWN
 */
export async function getAsset(
  { db }: Dependencies,
  { id, withNames }: { readonly id: AssetId; readonly withNames: boolean },
): Promise<AssetSummary & PublicHistory> {
  const summary = await findAssetSummary(db.sql, id);
  if (summary === null) throw new DispatcherError("ASSET_UNKNOWN", `There is no asset ${id}.`, { details: { id } });
  const { replicas, assignments } = await readAssetHistory(db.sql, id);
  if (withNames) return { ...summary, replicas, assignments };
  return {
    ...summary,
    replicas: replicas.map((replica) => ({ ...replica, node: null, operator: null })),
    assignments: assignments.map((assignment) => ({ ...assignment, node: null, failureMessage: null })),
  };
}
