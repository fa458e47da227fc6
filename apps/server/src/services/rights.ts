/** What each kind of caller may do with what is somebody's. */
import { DispatcherError } from "@dispatcher/core";
import type { NodeId, OperatorId } from "@dispatcher/core";
import type { Sql } from "../db/database.ts";
import { findNodeOperator } from "../db/queries/nodes.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";

/** One who manages: everything, or what is one operator's. */
export type Manager = Extract<Actor, { readonly kind: "admin" | "operator" }>;

/** Whether somebody may read progress. */
export function mayRead({ config }: Pick<Dependencies, "config">, actor: Actor): boolean {
  return actor.kind !== "anyone" || config.DISPATCHER_PUBLIC_READ === "on";
}

/** The operator whose things a manager may see and change; null for those of all. */
export function scopeOf(manager: Manager): OperatorId | null {
  return manager.kind === "operator" ? manager.operatorId : null;
}

/** Whether a reader learns the names of a node and its operator: volunteers may have reasons to hold data quietly. */
export function seesNames(actor: Actor, operatorId?: OperatorId): boolean {
  if (actor.kind === "admin" || actor.kind === "viewer") return true;
  return actor.kind !== "anyone" && actor.operatorId === operatorId;
}

/**
 * Let a manager go on with something of an operator, null for what is no operator's. `what` begins the sentence of a refusal.
 * @throws DispatcherError FORBIDDEN
 */
export function requireOwn(manager: Manager, operatorId: OperatorId | null, what: string): void {
  const scope = scopeOf(manager);
  if (scope === null || scope === operatorId) return;
  throw new DispatcherError("FORBIDDEN", `${what} is not one of this operator's.`);
}

/**
 * Let a manager go on with a node. To an operator an unknown node is like another's: ids are not to be guessed.
 * @throws DispatcherError NODE_UNKNOWN, FORBIDDEN
 */
export async function requireNode(sql: Sql, manager: Manager, id: NodeId): Promise<void> {
  const operatorId = await findNodeOperator(sql, id);
  requireOwn(manager, operatorId, `Node ${id}`);
  if (operatorId === null) throw new DispatcherError("NODE_UNKNOWN", `There is no node ${id}.`, { details: { id } });
}
