import { compareIds, independentCopies, isPresent, placesLeft, urgencyOf, weighCopies } from "@dispatcher/core";
import type { AssetId, CopyOnNode, Holder, NodeId, UrgencyFacts, VettingRule } from "@dispatcher/core";
import { lockAssets, readHolders, updateStandings } from "../db/queries/standings.ts";
import type { AssetFacts, AssetStanding, HolderRow } from "../db/queries/standings.ts";
import { updateReplicaWeights } from "../db/queries/assignments.ts";
import type { ReplicaWeight } from "../db/queries/assignments.ts";
import type { Sql } from "../db/database.ts";

/**
 * The holders of an asset as the core takes them: open leases count as if they had succeeded, copies as they were weighed,
 * and what lies on an absent node, or is to leave its node, is left out, so that others may take its place.
 */
export function toHolders(rows: readonly HolderRow[]): readonly Holder[] {
  return rows.filter((row) => row.replica === null || (isPresent(row) && !row.isSurplus)).map(toHolder);
}

/** The nodes of the copies that are left out: they have one all the same, and are not to be given another. */
export function leftOut(rows: readonly HolderRow[]): readonly NodeId[] {
  return rows.filter((row) => row.replica !== null && (!isPresent(row) || row.isSurplus)).map((row) => row.nodeId);
}

/** The same with the copies that are to leave: they are there still. */
export function toPresent(rows: readonly HolderRow[]): readonly Holder[] {
  return rows.filter((row) => row.replica === null || isPresent(row)).map(toHolder);
}

function toHolder({ nodeId, operatorId, network, isVetted, replica }: HolderRow): Holder {
  return { nodeId, operatorId, network, counts: replica?.counts ?? true, isOnTrial: !isVetted };
}

/** What is reserved for a copy: the size that the catalog knows, else what a node has found, and no less than for any unknown. */
export function bytesToReserve(
  { sizeBytes, seenBytes }: Pick<AssetFacts, "sizeBytes" | "seenBytes">,
  unknownSizeBytes: number,
): number {
  return sizeBytes ?? Math.max(seenBytes ?? 0, unknownSizeBytes);
}

type Copy = HolderRow & { readonly replica: NonNullable<HolderRow["replica"]> };

function isCopyHere(row: HolderRow): row is Copy {
  return row.replica !== null && isPresent(row);
}

function toCopyOnNode({ nodeId, operatorId, replica: { sizeBytes, sha256, trust } }: Copy): CopyOnNode {
  return { nodeId, operatorId, sizeBytes, sha256, trust };
}

/** Weigh the copies of one asset anew: the holders with the outcome, and the replicas whose worth changed. */
function weigh(rows: readonly HolderRow[]): {
  readonly rows: readonly HolderRow[];
  readonly changes: readonly ReplicaWeight[];
} {
  const copies = rows.filter(isCopyHere);
  const weights = weighCopies(copies.map(toCopyOnNode));
  const changes = copies.flatMap(({ assetId, replica }, place): readonly ReplicaWeight[] => {
    const weight = weights[place];
    const isSame = weight === undefined || (weight.trust === replica.trust && weight.counts === replica.counts);
    return isSame ? [] : [{ assetId, ...weight }];
  });
  if (changes.length === 0) return { rows, changes };
  const changeByNode = new Map(changes.map((change) => [change.nodeId, change]));
  const weighed = rows.map((row) => {
    const change = changeByNode.get(row.nodeId);
    if (change === undefined || !isCopyHere(row)) return row;
    return { ...row, replica: { ...row.replica, trust: change.trust, counts: change.counts } };
  });
  return { rows: weighed, changes };
}

/**
 * How the asset stands by the copies there are, whatever is on its way. Those that are to leave are counted among the copies
 * there are, and are as good as gone for what is still to be made.
 */
function standingOf(asset: AssetFacts, rows: readonly HolderRow[], nowMs: number): AssetStanding {
  const stored = rows.filter((row) => row.replica !== null);
  const copies = toHolders(stored);
  const urgency = urgencyOf(urgencyFactsOf(asset, independentCopies(copies)), nowMs);
  const isLeft = stored.some((row) => row.isSurplus);
  return {
    id: asset.id,
    independentCopies: independentCopies(isLeft ? toPresent(stored) : copies),
    placesLeft: placesLeft(copies, asset.copies),
    urgency: urgency.value,
    dueAtMs: urgency.changesAtMs,
  };
}

/** What the urgency of an asset follows from. */
export function urgencyFactsOf(asset: AssetFacts, copiesThere: number): UrgencyFacts {
  const { copies, priority, rank, removeByMs, createdAtMs } = asset;
  return { independentCopies: copiesThere, copies, priority, rank, removeByMs, askedForAtMs: createdAtMs };
}

/** Who holds an asset, with the worth of their copies, and what follows from that. */
export type Weighed = { readonly holders: readonly HolderRow[]; readonly standing: AssetStanding };

/**
 * Write what follows from the holders of assets: the worth of copies, independent copies, places left, urgency. The assets
 * are locked, and `holders` are all that they have now. Answers these with their worth, and the rest. O(assets + their holders), in two
 * statements.
 */
export async function writeAssetStandings(
  sql: Sql,
  assets: readonly AssetFacts[],
  {
    holders,
    nowMs,
    isRenewal = false,
  }: {
    readonly holders: ReadonlyMap<AssetId, readonly HolderRow[]>;
    readonly nowMs: number;
    readonly isRenewal?: boolean;
  },
): Promise<ReadonlyMap<AssetId, Weighed>> {
  const changes: ReplicaWeight[] = [];
  const weighedByAsset = new Map<AssetId, Weighed>();
  const standings = assets.map((asset) => {
    const weighed = weigh(holders.get(asset.id) ?? []);
    changes.push(...weighed.changes);
    const standing = standingOf(asset, weighed.rows, nowMs);
    weighedByAsset.set(asset.id, { holders: weighed.rows, standing });
    return standing;
  });
  await updateReplicaWeights(sql, changes);
  await updateStandings(sql, standings, { isRenewal });
  return weighedByAsset;
}

/** So many assets at once: bounds the statement, not the work. */
const CHUNK = 1000;

/** As `writeAssetStandings`, of assets that are neither locked nor read yet, whether or not they were marked as due. */
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
    await writeAssetStandings(sql, assets, { holders, nowMs, isRenewal: true });
  }
}
