/**
 * What nodes say in their syncs, written down in one transaction for a group of them: nothing of it is acknowledged before
 * it is committed, and each report may come again. One bad report is refused by itself and never fails its neighbours.
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
  OpenAssignment,
  Origin,
  OriginId,
} from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { appendEvents } from "../db/queries/events.ts";
import type { NewEvent } from "../db/queries/events.ts";
import { lockAssets, markNodesAssetsDue, readHolders, updateStandingsAfterFailure } from "../db/queries/standings.ts";
import type { AssetFacts, HolderRow } from "../db/queries/standings.ts";
import {
  dropReplicas,
  readAssignmentsOfNodes,
  readFailures,
  readHoldingsOfNodes,
  readLastTerms,
  readReplicasOfNode,
  updateAssignments,
} from "../db/queries/assignments.ts";
import type { AssignmentChange, StoredAssignment } from "../db/queries/assignments.ts";
import { ledgerOf, lockNodes, updateSyncedNodes } from "../db/queries/nodes.ts";
import { leasesOf } from "../db/queries/nodes.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import { lockOrigins, updateOrigins } from "../db/queries/origins.ts";
import type { NodeSyncInput, NodeSyncOutput } from "../wire/node.ts";
import { toHolders, writeAssetStandings } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";
import { leaseTimesOf, originBudgetOf } from "./settings.ts";

type Input = z.output<typeof NodeSyncInput>;
type Answer = z.output<typeof NodeSyncOutput>["reports"][number];
type Finished = Input["finished"][number];
type Failed = Input["failed"][number];
type Open = Input["open"][number];

/** What one node says. */
export type SyncCall = { readonly nodeId: NodeId; readonly input: Input; readonly network: string | null };

/** What a group of syncs may change, read under lock once and written once. */
type Desk = {
  readonly dependencies: Dependencies;
  readonly nowMs: number;
  readonly stored: Map<AssignmentId, StoredAssignment>;
  /** The same by the node and the asset they are about. */
  readonly storedByHolding: ReadonlyMap<string, readonly StoredAssignment[]>;
  readonly assets: ReadonlyMap<AssetId, AssetFacts>;
  /** Kept up to date: nodes of one group may speak of one asset. */
  readonly holders: Map<AssetId, readonly HolderRow[]>;
  readonly origins: Map<OriginId, Origin>;
  readonly changed: Map<AssignmentId, Omit<AssignmentChange, "id">>;
  readonly failures: Map<AssetId, FailureCode[]>;
  /** The last term of assets whose lease may be granted anew. */
  readonly terms: Map<AssetId, number>;
  /** Assets of which somebody has a copy more. */
  readonly copied: Set<AssetId>;
};

/** The node that speaks, as it changes. */
type Speaker = {
  readonly node: NodeRow;
  readonly input: Input;
  ledger: ByteLedger;
  quota: number;
  rateBytesPerS: number | null;
  verifiedCopies: number;
  inventoryWanted: boolean;
  openLeases: number;
  /** Assets of which a copy came late: there may be a lease too many elsewhere. */
  readonly late: Set<AssetId>;
  /** Assignments whose lease is over, and is not granted anew only for now: their bytes are kept. */
  readonly paused: Set<AssignmentId>;
};

function holdingKey({ nodeId, assetId }: { readonly nodeId: NodeId; readonly assetId: AssetId }): string {
  return `${nodeId} ${assetId}`;
}

function currentOf(desk: Desk, { id, assignment }: StoredAssignment): Assignment {
  return desk.changed.get(id)?.assignment ?? assignment;
}

function changeOrigin(desk: Desk, id: OriginId, change: (origin: Origin) => Origin): void {
  const origin = desk.origins.get(id);
  if (origin === undefined) throw new Error(`Origin ${id} was not locked.`);
  desk.origins.set(id, change(origin));
}

/** Write down who holds an asset on this node from now on; null for nobody. */
function setHolder(desk: Desk, { assetId, nodeId }: StoredAssignment, holder: HolderRow | null): void {
  const others = (desk.holders.get(assetId) ?? []).filter((row) => row.nodeId !== nodeId);
  desk.holders.set(assetId, holder === null ? others : [...others, holder]);
}

