/**
 * What a node lists as its copies, held against what is on record. Each page states the range of assets it covers and is
 * settled by itself: no page has to be remembered, any may come twice or never, and each batch of a page is a transaction of
 * its own, so that a long list holds no lock for long. The last word has the holding that the node tells at its next sync: the
 * two lists are one, or the node is asked again.
 *
 * - On record, and listed with the same bytes: nothing to do, and nothing is locked.
 * - On record and not listed, or listed with other bytes: dropped, and its asset is wanted again. A copy that was stored after
 *   the list was begun (`asOfMs`, by the database's clock) is not judged by it.
 * - Listed and not on record, as when the answer to its report was lost and the database is from an older backup: adopted as
 *   a completion would be, where the bytes are right, the asset has room for a copy and the ledger for its bytes. Where the
 *   asset has its most copies without it, it may be deleted, if the rules of trimming say so. Else it is just not counted.
 */
import {
  DispatcherError,
  addCopy,
  compareIds,
  completeAssignment,
  dropBytes,
  holdBytes,
  isOpen,
  isPresent,
  judgeRescue,
  planTrim,
  removeCopy,
  returnSlots,
} from "@dispatcher/core";
import type {
  AssetId,
  AssignmentId,
  ByteLedger,
  Holding,
  NodeId,
  OpenAssignment,
  OriginId,
  StoredCopy,
  Trust,
} from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import {
  dropReplicas,
  findCrowdedAssets,
  insertFoundCopies,
  readAssignmentsOfNodes,
  readHoldingsOfNodes,
  readLastTurns,
  readReplicasInRange,
  readReplicasOfNode,
  updateAssignments,
} from "../db/queries/assignments.ts";
import type { AssignmentChange, FoundCopy, RecordedCopy, StoredAssignment } from "../db/queries/assignments.ts";
import { readPermitted } from "../db/queries/evacuations.ts";
import { appendEvents } from "../db/queries/events.ts";
import {
  heldColumnsOf,
  holdingOfNode,
  ledgerOf,
  leasesOf,
  lockNodes,
  readNodeWeights,
  recountCopies,
  updateNodes,
} from "../db/queries/nodes.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import { lockOrigins, updateOrigins } from "../db/queries/origins.ts";
import { lockAssets, readHolders } from "../db/queries/standings.ts";
import type { AssetFacts, HolderRow } from "../db/queries/standings.ts";
import type { NodeInventoryInput, NodeInventoryOutput } from "../wire/node.ts";
import { writeAssetStandings } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";
import { hashText } from "./hash-text.ts";
import { cancelSurplus } from "./reclaim-leases.ts";
import { originBudgetOf } from "./settings.ts";

type Page = z.output<typeof NodeInventoryInput>;
type ListedCopy = Page["copies"][number];
type Answer = z.output<typeof NodeInventoryOutput>;

/** Assets settled in one transaction: it bounds how long the node's syncs wait. */
const BATCH = 500;

/**
 * Settle one page of a node's inventory.
 * @throws DispatcherError NODE_RETIRED, KEY_INVALID, DATABASE_UNAVAILABLE
 */
export async function reconcileInventory(
  dependencies: Dependencies,
  { nodeId, page }: { readonly nodeId: NodeId; readonly page: Page },
): Promise<Answer> {
  const { db, log, vetting } = dependencies;
  const answer: Answer = { adopted: [], dropped: [], notCounted: [], deletePermits: [] };
  const ids = await findConcerned(db.sql, nodeId, page);
  for (let start = 0; start < ids.length; start += BATCH) {
    const batch = ids.slice(start, start + BATCH);
    const part = await db.transaction((sql) => settleBatch(dependencies, sql, { nodeId, page, assetIds: batch }));
    answer.adopted.push(...part.adopted);
    answer.dropped.push(...part.dropped);
    answer.notCounted.push(...part.notCounted);
    answer.deletePermits.push(...part.deletePermits);
    // A copy more than was known: leases of the same assets elsewhere may be one too many.
    await cancelSurplus(dependencies, part.adopted);
  }
  if (page.page === page.pages) {
    const isMended = await db.transaction(async (sql) => {
      await requireNode(sql, nodeId, vetting);
      return recountCopies(sql, nodeId);
    });
    if (isMended) log.warn({ event: "holding.mended", nodeId }, "a node's holding was not that of its copies");
  }
  const counts = Object.fromEntries(Object.entries(answer).map(([outcome, copies]) => [outcome, copies.length]));
  const { page: number, pages } = page;
  log.info({ event: "inventory.reconciled", nodeId, page: number, pages, ...counts }, "a node has listed its copies");
  return answer;
}

