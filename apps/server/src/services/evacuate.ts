/**
 * Moving copies off their nodes, in steps that may each be the last one for a while. The sweeps mark what is to leave: from then
 * on it is no holder for whoever places copies, so that replacements are made as any other copy is, and it still counts for
 * whoever looks. With each sync of its node those that may go by the rule of the core (`planEvacuation`) are taken off the
 * record, and the node is told to delete them until it has shown that they are gone. So copies are made first and deleted last,
 * and nothing has to be remembered by anybody who may die.
 */
import { compareIds, dropBytes, independentCopies, isPresent, planEvacuation, removeCopy } from "@dispatcher/core";
import type { AssetId, AssetToMove, NodeId, StoredCopy } from "@dispatcher/core";
import type { Sql } from "../db/database.ts";
import { dropReplicas } from "../db/queries/assignments.ts";
import {
  findDueEvacuations,
  findLeft,
  findStaying,
  forgetLeaving,
  markLeaving,
  noteLeaving,
  permitLeaving,
  readLeavingBytes,
  readPermitted,
  scheduleEvacuation,
  takeWaiting,
} from "../db/queries/evacuations.ts";
import type { LeavingReason } from "../db/queries/evacuations.ts";
import { appendEvents } from "../db/queries/events.ts";
import { heldColumnsOf, holdingOfNode, ledgerOf, lockNodes, updateNodes } from "../db/queries/nodes.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import { lockAssets, readHolders } from "../db/queries/standings.ts";
import type { AssetFacts, HolderRow } from "../db/queries/standings.ts";
import { toPresent, writeAssetStandings } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";
import { hashText } from "./hash-text.ts";
import { retire } from "./retire-node.ts";

/** What a draining node stores after it was looked at is found this much later. */
const LOOK_AGAIN_MS = 600_000;
/** Copies looked at with one sync of their node. Too small: a large node leaves for weeks. Too large: its syncs take long. */
const PERMITS_PER_SYNC = 500;
/** Nodes in one step of the sweeps. */
const NODES_AT_ONCE = 20;

/** An asset as an evacuation sees it, its copy on the node included whether that is present or not. */
function toMove(
  nodeId: NodeId,
  asset: AssetFacts,
  {
    rows,
    sizeBytes,
    independentAtStart,
  }: {
    readonly rows: readonly HolderRow[];
    readonly sizeBytes: number;
    readonly independentAtStart: number;
  },
): AssetToMove {
  const stored = rows.flatMap((row): StoredCopy[] => {
    if (row.replica === null || (row.nodeId !== nodeId && !isPresent(row))) return [];
    const { trust, counts } = row.replica;
    const { operatorId, network, isSurplus } = row;
    // Fullness and trust counters decide what is trimmed, and nothing here.
    return [
      { nodeId: row.nodeId, operatorId, network, trust, counts, isLeaving: isSurplus, fullness: 0, validInARow: 0 },
    ];
  });
  return { assetId: asset.id, sizeBytes, copies: asset.copies, stored, independentAtStart };
}

/** Independent copies there are, those that are to leave among them. */
function independentNow(rows: readonly HolderRow[]): number {
  return independentCopies(toPresent(rows));
}

/** Mark copies of a locked node as leaving, and let their assets stand as they do without them. */
async function mark(
  sql: Sql,
  node: NodeRow,
  {
    assets,
    holders,
    chosen,
    reason,
  }: {
    readonly assets: readonly AssetFacts[];
    readonly holders: ReadonlyMap<AssetId, readonly HolderRow[]>;
    readonly chosen: ReadonlySet<AssetId>;
    readonly reason: LeavingReason;
  },
): Promise<void> {
  const { id: nodeId, nowMs } = node;
  const leaving = assets.filter(({ id }) => chosen.has(id));
  const copies = leaving.map(({ id: assetId }) => ({
    nodeId,
    assetId,
    independentAtStart: independentNow(holders.get(assetId) ?? []),
  }));
  await markLeaving(sql, copies, reason);
  const after = new Map(
    leaving.map(({ id }) => [
      id,
      (holders.get(id) ?? []).map((row) => (row.nodeId === nodeId ? { ...row, isSurplus: true } : row)),
    ]),
  );
  await writeAssetStandings(sql, leaving, { holders: after, nowMs });
  const assetIds = leaving.map(({ id }) => id);
  await appendEvents(sql, [{ kind: "copies.leaving", actor: "server", nodeId, assetIds, detail: { reason } }]);
}

