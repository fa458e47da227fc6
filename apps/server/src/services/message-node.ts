import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { setNodeMessage } from "../db/queries/node-admin.ts";
import type { NodeActOutput, NodeMessageInput } from "../wire/node.ts";
import { eventOf } from "./act.ts";
import { actOnNode } from "./act-on-node.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";

/** Tell a volunteer something with each sync, until it is replaced or taken away. @throws DispatcherError NODE_UNKNOWN */
export function messageNode(
  dependencies: Dependencies,
  { id, message, reason }: z.output<typeof NodeMessageInput>,
  actor: Actor,
): Promise<z.output<typeof NodeActOutput>> {
  return actOnNode(dependencies, id, async (sql, node) => {
    if (node.message === message) return false;
    await setNodeMessage(sql, id, message);
    await appendEvents(sql, [eventOf({ actor, reason }, "node.messaged", { nodeId: id, detail: { message } })]);
    return true;
  });
}
