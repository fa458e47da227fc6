import type { z } from "zod";
import { appendEvents } from "../db/queries/events.ts";
import { ensureOperator, insertJoinToken } from "../db/queries/tokens.ts";
import type { TokenCreateInput, TokenCreateOutput } from "../wire/token.ts";
import type { Dependencies } from "./dependencies.ts";
import { hashSecret, newSecret } from "./secrets.ts";

/**
 * Make a join token for an operator, who is made where new. Which operator a node belongs to decides whether two copies
 * are independent, so the coordinator says it here and a node cannot say it for itself.
 */
export async function createJoinToken(
  { db }: Dependencies,
  input: z.output<typeof TokenCreateInput>,
): Promise<z.output<typeof TokenCreateOutput>> {
  const joinToken = newSecret("dsp_join");
  const { expiresAtMs } = await db.transaction(async (sql) => {
    const operatorId = await ensureOperator(sql, input.operator);
    const { operator, uses, lifeMs } = input;
    await appendEvents(sql, [{ kind: "token.created", actor: "admin", detail: { operator, uses, lifeMs } }]);
    return insertJoinToken(sql, { hash: hashSecret(joinToken), operatorId, uses, lifeMs });
  });
  return { joinToken, operator: input.operator, uses: input.uses, expiresAtMs };
}
