/**
 * What a node says in one sync, written down in one transaction: nothing of it is acknowledged before it is committed, and
 * each report may come again. One bad report is refused by itself and never fails its neighbours.
 */
import {
  DispatcherError,
  changeOffer,
  completeAssignment,
  dropBytes,
  failAssignment,
  failureClassOf,
  holdBytes,
  isOpen,
  isPresent,
  judgeFailures,
  judgeRescue,
  leaseLengthMs,
  loweredQuota,
  measuredRate,
  openSlots,
  placesLeft,
  raisedQuota,
  recordFailure,
  recordProgress,
  recordSuccess,
  recordThrottle,
  regrantAssignment,
  releaseAssignment,
  releaseBytes,
  reserveBytes,
  returnSlots,
  roomBytes,
  takeSlots,
} from "@dispatcher/core";
import type {
  AssetId,
  Assignment,
  AssignmentId,
  ByteLedger,
  FailureCode,
  NodeId,
  Origin,
  OriginId,
} from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { lockAssets, markNodesAssetsDue, readHolders, updateAssetsAfterFailure } from "../db/queries/assets.ts";
import type { AssetFacts, HolderRow } from "../db/queries/assets.ts";
import {
  dropReplicas,
  insertReplicas,
  readAssignmentsOfNodes,
  readFailures,
  readHoldingsOfNode,
  readReplicasOfNode,
  setLastTerms,
  updateAssignments,
} from "../db/queries/assignments.ts";
import type { NewReplica, StoredAssignment } from "../db/queries/assignments.ts";
import { ledgerOf, lockNodes, recordNodeSync, updateNodes } from "../db/queries/nodes.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import { lockOrigins, updateOrigins } from "../db/queries/origins.ts";
import type { NodeSyncInput, NodeSyncOutput } from "../wire/node.ts";
import { refreshAssetStandings, toHolders } from "./asset-standing.ts";
import { leaseTimesOf, originBudgetOf } from "./dependencies.ts";
import type { Dependencies } from "./dependencies.ts";

type Input = z.output<typeof NodeSyncInput>;
type Answer = z.output<typeof NodeSyncOutput>["reports"][number];
type Finished = Input["finished"][number];
type Failed = Input["failed"][number];
type Open = Input["open"][number];

/** Everything a sync may change, read under lock once and written once. */
type Desk = {
  readonly dependencies: Dependencies;
  readonly node: NodeRow;
  ledger: ByteLedger;
  quota: number;
  rateBytesPerS: number | null;
  verifiedCopies: number;
  readonly stored: Map<AssignmentId, StoredAssignment>;
  readonly assets: ReadonlyMap<AssetId, AssetFacts>;
  readonly holders: ReadonlyMap<AssetId, readonly HolderRow[]>;
  readonly origins: Map<OriginId, Origin>;
  readonly changed: Map<AssignmentId, { readonly assignment: Assignment; readonly message?: string }>;
  readonly replicas: NewReplica[];
  readonly failures: Map<AssetId, FailureCode[]>;
  readonly terms: Map<AssetId, number>;
  readonly touched: Set<AssetId>;
  /** Assets of which a copy came late: there may be a lease too many elsewhere. */
  readonly late: Set<AssetId>;
};

function currentOf(desk: Desk, { id, assignment }: StoredAssignment): Assignment {
  return desk.changed.get(id)?.assignment ?? assignment;
}

function changeOrigin(desk: Desk, id: OriginId, change: (origin: Origin) => Origin): void {
  const origin = desk.origins.get(id);
  if (origin === undefined) throw new Error(`Origin ${id} was not locked.`);
  desk.origins.set(id, change(origin));
}

/** An open assignment ends: its reservation and its origin slot go back. */
function endOpen(desk: Desk, stored: StoredAssignment, next: Assignment, message?: string): void {
  const before = currentOf(desk, stored);
  if (isOpen(before)) {
    desk.ledger = releaseBytes(desk.ledger, before.reservedBytes);
    changeOrigin(desk, stored.originId, (origin) => returnSlots(origin, 1));
  }
  desk.changed.set(stored.id, message === undefined ? { assignment: next } : { assignment: next, message });
  desk.touched.add(stored.assetId);
}

function find(desk: Desk, id: AssignmentId): StoredAssignment {
  const stored = desk.stored.get(id);
  if (stored === undefined) {
    throw new DispatcherError("ASSIGNMENT_UNKNOWN", `Assignment ${id} is not one of this node's.`);
  }
  return stored;
}

/** The other assignment by which this node holds the asset already, if there is one. */
function otherHolding(desk: Desk, stored: StoredAssignment): StoredAssignment | undefined {
  return [...desk.stored.values()]
    .filter((other) => other.assetId === stored.assetId && other.id !== stored.id)
    .find((other) => isOpen(currentOf(desk, other)) || currentOf(desk, other).state === "stored");
}

