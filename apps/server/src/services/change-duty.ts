import type { AssetId } from "@dispatcher/core";
import type { z } from "zod";
import { distrustCopies, setNodeDuty, stopLeasesOfNode } from "../db/queries/node-admin.ts";
import { scheduleEvacuation } from "../db/queries/evacuations.ts";
import { appendEvents } from "../db/queries/events.ts";
import type { EventKind } from "../db/queries/events.ts";
import type { NodeDuty } from "../db/queries/nodes.ts";
import { markNodesAssetsDue } from "../db/queries/standings.ts";
import type { NodeActInput, NodeActOutput } from "../wire/node.ts";
import { eventOf } from "./act.ts";
import { actOnNode, requireUnretired } from "./act-on-node.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { keepCopies } from "./keep-copies.ts";

type Input = z.output<typeof NodeActInput>;
type Output = z.output<typeof NodeActOutput>;

const KINDS = { active: "node.undrained", draining: "node.drained", blocked: "node.blocked" } as const satisfies Record<
  string,
  EventKind
>;

/** Who is blocked stays so until somebody unblocks him; a leaving node drains already. */
const CHANGED_BY: Readonly<Record<keyof typeof KINDS, readonly NodeDuty[]>> = {
  active: ["draining", "leaving"],
  draining: ["active"],
  blocked: ["active", "draining", "leaving"],
};

/**
 * Give a node another duty. From the commit on no server grants it anything unless it is active, for every grant locks its row.
 * The copies of a draining one are made elsewhere, and then it may delete them; those it still has when it is active again stay.
 * A blocked one is told with its next sync to stop what it has open, and its copies are made elsewhere as if it were lost.
 * @throws DispatcherError NODE_UNKNOWN, NODE_RETIRED
 */
export async function changeDuty(
  dependencies: Dependencies,
  { id, reason }: Input,
  { to, actor }: { readonly to: keyof typeof KINDS; readonly actor: Actor },
): Promise<Output> {
  let kept: readonly AssetId[] = [];
  const output = await actOnNode(dependencies, id, async (sql, node) => {
    requireUnretired(node);
    if (!CHANGED_BY[to].includes(node.duty)) return false;
    await setNodeDuty(sql, id, to);
    const detail: Record<string, unknown> = { from: node.duty };
    await scheduleEvacuation(sql, id, to === "draining" || node.offerLimitBytes !== null ? 0 : null);
    const assetIds = to === "draining" ? [] : await keepCopies(dependencies, sql, node);
    kept = assetIds;
    if (to === "blocked") {
      detail["leasesStopped"] = await stopLeasesOfNode(sql, node.openIds);
      await distrustCopies(sql, id);
      await markNodesAssetsDue(sql, id);
    }
    await appendEvents(sql, [eventOf({ actor, reason }, KINDS[to], { nodeId: id, assetIds, detail })]);
    return true;
  });
  // Others hear of it by the log.
  dependencies.feeder.markStale(kept);
  return output;
}

/** Trust a blocked node again. @throws DispatcherError NODE_UNKNOWN, NODE_RETIRED */
export function unblockNode(dependencies: Dependencies, { id, reason }: Input, actor: Actor): Promise<Output> {
  return actOnNode(dependencies, id, async (sql, node) => {
    requireUnretired(node);
    if (node.duty !== "blocked") return false;
    await setNodeDuty(sql, id, "active");
    await appendEvents(sql, [eventOf({ actor, reason }, "node.unblocked", { nodeId: id })]);
    return true;
  });
}