function holderOf(
  speaker: Speaker,
  { assetId, nodeId, operatorId }: StoredAssignment,
  rest: Pick<HolderRow, "state" | "replica">,
): HolderRow {
  const { network, life, isVetted } = speaker.node;
  return { assetId, nodeId, operatorId, network, life, inventoryWanted: speaker.inventoryWanted, isVetted, ...rest };
}

/** An open assignment ends: its reservation and its origin slot go back. */
function endOpen(desk: Desk, speaker: Speaker, stored: StoredAssignment, next: Assignment, message?: string): void {
  const before = currentOf(desk, stored);
  if (isOpen(before)) {
    speaker.ledger = releaseBytes(speaker.ledger, before.reservedBytes);
    speaker.openLeases -= 1;
    changeOrigin(desk, stored.originId, (origin) => returnSlots(origin, 1));
    setHolder(desk, stored, null);
  }
  desk.changed.set(stored.id, message === undefined ? { assignment: next } : { assignment: next, message });
}

function find(desk: Desk, speaker: Speaker, id: AssignmentId): StoredAssignment {
  const stored = desk.stored.get(id);
  if (stored === undefined || stored.nodeId !== speaker.node.id) {
    throw new DispatcherError("ASSIGNMENT_UNKNOWN", `Assignment ${id} is not one of this node's.`);
  }
  return stored;
}

/** The other assignment by which this node holds the asset already, if there is one. */
function otherHolding(desk: Desk, stored: StoredAssignment): StoredAssignment | undefined {
  return (desk.storedByHolding.get(holdingKey(stored)) ?? [])
    .filter((other) => other.id !== stored.id)
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

/**
 * A copy that came late may have taken the last place while this lease was under way: it is given back then, so that there
 * are never more copies than the most that are allowed.
 * @throws DispatcherError COPIES_FULL
 */
function admitInTime(desk: Desk, speaker: Speaker, stored: StoredAssignment, asset: AssetFacts): void {
  const others = (desk.holders.get(asset.id) ?? []).filter((row) => row.nodeId !== stored.nodeId);
  const copies = others.filter((row) => row.replica !== null && isPresent(row)).length;
  if (copies < asset.copies.max) return;
  const before = currentOf(desk, stored);
  endOpen(desk, speaker, stored, releaseAssignment(before, before).assignment);
  throw new DispatcherError("COPIES_FULL", `The asset has ${copies} copies and takes no more.`, {
    details: { copies },
  });
}

function recordFinished(desk: Desk, speaker: Speaker, report: Finished): "accepted" | "repeated" {
  const stored = find(desk, speaker, report.assignmentId);
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
      recordFailed(desk, speaker, { ...report, code: "BAD_DIGEST", message: error.detail });
    }
    throw error;
  }
  if (timing !== "late") admitInTime(desk, speaker, stored, asset);
  const newer = timing === "late" ? admitLate(desk, stored, asset) : null;
  // Checked before anything is changed: a copy that does not fit the offer leaves all leases as they were.
  const given = newer === null ? before : currentOf(desk, newer);
  const reservedBytes = isOpen(given) ? given.reservedBytes : 0;
  const ledger = holdBytes(speaker.ledger, { reservedBytes, storedBytes: report.sizeBytes });
  if (newer !== null) endOpen(desk, speaker, newer, releaseAssignment(given, given).assignment);
  if (timing === "late") speaker.late.add(asset.id);
  endOpen(desk, speaker, stored, assignment);
  const { sizeBytes, sha256 } = report;
  const replica = { sizeBytes, sha256, trust, counts: true };
  setHolder(desk, stored, holderOf(speaker, stored, { state: "stored", replica }));
  speaker.ledger = ledger;
  changeOrigin(desk, stored.originId, (origin) => recordSuccess(origin, desk.nowMs));
  speaker.quota = raisedQuota(speaker.quota, desk.dependencies.config.DISPATCHER_QUOTA_MAX);
  speaker.rateBytesPerS = measuredRate(speaker.rateBytesPerS, report);
  speaker.verifiedCopies += 1;
  const { etag, lastModified } = report;
  desk.changed.set(stored.id, { assignment, copy: { sizeBytes, sha256, trust, etag, lastModified } });
  desk.copied.add(asset.id);
  return "accepted";
}

