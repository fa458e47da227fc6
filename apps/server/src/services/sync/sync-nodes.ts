import { DispatcherError, isOpen } from "@dispatcher/core";
import type { AssetId, NodeId, OpenAssignment, Origin, OriginId } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../../db/database.ts";
import { insertAssignments, readGrants } from "../../db/queries/assignments.ts";
import type { OpenGrant, StoredAssignment } from "../../db/queries/assignments.ts";
import { updateQuietNodes } from "../../db/queries/nodes.ts";
import type { Fleet, NodeDuty, NodeRow } from "../../db/queries/nodes.ts";
import { RefusalShape } from "../../wire/node.ts";
import type { NodeSyncOutput } from "../../wire/node.ts";
import { withJitter } from "../dependencies.ts";
import type { Tell } from "../group.ts";
import type { Dependencies } from "../dependencies.ts";
import type { DecisionEnd, TermedGrant } from "../feeder/feeder.ts";
import {
  admitGrants,
  claimsAfterLoss,
  decideGrants,
  grantAssignments,
  lostGrants,
  originsOfGrants,
  toAsker,
} from "../grant-assignments.ts";
import type { Claim, Decision, Granted } from "../grant-assignments.ts";
import { permitCopies } from "../evacuate.ts";
import type { Permit } from "../evacuate.ts";
import { readOriginsInView, settleOrigins, transactionWithSlots } from "../origin-slots.ts";
import type { SlotView } from "../origin-slots.ts";
import { cancelSurplus } from "../reclaim-leases.ts";
import { currentOf, offeredBy } from "./desk.ts";
import type { Input, Speaker, SyncCall } from "./desk.ts";
import { hearReports, originsAway, regrantAway } from "./reports.ts";
import type { Heard } from "./reports.ts";
import { writeOutcome, writeReports } from "./write-sync.ts";
import type { Copied, WrittenSync } from "./write-sync.ts";

/** What a node is answered. */
export type SyncReply = z.output<typeof NodeSyncOutput>;

const NOTHING_DECIDED: Decision = { grants: [], refusalByNode: new Map() };

/** A group of syncs, committed. */
type Group = {
  readonly heard: Heard;
  readonly copied: Copied;
  readonly written: WrittenSync;
  readonly origins: ReadonlyMap<OriginId, Origin>;
  readonly decision: Decision;
  readonly grants: readonly OpenGrant[];
  readonly originByAsset: ReadonlyMap<AssetId, OriginId>;
  readonly lost: readonly TermedGrant[];
};

/**
 * The one call of a node, for a group of nodes: write down what they say, give them work, tell them what they hold. All of
 * it is one transaction, and the replies say what it committed; when a reply is lost, the next sync brings the same grants
 * again. For each call, in their order, its reply or the error it is refused with: NODE_RETIRED, KEY_INVALID. Nodes with nothing
 * to say are told as soon as they are written down, which is long before the others are.
 * @throws DispatcherError DATABASE_UNAVAILABLE
 */
export async function syncNodes(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
  tell: Tell<SyncReply> = () => {},
): Promise<readonly (SyncReply | DispatcherError)[]> {
  const quiet = await syncQuietNodes(dependencies, calls);
  for (const [place, { nodeId }] of calls.entries()) {
    const reply = quiet.get(nodeId);
    if (reply !== undefined) tell(place, reply);
  }
  if (quiet.size === 0) return syncSpeakingNodes(dependencies, calls);
  const speaking = calls.filter(({ nodeId }) => !quiet.has(nodeId));
  const replies = speaking.length === 0 ? [] : await syncSpeakingNodes(dependencies, speaking);
  const replyByNode = new Map(speaking.map(({ nodeId }, place) => [nodeId, replies[place]]));
  return calls.map(({ nodeId }) => quiet.get(nodeId) ?? replyByNode.get(nodeId) ?? notKnown());
}

