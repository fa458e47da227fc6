import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { readOpenGrants } from "../db/queries/assignments.ts";
import { readNodeStanding } from "../db/queries/nodes.ts";
import { RefusalShape } from "../wire/node.ts";
import type { NodeSyncInput, NodeSyncOutput } from "../wire/node.ts";
import { withJitter } from "./dependencies.ts";
import type { Dependencies } from "./dependencies.ts";
import type { Rounds } from "./grant-assignments.ts";
import { cancelSurplus } from "./reclaim-leases.ts";
import { recordReports } from "./record-reports.ts";

/**
 * The one call of a node: write down what it says, give it work, tell it what it holds. The two steps are two transactions,
 * and the reply is read from what is committed: when the reply is lost, the next sync brings the same grants again.
 * @throws DispatcherError NODE_RETIRED, KEY_INVALID, DATABASE_UNAVAILABLE
 */
export async function syncNode(
  dependencies: Dependencies,
  rounds: Rounds,
  {
    nodeId,
    input,
    network,
  }: {
    readonly nodeId: NodeId;
    readonly input: z.output<typeof NodeSyncInput>;
    readonly network: string | null;
  },
): Promise<z.output<typeof NodeSyncOutput>> {
  const { db, config, random, log } = dependencies;
  const { answers, lateAssets } = await db.transaction((sql) =>
    recordReports(dependencies, sql, { nodeId, input, network }),
  );
  await cancelSurplus(dependencies, lateAssets);
  for (const { assignmentId, outcome, code, message } of answers) {
    if (outcome === "rejected") log.warn({ event: "report.rejected", nodeId, assignmentId, code }, message);
  }
  for (const { assignmentId, code, message } of input.failed) {
    log.info({ event: "copy.failed", nodeId, assignmentId, code }, message);
  }

  const refusal = input.wants > 0 ? await rounds.claim({ nodeId, wants: input.wants }) : null;

  const open = await readOpenGrants(db.sql, nodeId);
  const standing = await readNodeStanding(db.sql, nodeId);
  const knownIds = new Set(input.open.map((report) => report.assignmentId));
  const openIds = new Set(open.map((grant) => grant.assignmentId));
  return {
    nowMs: standing.nowMs,
    nextSyncMs: withJitter(config.DISPATCHER_SYNC_INTERVAL_MS, random),
    reports: [...answers],
    leases: open
      .filter((grant) => knownIds.has(grant.assignmentId))
      .map(({ assignmentId, term, expiresAtMs, reservedBytes }) => ({
        assignmentId,
        term,
        expiresAtMs,
        reservedBytes,
      })),
    grants: open.filter((grant) => !knownIds.has(grant.assignmentId)).map((grant) => ({ ...grant })),
    cancels: input.open
      .filter((report) => !openIds.has(report.assignmentId))
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
