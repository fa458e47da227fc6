import type { NodeId } from "@dispatcher/core";
import { DispatcherError } from "@dispatcher/core";
import { z } from "zod";
import type { Home } from "./home.ts";
import { readState, writeDurably } from "./write-durably.ts";

const NodeFileShape = z.object({
  url: z.url({ protocol: /^https?$/ }),
  nodeId: z
    .string()
    .regex(/^\d{1,19}$/)
    .transform((id) => id as NodeId),
  key: z.string().min(1),
  name: z.string(),
  operator: z.string(),
  capacityBytes: z.int().min(1),
  marginBytes: z.int().min(0),
  joinedAtMs: z.int(),
});

/** Who this agent is, as the join made it. */
export type NodeFile = z.output<typeof NodeFileShape>;

/** Null in a home that has not joined. @throws DispatcherError HOME_UNUSABLE, STATE_UNREADABLE */
export function readNodeFile(home: Home): Promise<NodeFile | null> {
  return readState(home.nodeFile, NodeFileShape);
}

/** @throws DispatcherError NOT_JOINED, HOME_UNUSABLE, STATE_UNREADABLE */
export async function requireNodeFile(home: Home): Promise<NodeFile> {
  const node = await readNodeFile(home);
  if (node === null) throw new DispatcherError("NOT_JOINED", `There is no node in ${home.path}.`);
  return node;
}

export function writeNodeFile(home: Home, node: NodeFile): Promise<void> {
  return writeDurably(home.nodeFile, `${JSON.stringify(node, null, 2)}\n`);
}