/**
 * Nodes with nothing to say, and nothing to be told: that they are there, all of them in one statement. Answers those for whom
 * that was all; of the others nothing is written.
 */
async function syncQuietNodes(
  { db, config, random }: Dependencies,
  calls: readonly SyncCall[],
): Promise<ReadonlyMap<NodeId, SyncReply>> {
  const quiet = calls.filter(({ input }) => isQuiet(input));
  const rows = await updateQuietNodes(
    db.sql,
    quiet.map(({ nodeId: id, input, network }) => ({ id, network, ...input })),
  );
  const nothing = {
    reports: [],
    leases: [],
    grants: [],
    cancels: [],
    refusal: null,
    inventoryWanted: false,
    deletePermits: [],
    message: null,
  };
  return new Map(
    rows.map(({ id, nowMs }) => {
      return [id, { nowMs, nextSyncMs: withJitter(config.DISPATCHER_SYNC_INTERVAL_MS, random), ...nothing }];
    }),
  );
}

function isQuiet({ wants, open, finished, failed, released }: Input): boolean {
  return wants === 0 && open.length === 0 && finished.length === 0 && failed.length === 0 && released.length === 0;
}

async function syncSpeakingNodes(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
): Promise<readonly (SyncReply | DispatcherError)[]> {
  const { group, refused, readAtMs } = await commitSyncs(dependencies, calls);
  if (group === null) return calls.map(({ nodeId }) => refused.get(nodeId) ?? notKnown());
  const { heard, written, decision, grants, lost } = group;
  await cancelSurplus(dependencies, [...new Set(heard.speakers.flatMap(({ late }) => [...late]))]);
  for (const speaker of heard.speakers) logReports(dependencies, speaker, heard);

  const floorByNode = leaseFloorsOf(calls);
  const claims = heard.speakers.flatMap((speaker) =>
    claimOf(
      speaker,
      (written.openByNode.get(speaker.node.id) ?? []).map(({ assignment }) => assignment),
    ).map((claim) => ({ ...claim, leaseFloor: floorByNode.get(claim.nodeId) })),
  );
  // What nodes went on with took of their quota and room only now: they are asked about afterwards.
  const away = new Set(heard.speakers.filter((speaker) => speaker.away.length > 0).map(({ node }) => node.id));
  const again = [...claims.filter(({ nodeId }) => away.has(nodeId)), ...claimsAfterLoss(claims, { grants, lost })];
  const laterByNode = await grantLater(dependencies, again);
  const firstByNode = Map.groupBy(grants, (grant) => grant.nodeId);
  const unheardOf = await readUnheardOf(dependencies, group);
  const permitsByNode = new Map<NodeId, readonly Permit[]>();
  for (const { node, isHoldingSame } of heard.speakers) {
    if (!node.hasLeaving) continue;
    permitsByNode.set(node.id, await permitCopies(dependencies, { nodeId: node.id, isGone: isHoldingSame }));
  }
  // Its clock has gone on since it was read; leases are told with the time as of now.
  const nowMs = Math.round(heard.desk.nowMs + performance.now() - readAtMs);
  const speakerByNode = new Map(heard.speakers.map((speaker) => [speaker.node.id, speaker]));
  return calls.map(({ nodeId }) => {
    const speaker = speakerByNode.get(nodeId);
    if (speaker === undefined) return refused.get(nodeId) ?? notKnown();
    const later = laterByNode.get(nodeId);
    const granted: Granted = {
      grants: [...(unheardOf.get(nodeId) ?? []), ...(firstByNode.get(nodeId) ?? []), ...(later?.grants ?? [])],
      refusal: later?.refusal ?? decision.refusalByNode.get(nodeId) ?? null,
    };
    return replyTo(dependencies, speaker, {
      heard,
      written,
      granted,
      nowMs,
      permits: permitsByNode.get(nodeId) ?? [],
    });
  });
}

