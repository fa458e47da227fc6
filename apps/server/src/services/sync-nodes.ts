import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { readGrants } from "../db/queries/assignments.ts";
import type { OpenGrant } from "../db/queries/assignments.ts";
import { RefusalShape } from "../wire/node.ts";
import type { NodeSyncOutput } from "../wire/node.ts";
import { withJitter } from "./dependencies.ts";
import type { Dependencies } from "./dependencies.ts";
import { grantAssignments } from "./grant-assignments.ts";
import type { Granted } from "./grant-assignments.ts";
import { cancelSurplus } from "./reclaim-leases.ts";
import { recordReports } from "./record-reports.ts";
import type { Recorded, RecordedGroup, SyncCall } from "./record-reports.ts";

/** What a node is answered. */
export type SyncReply = z.output<typeof NodeSyncOutput>;

/**
 * The one call of a node, for a group of nodes: write down what they say, give them work, tell them what they hold. Reports
 * and grants are transactions of their own, and the replies say what these committed; when a reply is lost, the next sync
 * brings the same grants again. For each call, in their order, its reply or the error it is refused with: NODE_RETIRED,
 * KEY_INVALID.
 * @throws DispatcherError DATABASE_UNAVAILABLE
 */
export async function syncNodes(
  dependencies: Dependencies,
  calls: readonly SyncCall[],
): Promise<readonly (SyncReply | DispatcherError)[]> {
  const { db } = dependencies;
  const begunAt = performance.now();
  const group = await db.transaction((sql) => recordReports(dependencies, sql, calls));
  applyToFeeder(dependencies, group);
  const spoken = calls.flatMap((call, place) => {
    const record = group.outcomes[place];
    return record === undefined || record instanceof DispatcherError ? [] : [{ call, record }];
  });
  await cancelSurplus(
    dependencies,
    spoken.flatMap(({ record }) => record.lateAssets),
  );
  for (const { call, record } of spoken) logReports(dependencies, call, record);

  const grantedByNode = await grantAssignments(
    dependencies,
    spoken.flatMap(({ call: { nodeId, input }, record }) =>
      input.wants > 0 ? [{ nodeId, wants: input.wants, openBytes: openBytesOf(record) }] : [],
    ),
  );
  const unheardOf = await readUnheardOf(dependencies, spoken);
  // Its clock has gone on since it was read; leases are told with the time as of now.
  const nowMs = Math.round(group.nowMs + performance.now() - begunAt);
  return calls.map((call, place) => {
    const record = group.outcomes[place];
    if (record instanceof DispatcherError) return record;
    if (record === undefined) throw new Error("A sync was left without an outcome.");
    const granted = grantedByNode.get(call.nodeId) ?? { grants: [], refusal: null };
    return replyTo(dependencies, call, { record, granted, unheardOf: unheardOf.get(call.nodeId) ?? [], nowMs });
  });
}

/** What this process has written, its view of the queues knows at once. */
function applyToFeeder({ feeder }: Dependencies, group: RecordedGroup): void {
  feeder.own(group.eventIds);
  feeder.putOrigins(group.origins);
  for (const { asset, holders } of group.copied) feeder.putCopied(asset, holders, group.nowMs);
  feeder.markStale(group.otherwise);
}

function openBytesOf({ open }: Recorded): number {
  return open.reduce((sum, { assignment }) => sum + Math.max(0, assignment.reservedBytes - assignment.bytesDone), 0);
}

/** Leases that a node does not list: the reply that granted them was lost. */
async function readUnheardOf(
  { db }: Dependencies,
  spoken: readonly { readonly call: SyncCall; readonly record: Recorded }[],
): Promise<ReadonlyMap<NodeId, readonly OpenGrant[]>> {
  const ids = spoken.flatMap(({ call, record }) => {
    const listed = new Set(call.input.open.map((report) => report.assignmentId));
    return record.open.map(({ id }) => id).filter((id) => !listed.has(id));
  });
  return Map.groupBy(await readGrants(db.sql, ids), (grant) => grant.nodeId);
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
    readonly granted: Granted;
    readonly unheardOf: readonly OpenGrant[];
    readonly nowMs: number;
  },
): SyncReply {
  const { record, granted, unheardOf, nowMs } = told;
  const openById = new Map(record.open.map(({ id, assignment }) => [id, assignment]));
  return {
    nowMs,
    nextSyncMs: withJitter(config.DISPATCHER_SYNC_INTERVAL_MS, random),
    reports: [...record.answers],
    leases: input.open.flatMap(({ assignmentId }) => {
      const lease = openById.get(assignmentId);
      if (lease === undefined) return [];
      const { term, expiresAtMs, reservedBytes } = lease;
      return [{ assignmentId, term, expiresAtMs, reservedBytes }];
    }),
    grants: [...unheardOf, ...granted.grants].map(({ nodeId: _node, ...grant }) => ({ ...grant })),
    cancels: input.open
      .filter(({ assignmentId }) => !openById.has(assignmentId) && !record.paused.has(assignmentId))
      .map(({ assignmentId }) => ({ assignmentId, reason: "The lease is over and the copy is not needed any more." })),
    refusal: granted.refusal === null ? null : RefusalShape.parse(granted.refusal),
    inventoryWanted: record.inventoryWanted,
    message: offerMessage(input.offeredBytes, record.offeredBytes),
  };
}

/** Space that is in use cannot be taken back by a smaller number: say so instead of ignoring it. */
function offerMessage(askedBytes: number, offeredBytes: number): string | null {
  return offeredBytes > askedBytes
    ? `You offer ${askedBytes} bytes, and ${offeredBytes} are in use: there will be no new work until copies are given back.`
    : null;
}