function recordFailed(desk: Desk, speaker: Speaker, report: Failed): "accepted" | "repeated" {
  const { code, message, retryAfterMs } = report;
  const stored = find(desk, speaker, report.assignmentId);
  const { assignment, timing } = failAssignment(currentOf(desk, stored), report);
  if (timing === "repeated") return "repeated";
  endOpen(desk, speaker, stored, assignment, message);
  desk.failures.set(stored.assetId, [...(desk.failures.get(stored.assetId) ?? []), code]);
  if (failureClassOf(code) === "node") speaker.quota = loweredQuota(speaker.quota);
  if (code === "THROTTLED") {
    changeOrigin(desk, stored.originId, (origin) => recordThrottle(origin, desk.nowMs, retryAfterMs ?? null));
  } else if (code === "ORIGIN_ERROR" || code === "FORBIDDEN") {
    changeOrigin(desk, stored.originId, (origin) => recordFailure(origin, desk.nowMs));
  }
  return "accepted";
}

function recordReleased(desk: Desk, speaker: Speaker, report: Input["released"][number]): "accepted" | "repeated" {
  const stored = find(desk, speaker, report.assignmentId);
  const { assignment, timing } = releaseAssignment(currentOf(desk, stored), report);
  if (timing === "repeated") return "repeated";
  endOpen(desk, speaker, stored, assignment);
  return "accepted";
}

/** Answer one report; an expected failure refuses this one alone. */
function answer<Report extends { readonly assignmentId: AssignmentId; readonly term: number }>(
  desk: Desk,
  speaker: Speaker,
  report: Report,
  record: (desk: Desk, speaker: Speaker, report: Report) => "accepted" | "repeated",
): Answer {
  const { assignmentId, term } = report;
  try {
    return { assignmentId, term, outcome: record(desk, speaker, report) };
  } catch (error) {
    if (!(error instanceof DispatcherError)) throw error;
    return { assignmentId, term, outcome: "rejected", code: error.code, message: error.message };
  }
}

/** Progress renews the lease; bytes beyond the reservation are reserved first, all of them or, without the room, none. */
function recordOpen(desk: Desk, speaker: Speaker, report: Open): void {
  const stored = desk.stored.get(report.assignmentId);
  if (stored === undefined || stored.nodeId !== speaker.node.id) return;
  const before = currentOf(desk, stored);
  if (!isOpen(before)) {
    if (before.state !== "expired" || before.term !== report.term) return;
    if (regrant(desk, speaker, stored, report) === "later") speaker.paused.add(stored.id);
    return;
  }
  if (before.term !== report.term) return;
  const asset = desk.assets.get(stored.assetId);
  const wantedBytes = asset?.sizeBytes === null ? Math.max(0, (report.wantBytes ?? 0) - before.reservedBytes) : 0;
  const grantedBytes = wantedBytes <= roomBytes(speaker.ledger) ? wantedBytes : 0;
  speaker.ledger = reserveBytes(speaker.ledger, grantedBytes);
  const reservedBytes = before.reservedBytes + grantedBytes;
  const lengthMs = leaseLengthMs(
    { bytesLeft: Math.max(0, reservedBytes - report.bytesDone), rateBytesPerS: speaker.rateBytesPerS },
    leaseTimesOf(desk.dependencies.config),
  );
  const after = recordProgress(
    before,
    { ...report, isRunning: report.state === "running", nowMs: desk.nowMs, lengthMs },
    leaseTimesOf(desk.dependencies.config),
  );
  desk.changed.set(stored.id, { assignment: { ...after, reservedBytes } });
}

/**
 * The node was away, its lease has been reclaimed, and it is still at it: where the asset has a place and the ledger and the
 * origin have room, it is granted anew, so that its partial file is not wasted. `later`: the copy is still welcome, and what
 * is missing (quota, room, a slot) may be there with the next sync. `no`: it is told to stop.
 */
