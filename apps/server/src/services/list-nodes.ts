import type { NodeLife } from "@dispatcher/core";
import { listNodeSummaries } from "../db/queries/nodes.ts";
import type { NodeSummary } from "../db/queries/nodes.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { seesNames } from "./rights.ts";

type ShownNode = Omit<NodeSummary, "name" | "operator" | "operatorId"> & Record<"name" | "operator", string | null>;

/** All nodes, or those in one state of life, by id; nameless where the reader has no right to know who they are. */
export async function listNodes(
  { db }: Dependencies,
  life: NodeLife | null,
  reader: Actor,
): Promise<{ readonly nodes: ShownNode[] }> {
  const summaries = await listNodeSummaries(db.sql, life);
  const nodes = summaries.map(({ operatorId, ...node }) =>
    seesNames(reader, operatorId) ? node : { ...node, name: null, operator: null },
  );
  return { nodes };
}
