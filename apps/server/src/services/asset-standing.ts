import { compareIds, independentCopies, isPresent, placesLeft, urgencyOf, weighCopies } from "@dispatcher/core";
import type { AssetId, CopyOnNode, Holder, VettingRule } from "@dispatcher/core";
import { lockAssets, readHolders, updateAssetStandings } from "../db/queries/assets.ts";
import type { AssetFacts, AssetStanding, HolderRow } from "../db/queries/assets.ts";
import { updateReplicaWeights } from "../db/queries/assignments.ts";
import type { ReplicaWeight } from "../db/queries/assignments.ts";
import type { Sql } from "../db/database.ts";

/**
 * The holders of an asset as the core takes them: open leases count as if they had succeeded, copies as they were weighed,
 * and what lies on an absent node is left out, so that others may take its place.
 */
export function toHolders(rows: readonly HolderRow[]): readonly Holder[] {
  return rows
    .filter((row) => row.replica === null || isPresent(row))
    .map(({ nodeId, operatorId, network, isVetted, replica }) => ({
      nodeId,
      operatorId,
      network,
      counts: replica?.counts ?? true,
      isOnTrial: !isVetted,
    }));
}

/** Weigh the copies of one asset anew: the holders with the outcome, and the replicas whose worth changed. */
function weigh(rows: readonly HolderRow[]): {
  readonly rows: readonly HolderRow[];
  readonly changes: readonly ReplicaWeight[];
} {
  const copies: CopyOnNode[] = rows.flatMap(({ replica, nodeId, operatorId, ...node }) =>
    replica === null || !isPresent(node) ? [] : [{ nodeId, operatorId, ...replica }],
  );
  const weightByNode = new Map(weighCopies(copies).map((weight) => [weight.nodeId, weight]));
  const changes: ReplicaWeight[] = [];
  const weighed = rows.map((row) => {
    const { assetId, replica } = row;
    const weight = weightByNode.get(row.nodeId);
    if (replica === null || weight === undefined) return row;
    if (weight.trust !== replica.trust || weight.counts !== replica.counts) changes.push({ assetId, ...weight });
    return { ...row, replica: { ...replica, trust: weight.trust, counts: weight.counts } };
  });
  return { rows: weighed, changes };
}

function standingOf(
  asset: AssetFacts,
  rows: readonly HolderRow[],
  { nowMs, lastTerm }: { readonly nowMs: number; readonly lastTerm: number },
): AssetStanding {
  const holders = toHolders(rows);
  const urgency = urgencyOf(
    {
      // With the open leases: an asset that somebody fetches is behind one that nobody does.
      independentCopies: independentCopies(holders),
      copies: asset.copies,
      priority: asset.priority,
      rank: asset.rank,
      removeByMs: asset.removeByMs,
      askedForAtMs: asset.createdAtMs,
    },
    nowMs,
  );
  return {
    id: asset.id,
    independentCopies: independentCopies(toHolders(rows.filter((row) => row.replica !== null))),
    placesLeft: placesLeft(holders, asset.copies),
    urgency: urgency.value,
    dueAtMs: urgency.changesAtMs,
    lastTerm,
  };
}

/**
 * Write what follows from the holders of assets: the worth of copies, independent copies, places left, urgency. The assets
 * are locked, and `holders` are all that they have now. `terms` has the last term of those granted in this transaction.
 * O(assets + their holders), in two statements.
 */
export async function writeAssetStandings(
  sql: Sql,
  assets: readonly AssetFacts[],
  {
    holders,
    terms,
    nowMs,
  }: {
    readonly holders: ReadonlyMap<AssetId, readonly HolderRow[]>;
    readonly terms?: ReadonlyMap<AssetId, number>;
    readonly nowMs: number;
  },
): Promise<void> {
  const changes: ReplicaWeight[] = [];
  const standings = assets.map((asset) => {
    const weighed = weigh(holders.get(asset.id) ?? []);
    changes.push(...weighed.changes);
    return standingOf(asset, weighed.rows, { nowMs, lastTerm: terms?.get(asset.id) ?? asset.lastTerm });
  });
  await updateReplicaWeights(sql, changes);
  await updateAssetStandings(sql, standings);
}

/** So many assets at once: bounds the statement, not the work. */
const CHUNK = 1000;

/** As `writeAssetStandings`, of assets that are neither locked nor read yet. */
export async function refreshAssetStandings(
  sql: Sql,
  assetIds: Iterable<AssetId>,
  { vetting, nowMs }: { readonly vetting: VettingRule; readonly nowMs: number },
): Promise<void> {
  const ids = [...new Set(assetIds)].toSorted(compareIds);
  for (let start = 0; start < ids.length; start += CHUNK) {
    const assets = await lockAssets(sql, ids.slice(start, start + CHUNK));
    const assetIdsHere = assets.map((asset) => asset.id);
    const holders = Map.groupBy(await readHolders(sql, assetIdsHere, vetting), (row) => row.assetId);
    await writeAssetStandings(sql, assets, { holders, nowMs });
  }
}
