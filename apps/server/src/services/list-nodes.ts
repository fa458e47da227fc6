import type { NodeLife } from "@dispatcher/core";
import { listNodeSummaries } from "../db/queries/nodes.ts";
import type { NodeSummary } from "../db/queries/nodes.ts";
import type { Dependencies } from "./dependencies.ts";

/** All nodes, or those in one state of life, by id. */
export async function listNodes({ db }: Dependencies, life: NodeLife | null): Promise<{ nodes: NodeSummary[] }> {
  return { nodes: [...(await listNodeSummaries(db.sql, life))] };
}
