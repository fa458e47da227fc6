/**
 * What nodes say in their syncs, judged one report after the other: nothing of it is acknowledged before it is committed, and
 * each report may come again. One bad report is refused by itself and never fails its neighbours.
 */
import {
  DispatcherError,
  addCopies,
  cancelIfNotStarted,
  completeAssignment,
  failAssignment,
  failureClassOf,
  holdBytes,
  isOpen,
  isPresent,
  isSameHolding,
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
  reserveBytes,
  roomBytes,
  takeSlots,
} from "@dispatcher/core";
import type { AssignmentId, NodeId, Origin, OriginId } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../../db/database.ts";
import { hasCrowdedAsset, readSurplus } from "../../db/queries/assignments.ts";
import type { StoredAssignment } from "../../db/queries/assignments.ts";
import { lockNodes } from "../../db/queries/nodes.ts";
import type { NodeRow } from "../../db/queries/nodes.ts";
import { markNodesAssetsDue } from "../../db/queries/standings.ts";
import type { AssetFacts } from "../../db/queries/standings.ts";
import type { NodeSyncOutput } from "../../wire/node.ts";
import { bytesToReserve, toHolders } from "../asset-standing.ts";
import type { Dependencies } from "../dependencies.ts";
import { hashText } from "../hash-text.ts";
import { leaseTimesOf } from "../settings.ts";
import {
  changeOrigin,
  currentOf,
  endOpen,
  find,
  holderOf,
  noteSize,
  openDesk,
  otherHolding,
  setHolder,
  showAsPresent,
  takeTurn,
  toSpeaker,
} from "./desk.ts";
import type { Desk, Input, Open, Speaker, SyncCall } from "./desk.ts";

type Answer = z.output<typeof NodeSyncOutput>["reports"][number];
type Finished = Input["finished"][number];
type Failed = Input["failed"][number];

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
  const copies = others.filter((row) =>
    row.replica === null ? row.state === "running" : isPresent(row) && !row.isSurplus,
  ).length;
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
  const copies = others.filter((row) => row.replica !== null && isPresent(row) && !row.isSurplus).length;
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
  // A grant's turn is its term; who comes late takes one anew, so that a grant under way that does not know of it fails.
  const turn = timing === "late" ? takeTurn(desk, asset.id) : before.term;
  setHolder(desk, stored, holderOf(speaker, stored, { state: "stored", replica, turn, isSurplus: false }));
  noteSize(desk, asset, sizeBytes);
  speaker.ledger = ledger;
  speaker.added.push({ assetId: asset.id, sizeBytes, sha256 });
  changeOrigin(desk, stored.originId, (origin) => recordSuccess(origin, desk.nowMs));
  speaker.quota = raisedQuota(speaker.quota, desk.dependencies.config.DISPATCHER_QUOTA_MAX);
  speaker.rateBytesPerS = measuredRate(speaker.rateBytesPerS, report);
  speaker.verifiedCopies += 1;
  const { etag, lastModified } = report;
  const copy = { sizeBytes, sha256, trust, etag, lastModified };
  desk.changed.set(stored.id, { assignment, copy, ...(timing === "late" ? { turn } : {}) });
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
    if (before.state === "expired" && before.term === report.term) speaker.away.push({ stored, report });
    return;
  }
  if (before.term !== report.term) {
    // What it says of an older term is not believed; and what is not needed is not to be begun.
    if (stored.isSurplus) speaker.stopped.add(stored.id);
    return;
  }
  const hasBegun = report.state === "running" || report.bytesDone > 0;
  if (stored.isSurplus && (!hasBegun || isUnwanted(desk, speaker, stored))) {
    speaker.stopped.add(stored.id);
    return;
  }
  const asset = desk.assets.get(stored.assetId);
  if (asset !== undefined) noteSize(desk, asset, report.wantBytes ?? 0);
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
  const change = { assignment: { ...after, reservedBytes } };
  desk.changed.set(stored.id, stored.isSurplus ? { ...change, isNeeded: true } : change);
}

