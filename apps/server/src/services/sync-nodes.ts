import { DispatcherError } from "@dispatcher/core";
import type { Refusal } from "@dispatcher/core";
import type { z } from "zod";
import { readOpenGrants } from "../db/queries/assignments.ts";
import type { OpenGrant } from "../db/queries/assignments.ts";
import { readNodeStandings } from "../db/queries/nodes.ts";
import { RefusalShape } from "../wire/node.ts";
import type { NodeSyncOutput } from "../wire/node.ts";
import { withJitter } from "./dependencies.ts";
import type { Dependencies } from "./dependencies.ts";
import { grantAssignments } from "./grant-assignments.ts";
import { cancelSurplus } from "./reclaim-leases.ts";
import { recordReports } from "./record-reports.ts";
import type { Recorded, SyncCall } from "./record-reports.ts";

/** What a node is answered. */
export type SyncReply = z.output<typeof NodeSyncOutput>;
type NodeStanding = Awaited<ReturnType<typeof readNodeStandings>>[number];

/**
 * The one call of a node, for a group of nodes: write down what they say, give them work, tell them what they hold. The
 * steps are transactions of their own, and the replies are read from what is committed: when a reply is lost, the next
 * sync brings the same grants again. For each call, in their order, its reply or the error it is refused with: NODE_RETIRED,
 * KEY_INVALID.
 * @throws DispatcherError DATABASE_UNAVAILABLE
 */
export async function syncNodes(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
): Promise<readonly (SyncReply | DispatcherError)[]> {
  const { db } = dependencies;
  const recorded = await db.transaction((sql) => recordReports(dependencies, sql, calls));
  const spoken = calls.flatMap((call, place) => {
    const record = recorded[place];
    return record === undefined || record instanceof DispatcherError ? [] : [{ call, record }];
  });
  await cancelSurplus(
    dependencies,
    spoken.flatMap(({ record }) => record.lateAssets),
  );
  for (const { call, record } of spoken) logReports(dependencies, call, record);

  const refusalByNode = await grantAssignments(
    dependencies,
    spoken.flatMap(({ call: { nodeId, input } }) => (input.wants > 0 ? [{ nodeId, wants: input.wants }] : [])),
  );
  const nodeIds = spoken.map(({ call }) => call.nodeId);
  const openByNode = Map.groupBy(await readOpenGrants(db.sql, nodeIds), (grant) => grant.nodeId);
  const standingByNode = new Map((await readNodeStandings(db.sql, nodeIds)).map((standing) => [standing.id, standing]));
  return calls.map((call, place) => {
    const record = recorded[place];
    const standing = standingByNode.get(call.nodeId);
    if (record instanceof DispatcherError) return record;
    if (record === undefined || standing === undefined) {
      return new DispatcherError("KEY_INVALID", "This node is not known here any more.");
    }
    const refusal = refusalByNode.get(call.nodeId) ?? null;
    return replyTo(dependencies, call, { record, refusal, open: openByNode.get(call.nodeId) ?? [], standing });
  });
}

function logReports({ log }: Dependencies, { nodeId, input }: SyncCall, { answers }: Recorded): void {
  for (const { assignmentId, outcome, code, message } of answers) {
    if (outcome === "rejected") log.warn({ event: "report.rejected", nodeId, assignmentId, code }, message);
  }
  for (const { assignmentId, code, message } of input.failed) {
    log.info({ event: "copy.failed", nodeId, assignmentId, code }, message);
  }
}

function replyTo(
  { config, random }: Dependencies,
  { input }: SyncCall,
  told: {
    readonly record: Recorded;
    readonly refusal: Refusal | null;
    readonly open: readonly OpenGrant[];
    readonly standing: NodeStanding;
  },
): SyncReply {
  const { record, refusal, open, standing } = told;
  const knownIds = new Set(input.open.map((report) => report.assignmentId));
  const openIds = new Set(open.map((grant) => grant.assignmentId));
  return {
    nowMs: standing.nowMs,
    nextSyncMs: withJitter(config.DISPATCHER_SYNC_INTERVAL_MS, random),
    reports: [...record.answers],
    leases: open
      .filter((grant) => knownIds.has(grant.assignmentId))
      .map(({ assignmentId, term, expiresAtMs, reservedBytes }) => ({
        assignmentId,
        term,
        expiresAtMs,
        reservedBytes,
      })),
    grants: open
      .filter((grant) => !knownIds.has(grant.assignmentId))
      .map(({ nodeId: _node, ...grant }) => ({ ...grant })),
    cancels: input.open
      .filter(({ assignmentId }) => !openIds.has(assignmentId) && !record.paused.has(assignmentId))
      .map(({ assignmentId }) => ({ assignmentId, reason: "The lease is over and the copy is not needed any more." })),
    refusal: refusal === null ? null : RefusalShape.parse(refusal),
    inventoryWanted: standing.inventoryWanted,
    message: offerMessage(input.offeredBytes, standing.offeredBytes),
  };
}

/** Space that is in use cannot be taken back by a smaller number: say so instead of ignoring it. */
function offerMessage(askedBytes: number, offeredBytes: number): string | null {
  return offeredBytes > askedBytes
    ? `You offer ${askedBytes} bytes, and ${offeredBytes} are in use: there will be no new work until copies are given back.`
    : null;
}