/** What is committed is told, whatever becomes of the rest: with a database that has just gone away, it waits for the next sync. */
async function grantLater(dependencies: Dependencies, claims: readonly Claim[]): Promise<ReadonlyMap<NodeId, Granted>> {
  try {
    return await grantAssignments(dependencies, claims);
  } catch (error) {
    if (!(error instanceof DispatcherError) || error.code !== "DATABASE_UNAVAILABLE") throw error;
    dependencies.log.warn({ event: "grants.put_off", nodes: claims.length }, error.detail);
    return new Map();
  }
}

function leaseFloorsOf(calls: readonly SyncCall[]): ReadonlyMap<NodeId, SyncCall["leaseFloor"]> {
  return new Map(calls.map(({ nodeId, leaseFloor }) => [nodeId, leaseFloor]));
}

function notKnown(): DispatcherError {
  return new DispatcherError("KEY_INVALID", "This node is not known here any more.");
}

/** What a node asks for; what its open leases have still to bring is work that it has. */
function claimOf({ node, input }: Speaker, open: readonly OpenAssignment[]): readonly Claim[] {
  if (input.wants === 0) return [];
  const openBytes = open.reduce((sum, lease) => sum + Math.max(0, lease.reservedBytes - lease.bytesDone), 0);
  return [{ nodeId: node.id, wants: input.wants, openBytes }];
}

/** What a node has open after its reports, without what is granted anew. */
function openAfterReports({ desk }: Heard, { node }: Speaker): readonly OpenAssignment[] {
  return node.openIds.flatMap((id) => {
    const stored = desk.stored.get(id);
    const assignment = stored === undefined ? undefined : currentOf(desk, stored);
    return assignment !== undefined && isOpen(assignment) ? [assignment] : [];
  });
}

/**
 * One transaction: nodes are locked, then the assets they finished, and the reports judged; then the claims are decided in
 * memory, and all is written; last and for the shortest time the origins are locked.
 */
async function commitSyncs(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
): Promise<{ group: Group | null; refused: ReadonlyMap<NodeId, DispatcherError>; readAtMs: number }> {
  const { db, feeder } = dependencies;
  const floorByNode = leaseFloorsOf(calls);
  const wanted = calls.reduce((sum, { input }) => sum + input.wants, 0);
  if (wanted > 0) await feeder.prepare(wanted);
  const fleet = wanted > 0 ? await feeder.fleet() : null;
  let readAtMs = 0;
  // Decided once: a transaction that is repeated writes what still holds.
  let decision: Decision | null = null;
  const end: DecisionEnd = { decided: [], lost: [], isUndone: true };
  try {
    const { group, refused } = await transactionWithSlots(db, async (sql, view) => {
      const { heard, refused: refusedNow } = await hearReports(dependencies, sql, calls);
      readAtMs = performance.now();
      if (heard === null) return { group: null, refused: refusedNow };
      const copied = await writeReports(sql, heard);
      decision ??= fleet === null ? NOTHING_DECIDED : await decideFor(dependencies, heard, fleet);
      end.decided = decision.grants;
      const outcome = await writeDecision(dependencies, sql, heard, { decision, view, floorByNode });
      const lost = lostGrants(decision.grants, outcome.grants);
      end.lost = lost;
      return { group: { heard, copied, decision, lost, ...outcome }, refused: refusedNow };
    });
    end.isUndone = false;
    if (group !== null) {
      applyToFeeder(dependencies, group);
      rememberLeases(dependencies, group);
    }
    return { group, refused, readAtMs };
  } finally {
    feeder.settle(end);
  }
}

