import type { Origin, OriginBudget, OriginId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

type OriginRow = Omit<Origin, "budget" | "concurrency" | "latency"> & {
  readonly id: OriginId;
  readonly concurrencyMax: number | null;
  readonly requestsPerMinute: number | null;
  readonly concurrency: number | null;
};

export type StoredOrigin = { readonly id: OriginId; readonly origin: Origin };

function toOrigin({ id, ...row }: OriginRow, fallback: OriginBudget): StoredOrigin {
  const budget: OriginBudget = {
    concurrencyMax: row.concurrencyMax ?? fallback.concurrencyMax,
    requestsPerMinute: row.requestsPerMinute ?? fallback.requestsPerMinute,
  };
  const concurrency = Math.min(row.concurrency ?? budget.concurrencyMax, budget.concurrencyMax);
  const tokens = Math.min(row.tokens, budget.requestsPerMinute);
  const { paused, inUse, tokensAtMs, closedUntilMs, failures, cleanSinceMs } = row;
  const state = { paused, inUse, tokens, tokensAtMs, closedUntilMs, failures, cleanSinceMs };
  // Times to first byte are not stored yet, so the state has none.
  return { id, origin: { budget, concurrency, ...state, latency: null } };
}

const columns = (sql: Sql) => sql`
  id::text as id, concurrency_max as "concurrencyMax", requests_per_minute as "requestsPerMinute", paused, concurrency,
  in_use as "inUse", tokens, tokens_at as "tokensAtMs", closed_until as "closedUntilMs", failures,
  clean_since as "cleanSinceMs"`;

/** The ids of the hosts given, made where they are new. */
export async function ensureOrigins(sql: Sql, hosts: readonly string[]): Promise<ReadonlyMap<string, OriginId>> {
  await sql`
    insert into origins (host) select host from unnest(${hosts.toSorted()}::text[]) as host
    on conflict (host) do nothing`;
  const rows = await sql<{ id: OriginId; host: string }[]>`
    select id::text as id, host from origins where host = any(${[...hosts]}::text[])`;
  return new Map(rows.map(({ host, id }) => [host, id]));
}

/** Origins as they stand; not locked, so a decision on them is checked again. `fallback` is the budget of those without one. */
export async function readOrigins(
  sql: Sql,
  ids: readonly OriginId[],
  fallback: OriginBudget,
): Promise<readonly StoredOrigin[]> {
  if (ids.length === 0) return [];
  const rows = await sql<OriginRow[]>`select ${columns(sql)} from origins where id = any(${ids}::bigint[])`;
  return rows.map((row) => toOrigin(row, fallback));
}

/** Lock origins for a change of their state, in id order; after nodes and assets. */
export async function lockOrigins(
  sql: Sql,
  ids: readonly OriginId[],
  fallback: OriginBudget,
): Promise<ReadonlyMap<OriginId, Origin>> {
  if (ids.length === 0) return new Map();
  const rows = await sql<OriginRow[]>`
    select ${columns(sql)} from origins where id = any(${ids}::bigint[]) order by origins.id for no key update`;
  return new Map(rows.map((row) => toOrigin(row, fallback)).map(({ id, origin }) => [id, origin]));
}

/** Write the state of locked origins. */
export async function updateOrigins(sql: Sql, origins: ReadonlyMap<OriginId, Origin>): Promise<void> {
  if (origins.size === 0) return;
  const rows = [...origins].map(([id, origin]) => ({
    id,
    concurrency: origin.concurrency === origin.budget.concurrencyMax ? null : origin.concurrency,
    in_use: origin.inUse,
    tokens: origin.tokens,
    tokens_at: origin.tokensAtMs,
    closed_until: origin.closedUntilMs,
    failures: origin.failures,
    clean_since: origin.cleanSinceMs,
  }));
  await sql`
    update origins
       set concurrency = r.concurrency, in_use = r.in_use, tokens = r.tokens,
           tokens_at = to_timestamp(r.tokens_at / 1000), closed_until = to_timestamp(r.closed_until / 1000),
           failures = r.failures, clean_since = to_timestamp(r.clean_since / 1000)
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, concurrency integer, in_use integer, tokens double precision, tokens_at double precision,
             closed_until double precision, failures integer, clean_since double precision)
     where origins.id = r.id`;
}
