import { DispatcherError } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";
import { readActs } from "../db/queries/asset-acts.ts";
import { findAssetSummary, readAssetHistory } from "../db/queries/assets.ts";
import type { AssetHistory, AssetSummary } from "../db/queries/assets.ts";
import type { Dependencies } from "./dependencies.ts";

/** More is what the log of events is for. */
const ACTS_MAX = 100;

type PublicHistory = {
  readonly replicas: (Omit<AssetHistory["replicas"][number], "node" | "operator"> &
    Record<"node" | "operator", string | null>)[];
  readonly acts: {
    readonly id: number;
    readonly atMs: number;
    readonly kind: string;
    readonly reason: string | null;
  }[];
  readonly assignments: (Omit<AssetHistory["assignments"][number], "node"> & { readonly node: string | null })[];
};

/**
 * An asset with its copies, the history of its grants, and what people did to it. Without `withNames` nobody learns who the volunteers are: they
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
  const acts = await readActs(db.sql, id, ACTS_MAX);
  if (withNames) return { ...summary, replicas, assignments, acts: [...acts] };
  return {
    ...summary,
    replicas: replicas.map((replica) => ({ ...replica, node: null, operator: null })),
    assignments: assignments.map((assignment) => ({ ...assignment, node: null, failureMessage: null })),
    acts: acts.map((act) => ({ ...act, reason: null })),
  };
}