/**
 * Late work is taken while the asset has room for another copy beside those that are there or on their way. Answers the
 * newer lease of this node for the same asset, if it has one: that is given up, for the copy is there.
 * @throws DispatcherError COPIES_FULL
 */
function admitLate(desk: Desk, stored: StoredAssignment, asset: AssetFacts): StoredAssignment | null {
  const newer = otherHolding(desk, stored);
  if (newer !== undefined) {
    if (isOpen(currentOf(desk, newer))) return newer;
    throw new DispatcherError("COPIES_FULL", "This node holds a copy of the asset already.");
  }
  const others = (desk.holders.get(asset.id) ?? []).filter((row) => row.nodeId !== stored.nodeId);
  const copies = others.filter((row) => (row.replica === null ? row.state === "running" : isPresent(row))).length;
  if (copies >= asset.copies.max) {
    throw new DispatcherError("COPIES_FULL", `The asset has ${copies} copies, made or being made, and takes no more.`, {
      details: { copies },
    });
  }
  return null;
}

function recordFinished(desk: Desk, report: Finished): "accepted" | "repeated" {
  const stored = find(desk, report.assignmentId);
  const before = currentOf(desk, stored);
  const { assignment, timing } = completeAssignment(before, report);
  if (timing === "repeated") return "repeated";

  const asset = desk.assets.get(stored.assetId);
  if (asset === undefined) throw new Error(`Asset ${stored.assetId} was not locked.`);
  let trust: "verified" | "claimed";
  try {
    trust = judgeRescue(asset, report);
  } catch (error) {
    // A node that reports bytes the catalog does not declare has a fault of its own, whatever it says.
    if (error instanceof DispatcherError && isOpen(before)) {
      recordFailed(desk, { ...report, code: "BAD_DIGEST", message: error.detail });
    }
    throw error;
  }
  const newer = timing === "late" ? admitLate(desk, stored, asset) : null;
  // Checked before anything is changed: a copy that does not fit the offer leaves all leases as they were.
  const given = newer === null ? before : currentOf(desk, newer);
  const reservedBytes = isOpen(given) ? given.reservedBytes : 0;
  const ledger = holdBytes(desk.ledger, { reservedBytes, storedBytes: report.sizeBytes });
  if (newer !== null) endOpen(desk, newer, releaseAssignment(given, given).assignment);
  if (timing === "late") desk.late.add(asset.id);
  endOpen(desk, stored, assignment);
  desk.ledger = ledger;
  changeOrigin(desk, stored.originId, (origin) => recordSuccess(origin, desk.node.nowMs));
  desk.quota = raisedQuota(desk.quota, desk.dependencies.config.DISPATCHER_QUOTA_MAX);
  desk.rateBytesPerS = measuredRate(desk.rateBytesPerS, report);
  desk.verifiedCopies += 1;
  desk.replicas.push({
    assignmentId: stored.id,
    assetId: stored.assetId,
    nodeId: stored.nodeId,
    operatorId: stored.operatorId,
    sizeBytes: report.sizeBytes,
    sha256: report.sha256,
    trust,
    etag: report.etag,
    lastModified: report.lastModified,
  });
  return "accepted";
}

function recordFailed(desk: Desk, report: Failed): "accepted" | "repeated" {
  const { code, message, retryAfterMs } = report;
  const { node } = desk;
  const stored = find(desk, report.assignmentId);
  const { assignment, timing } = failAssignment(currentOf(desk, stored), report);
  if (timing === "repeated") return "repeated";
  endOpen(desk, stored, assignment, message);
  desk.failures.set(stored.assetId, [...(desk.failures.get(stored.assetId) ?? []), code]);
  if (failureClassOf(code) === "node") desk.quota = loweredQuota(desk.quota);
  if (code === "THROTTLED") {
    changeOrigin(desk, stored.originId, (origin) => recordThrottle(origin, node.nowMs, retryAfterMs ?? null));
  } else if (code === "ORIGIN_ERROR" || code === "FORBIDDEN") {
    changeOrigin(desk, stored.originId, (origin) => recordFailure(origin, node.nowMs));
  }
  return "accepted";
}

function recordReleased(desk: Desk, report: Input["released"][number]): "accepted" | "repeated" {
  const stored = find(desk, report.assignmentId);
  const { assignment, timing } = releaseAssignment(currentOf(desk, stored), report);
  if (timing === "repeated") return "repeated";
  endOpen(desk, stored, assignment);
  return "accepted";
}

