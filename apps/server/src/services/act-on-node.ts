import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { findNodeDetails } from "../db/queries/node-admin.ts";
import { lockNodes } from "../db/queries/nodes.ts";
import type { NodeRow } from "../db/queries/nodes.ts";
import type { NodeActOutput } from "../wire/node.ts";
import type { Dependencies } from "./dependencies.ts";
import { refuseNode } from "./get-node.ts";

/**
 * Lock a node, do something to it in one transaction, and answer how it is then; `act` tells whether it was otherwise before.
 * @throws DispatcherError NODE_UNKNOWN
 */
export async function actOnNode(
  { db, vetting }: Dependencies,
  id: NodeId,
  act: (sql: Sql, node: NodeRow) => Promise<boolean>,
): Promise<z.output<typeof NodeActOutput>> {
  return db.transaction(async (sql) => {
    const [row] = await lockNodes(sql, [id], vetting);
    if (row === undefined) refuseNode(id);
    const changed = await act(sql, row);
    const node = (await findNodeDetails(sql, id)) ?? refuseNode(id);
    return { node, changed };
  });
}

/** @throws DispatcherError NODE_RETIRED */
export function requireUnretired({ life, id }: NodeRow): void {
  if (life !== "retired") return;
  throw new DispatcherError("NODE_RETIRED", `Node ${id} is retired: it takes no part any more.`, { details: { id } });
}
