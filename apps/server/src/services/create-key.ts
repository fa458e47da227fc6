import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { insertKey } from "../db/queries/keys.ts";
import { ensureOperator } from "../db/queries/tokens.ts";
import type { KeyCreateInput, KeyCreateOutput } from "../wire/key.ts";
import { eventOf } from "./act.ts";
import type { Dependencies } from "./dependencies.ts";
import { requireNode } from "./rights.ts";
import type { Manager } from "./rights.ts";
import { formatKey, hashSecret, newSecret } from "./secrets.ts";

/**
 * Make a key. An administrator makes any; an operator makes keys for its own nodes, and none that could do what a node
 * cannot: a key that was stolen is not to become several. The operator of an operator's key is made where new.
 * @throws DispatcherError FORBIDDEN, NODE_UNKNOWN
 */
export async function createKey(
  { db, log }: Dependencies,
  input: z.output<typeof KeyCreateInput>,
  manager: Manager,
): Promise<z.output<typeof KeyCreateOutput>> {
  const { role, name, reason } = input;
  if (manager.kind === "operator" && role !== "node") {
    throw new DispatcherError("FORBIDDEN", "An operator may make keys of the role node alone, for its own nodes.");
  }
  const secret = newSecret();
  const { id, expiresAtMs } = await db.transaction(async (sql) => {
    if (input.nodeId !== undefined) await requireNode(sql, manager, input.nodeId);
    const made = await insertKey(sql, {
      secretHash: hashSecret(secret),
      role,
      name,
      operatorId: input.operator === undefined ? null : await ensureOperator(sql, input.operator),
      nodeId: input.nodeId ?? null,
      madeBy: manager.who,
      lifeMs: input.lifeMs ?? null,
    });
    const node = input.nodeId === undefined ? {} : { nodeId: input.nodeId };
    const operator = input.operator === undefined ? {} : { operator: input.operator };
    const detail = { id: made.id, role, name, ...operator, expiresAtMs: made.expiresAtMs };
    await appendEvents(sql, [eventOf({ actor: manager, reason }, "key.created", { ...node, detail })]);
    return made;
  });
  log.info({ event: "key.created", keyId: id, role, by: manager.who }, `key ${id} (${role}) was made`);
  return { id, key: formatKey(id, secret), role, name, expiresAtMs };
}
