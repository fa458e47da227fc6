import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import { findNodeByKeyHash } from "../db/queries/nodes.ts";
import type { Dependencies } from "./dependencies.ts";
import { hashSecret, isSameSecret } from "./secrets.ts";

/** Who calls. A node can speak for itself alone; `admin` is the admin key, or a caller inside the process. */
export type Actor =
  | { readonly kind: "anyone" }
  | { readonly kind: "admin" }
  | { readonly kind: "node"; readonly nodeId: NodeId };

/**
 * The actor a key stands for; no key is anyone.
 * @throws DispatcherError KEY_INVALID, NODE_RETIRED
 */
export async function authenticate({ db, config }: Dependencies, key: string | null): Promise<Actor> {
  if (key === null) return { kind: "anyone" };
  const adminKey = config.DISPATCHER_ADMIN_KEY;
  if (adminKey !== undefined && isSameSecret(key, adminKey)) return { kind: "admin" };
  const node = await findNodeByKeyHash(db.sql, hashSecret(key));
  if (node === null) throw new DispatcherError("KEY_INVALID", "This key is not known here.");
  if (node.life === "retired") {
    throw new DispatcherError("NODE_RETIRED", "This node was silent for so long that it has been retired.");
  }
  return { kind: "node", nodeId: node.id };
}