/** A lease that was to end, and goes on because its report was refused, is looked at after all. */
async function learnSurplus(sql: Sql, desk: Desk, { node }: Speaker): Promise<void> {
  const goingOn = node.openIds.filter((id) => {
    const stored = desk.stored.get(id);
    return stored !== undefined && desk.remembered.has(id) && isOpen(currentOf(desk, stored));
  });
  for (const id of await readSurplus(sql, goingOn)) {
    const stored = desk.stored.get(id);
    if (stored !== undefined) desk.stored.set(id, { ...stored, isSurplus: true });
  }
}

/**
 * Surplus leases that a node does not list: it has stopped when it was told, or never heard of the grant. Only now may
 * another fetch take the slot.
 */
function endSurplus(desk: Desk, speaker: Speaker): void {
  const listed = new Set(speaker.input.open.map((report) => report.assignmentId));
  for (const id of speaker.node.openIds) {
    const stored = desk.stored.get(id);
    if (stored === undefined || !stored.isSurplus || listed.has(id)) continue;
    const before = currentOf(desk, stored);
    if (!isOpen(before)) continue;
    const cancelled = cancelIfNotStarted(before);
    // One that had begun and was stopped all the same is given back, by the word of the node that does not list it.
    endOpen(desk, speaker, stored, isOpen(cancelled) ? releaseAssignment(before, before).assignment : cancelled);
  }
}

/** Its copy is not to be made any more, so the lease ends though it has begun: bytes do not pay for it. */
function isUnwanted(desk: Desk, { node }: Speaker, { assetId }: StoredAssignment): boolean {
  return node.duty === "blocked" || desk.assets.get(assetId)?.state === "withdrawn";
}

/**
 * The node was away, its lease has been reclaimed, and it is still at it: where the asset has a place and the ledger and the
 * origin have room, it is granted anew, so that its partial file is not wasted. `later`: the copy is still welcome, and what
 * is missing (quota, room, a slot) may be there with the next sync. `no`: it is told to stop.
 */
function regrant(
  desk: Desk,
  speaker: Speaker,
  { stored, report }: Speaker["away"][number],
  origins: Map<OriginId, Origin>,
): "granted" | "later" | "no" {
  const { config } = desk.dependencies;
  const { nowMs } = desk;
  const asset = desk.assets.get(stored.assetId);
  const origin = origins.get(stored.originId);
  if (asset === undefined || asset.state !== "wanted") return "no";
  // A catalog that was imported again may have moved it to another origin.
  if (asset.originId !== stored.originId) return "no";
  if (speaker.node.duty !== "active") return "no";
  if (otherHolding(desk, stored) !== undefined) return "no";
  const holders = toHolders(desk.holders.get(asset.id) ?? []);
  const isDouble = holders.some((holder) => holder.counts && holder.operatorId === stored.operatorId);
  if (isDouble || placesLeft(holders, asset.copies) === 0) return "no";
  const bytes = Math.max(bytesToReserve(asset, config.DISPATCHER_UNKNOWN_SIZE_BYTES), report.wantBytes ?? 0);
  if (speaker.openLeases >= speaker.quota || bytes > roomBytes(speaker.ledger)) return "later";
  if (origin === undefined || openSlots(origin, nowMs).slots === 0) return "later";
  speaker.ledger = reserveBytes(speaker.ledger, bytes);
  speaker.openLeases += 1;
  origins.set(stored.originId, takeSlots(origin, 1, nowMs));
  desk.slotsTaken.push(stored.originId);
  const term = takeTurn(desk, asset.id);
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
  desk.changed.set(stored.id, { assignment, turn: term });
  const state = report.bytesDone > 0 ? "running" : "granted";
  setHolder(desk, stored, holderOf(speaker, stored, { state, replica: null, turn: term, isSurplus: false }));
  return "granted";
}

/**
 * Compare what the node says that it holds with what is on record now that its reports are heard: the two are one where
 * nothing is wrong, as its holding is told with the copies that it reports. Else it is asked for its inventory. Where a
 * report was refused they differ for good reason, and the next sync shows what the node made of the refusal.
 *
 * A node that was lost has shown by it that all its copies are there, and they count again; the sweeps draw the consequences
 * for the assets, which may be many. Where others were made in their place, its inventory tells which of them are too many.
 */