/** Answer one report; an expected failure refuses this one alone. */
function answer<Report extends { readonly assignmentId: AssignmentId; readonly term: number }>(
  desk: Desk,
  report: Report,
  record: (desk: Desk, report: Report) => "accepted" | "repeated",
): Answer {
  const { assignmentId, term } = report;
  try {
    return { assignmentId, term, outcome: record(desk, report) };
  } catch (error) {
    if (!(error instanceof DispatcherError)) throw error;
    return { assignmentId, term, outcome: "rejected", code: error.code, message: error.message };
  }
}

/** Progress renews the lease; bytes beyond the reservation are reserved first, all of them or, without the room, none. */
function recordOpen(desk: Desk, report: Open): void {
  const stored = desk.stored.get(report.assignmentId);
  if (stored === undefined) return;
  const before = currentOf(desk, stored);
  if (!isOpen(before)) {
    if (before.state === "expired" && before.term === report.term) regrant(desk, stored, report);
    return;
  }
  if (before.term !== report.term) return;
  const asset = desk.assets.get(stored.assetId);
  const wantedBytes = asset?.sizeBytes === null ? Math.max(0, (report.wantBytes ?? 0) - before.reservedBytes) : 0;
  const grantedBytes = wantedBytes <= roomBytes(desk.ledger) ? wantedBytes : 0;
  desk.ledger = reserveBytes(desk.ledger, grantedBytes);
  const reservedBytes = before.reservedBytes + grantedBytes;
  const lengthMs = leaseLengthMs(
    { bytesLeft: Math.max(0, reservedBytes - report.bytesDone), rateBytesPerS: desk.rateBytesPerS },
    leaseTimesOf(desk.dependencies.config),
  );
  const after = recordProgress(
    before,
    { ...report, isRunning: report.state === "running", nowMs: desk.node.nowMs, lengthMs },
    leaseTimesOf(desk.dependencies.config),
  );
  desk.changed.set(stored.id, { assignment: { ...after, reservedBytes } });
}

/**
 * The node was away, its lease has been reclaimed, and it is still at it: where the asset has a place and the ledger and the
 * origin have room, it is granted anew, so that its partial file is not wasted. Else it is told to stop.
 */
function regrant(desk: Desk, stored: StoredAssignment, report: Open): void {
  const { config } = desk.dependencies;
  const { nowMs } = desk.node;
  const asset = desk.assets.get(stored.assetId);
  const origin = desk.origins.get(stored.originId);
  if (asset === undefined || origin === undefined || asset.state !== "wanted") return;
  // A catalog that was imported again may have moved it to another origin.
  if (asset.originId !== stored.originId) return;
  const openLeases = [...desk.stored.values()].filter((one) => isOpen(currentOf(desk, one))).length;
  if (openLeases >= desk.quota) return;
  if (otherHolding(desk, stored) !== undefined) return;
  const holders = toHolders(desk.holders.get(asset.id) ?? []);
  const isDouble = holders.some((holder) => holder.counts && holder.operatorId === stored.operatorId);
  const bytes = Math.max(asset.sizeBytes ?? config.DISPATCHER_UNKNOWN_SIZE_BYTES, report.wantBytes ?? 0);
  if (isDouble || placesLeft(holders, asset.copies) === 0 || bytes > roomBytes(desk.ledger)) return;
  if (openSlots(origin, nowMs).slots === 0) return;
  desk.ledger = reserveBytes(desk.ledger, bytes);
  desk.origins.set(stored.originId, takeSlots(origin, 1, nowMs));
  const term = (desk.terms.get(asset.id) ?? asset.lastTerm) + 1;
  desk.terms.set(asset.id, term);
  const times = leaseTimesOf(config);
  const bytesLeft = Math.max(0, bytes - report.bytesDone);
  const lengthMs = leaseLengthMs({ bytesLeft, rateBytesPerS: desk.rateBytesPerS }, times);
  const assignment = regrantAssignment(currentOf(desk, stored), {
    term,
    nowMs,
    lengthMs,
    reservedBytes: bytes,
    bytesDone: report.bytesDone,
  });
  desk.changed.set(stored.id, { assignment });
  desk.touched.add(asset.id);
}

/** After failures: whether the asset is wanted on, gone or for people to look at, and how long it rests. */
async function settleFailures(sql: Sql, desk: Desk): Promise<void> {
  if (desk.failures.size === 0) return;
  const { config, random } = desk.dependencies;
  const failuresByAsset = Map.groupBy(await readFailures(sql, [...desk.failures.keys()]), (row) => row.assetId);
  const outcomes = [...desk.failures].map(([id, newCodes]) => ({
    id,
    ...judgeFailures(failuresByAsset.get(id) ?? [], newCodes, {
      baseMs: config.DISPATCHER_RETRY_BASE_MS,
      jitter: random(),
    }),
  }));
  await updateAssetsAfterFailure(sql, outcomes);
}

/**
 * What the node still holds, after it was lost: copies it lists with the same bytes count again, the others are dropped.
 * The sweeps draw the consequences for the assets, which may be many.
 */
