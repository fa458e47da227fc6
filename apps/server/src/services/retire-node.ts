import { isOpen, releaseAssignment } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { appendEvents } from "../db/queries/events.ts";
import type { EventKind } from "../db/queries/events.ts";
import { setNodeLife } from "../db/queries/node-admin.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import { markNodesAssetsDue } from "../db/queries/standings.ts";
import type { NodeActInput, NodeActOutput } from "../wire/node.ts";
import { eventOf } from "./act.ts";
import type { Act } from "./act.ts";
import { actOnNode } from "./act-on-node.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { endLeases } from "./reclaim-leases.ts";

/**
 * Let a node that is locked take part no more: what it has open is given back, and its copies do not count from now on, so that
 * the sweeps want them elsewhere. An agent that still runs stops with its next sync, which is refused.
 */
export async function retire(
  dependencies: Dependencies,
  sql: Sql,
  node: NodeRow,
  { kind, act }: { readonly kind: EventKind; readonly act: Act },
): Promise<void> {
  const { id, openIds } = node;
  await markNodesAssetsDue(sql, id);
  const picks = openIds.map((assignmentId) => ({ id: assignmentId, nodeId: id }));
  await endLeases(dependencies, sql, picks, (assignment) =>
    isOpen(assignment) ? releaseAssignment(assignment, assignment).assignment : assignment,
  );
  await setNodeLife(sql, id, "retired");
  const detail = { from: node.life, copies: node.heldCopies, leases: openIds.length };
  await appendEvents(sql, [eventOf(act, kind, { nodeId: id, detail })]);
}

/** Give a node up for good. @throws DispatcherError NODE_UNKNOWN */
export function retireNode(
  dependencies: Dependencies,
  { id, reason }: z.output<typeof NodeActInput>,
  actor: Actor,
): Promise<z.output<typeof NodeActOutput>> {
  return actOnNode(dependencies, id, async (sql, node) => {
    if (node.life === "retired") return false;
    await retire(dependencies, sql, node, { kind: "node.retired", act: { actor, reason } });
    return true;
  });
}
