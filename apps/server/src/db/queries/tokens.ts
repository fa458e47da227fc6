import type { JoinTokenId, OperatorId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** The operator of this name, made if there is none. */
export async function ensureOperator(sql: Sql, name: string): Promise<OperatorId> {
  await sql`insert into operators (name) values (${name}) on conflict (name) do nothing`;
  const [row] = await sql<[{ id: OperatorId }]>`select id::text as id from operators where name = ${name}`;
  return row.id;
}

export async function findOperatorName(sql: Sql, id: OperatorId): Promise<string> {
  const [row] = await sql<[{ name: string }]>`select name from operators where id = ${id}`;
  return row.name;
}

export async function insertJoinToken(
  sql: Sql,
  token: {
    readonly hash: Uint8Array;
    readonly operatorId: OperatorId;
    readonly uses: number;
    readonly lifeMs: number;
    readonly madeBy: string;
  },
): Promise<{ readonly id: JoinTokenId; readonly expiresAtMs: number }> {
  const [row] = await sql<[{ id: JoinTokenId; expiresAtMs: number }]>`
    insert into join_tokens (token_hash, operator_id, uses_left, expires_at, made_by)
    values (${token.hash}, ${token.operatorId}, ${token.uses}, now() + ${token.lifeMs} * interval '1 millisecond',
            ${token.madeBy})
    returning id::text as id, expires_at as "expiresAtMs"`;
  return row;
}

/** Take one use of a token; null when it is unknown, used up, revoked or past its time. */
export async function useJoinToken(
  sql: Sql,
  hash: Uint8Array,
): Promise<{ readonly id: JoinTokenId; readonly operatorId: OperatorId; readonly operator: string } | null> {
  const [row] = await sql<{ id: JoinTokenId; operatorId: OperatorId; operator: string }[]>`
    update join_tokens t set uses_left = uses_left - 1, uses_taken = uses_taken + 1
      from operators o
     where t.token_hash = ${hash} and t.uses_left > 0 and t.expires_at > now() and o.id = t.operator_id
    returning t.id::text as id, o.id::text as "operatorId", o.name as operator`;
  return row ?? null;
}

/** A token locked for a change; null when there is none. */
export async function lockJoinToken(
  sql: Sql,
  id: JoinTokenId,
): Promise<{ readonly operatorId: OperatorId; readonly operator: string; readonly revokedAtMs: number | null } | null> {
  const [row] = await sql<{ operatorId: OperatorId; operator: string; revokedAtMs: number | null }[]>`
    select o.id::text as "operatorId", o.name as operator, t.revoked_at as "revokedAtMs"
      from join_tokens t join operators o on o.id = t.operator_id where t.id = ${id} for no key update of t`;
  return row ?? null;
}

/** It is past its time from now on; that stops a server of an older release as well. */
export async function revokeJoinToken(sql: Sql, id: JoinTokenId): Promise<void> {
  await sql`
    update join_tokens set revoked_at = now(), expires_at = least(expires_at, now()) where id = ${id} and revoked_at is null`;
}

export type JoinTokenSummary = {
  readonly id: JoinTokenId;
  readonly operator: string;
  readonly usesLeft: number;
  readonly usesTaken: number;
  readonly madeBy: string | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly revokedAtMs: number | null;
  readonly state: "valid" | "used up" | "expired" | "revoked";
};

/** A page of join tokens by id, without their secrets; all of them, or those that still let somebody in. */
export async function listJoinTokenSummaries(
  sql: Sql,
  page: {
    readonly operatorId: OperatorId | null;
    readonly all: boolean;
    readonly after: JoinTokenId | null;
    readonly limit: number;
  },
): Promise<readonly JoinTokenSummary[]> {
  return sql<JoinTokenSummary[]>`
    select t.id::text as id, o.name as operator, t.uses_left as "usesLeft", t.uses_taken as "usesTaken",
           t.made_by as "madeBy", t.created_at as "createdAtMs", t.expires_at as "expiresAtMs",
           t.revoked_at as "revokedAtMs",
           case when t.revoked_at is not null then 'revoked' when t.uses_left = 0 then 'used up'
                when t.expires_at <= now() then 'expired' else 'valid' end as state
      from join_tokens t join operators o on o.id = t.operator_id
     where t.id > ${page.after ?? "0"}
       and (${page.operatorId}::bigint is null or t.operator_id = ${page.operatorId})
       and (${page.all} or (t.uses_left > 0 and t.expires_at > now()))
     order by t.id limit ${page.limit}`;
}