function regrant(desk: Desk, speaker: Speaker, stored: StoredAssignment, report: Open): "granted" | "later" | "no" {
  const { config } = desk.dependencies;
  const { nowMs } = desk;
  const asset = desk.assets.get(stored.assetId);
  const origin = desk.origins.get(stored.originId);
  if (asset === undefined || origin === undefined || asset.state !== "wanted") return "no";
  // A catalog that was imported again may have moved it to another origin.
  if (asset.originId !== stored.originId) return "no";
  if (otherHolding(desk, stored) !== undefined) return "no";
  const holders = toHolders(desk.holders.get(asset.id) ?? []);
  const isDouble = holders.some((holder) => holder.counts && holder.operatorId === stored.operatorId);
  if (isDouble || placesLeft(holders, asset.copies) === 0) return "no";
  const bytes = Math.max(asset.sizeBytes ?? config.DISPATCHER_UNKNOWN_SIZE_BYTES, report.wantBytes ?? 0);
  if (speaker.openLeases >= speaker.quota || bytes > roomBytes(speaker.ledger)) return "later";
  if (openSlots(origin, nowMs).slots === 0) return "later";
  speaker.ledger = reserveBytes(speaker.ledger, bytes);
  speaker.openLeases += 1;
  desk.origins.set(stored.originId, takeSlots(origin, 1, nowMs));
  const term = (desk.terms.get(asset.id) ?? 0) + 1;
  desk.terms.set(asset.id, term);
  const times = leaseTimesOf(config);
  const bytesLeft = Math.max(0, bytes - report.bytesDone);
  const lengthMs = leaseLengthMs({ bytesLeft, rateBytesPerS: speaker.rateBytesPerS }, times);
  const assignment = regrantAssignment(currentOf(desk, stored), {
    term,
    nowMs,
    lengthMs,
    reservedBytes: bytes,
    bytesDone: report.bytesDone,
  });
  desk.changed.set(stored.id, { assignment });
  const state = report.bytesDone > 0 ? "running" : "granted";
  setHolder(desk, stored, holderOf(speaker, stored, { state, replica: null }));
  return "granted";
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
  await updateStandingsAfterFailure(sql, outcomes);
}

/**
 * What the node still holds, after it was lost: copies it lists with the same bytes count again, the others are dropped.
 * The sweeps draw the consequences for the assets, which may be many.
 */
async function reconcileInventory(
  sql: Sql,
  speaker: Speaker,
  inventory: NonNullable<Input["inventory"]>,
): Promise<void> {
  const listed = new Map(inventory.map((entry) => [entry.assetId, entry]));
  const replicas = await readReplicasOfNode(sql, speaker.node.id);
  const gone = replicas.filter(({ assetId, sizeBytes, sha256 }) => {
    const entry = listed.get(assetId);
    return entry === undefined || entry.sizeBytes !== sizeBytes || entry.sha256 !== sha256;
  });
  await markNodesAssetsDue(sql, speaker.node.id);
  await dropReplicas(
    sql,
    gone.map((replica) => replica.assignmentId),
  );
  for (const { sizeBytes } of gone) speaker.ledger = dropBytes(speaker.ledger, sizeBytes);
  speaker.inventoryWanted = false;
}

function toSpeaker(node: NodeRow, input: Input): Speaker {
  return {
    node,
    input,
    ledger: changeOffer(ledgerOf(node), input),
    quota: node.quota,
    rateBytesPerS: node.rateBytesPerS,
    verifiedCopies: node.verifiedCopies,
    inventoryWanted: node.inventoryWanted || node.life === "lost",
    openLeases: node.openIds.length,
    late: new Set(),
    paused: new Set(),
  };
}

