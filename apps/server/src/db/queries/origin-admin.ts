/** What people see of origins, and set. */
import type { OriginBudget, OriginId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** An origin by its name; `isDefault`: it has no budget of its own. */
export type NamedOrigin = { readonly id: OriginId; readonly host: string; readonly isDefault: boolean };

const columns = (sql: Sql) => sql`id::text as id, host, concurrency_max is null as "isDefault"`;

/** By host, from behind the one named. */
export async function listOriginsAfter(
  sql: Sql,
  { after, paused, limit }: { readonly after: string | null; readonly paused: boolean | null; readonly limit: number },
): Promise<readonly NamedOrigin[]> {
  return sql<NamedOrigin[]>`
    select ${columns(sql)} from origins
     where (${after}::text is null or host > ${after}) and (${paused}::boolean is null or paused = ${paused}::boolean)
     order by host limit ${limit}`;
}

export async function findOriginByHost(sql: Sql, host: string): Promise<NamedOrigin | null> {
  const [row] = await sql<NamedOrigin[]>`select ${columns(sql)} from origins where host = ${host}`;
  return row ?? null;
}

/** Pause an origin that is locked, or let it go on. */
export async function setOriginPaused(sql: Sql, id: OriginId, paused: boolean): Promise<void> {
  await sql`update origins set paused = ${paused} where id = ${id}`;
}

/** Give an origin that is locked a budget of its own; null takes it away. Its state is written apart. */
export async function setOriginBudget(sql: Sql, id: OriginId, budget: OriginBudget | null): Promise<void> {
  await sql`
    update origins set concurrency_max = ${budget?.concurrencyMax ?? null},
           requests_per_minute = ${budget?.requestsPerMinute ?? null}
     where id = ${id}`;
}
