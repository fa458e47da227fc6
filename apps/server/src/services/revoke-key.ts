import { DispatcherError } from "@dispatcher/core";
import type { KeyId } from "@dispatcher/core";
import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { findKeysOfNode, lockKey, replaceNodeKey, revokeKeys } from "../db/queries/keys.ts";
import type { KeyRevokeInput, KeyRevokeOutput } from "../wire/key.ts";
import { eventOf } from "./act.ts";
import type { Dependencies } from "./dependencies.ts";
import { requireNode, requireOwn } from "./rights.ts";
import type { Manager } from "./rights.ts";
import { hashSecret, newSecret } from "./secrets.ts";

/**
 * Let a key open nothing any more: one by its id, or all of a node, that from its join among them. From the commit on every
 * server refuses it. Revoking again changes nothing.
 * @throws DispatcherError KEY_UNKNOWN, NODE_UNKNOWN, FORBIDDEN
 */
export async function revokeKey(
  { db, log }: Dependencies,
  { id, nodeId, reason }: z.output<typeof KeyRevokeInput>,
  manager: Manager,
): Promise<z.output<typeof KeyRevokeOutput>> {
  const revoked = await db.transaction(async (sql): Promise<readonly KeyId[]> => {
    const ids: KeyId[] = [];
    if (id !== undefined) {
      const key = await lockKey(sql, id);
      requireOwn(manager, key?.operatorId ?? null, `Key ${id}`);
      if (key === null) throw new DispatcherError("KEY_UNKNOWN", `There is no key ${id}.`, { details: { id } });
      ids.push(id);
    }
    if (nodeId !== undefined) {
      await requireNode(sql, manager, nodeId);
      await replaceNodeKey(sql, nodeId, hashSecret(newSecret()));
      ids.push(...(await findKeysOfNode(sql, nodeId)));
    }
    const ended = await revokeKeys(sql, ids);
    if (ended.length > 0 || nodeId !== undefined) {
      const node = nodeId === undefined ? {} : { nodeId };
      await appendEvents(sql, [
        eventOf({ actor: manager, reason }, "key.revoked", { ...node, detail: { ids: ended } }),
      ]);
    }
    return ended;
  });
  log.info(
    { event: "key.revoked", keyIds: revoked, ...(nodeId === undefined ? {} : { nodeId }), by: manager.who },
    nodeId === undefined ? `key ${id} was revoked` : `the keys of node ${nodeId} were revoked`,
  );
  return { revoked: [...revoked] };
}