/** The assets of which the list and the record do not simply say the same, in the order of their ids. Locks nothing. */
async function findConcerned(sql: Sql, nodeId: NodeId, page: Page): Promise<readonly AssetId[]> {
  const recorded = new Map((await readReplicasInRange(sql, nodeId, page)).map((copy) => [copy.assetId, copy]));
  const same: AssetId[] = [];
  const concerned: AssetId[] = [];
  for (const copy of page.copies) {
    (isSameContent(copy, recorded.get(copy.assetId)) ? same : concerned).push(copy.assetId);
    recorded.delete(copy.assetId);
  }
  return [...concerned, ...recorded.keys(), ...(await findCrowdedAssets(sql, same))].toSorted(compareIds);
}

type Content = { readonly sizeBytes: number; readonly sha256: string };

function isSameContent(a: Content, b: Content | null | undefined): boolean {
  return b !== null && b !== undefined && a.sizeBytes === b.sizeBytes && a.sha256 === b.sha256;
}

async function requireNode(sql: Sql, nodeId: NodeId, vetting: Dependencies["vetting"]): Promise<NodeRow> {
  const [node] = await lockNodes(sql, [nodeId], vetting);
  if (node === undefined) throw new DispatcherError("KEY_INVALID", "This node is not known here any more.");
  if (node.life === "retired") throw new DispatcherError("NODE_RETIRED", "This node has been retired.");
  return node;
}

/** What is read under lock, changed in memory asset by asset, and written once. */
type Desk = {
  readonly node: NodeRow;
  ledger: ByteLedger;
  holding: Holding;
  readonly assets: ReadonlyMap<AssetId, AssetFacts>;
  readonly holders: Map<AssetId, readonly HolderRow[]>;
  readonly leases: ReadonlyMap<AssetId, StoredAssignment>;
  readonly turns: ReadonlyMap<AssetId, number>;
  /** What the node may delete, by the reason. */
  readonly permitted: ReadonlyMap<AssetId, string>;
  readonly weights: Awaited<ReturnType<typeof readNodeWeights>>;
  readonly droppedIds: AssignmentId[];
  readonly found: FoundCopy[];
  readonly completed: AssignmentChange[];
  readonly freedOrigins: OriginId[];
  readonly answer: Answer;
};

async function settleBatch(
  { config, vetting }: Dependencies,
  sql: Sql,
  { nodeId, page, assetIds }: { readonly nodeId: NodeId; readonly page: Page; readonly assetIds: readonly AssetId[] },
): Promise<Answer> {
  const node = await requireNode(sql, nodeId, vetting);
  const assets = await lockAssets(sql, assetIds);
  // Before the holders: whoever comes between the two is seen as a holder, or has taken the turn.
  const turns = await readLastTurns(sql, assetIds);
  const holders = await readHolders(sql, assetIds, vetting);
  const recorded = await readReplicasOfNode(sql, nodeId, assetIds);
  const holdings = await readHoldingsOfNodes(sql, [nodeId], assetIds);
  const permitted = node.hasLeaving ? await readPermitted(sql, nodeId, { assetIds, limit: BATCH }) : [];
  const desk: Desk = {
    node,
    ledger: ledgerOf(node),
    holding: holdingOfNode(node),
    assets: new Map(assets.map((asset) => [asset.id, asset])),
    holders: Map.groupBy(holders, (row) => row.assetId),
    leases: new Map(holdings.filter((one) => isOpen(one.assignment)).map((one) => [one.assetId, one])),
    turns,
    permitted: new Map(permitted.map(({ assetId, reason }) => [assetId, reason])),
    weights: await readNodeWeights(sql, [...new Set([nodeId, ...holders.map((row) => row.nodeId)])]),
    droppedIds: [],
    found: [],
    completed: [],
    freedOrigins: [],
    answer: { adopted: [], dropped: [], notCounted: [], deletePermits: [] },
  };
  const listedById = new Map(page.copies.map((copy) => [copy.assetId, copy]));
  const recordedById = new Map(recorded.map((copy) => [copy.assetId, copy]));
  for (const assetId of assetIds) {
    const listed = listedById.get(assetId);
    const record = recordedById.get(assetId);
    if (record !== undefined) settleRecorded(desk, record, { listed, asOfMs: page.asOfMs });
    else if (listed !== undefined) settleFound(desk, listed);
  }
  await writeBatch(sql, desk, originBudgetOf(config));
  return desk.answer;
}