async function reconcileInventory(sql: Sql, desk: Desk, inventory: NonNullable<Input["inventory"]>): Promise<void> {
  const listed = new Map(inventory.map((entry) => [entry.assetId, entry]));
  const replicas = await readReplicasOfNode(sql, desk.node.id);
  const gone = replicas.filter(({ assetId, sizeBytes, sha256 }) => {
    const entry = listed.get(assetId);
    return entry === undefined || entry.sizeBytes !== sizeBytes || entry.sha256 !== sha256;
  });
  await markNodesAssetsDue(sql, desk.node.id);
  await dropReplicas(
    sql,
    gone.map((replica) => replica.assignmentId),
  );
  for (const { sizeBytes } of gone) desk.ledger = dropBytes(desk.ledger, sizeBytes);
}

/**
 * Write one sync down. Answers the reports in the order finished, failed, released.
 * @throws DispatcherError KEY_INVALID when the node has vanished meanwhile, NODE_RETIRED
 */
export async function recordReports(
  dependencies: Dependencies,
  sql: Sql,
  { nodeId, input, network }: { readonly nodeId: NodeId; readonly input: Input; readonly network: string | null },
): Promise<{ readonly answers: readonly Answer[]; readonly lateAssets: readonly AssetId[] }> {
  const [node] = await lockNodes(sql, [nodeId]);
  if (node === undefined) throw new DispatcherError("KEY_INVALID", "This node is not known here any more.");
  if (node.life === "retired") throw new DispatcherError("NODE_RETIRED", "This node has been retired.");

  const named = [...input.finished, ...input.failed, ...input.released, ...input.open];
  const mentioned = await readAssignmentsOfNodes(
    sql,
    [nodeId],
    named.map((report) => report.assignmentId),
  );
  // Only reports that end or revive something look at the asset; plain progress touches no shared row.
  const endingIds = new Set(
    [...input.finished, ...input.failed, ...input.released].map((report) => report.assignmentId),
  );
  const growingIds = new Set(
    input.open.filter((open) => open.wantBytes !== undefined).map((open) => open.assignmentId),
  );
  const involved = mentioned.filter(
    ({ id, assignment }) => endingIds.has(id) || growingIds.has(id) || assignment.state === "expired",
  );
  const assetIds = [...new Set(involved.map((one) => one.assetId))];
  const assets = new Map((await lockAssets(sql, assetIds)).map((asset) => [asset.id, asset]));
  const holders = Map.groupBy(await readHolders(sql, assetIds, dependencies.vetting), (row) => row.assetId);
  const held = assetIds.length === 0 ? [] : await readHoldingsOfNode(sql, nodeId, assetIds);
  const stored = new Map([...held, ...mentioned].map((one) => [one.id, one]));
  // Of the assignments, not of the assets: a catalog that was imported again may have moved these to another origin.
  const originIds = new Set([...stored.values()].filter((one) => assets.has(one.assetId)).map((one) => one.originId));
  const origins = new Map(await lockOrigins(sql, [...originIds], originBudgetOf(dependencies.config)));

  const desk: Desk = {
    dependencies,
    node,
    ledger: changeOffer(ledgerOf(node), input),
    quota: node.quota,
    rateBytesPerS: node.rateBytesPerS,
    verifiedCopies: node.verifiedCopies,
    stored,
    assets,
    holders,
    origins,
    changed: new Map(),
    replicas: [],
    failures: new Map(),
    terms: new Map(),
    touched: new Set(),
    late: new Set(),
  };

  let inventoryWanted = node.inventoryWanted || node.life === "lost";
  if (inventoryWanted && input.inventory !== undefined) {
    await reconcileInventory(sql, desk, input.inventory);
    inventoryWanted = false;
  }
  const answers = [
    ...input.finished.map((report) => answer(desk, report, recordFinished)),
    ...input.failed.map((report) => answer(desk, report, recordFailed)),
    ...input.released.map((report) => answer(desk, report, recordReleased)),
  ];
  for (const report of input.open) recordOpen(desk, report);

  await updateAssignments(
    sql,
    [...desk.changed].map(([id, change]) => ({ id, ...change })),
  );
  await setLastTerms(sql, desk.terms);
  await insertReplicas(sql, desk.replicas);
  const { quota, rateBytesPerS, verifiedCopies } = desk;
  await updateNodes(sql, [{ id: nodeId, ...desk.ledger, quota, rateBytesPerS, verifiedCopies, inventoryWanted }]);
  await recordNodeSync(sql, nodeId, { ...input, network });
  await settleFailures(sql, desk);
  await refreshAssetStandings(sql, desk.touched, { vetting: dependencies.vetting, nowMs: node.nowMs });
  await updateOrigins(sql, desk.origins);
  return { answers, lateAssets: [...desk.late] };
}
