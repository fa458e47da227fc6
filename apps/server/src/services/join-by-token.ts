import { createHmac } from "node:crypto";
import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import { findCallers, hexOf } from "../db/queries/keys.ts";
import { findKeySalt } from "../db/queries/rescues.ts";
import type { Dependencies } from "./dependencies.ts";
import { joinNode } from "./join-node.ts";
import { hashSecret } from "./secrets.ts";

export type TokenJoin = {
  readonly joinToken: string;
  readonly name: string;
  readonly description: string;
  readonly offeredBytes: number;
  readonly schemes: readonly string[];
  readonly agentVersion: string;
  readonly network: string | null;
};

/**
 * Take a node in whose caller may not have heard the answer of its last try: while the token lives, the same token and name are
 * the same node with the same key, and take one use. The key is made of token, name and a salt of the token's that nobody is
 * told. Where the name belongs to a node that joined otherwise, or whose key was revoked, it is taken.
 * @throws DispatcherError JOIN_TOKEN_INVALID, NODE_NAME_TAKEN, NODE_RETIRED
 */
export async function joinByToken(
  dependencies: Dependencies,
  { joinToken, name, description, offeredBytes, schemes, agentVersion, network }: TokenJoin,
): Promise<{ readonly nodeId: NodeId; readonly key: string }> {
  const { sql } = dependencies.db;
  const salt = await findKeySalt(sql, hashSecret(joinToken));
  if (salt === null) {
    throw new DispatcherError(
      "JOIN_TOKEN_INVALID",
      "This join token is unknown, revoked or past its time; a node that has joined sends its own key.",
    );
  }
  const secret = createHmac("sha256", salt).update(joinToken).update("\0").update(name).digest("base64url");
  const key = `dsp_node_${secret}`;
  const known = await findByKey(dependencies, key);
  if (known !== null) return { nodeId: known, key };
  try {
    const facts = { joinToken, name, offeredBytes, marginBytes: 0, schemes: [...schemes], agentVersion };
    return await joinNode(dependencies, facts, network, { key, description });
  } catch (error) {
    if (!(error instanceof DispatcherError)) throw error;
    // Two tries at once: the other has taken the name, or the last use.
    const other = await findByKey(dependencies, key);
    if (other === null) throw error;
    return { nodeId: other, key };
  }
}

/** @throws DispatcherError NODE_RETIRED */
async function findByKey({ db }: Dependencies, key: string): Promise<NodeId | null> {
  const hash = hashSecret(key);
  const node = (await findCallers(db.sql, [{ kind: "node key", hash }])).nodeByHash.get(hexOf(hash));
  if (node?.life === "retired") {
    throw new DispatcherError("NODE_RETIRED", "This node was silent for so long that it has been retired.");
  }
  return node?.nodeId ?? null;
}
