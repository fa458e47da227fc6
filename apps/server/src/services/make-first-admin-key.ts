import { appendEvents } from "../db/queries/events.ts";
import { hasAdminKeyEver, insertKey } from "../db/queries/keys.ts";
import type { Dependencies } from "./dependencies.ts";
import { formatKey, hashSecret, newSecret } from "./secrets.ts";

/**
 * At the first start of all, make a key for administrators; null when the settings have one, or when there ever was one: who
 * has revoked all of them wants none, and makes another by the admin command. Of servers that start at once one makes it.
 * The answer exists nowhere else: a server that dies before it has shown it has made a key that nobody knows.
 */
export async function makeFirstAdminKey({ db, config }: Dependencies): Promise<string | null> {
  if (config.DISPATCHER_ADMIN_KEY !== undefined) return null;
  const secret = newSecret();
  return db.transaction(async (sql) => {
    if (await hasAdminKeyEver(sql)) return null;
    const { id } = await insertKey(sql, {
      secretHash: hashSecret(secret),
      role: "admin",
      name: "first start",
      operatorId: null,
      nodeId: null,
      madeBy: "first start",
      lifeMs: null,
    });
    const detail = { id, role: "admin", name: "first start", by: "first start" };
    await appendEvents(sql, [{ kind: "key.created", actor: "server", detail }]);
    return formatKey(id, secret);
  });
}
