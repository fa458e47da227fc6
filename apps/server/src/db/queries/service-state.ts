import type { Sql } from "../database.ts";

/**
 * Say that a server sweeps, and learn until when nothing expires. When no server has swept for `gapMs`, nodes had nobody
 * to report to: a new mercy begins, for this server and every other.
 */
export async function recordSweep(
  sql: Sql,
  { gapMs, mercyMs }: { readonly gapMs: number; readonly mercyMs: number },
): Promise<{ readonly hasMercy: boolean }> {
  const [row] = await sql<[{ hasMercy: boolean }]>`
    update service_state
       set mercy_until = case when alive_at < now() - ${gapMs} * interval '1 millisecond'
                              then now() + ${mercyMs} * interval '1 millisecond' else mercy_until end,
           alive_at = now()
    returning mercy_until > now() as "hasMercy"`;
  return row;
}

/** A server has started: nothing expires for a while, so that nodes which could not report are heard first. */
export async function beginMercy(sql: Sql, mercyMs: number): Promise<void> {
  await sql`
    update service_state
       set mercy_until = greatest(mercy_until, now() + ${mercyMs} * interval '1 millisecond'), alive_at = now()`;
}

/** Until when nothing expires; a moment that may be long past. */
export async function readMercy(sql: Sql): Promise<number> {
  const [row] = await sql<[{ mercyUntilMs: number }]>`select mercy_until as "mercyUntilMs" from service_state`;
  return row.mercyUntilMs;
}

/** The database's clock: the only one that judges leases. */
export async function readDatabaseTime(sql: Sql): Promise<number> {
  const [row] = await sql<[{ nowMs: number }]>`select clock_timestamp() as "nowMs"`;
  return row.nowMs;
}

/** Become, or stay, the server that sweeps, for `leaseMs` from now; false when another one is. */
export async function holdSweeping(
  sql: Sql,
  { serverId, leaseMs }: { readonly serverId: string; readonly leaseMs: number },
): Promise<boolean> {
  const rows = await sql`
    update service_state set sweeper = ${serverId}, sweeper_until = now() + ${leaseMs} * interval '1 millisecond'
     where sweeper = ${serverId} or sweeper_until <= now()
    returning sweeper`;
  return rows.length === 1;
}

/** Another server may sweep at once. */
export async function giveUpSweeping(sql: Sql, serverId: string): Promise<void> {
  await sql`update service_state set sweeper_until = '-infinity' where sweeper = ${serverId}`;
}

export type ServiceState = {
  /** The newest migration that was applied. */
  readonly migration: string;
  /** Since the last sweep of any server. */
  readonly sweptMsAgo: number;
};

/** What a health check asks, in one look at two small tables. */
export async function readServiceState(sql: Sql): Promise<ServiceState> {
  const [row] = await sql<[ServiceState]>`
    select (select name from schema_migrations order by version desc limit 1) as migration,
           greatest(0, extract(epoch from clock_timestamp() - alive_at) * 1000)::bigint as "sweptMsAgo"
      from service_state`;
  return row;
}
