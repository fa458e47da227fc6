import type { OperatorId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** The operator of this name, made if there is none. */
export async function ensureOperator(sql: Sql, name: string): Promise<OperatorId> {
  await sql`insert into operators (name) values (${name}) on conflict (name) do nothing`;
  const [row] = await sql<[{ id: OperatorId }]>`select id::text as id from operators where name = ${name}`;
  return row.id;
}

export async function insertJoinToken(
  sql: Sql,
  token: { readonly hash: Uint8Array; readonly operatorId: OperatorId; readonly uses: number; readonly lifeMs: number },
): Promise<{ readonly expiresAtMs: number }> {
  const [row] = await sql<[{ expiresAtMs: number }]>`
    insert into join_tokens (token_hash, operator_id, uses_left, expires_at)
    values (${token.hash}, ${token.operatorId}, ${token.uses}, now() + ${token.lifeMs} * interval '1 millisecond')
    returning expires_at as "expiresAtMs"`;
  return row;
}

/** Take one use of a token; null when it is unknown, used up or past its time. */
export async function useJoinToken(
  sql: Sql,
  hash: Uint8Array,
): Promise<{ readonly operatorId: OperatorId; readonly operator: string } | null> {
  const [row] = await sql<{ operatorId: OperatorId; operator: string }[]>`
    update join_tokens t set uses_left = uses_left - 1
      from operators o
     where t.token_hash = ${hash} and t.uses_left > 0 and t.expires_at > now() and o.id = t.operator_id
    returning o.id::text as "operatorId", o.name as operator`;
  return row ?? null;
}