/** A copy that is on record. */
function settleRecorded(
  desk: Desk,
  record: RecordedCopy,
  { listed, asOfMs }: { readonly listed: ListedCopy | undefined; readonly asOfMs: number },
): void {
  const { assetId } = record;
  const { answer } = desk;
  if (listed !== undefined && isSameContent(listed, record)) {
    const asset = desk.assets.get(assetId);
    const own = (desk.holders.get(assetId) ?? []).find((row) => row.nodeId === desk.node.id)?.replica;
    if (asset === undefined || own === null || own === undefined) return;
    const reason = surplusReason(desk, asset, own);
    if (reason === null) return;
    drop(desk, record);
    answer.deletePermits.push({ assetId, reason });
    return;
  }
  if (record.storedAtMs > asOfMs) return;
  drop(desk, record);
  answer.dropped.push(assetId);
  if (listed !== undefined) answer.notCounted.push({ assetId, reason: "OTHER_BYTES" });
}

function drop(desk: Desk, { assignmentId, assetId, sizeBytes, sha256 }: RecordedCopy): void {
  desk.ledger = dropBytes(desk.ledger, sizeBytes);
  desk.holding = removeCopy(desk.holding, { assetId, sizeBytes, sha256 }, hashText);
  desk.holders.set(assetId, othersOf(desk, assetId));
  desk.droppedIds.push(assignmentId);
}

/** A copy that is not on record. */
function settleFound(desk: Desk, listed: ListedCopy): void {
  const { assetId } = listed;
  const { answer } = desk;
  const asset = desk.assets.get(assetId);
  const permitted = desk.permitted.get(assetId);
  // It was told so before, and that answer was lost.
  if (permitted !== undefined) {
    answer.deletePermits.push({ assetId, reason: permitted });
    return;
  }
  // Perhaps the catalog is to be imported again, too.
  if (asset === undefined) {
    answer.notCounted.push({ assetId, reason: "ASSET_UNKNOWN" });
    return;
  }
  try {
    const trust = judgeFound(desk, asset, listed);
    const reason = hasPlace(desk, asset) ? null : surplusReason(desk, asset, { trust, counts: true });
    if (reason !== null) answer.deletePermits.push({ assetId, reason });
    else if (hasPlace(desk, asset)) adopt(desk, asset, { listed, trust });
    else answer.notCounted.push({ assetId, reason: "COPIES_FULL" });
  } catch (error) {
    if (!(error instanceof DispatcherError)) throw error;
    answer.notCounted.push({ assetId, reason: error.code });
  }
}

/** @throws DispatcherError SIZE_MISMATCH, DIGEST_MISMATCH: what is declared, or what others have, is something else */
function judgeFound(desk: Desk, asset: AssetFacts, listed: ListedCopy): Trust {
  const trust = judgeRescue(asset, listed);
  const counting = othersOf(desk, asset.id).flatMap((row) =>
    row.replica !== null && row.replica.counts && isPresent(row) ? [row.replica] : [],
  );
  const isAlone = trust === "claimed" && counting.length > 0 && !counting.some((copy) => isSameContent(listed, copy));
  if (isAlone) throw new DispatcherError("DIGEST_MISMATCH", "The copies that count have other bytes.");
  return trust;
}

function othersOf(desk: Desk, assetId: AssetId): readonly HolderRow[] {
  return (desk.holders.get(assetId) ?? []).filter((row) => row.nodeId !== desk.node.id);
}

/** Beside the copies that are there, and for a node without a lease of it, those that are on their way. */
function hasPlace(desk: Desk, asset: AssetFacts): boolean {
  const hasLease = desk.leases.has(asset.id);
  const copies = othersOf(desk, asset.id).filter((row) =>
    row.replica === null ? row.state === "running" && !hasLease : isPresent(row) && !row.isSurplus,
  ).length;
  return copies < asset.copies.max;
}

/**
 * Why this node's copy may go, where it is one of too many: never the last one, nor the last verified one, nor where too few
 * operators would remain. Of copies that are alike this one goes, as the others' nodes are not asked.
 */
function surplusReason(
  desk: Desk,
  asset: AssetFacts,
  own: { readonly trust: Trust; readonly counts: boolean },
): string | null {
  const { id: nodeId, operatorId, network } = desk.node;
  const toCopy = (
    row: Pick<HolderRow, "nodeId" | "operatorId" | "network">,
    { trust, counts }: { readonly trust: Trust; readonly counts: boolean },
  ): StoredCopy => {
    const weight = desk.weights.get(row.nodeId);
    return {
      nodeId: row.nodeId,
      operatorId: row.operatorId,
      network: row.network,
      trust,
      counts,
      isLeaving: row.nodeId === nodeId,
      fullness: Math.min(1, weight?.fullness ?? 1),
      validInARow: weight?.verifiedCopies ?? 0,
    };
  };
  const others = othersOf(desk, asset.id).flatMap((row) =>
    row.replica !== null && isPresent(row) ? [toCopy(row, row.replica)] : [],
  );
  const stored = [...others, toCopy({ nodeId, operatorId, network }, own)];
  return planTrim(stored, asset.copies).find((copy) => copy.nodeId === nodeId)?.reason ?? null;
}