/** Mark more of a node's copies, `limit` at most; true when there may be more to mark at once. */
async function markMore({ db, vetting }: Dependencies, id: NodeId, limit: number): Promise<boolean> {
  return db.transaction(async (sql) => {
    const [node] = await lockNodes(sql, [id], vetting);
    if (node === undefined) return false;
    const isDraining = node.duty === "draining" || node.duty === "leaving";
    const bytesToFree = isDraining ? null : await bytesAboveLimit(sql, node);
    if (!isDraining && (bytesToFree === null || bytesToFree <= 0)) {
      await scheduleEvacuation(sql, id, null);
      return false;
    }
    const found = await findStaying(sql, id, limit);
    const sizeById = new Map(found.map(({ assetId, sizeBytes }) => [assetId, sizeBytes]));
    const assets = await lockAssets(sql, [...sizeById.keys()].toSorted(compareIds));
    const holders = Map.groupBy(await readHolders(sql, [...sizeById.keys()], vetting), (row) => row.assetId);
    const moves = assets.map((asset) => {
      const rows = holders.get(asset.id) ?? [];
      return toMove(id, asset, {
        rows,
        sizeBytes: sizeById.get(asset.id) ?? 0,
        independentAtStart: independentNow(rows),
      });
    });
    const plan = planEvacuation({ nodeId: id, assets: moves, bytesToFree });
    const chosen = new Set([...plan.permitsReady, ...plan.replacementsNeeded.map(({ assetId }) => assetId)]);
    if (chosen.size > 0) {
      await mark(sql, node, { assets, holders, chosen, reason: isDraining ? "LEAVING" : "GIVEN_BACK" });
    }
    const isMore = found.length === limit && chosen.size > 0;
    await scheduleEvacuation(sql, id, isMore ? 0 : LOOK_AGAIN_MS);
    return isMore;
  });
}

/** Of a node that gives bytes back; null where it does not. */
async function bytesAboveLimit(sql: Sql, node: NodeRow): Promise<number | null> {
  if (node.offerLimitBytes === null) return null;
  return node.heldBytes + node.marginBytes - (await readLeavingBytes(sql, node.id)) - node.offerLimitBytes;
}

/** A step of the sweeps: mark what is to leave, in batches. */
export async function markEvacuations(dependencies: Dependencies, limit: number): Promise<number> {
  let isMore = false;
  for (const id of await findDueEvacuations(dependencies.db.sql, NODES_AT_ONCE)) {
    if (await markMore(dependencies, id, limit)) isMore = true;
  }
  return isMore ? limit : 0;
}

/** A step of the sweeps: nodes that leave and have nothing left are retired. */
export async function retireLeft(dependencies: Dependencies, limit: number): Promise<number> {
  const { db, vetting, log } = dependencies;
  const ids = await findLeft(db.sql, limit);
  for (const id of ids) {
    await db.transaction(async (sql) => {
      const [node] = await lockNodes(sql, [id], vetting);
      // It may have changed its mind.
      if (node === undefined || node.duty !== "leaving" || node.heldCopies > 0 || node.openIds.length > 0) return;
      if (node.hasLeaving || node.life === "retired") return;
      await retire(dependencies, sql, node, { kind: "node.left", act: "server" });
    });
    log.info({ event: "node.left", nodeId: id }, "a node that was leaving has nothing left and is retired");
  }
  return ids.length;
}

export type Permit = { readonly assetId: AssetId; readonly reason: LeavingReason };

