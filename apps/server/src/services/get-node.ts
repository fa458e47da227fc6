import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { findNodeDetails, readLossWithout, readOpenOfNode } from "../db/queries/node-admin.ts";
import type { NodeGetOutput } from "../wire/node.ts";
import type { Dependencies } from "./dependencies.ts";

export function refuseNode(id: NodeId): never {
  throw new DispatcherError("NODE_UNKNOWN", `There is no node ${id}.`, { details: { id } });
}

/** A node, what it has open, and what would be missing without it. O(its copies). @throws DispatcherError NODE_UNKNOWN */
export async function getNode({ db: { sql } }: Dependencies, id: NodeId): Promise<z.output<typeof NodeGetOutput>> {
  const node = (await findNodeDetails(sql, id)) ?? refuseNode(id);
  const open = await readOpenOfNode(sql, id);
  const loss = await readLossWithout(sql, id);
  return { ...node, schemes: [...node.schemes], open: [...open], loss };
}