/** Read, and lock, what the nodes speak of; nodes are locked already. */
async function openDesk(
  dependencies: Dependencies,
  sql: Sql,
  calls: readonly { readonly node: NodeRow; readonly input: Input }[],
): Promise<Desk> {
  const inputs = calls.map(({ input }) => input);
  const nodeIds = calls.map(({ node }) => node.id);
  const ending = inputs.flatMap((input) => [...input.finished, ...input.failed, ...input.released]);
  const open = inputs.flatMap((input) => input.open);
  const openIds = calls.flatMap(({ node }) => node.openIds);
  const reported = [...ending, ...open].map((report) => report.assignmentId);
  const mentioned = await readAssignmentsOfNodes(sql, nodeIds, [...new Set([...openIds, ...reported])]);
  // Only reports that end or revive something look at the asset; plain progress touches no shared row.
  const involvedIds = new Set(
    [
      ...inputs.flatMap((input) => [...input.finished, ...input.failed]),
      ...open.filter((report) => report.wantBytes !== undefined),
    ].map((report) => report.assignmentId),
  );
  const reportedIds = new Set(reported);
  const isRevived = ({ id, assignment }: StoredAssignment): boolean =>
    assignment.state === "expired" && reportedIds.has(id);
  const involved = mentioned.filter((one) => involvedIds.has(one.id) || isRevived(one));
  const assetIds = [...new Set(involved.map((one) => one.assetId))];
  const assets = new Map((await lockAssets(sql, assetIds)).map((asset) => [asset.id, asset]));
  const holders = Map.groupBy(await readHolders(sql, assetIds, dependencies.vetting), (row) => row.assetId);
  // Work that comes late may meet another lease, or a copy, that the same node has of the asset since.
  const lateIds = [...new Set(involved.filter((one) => !isOpen(one.assignment)).map((one) => one.assetId))];
  const held = lateIds.length === 0 ? [] : await readHoldingsOfNodes(sql, nodeIds, lateIds);
  const terms = await readLastTerms(sql, [...new Set(involved.filter(isRevived).map((one) => one.assetId))]);
  const stored = new Map([...held, ...mentioned].map((one) => [one.id, one]));
  const endingIds = new Set(ending.map((report) => report.assignmentId));
  // Of the assignments, not of the assets: a catalog that was imported again may have moved these to another origin.
  const originIds = new Set(
    [...held, ...mentioned.filter((one) => endingIds.has(one.id) || isRevived(one))].map((one) => one.originId),
  );
  const origins = new Map(await lockOrigins(sql, [...originIds], originBudgetOf(dependencies.config)));
  return {
    dependencies,
    nowMs: Math.max(...calls.map(({ node }) => node.nowMs)),
    stored,
    storedByHolding: Map.groupBy(stored.values(), holdingKey),
    assets,
    holders,
    origins,
    changed: new Map(),
    failures: new Map(),
    terms: new Map(terms),
    copied: new Set(),
  };
}

/** Its sync has shown that the node lives: so it is seen in what follows from the holders of assets. */
function showAsPresent(desk: Desk, { node: { id }, inventoryWanted }: Speaker): void {
  for (const assetId of desk.copied) {
    const rows = desk.holders.get(assetId);
    if (rows?.some((row) => row.nodeId === id) !== true) continue;
    desk.holders.set(
      assetId,
      rows.map((row) => (row.nodeId === id ? { ...row, life: "online", inventoryWanted } : row)),
    );
  }
}

/** What one sync is answered to its reports, in the order finished, failed, released. */
export type Recorded = {
  readonly answers: readonly Answer[];
  readonly lateAssets: readonly AssetId[];
  /** Listed as open without a lease; to be kept, and listed again. */
  readonly paused: ReadonlySet<AssignmentId>;
  /** What the node has open now. */
  readonly open: readonly (Pick<StoredAssignment, "id"> & { readonly assignment: OpenAssignment })[];
  readonly offeredBytes: number;
  readonly inventoryWanted: boolean;
};

/** What a group of syncs came to, and what the process that wrote it knows without reading it. */
export type RecordedGroup = {
  /** For each call, in their order. */
  readonly outcomes: readonly (Recorded | DispatcherError)[];
  /** The database's clock. */
  readonly nowMs: number;
  readonly eventIds: readonly number[];
  readonly origins: ReadonlyMap<OriginId, Origin>;
  /** Assets with a copy more, with all their holders. */
  readonly copied: readonly { readonly asset: AssetFacts; readonly holders: readonly HolderRow[] }[];
  /** Assets that stand otherwise in another way. */
  readonly otherwise: readonly AssetId[];
};

/**
 * Write down what a group of nodes says, each node once, in this transaction. For each call: what its reports are answered,
 * or the error that the node itself is refused with (KEY_INVALID when it has vanished meanwhile, NODE_RETIRED), which
 * touches none of the others. O(what is said), in a number of statements that does not grow with it.
 */
