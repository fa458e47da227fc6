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