async function compareHolding(sql: Sql, speaker: Speaker, answers: readonly Answer[]): Promise<void> {
  const { holding } = speaker.input;
  if (holding === undefined || answers.some(({ outcome }) => outcome === "rejected")) return;
  const isSame = isSameHolding(holding, speaker.holding);
  speaker.isHoldingSame = isSame;
  speaker.isAskedForInventory = !isSame;
  if (!isSame || !speaker.inventoryWanted || speaker.node.duty === "blocked") return;
  speaker.inventoryWanted = false;
  speaker.isAskedForInventory = await hasCrowdedAsset(sql, speaker.node.id);
  await markNodesAssetsDue(sql, speaker.node.id);
}

/** What nodes have said, judged under the locks of nodes and assets, and not written yet. */
export type Heard = {
  readonly desk: Desk;
  /** Those that are known and not retired, in the order of their calls. */
  readonly speakers: readonly Speaker[];
  /** To their reports, in the order finished, failed, released. */
  readonly answersByNode: ReadonlyMap<NodeId, readonly Answer[]>;
  readonly networkByNode: ReadonlyMap<NodeId, string | null>;
};

/**
 * Lock the nodes that speak, and what they speak of, and judge their reports. The error that a node itself is refused with
 * (KEY_INVALID when it has vanished, NODE_RETIRED) touches none of the others. O(what is said), in a number of statements
 * that does not grow with it.
 */
export async function hearReports(
  dependencies: Dependencies,
  sql: Sql,
  calls: readonly SyncCall[],
): Promise<{ readonly heard: Heard | null; readonly refused: ReadonlyMap<NodeId, DispatcherError> }> {
  const rows = await lockNodes(
    sql,
    calls.map(({ nodeId }) => nodeId),
    dependencies.vetting,
  );
  const nodeById = new Map(rows.map((node) => [node.id, node]));
  const refused = new Map<NodeId, DispatcherError>();
  const present = calls.flatMap(({ nodeId, input }) => {
    const node = nodeById.get(nodeId);
    if (node !== undefined && node.life !== "retired") return [{ node, input }];
    refused.set(nodeId, refusalOf(node));
    return [];
  });
  if (present.length === 0) return { heard: null, refused };
  const desk = await openDesk(dependencies, sql, present);
  const speakers = present.map(({ node, input }) => toSpeaker(node, input));
  const answersByNode = new Map<NodeId, readonly Answer[]>();
  for (const speaker of speakers) {
    const { input, node } = speaker;
    const finished = input.finished.map((report) => answer(desk, speaker, report, recordFinished));
    speaker.holding = addCopies(speaker.holding, speaker.added, hashText);
    answersByNode.set(node.id, [
      ...finished,
      ...input.failed.map((report) => answer(desk, speaker, report, recordFailed)),
      ...input.released.map((report) => answer(desk, speaker, report, recordReleased)),
    ]);
    await compareHolding(sql, speaker, finished);
    await learnSurplus(sql, desk, speaker);
    // Those who speak after it in this group see its copies as they are from now on.
    showAsPresent(desk, speaker);
    for (const report of input.open) recordOpen(desk, speaker, report);
    endSurplus(desk, speaker);
  }
  const networkByNode = new Map(calls.map(({ nodeId, network }) => [nodeId, network]));
  return { heard: { desk, speakers, answersByNode, networkByNode }, refused };
}

/** Origins that nodes were away from with a lease. */
export function originsAway({ speakers }: Heard): readonly OriginId[] {
  return speakers.flatMap(({ away }) => away.map(({ stored }) => stored.originId));
}

/**
 * Take up what nodes that were away go on with, after all ends, for what one node gives back another may take: `origins` as
 * they were read, which are what they will be when the reports have had their effect and these leases their slots.
 */
export function regrantAway({ desk, speakers }: Heard, origins: Map<OriginId, Origin>): void {
  for (const { id, change } of desk.originChanges) {
    const origin = origins.get(id);
    if (origin !== undefined) origins.set(id, change(origin));
  }
  for (const speaker of speakers) {
    for (const away of speaker.away) {
      if (regrant(desk, speaker, away, origins) === "later") speaker.paused.add(away.stored.id);
    }
  }
}

function refusalOf(node: NodeRow | undefined): DispatcherError {
  return node === undefined
    ? new DispatcherError("KEY_INVALID", "This node is not known here any more.")
    : new DispatcherError("NODE_RETIRED", "This node has been retired.");
}
