import { DispatcherError } from "@dispatcher/core";
import type { NodeId, NodeLife } from "@dispatcher/core";
import { findNodesByKeyHash } from "../db/queries/nodes.ts";
import type { Dependencies } from "./dependencies.ts";
import { hashSecret, isSameSecret } from "./secrets.ts";

/** Who calls. A node can speak for itself alone; `admin` is the admin key, or a caller inside the process. */
export type Actor =
  | { readonly kind: "anyone" }
  | { readonly kind: "admin" }
  | { readonly kind: "node"; readonly nodeId: NodeId };

/** A key that is neither nobody's nor the administrator's, as it is looked for. */
export type NodeKey = { readonly keyHash: Buffer };
export type KnownNode = { readonly id: NodeId; readonly life: NodeLife };

/** Whose keys these are, in their order: keys that come together are one look-up. @throws DispatcherError DATABASE_UNAVAILABLE */
export async function findNodesOfKeys(
  { db }: Dependencies,
  keys: readonly NodeKey[],
): Promise<readonly (KnownNode | DispatcherError)[]> {
  const nodes = await findNodesByKeyHash(
    db.sql,
    keys.map(({ keyHash }) => keyHash),
  );
  const nodeByHash = new Map(nodes.map((node) => [node.keyHash.toString("hex"), node]));
  return keys.map(
    ({ keyHash }) =>
      nodeByHash.get(keyHash.toString("hex")) ?? new DispatcherError("KEY_INVALID", "This key is not known here."),
  );
}

/**
 * The actor a key stands for; no key is anyone.
 * @throws DispatcherError KEY_INVALID, NODE_RETIRED
 */
export async function authenticate(
  { config }: Dependencies,
  key: string | null,
  findNode: (key: NodeKey) => Promise<KnownNode>,
): Promise<Actor> {
  if (key === null) return { kind: "anyone" };
  const adminKey = config.DISPATCHER_ADMIN_KEY;
  if (adminKey !== undefined && isSameSecret(key, adminKey)) return { kind: "admin" };
  const node = await findNode({ keyHash: hashSecret(key) });
  if (node.life === "retired") {
    throw new DispatcherError("NODE_RETIRED", "This node was silent for so long that it has been retired.");
  }
  return { kind: "node", nodeId: node.id };
}
