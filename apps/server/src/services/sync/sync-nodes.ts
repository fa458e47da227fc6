import { DispatcherError, isOpen } from "@dispatcher/core";
import type { NodeId, OpenAssignment, Origin, OriginId } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../../db/database.ts";
import { insertAssignments, readGrants } from "../../db/queries/assignments.ts";
import type { OpenGrant } from "../../db/queries/assignments.ts";
import { lockOrigins } from "../../db/queries/origins.ts";
import type { Fleet } from "../../db/queries/nodes.ts";
import { RefusalShape } from "../../wire/node.ts";
import type { NodeSyncOutput } from "../../wire/node.ts";
import { withJitter } from "../dependencies.ts";
import type { Dependencies } from "../dependencies.ts";
import type { DecisionEnd, TermedGrant } from "../feeder/feeder.ts";
import {
  admitGrants,
  claimsAfterLoss,
  decideGrants,
  grantAssignments,
  lostGrants,
  takeOriginSlots,
  toAsker,
} from "../grant-assignments.ts";
import type { Claim, Decision, Granted } from "../grant-assignments.ts";
import { cancelSurplus } from "../reclaim-leases.ts";
import { originBudgetOf } from "../settings.ts";
import { currentOf } from "./desk.ts";
import type { Speaker, SyncCall } from "./desk.ts";
import { hearReports, originsOf, settleOrigins } from "./reports.ts";
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
  readonly lost: readonly TermedGrant[];
};

/**
 * The one call of a node, for a group of nodes: write down what they say, give them work, tell them what they hold. All of
 * it is one transaction, and the replies say what it committed; when a reply is lost, the next sync brings the same grants
 * again. For each call, in their order, its reply or the error it is refused with: NODE_RETIRED, KEY_INVALID.
 * @throws DispatcherError DATABASE_UNAVAILABLE
 */
export async function syncNodes(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
): Promise<readonly (SyncReply | DispatcherError)[]> {
  const { group, refused, readAtMs } = await commitSyncs(dependencies, calls);
  if (group === null) return calls.map(({ nodeId }) => refused.get(nodeId) ?? notKnown());
  const { heard, written, decision, grants, lost } = group;
  await cancelSurplus(dependencies, [...new Set(heard.speakers.flatMap(({ late }) => [...late]))]);
  for (const speaker of heard.speakers) logReports(dependencies, speaker, heard);

  const claims = heard.speakers.flatMap((speaker) =>
    claimOf(
      speaker,
      (written.openByNode.get(speaker.node.id) ?? []).map(({ assignment }) => assignment),
    ),
  );
  // What nodes went on with took of their quota and room only now: they are asked about afterwards.
  const away = new Set(heard.speakers.filter((speaker) => speaker.away.length > 0).map(({ node }) => node.id));
  const again = [...claims.filter(({ nodeId }) => away.has(nodeId)), ...claimsAfterLoss(claims, { grants, lost })];
  const laterByNode = await grantAssignments(dependencies, again);
  const firstByNode = Map.groupBy(grants, (grant) => grant.nodeId);
  const unheardOf = await readUnheardOf(dependencies, group);
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
    return replyTo(dependencies, speaker, { heard, written, granted, nowMs });
  });
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
 * memory; last and for the shortest time the origins are locked, and all is written.
 */
async function commitSyncs(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
): Promise<{ group: Group | null; refused: ReadonlyMap<NodeId, DispatcherError>; readAtMs: number }> {
  const { db, feeder } = dependencies;
  const wanted = calls.reduce((sum, { input }) => sum + input.wants, 0);
  if (wanted > 0) await feeder.prepare(wanted);
  const fleet = wanted > 0 ? await feeder.fleet() : null;
  let readAtMs = 0;
  // Decided once: a transaction that is repeated writes what still holds.
  let decision: Decision | null = null;
  const end: DecisionEnd = { decided: [], lost: [], isUndone: true };
  try {
    const { group, refused } = await db.transaction(async (sql) => {
      const { heard, refused: refusedNow } = await hearReports(dependencies, sql, calls);
      readAtMs = performance.now();
      if (heard === null) return { group: null, refused: refusedNow };
      const copied = await writeReports(sql, heard);
      decision ??= fleet === null ? NOTHING_DECIDED : await decideFor(dependencies, heard, fleet);
      end.decided = decision.grants;
      const { origins, grants, written } = await writeDecision(dependencies, sql, heard, decision);
      const lost = lostGrants(decision.grants, grants);
      end.lost = lost;
      return { group: { heard, copied, written, origins, decision, grants, lost }, refused: refusedNow };
    });
    end.isUndone = false;
    if (group !== null) applyToFeeder(dependencies, group);
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

/** Last and for the shortest time the origins are locked: other groups wait for them. */
async function writeDecision(
  dependencies: Dependencies,
  sql: Sql,
  heard: Heard,
  decision: Decision,
): Promise<Pick<Group, "origins" | "grants" | "written">> {
  const { nowMs } = heard.desk;
  const originIds = new Set([...originsOf(heard), ...decision.grants.map((grant) => grant.originId)]);
  const locked = new Map(await lockOrigins(sql, [...originIds], originBudgetOf(dependencies.config)));
  settleOrigins(heard, locked);
  const nodes = new Map(
    heard.speakers.map(({ node, ledger, rateBytesPerS }) => [
      node.id,
      { ledger, rateBytesPerS, operatorId: node.operatorId },
    ]),
  );
  const admitted = admitGrants(dependencies, decision.grants, { origins: locked, nodes, nowMs });
  const grants = await insertAssignments(sql, admitted, nowMs);
  const origins = takeOriginSlots(locked, admitted, grants, nowMs);
  return { origins, grants, written: await writeOutcome(sql, heard, { origins, grants }) };
}

/** What this process has written, its view of the queues knows at once. */
function applyToFeeder({ feeder }: Dependencies, { heard, copied, written, origins }: Group): void {
  feeder.own(written.eventIds);
  feeder.putOrigins(origins);
  for (const { asset, holders } of copied) feeder.putCopied(asset, holders, heard.desk.nowMs);
  feeder.markStale([...written.otherwise, ...heard.desk.turns.keys()]);
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
  }: { readonly heard: Heard; readonly written: WrittenSync; readonly granted: Granted; readonly nowMs: number },
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
    message: offerMessage(input.offeredBytes, ledger.offeredBytes),
  };
}

/** Space that is in use cannot be taken back by a smaller number: say so instead of ignoring it. */
function offerMessage(askedBytes: number, offeredBytes: number): string | null {
  return offeredBytes > askedBytes
    ? `You offer ${askedBytes} bytes, and ${offeredBytes} are in use: there will be no new work until copies are given back.`
    : null;
}
