import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { scheduleEvacuation, setOfferLimit } from "../db/queries/evacuations.ts";
import { appendEvents } from "../db/queries/events.ts";
import { readLossWithout, setNodeDuty } from "../db/queries/node-admin.ts";
import type { NodeGiveBackInput, NodeGiveBackOutput, NodeLeaveInput, NodeLeaveOutput } from "../wire/node.ts";
import { eventOf } from "./act.ts";
import { actOnNode, requireUnretired } from "./act-on-node.ts";
import type { Dependencies } from "./dependencies.ts";
import { keepCopies } from "./keep-copies.ts";
import { retire } from "./retire-node.ts";

/**
 * A node takes its leave: gracefully, it gets no new work and its copies are made elsewhere before it may delete them, and when
 * it has none left it is retired; immediately, it is retired now. The answer tells what is missing if it goes at once. A blocked
 * node's copies help nobody, so it goes at once. Doing it again changes nothing. O(its copies).
 * @throws DispatcherError NODE_RETIRED
 */
export async function leaveNode(
  dependencies: Dependencies,
  nodeId: NodeId,
  { how, dryRun, reason }: z.output<typeof NodeLeaveInput>,
): Promise<z.output<typeof NodeLeaveOutput>> {
  const loss = await readLossWithout(dependencies.db.sql, nodeId);
  const act = { actor: { kind: "node", who: `node ${nodeId}` }, reason } as const;
  const { node } = await actOnNode(dependencies, nodeId, async (sql, row) => {
    requireUnretired(row);
    if (dryRun) return false;
    if (how === "immediately" || row.duty === "blocked") {
      await retire(dependencies, sql, row, { kind: "node.left", act });
      return true;
    }
    if (row.duty === "leaving") return false;
    await setNodeDuty(sql, nodeId, "leaving");
    await scheduleEvacuation(sql, nodeId, 0);
    await appendEvents(sql, [
      eventOf(act, "node.leaving", { nodeId, detail: { from: row.duty, copies: row.heldCopies } }),
    ]);
    return true;
  });
  return { dryRun, duty: node.duty, isRetired: node.life === "retired", loss };
}

/**
 * A node wants to offer no more than so many bytes, whatever its syncs say: what it holds above them is made elsewhere where that
 * is needed, the fewest and safest copies, and then it may delete them. Null takes the wish back, and what has no permit yet stays.
 * @throws DispatcherError NODE_RETIRED
 */
export async function giveBack(
  dependencies: Dependencies,
  nodeId: NodeId,
  { offeredBytes, reason }: z.output<typeof NodeGiveBackInput>,
): Promise<z.output<typeof NodeGiveBackOutput>> {
  const { node } = await actOnNode(dependencies, nodeId, async (sql, row) => {
    requireUnretired(row);
    if (row.offerLimitBytes === offeredBytes) return false;
    await setOfferLimit(sql, nodeId, offeredBytes);
    const assetIds = row.duty === "active" ? await keepCopies(dependencies, sql, row) : [];
    await scheduleEvacuation(sql, nodeId, offeredBytes === null && row.duty === "active" ? null : 0);
    const detail = { from: row.offerLimitBytes, to: offeredBytes };
    const act = { actor: { kind: "node", who: `node ${nodeId}` }, reason } as const;
    await appendEvents(sql, [eventOf(act, "node.gave-back", { nodeId, assetIds, detail })]);
    return true;
  });
  const bytesToFree = offeredBytes === null ? 0 : Math.max(0, node.heldBytes + node.marginBytes - offeredBytes);
  return { bytesToFree };
}