/** @throws DispatcherError LEDGER_EXCEEDED */
function adopt(
  desk: Desk,
  asset: AssetFacts,
  { listed, trust }: { readonly listed: ListedCopy; readonly trust: Trust },
): void {
  const { node } = desk;
  const { sizeBytes, sha256, etag, lastModified } = listed;
  const lease = desk.leases.get(asset.id);
  const open = lease !== undefined && isOpen(lease.assignment) ? lease.assignment : null;
  desk.ledger = holdBytes(desk.ledger, { reservedBytes: open?.reservedBytes ?? 0, storedBytes: sizeBytes });
  desk.holding = addCopy(desk.holding, { assetId: asset.id, sizeBytes, sha256 }, hashText);
  const copy = { sizeBytes, sha256, trust, etag, lastModified };
  const next = (desk.turns.get(asset.id) ?? 0) + 1;
  if (lease === undefined || open === null) {
    const ids = { assetId: asset.id, nodeId: node.id, operatorId: node.operatorId, originId: asset.originId };
    desk.found.push({ ...ids, term: next, copy });
  } else {
    const { assignment } = completeAssignment(open, { term: open.term, sizeBytes });
    desk.completed.push({ id: lease.id, assignment, copy });
    desk.freedOrigins.push(lease.originId);
  }
  const { id: nodeId, operatorId, network, life, inventoryWanted, isVetted } = node;
  const replica = { sizeBytes, sha256, trust, counts: true };
  const turn = open?.term ?? next;
  desk.holders.set(asset.id, [
    ...othersOf(desk, asset.id),
    {
      assetId: asset.id,
      nodeId,
      operatorId,
      network,
      life,
      inventoryWanted,
      isVetted,
      state: "stored",
      isSurplus: false,
      turn,
      replica,
    },
  ]);
  desk.answer.adopted.push(asset.id);
}

async function writeBatch(sql: Sql, desk: Desk, budget: Parameters<typeof lockOrigins>[2]): Promise<void> {
  const { node, answer, droppedIds, found, completed, freedOrigins } = desk;
  if (droppedIds.length + found.length + completed.length === 0) return;
  await dropReplicas(sql, droppedIds);
  await insertFoundCopies(sql, found);
  await updateAssignments(sql, completed);
  const openIds = await openAfter(sql, node, new Set(completed.map(({ id }) => id)));
  await updateNodes(sql, [{ ...node, ...desk.ledger, ...heldColumnsOf(desk.holding), ...openIds }]);
  const changed = new Set([
    ...answer.dropped,
    ...answer.adopted,
    ...answer.deletePermits.map(({ assetId }) => assetId),
  ]);
  const assets = [...desk.assets.values()].filter(({ id }) => changed.has(id));
  await writeAssetStandings(sql, assets, { holders: desk.holders, nowMs: node.nowMs });
  const origins = new Map(await lockOrigins(sql, [...new Set(freedOrigins)], budget));
  for (const id of freedOrigins) {
    const origin = origins.get(id);
    if (origin !== undefined) origins.set(id, returnSlots(origin, 1));
  }
  await updateOrigins(sql, origins);
  const { adopted, dropped } = answer;
  const permitted = answer.deletePermits.map(({ assetId }) => assetId);
  const detail = { adopted, dropped, permitted };
  await appendEvents(sql, [
    { kind: "copies.reconciled", actor: "node", nodeId: node.id, assetIds: [...changed], detail },
  ]);
}

/** The leases that the node has left. */
async function openAfter(
  sql: Sql,
  node: NodeRow,
  completed: ReadonlySet<AssignmentId>,
): Promise<Pick<NodeRow, "openIds" | "leaseDueAtMs">> {
  const { openIds, leaseDueAtMs } = node;
  if (completed.size === 0) return { openIds, leaseDueAtMs };
  const left = openIds.filter((id) => !completed.has(id));
  const open = await readAssignmentsOfNodes(sql, [node.id], left);
  return leasesOf(
    open.flatMap(({ id, assignment }): { id: AssignmentId; assignment: OpenAssignment }[] =>
      isOpen(assignment) ? [{ id, assignment }] : [],
    ),
  );
}