function decideFor(dependencies: Dependencies, heard: Heard, fleet: Fleet): Promise<Decision> {
  const askers = heard.speakers.flatMap((speaker) => {
    if (speaker.away.length > 0) return [];
    const { node, input, ledger, openLeases, quota, rateBytesPerS, verifiedCopies } = speaker;
    const { freeBytes, schemes } = input;
    const said = { ledger, openLeases, quota, rateBytesPerS, verifiedCopies, freeBytes, schemes };
    return claimOf(speaker, openAfterReports(heard, speaker)).map((claim) =>
      toAsker(dependencies, fleet, { ...node, ...said }, claim),
    );
  });
  // What these reports give back is free for what these nodes ask.
  for (const [id, slots] of heard.desk.slotsBack) dependencies.feeder.giveBack(id, slots);
  return decideGrants(dependencies, { askers, fleet, nowMs: heard.desk.nowMs });
}

async function writeDecision(
  dependencies: Dependencies,
  sql: Sql,
  heard: Heard,
  {
    decision,
    view,
    floorByNode,
  }: {
    readonly decision: Decision;
    readonly view: SlotView;
    readonly floorByNode: ReturnType<typeof leaseFloorsOf>;
  },
): Promise<Pick<Group, "origins" | "grants" | "originByAsset" | "written">> {
  const { desk, speakers } = heard;
  const { nowMs } = desk;
  const away = originsAway(heard);
  const ids = [...away, ...decision.grants.map(({ originId }) => originId)];
  const read = view.isFirst && away.length === 0 ? null : await readOriginsInView(dependencies, sql, ids, view);
  if (read !== null) regrantAway(heard, read);
  const nodes = new Map(
    speakers.map(({ node, ledger, rateBytesPerS }) => [
      node.id,
      { ledger, rateBytesPerS, operatorId: node.operatorId, leaseFloor: floorByNode.get(node.id) },
    ]),
  );
  const admitted = admitGrants(dependencies, decision.grants, { origins: read, nodes, nowMs });
  const grants = await insertAssignments(sql, admitted, nowMs);
  const written = await writeOutcome(sql, heard, grants);
  const originByAsset = originsOfGrants(admitted);
  const taken = [...desk.slotsTaken, ...grants.flatMap(({ asset }) => originByAsset.get(asset.id) ?? [])];
  const origins = await settleOrigins(dependencies, sql, { changes: desk.originChanges, taken, nowMs });
  return { origins, grants, originByAsset, written };
}

/** What this process has written, its view of the queues knows at once. */
function applyToFeeder({ feeder }: Dependencies, { heard, copied, written, origins }: Group): void {
  feeder.own(written.eventIds);
  feeder.putOrigins(origins);
  for (const one of copied) feeder.putCopied(one.asset, one, heard.desk.nowMs);
  feeder.markStale([...written.otherwise, ...heard.desk.turns.keys(), ...heard.desk.seenBytes.keys()]);
}

/** What the nodes have open from now on. */
function rememberLeases({ knownLeases }: Dependencies, { heard, written, grants, originByAsset }: Group): void {
  const { desk, speakers } = heard;
  const openByNode = new Map<NodeId, StoredAssignment[]>(speakers.map(({ node }) => [node.id, []]));
  for (const stored of desk.stored.values()) {
    const change = desk.changed.get(stored.id);
    const assignment = change?.assignment ?? stored.assignment;
    if (!isOpen(assignment)) continue;
    openByNode
      .get(stored.nodeId)
      ?.push({ ...stored, assignment, isSurplus: stored.isSurplus && change?.isNeeded !== true });
  }
  const operatorByNode = new Map(speakers.map(({ node }) => [node.id, node.operatorId]));
  for (const { nodeId, assignmentId: id, term, expiresAtMs, reservedBytes, asset } of grants) {
    const [operatorId, originId] = [operatorByNode.get(nodeId), originByAsset.get(asset.id)];
    if (operatorId === undefined || originId === undefined) continue;
    const lease = {
      state: "granted",
      term,
      grantedAtMs: desk.nowMs,
      expiresAtMs,
      reservedBytes,
      bytesDone: 0,
    } as const;
    openByNode
      .get(nodeId)
      ?.push({ id, assetId: asset.id, nodeId, operatorId, originId, isSurplus: false, assignment: lease });
  }
  for (const [id, leases] of openByNode) knownLeases.put(id, { version: written.version, leases });
}