export async function recordReports(
  dependencies: Dependencies,
  sql: Sql,
  calls: readonly SyncCall[],
): Promise<RecordedGroup> {
  const rows = await lockNodes(
    sql,
    calls.map(({ nodeId }) => nodeId),
    dependencies.vetting,
  );
  const nodeById = new Map(rows.map((node) => [node.id, node]));
  const present = calls.flatMap(({ nodeId, input, network }) => {
    const node = nodeById.get(nodeId);
    return node === undefined || node.life === "retired" ? [] : [{ node, input, network }];
  });
  if (present.length === 0) {
    const outcomes = calls.map(({ nodeId }) => refusalOf(nodeById.get(nodeId)));
    return { outcomes, nowMs: 0, eventIds: [], origins: new Map(), copied: [], otherwise: [] };
  }

  const desk = await openDesk(dependencies, sql, present);
  const speakers = present.map(({ node, input }) => toSpeaker(node, input));
  const answersByNode = new Map<NodeId, readonly Answer[]>();
  for (const speaker of speakers) {
    const { input, node } = speaker;
    if (speaker.inventoryWanted && input.inventory !== undefined) {
      await reconcileInventory(sql, speaker, input.inventory);
    }
    answersByNode.set(node.id, [
      ...input.finished.map((report) => answer(desk, speaker, report, recordFinished)),
      ...input.failed.map((report) => answer(desk, speaker, report, recordFailed)),
      ...input.released.map((report) => answer(desk, speaker, report, recordReleased)),
    ]);
  }
  // After all ends: what one node gives back, another that was away may go on with.
  for (const speaker of speakers) {
    for (const report of speaker.input.open) recordOpen(desk, speaker, report);
  }

  await updateAssignments(
    sql,
    [...desk.changed].map(([id, change]) => ({ id, ...change })),
  );
  const openByNode = Map.groupBy(
    [...desk.stored.values()].flatMap((one) => {
      const assignment = currentOf(desk, one);
      return isOpen(assignment) ? [{ id: one.id, nodeId: one.nodeId, assignment }] : [];
    }),
    (one) => one.nodeId,
  );
  await updateSyncedNodes(
    sql,
    speakers.map(({ node: { id }, input, ledger, quota, rateBytesPerS, verifiedCopies, inventoryWanted }, place) => {
      const { freeBytes, agentVersion, schemes } = input;
      const said = { freeBytes, agentVersion, schemes, network: present[place]?.network ?? null };
      return {
        id,
        ...ledger,
        quota,
        rateBytesPerS,
        verifiedCopies,
        inventoryWanted,
        ...leasesOf(openByNode.get(id)),
        ...said,
      };
    }),
  );
  await settleFailures(sql, desk);
  for (const speaker of speakers) showAsPresent(desk, speaker);
  const copied = [...desk.copied].flatMap((id) => desk.assets.get(id) ?? []);
  const holders = await writeAssetStandings(sql, copied, { holders: desk.holders, nowMs: desk.nowMs });
  await updateOrigins(sql, desk.origins);
  const changes = [...desk.changed].flatMap(([id, { assignment }]) => {
    const stored = desk.stored.get(id);
    // Progress alone is no event.
    const isEvent = !isOpen(assignment) || stored?.assignment.state === "expired";
    return stored === undefined || !isEvent ? [] : [{ stored, assignment }];
  });
  const eventIds = await appendEvents(sql, toEvents(changes));
  return {
    outcomes: calls.map(({ nodeId }) => {
      const speaker = speakers.find(({ node }) => node.id === nodeId);
      if (speaker === undefined) return refusalOf(nodeById.get(nodeId));
      return {
        answers: answersByNode.get(nodeId) ?? [],
        lateAssets: [...speaker.late],
        paused: speaker.paused,
        open: openByNode.get(nodeId) ?? [],
        offeredBytes: speaker.ledger.offeredBytes,
        inventoryWanted: speaker.inventoryWanted,
      };
    }),
    nowMs: desk.nowMs,
    eventIds,
    origins: desk.origins,
    copied: copied.map((asset) => ({ asset, holders: holders.get(asset.id) ?? [] })),
    otherwise: changes.map(({ stored }) => stored.assetId).filter((id) => !desk.copied.has(id)),
  };
}

/** One event a node: which of its assignments came to which state. */
function toEvents(
  changes: readonly { readonly stored: StoredAssignment; readonly assignment: Assignment }[],
): readonly NewEvent[] {
  return [...Map.groupBy(changes, ({ stored }) => stored.nodeId)].map(([nodeId, ofNode]) => {
    const detail: Record<string, AssignmentId[]> = {};
    for (const { stored, assignment } of ofNode) (detail[assignment.state] ??= []).push(stored.id);
    return {
      kind: "node.reported",
      actor: "node",
      nodeId,
      assetIds: ofNode.map(({ stored }) => stored.assetId),
      detail,
    };
  });
}

function refusalOf(node: NodeRow | undefined): DispatcherError {
  return node === undefined
    ? new DispatcherError("KEY_INVALID", "This node is not known here any more.")
    : new DispatcherError("NODE_RETIRED", "This node has been retired.");
}
