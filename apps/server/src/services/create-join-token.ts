import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { appendEvents } from "../db/queries/events.ts";
import { ensureOperator, findOperatorName, insertJoinToken } from "../db/queries/tokens.ts";
import type { TokenCreateInput, TokenCreateOutput } from "../wire/token.ts";
import { eventOf } from "./act.ts";
import type { Dependencies } from "./dependencies.ts";
import { requireOwn } from "./rights.ts";
import type { Manager } from "./rights.ts";
import { hashSecret, newPrefixedSecret } from "./secrets.ts";

/**
 * Make a join token for an operator, who is made where new. Which operator a node belongs to decides whether two copies
 * are independent, so the coordinator says it here and a node cannot say it for itself. An operator makes tokens for itself.
 * @throws DispatcherError FORBIDDEN, INPUT_INVALID (no operator named by an administrator)
 */
export async function createJoinToken(
  { db, log }: Dependencies,
  { uses, lifeMs, reason, ...input }: z.output<typeof TokenCreateInput>,
  manager: Manager,
): Promise<z.output<typeof TokenCreateOutput>> {
  const joinToken = newPrefixedSecret("dsp_join");
  const { id, operator, expiresAtMs } = await db.transaction(async (sql) => {
    const owner = await findOwner(sql, input.operator, manager);
    const token = { hash: hashSecret(joinToken), operatorId: owner.id, uses, lifeMs, madeBy: manager.who };
    const made = await insertJoinToken(sql, token);
    const detail = { id: made.id, operator: owner.name, uses, lifeMs };
    await appendEvents(sql, [eventOf({ actor: manager, reason }, "token.created", { detail })]);
    return { ...made, operator: owner.name };
  });
  log.info({ event: "token.created", tokenId: id, operator, by: manager.who }, `a join token for ${operator} was made`);
  return { id, joinToken, operator, uses, expiresAtMs };
}

async function findOwner(sql: Sql, name: string | undefined, manager: Manager) {
  if (manager.kind === "operator") {
    const own = await findOperatorName(sql, manager.operatorId);
    if (name !== undefined && name !== own) requireOwn(manager, null, `"${name}"`);
    return { id: manager.operatorId, name: own };
  }
  if (name === undefined) {
    throw new DispatcherError("INPUT_INVALID", "operator: an administrator has to name one.", {
      details: { field: "operator" },
    });
  }
  return { id: await ensureOperator(sql, name), name };
}