/** Leases that a node does not list: the reply that granted them was lost. */
async function readUnheardOf(
  { db }: Dependencies,
  { heard, written }: Group,
): Promise<ReadonlyMap<NodeId, readonly OpenGrant[]>> {
  const ids = heard.speakers.flatMap(({ node, input }) => {
    const listed = new Set(input.open.map((report) => report.assignmentId));
    return (written.openByNode.get(node.id) ?? []).map(({ id }) => id).filter((id) => !listed.has(id));
  });
  return Map.groupBy(await readGrants(db.sql, ids), (grant) => grant.nodeId);
}

function logReports({ log }: Dependencies, { node, input }: Speaker, { answersByNode }: Heard): void {
  for (const { assignmentId, outcome, code, message } of answersByNode.get(node.id) ?? []) {
    if (outcome === "rejected") log.warn({ event: "report.rejected", nodeId: node.id, assignmentId, code }, message);
  }
  for (const { assignmentId, code, message } of input.failed) {
    log.info({ event: "copy.failed", nodeId: node.id, assignmentId, code }, message);
  }
}

function replyTo(
  { config, random }: Dependencies,
  { node, input, ledger, paused, stopped, isAskedForInventory }: Speaker,
  {
    heard,
    written,
    granted,
    nowMs,
    permits,
  }: {
    readonly heard: Heard;
    readonly written: WrittenSync;
    readonly granted: Granted;
    readonly nowMs: number;
    readonly permits: readonly Permit[];
  },
): SyncReply {
  const openById = new Map((written.openByNode.get(node.id) ?? []).map(({ id, assignment }) => [id, assignment]));
  return {
    nowMs,
    nextSyncMs: withJitter(config.DISPATCHER_SYNC_INTERVAL_MS, random),
    reports: [...(heard.answersByNode.get(node.id) ?? [])],
    leases: input.open.flatMap(({ assignmentId }) => {
      const lease = openById.get(assignmentId);
      if (lease === undefined || stopped.has(assignmentId)) return [];
      const { term, expiresAtMs, reservedBytes } = lease;
      return [{ assignmentId, term, expiresAtMs, reservedBytes }];
    }),
    grants: granted.grants.map(({ nodeId: _node, ...grant }) => ({ ...grant })),
    cancels: input.open
      .filter(({ assignmentId: id }) => stopped.has(id) || (!openById.has(id) && !paused.has(id)))
      .map(({ assignmentId }) => ({ assignmentId, reason: "The lease is over and the copy is not needed any more." })),
    refusal: granted.refusal === null ? null : RefusalShape.parse(granted.refusal),
    inventoryWanted: isAskedForInventory,
    deletePermits: [...permits],
    message: messageOf(node, offerMessage(offeredBy(node, input), ledger.offeredBytes)),
  };
}

/** What people have told this volunteer, then what follows from the node's duty and its offer; null for nothing. */
function messageOf({ duty, message }: NodeRow, ofOffer: string | null): string | null {
  const said = [message, DUTY_MESSAGES[duty], ofOffer].filter((line) => line !== null);
  return said.length === 0 ? null : said.join(" ");
}

const DUTY_MESSAGES: Readonly<Record<NodeDuty, string | null>> = {
  active: null,
  draining: "This node gets no new work for now: it drains.",
  leaving: "This node is leaving: keep it running until its copies are elsewhere.",
  blocked: "This node is blocked: it gets no work and its copies do not count. Ask your coordinator.",
};

/** Space that is in use cannot be taken back by a smaller number: say so instead of ignoring it. */
function offerMessage(askedBytes: number, offeredBytes: number): string | null {
  return offeredBytes > askedBytes
    ? `You offer ${askedBytes} bytes, and ${offeredBytes} are in use: there will be no new work until copies are given back.`
    : null;
}
