import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { lockJoinToken, revokeJoinToken as writeRevoked } from "../db/queries/tokens.ts";
import type { TokenRevokeInput, TokenRevokeOutput } from "../wire/token.ts";
import { eventOf } from "./act.ts";
import type { Dependencies } from "./dependencies.ts";
import { requireOwn } from "./rights.ts";
import type { Manager } from "./rights.ts";

/**
 * Let nobody join with a token any more; nodes that did stay. Revoking again changes nothing.
 * @throws DispatcherError TOKEN_UNKNOWN, FORBIDDEN
 */
export async function revokeJoinToken(
  { db, log }: Dependencies,
  { id, reason }: z.output<typeof TokenRevokeInput>,
  manager: Manager,
): Promise<z.output<typeof TokenRevokeOutput>> {
  const revoked = await db.transaction(async (sql) => {
    const token = await lockJoinToken(sql, id);
    requireOwn(manager, token?.operatorId ?? null, `Join token ${id}`);
    if (token === null) {
      throw new DispatcherError("TOKEN_UNKNOWN", `There is no join token ${id}.`, { details: { id } });
    }
    if (token.revokedAtMs !== null) return [];
    await writeRevoked(sql, id);
    const detail = { id, operator: token.operator };
    await appendEvents(sql, [eventOf({ actor: manager, reason }, "token.revoked", { detail })]);
    return [id];
  });
  log.info({ event: "token.revoked", tokenId: id, by: manager.who }, `join token ${id} was revoked`);
  return { revoked };
}