/**
 * What a node that has just synced may delete: what it was permitted before and has not shown to be gone, and what has come to be
 * replaced since. `isGone`: its holding is as it is on record, so that all it was permitted before is deleted. O(what is looked
 * at), for nodes with copies that are to leave alone.
 */
export async function permitCopies(
  { db, vetting, feeder }: Dependencies,
  { nodeId, isGone }: { readonly nodeId: NodeId; readonly isGone: boolean },
): Promise<readonly Permit[]> {
  const { permits, changed } = await db.transaction(async (sql) => {
    const [node] = await lockNodes(sql, [nodeId], vetting);
    if (node === undefined || node.life === "retired") return { permits: [], changed: [] };
    if (isGone) await forgetLeaving(sql, nodeId, "permitted");
    const waiting = await takeWaiting(sql, nodeId, PERMITS_PER_SYNC);
    const ready = await permitReady(sql, node, { waiting, vetting });
    await noteLeaving(sql, nodeId);
    return {
      permits: await readPermitted(sql, nodeId, { assetIds: null, limit: 2 * PERMITS_PER_SYNC }),
      changed: ready,
    };
  });
  feeder.markStale(changed);
  return permits;
}

/** Take copies off the record that may go; answers their assets. */
async function permitReady(
  sql: Sql,
  node: NodeRow,
  {
    waiting,
    vetting,
  }: {
    readonly waiting: Awaited<ReturnType<typeof takeWaiting>>;
    readonly vetting: Dependencies["vetting"];
  },
): Promise<readonly AssetId[]> {
  const nodeId = node.id;
  // An inventory may have shown meanwhile that they are gone.
  await forgetLeaving(
    sql,
    nodeId,
    waiting.filter(({ assignmentId }) => assignmentId === null).map(({ assetId }) => assetId),
  );
  const there = waiting.filter(({ assignmentId }) => assignmentId !== null);
  if (there.length === 0) return [];
  const ids = there.map(({ assetId }) => assetId).toSorted(compareIds);
  const assets = new Map((await lockAssets(sql, ids)).map((asset) => [asset.id, asset]));
  const holders = Map.groupBy(await readHolders(sql, ids, vetting), (row) => row.assetId);
  const unwanted = there.filter(
    ({ reason, assetId }) => reason === "WITHDRAWN" && assets.get(assetId)?.state === "withdrawn",
  );
  const moves = there.flatMap(({ assetId, reason, sizeBytes, independentAtStart }) => {
    const asset = assets.get(assetId);
    if (asset === undefined || reason === "WITHDRAWN") return [];
    return [toMove(nodeId, asset, { rows: holders.get(assetId) ?? [], sizeBytes, independentAtStart })];
  });
  const { permitsReady } = planEvacuation({ nodeId, assets: moves, bytesToFree: null });
  const ready = new Set([...permitsReady, ...unwanted.map(({ assetId }) => assetId)]);
  const going = there.filter(({ assetId }) => ready.has(assetId));
  if (going.length === 0) return [];
  let ledger = ledgerOf(node);
  let holding = holdingOfNode(node);
  for (const { assetId, sizeBytes, sha256 } of going) {
    ledger = dropBytes(ledger, sizeBytes);
    holding = removeCopy(holding, { assetId, sizeBytes, sha256 }, hashText);
    holders.set(
      assetId,
      (holders.get(assetId) ?? []).filter((row) => row.nodeId !== nodeId),
    );
  }
  await dropReplicas(
    sql,
    going.flatMap(({ assignmentId }) => assignmentId ?? []),
  );
  await updateNodes(sql, [{ ...node, ...ledger, ...heldColumnsOf(holding) }]);
  const goingIds = going.map(({ assetId }) => assetId);
  await writeAssetStandings(
    sql,
    goingIds.flatMap((id) => assets.get(id) ?? []),
    { holders, nowMs: node.nowMs },
  );
  await permitLeaving(sql, nodeId, goingIds);
  await appendEvents(sql, [
    { kind: "copies.permitted", actor: "server", nodeId, assetIds: goingIds, detail: { permitted: goingIds } },
  ]);
  return goingIds;
}
