import { DispatcherError, QUOTA_START, checkLedger } from "@dispatcher/core";
import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { insertNode } from "../db/queries/nodes.ts";
import { useJoinToken } from "../db/queries/tokens.ts";
import type { NodeJoinInput, NodeJoinOutput } from "../wire/node.ts";
import type { Dependencies } from "./dependencies.ts";
import { hashSecret, newPrefixedSecret } from "./secrets.ts";

/**
 * Take a node in. The token's use and the node are one transaction: a refused name costs no use. `description`, in the words
 * of its volunteer, goes into the log of events.
 * @throws DispatcherError JOIN_TOKEN_INVALID, NODE_NAME_TAKEN, LEDGER_EXCEEDED (margin above offer)
 */
export async function joinNode(
  { db, config, log }: Dependencies,
  input: z.output<typeof NodeJoinInput>,
  network: string | null,
  { key = newPrefixedSecret("dsp_node"), ...more }: { readonly key?: string; readonly description?: string } = {},
): Promise<z.output<typeof NodeJoinOutput>> {
  const { name, offeredBytes, marginBytes, agentVersion, schemes } = input;
  checkLedger({ offeredBytes, marginBytes, heldBytes: 0, reservedBytes: 0 });
  const joined = await db.transaction(async (sql) => {
    const token = await useJoinToken(sql, hashSecret(input.joinToken));
    if (token === null) {
      throw new DispatcherError("JOIN_TOKEN_INVALID", "This join token is unknown, used up, revoked or past its time.");
    }
    const nodeId = await insertNode(sql, {
      operatorId: token.operatorId,
      name,
      keyHash: hashSecret(key),
      network,
      agentVersion,
      schemes,
      offeredBytes,
      marginBytes,
      quota: Math.min(QUOTA_START, config.DISPATCHER_QUOTA_MAX),
    });
    if (nodeId === null) {
      throw new DispatcherError("NODE_NAME_TAKEN", `${token.operator} has a node called "${name}" already.`, {
        details: { name, operator: token.operator },
      });
    }
    await appendEvents(sql, [
      {
        kind: "node.joined",
        actor: "node",
        nodeId,
        detail: { name, operator: token.operator, token: token.id, ...more },
      },
    ]);
    return { nodeId, operator: token.operator };
  });
  log.info({ event: "node.joined", nodeId: joined.nodeId, operator: joined.operator, name }, `${name} joined`);
  return { ...joined, key, nextSyncMs: 0 };
}
