/** Reading the log of events, for people and programs. */
import type { AssetId, NodeId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

export type LoggedEvent = {
  readonly id: number;
  readonly xid: string;
  readonly atMs: number;
  readonly kind: string;
  readonly actor: string;
  readonly nodeId: NodeId | null;
  readonly assetIds: AssetId[];
  readonly detail: Record<string, unknown>;
};

/**
 * A place in the log, in the order of transactions and of what each of them wrote. Nothing comes to stand before a place whose
 * transactions are all over: so a reader that stays behind those misses nothing, sees nothing twice, and may be another one
 * after each step.
 */
export type LogPlace = {
  readonly xid: string;
  readonly id: number;
  /** When that was: events from long before it are not looked for. */
  readonly atMs: number;
};

/** No transaction takes so long: events that are written by one are up to so much older than their place in the log. */
const TRANSACTION_MAX_MS = 3_600_000;

const columns = (sql: Sql) => sql`
  e.id, e.xid::text as xid, e.at as "atMs", e.kind, e.actor, e.node_id::text as "nodeId",
  e.asset_ids::text[] as "assetIds", e.detail`;

/** The place behind all that is over. */
export async function readLogEnd(sql: Sql): Promise<LogPlace> {
  const [row] = await sql<[LogPlace]>`
    select pg_snapshot_xmin(pg_current_snapshot())::text as xid, 0 as id, clock_timestamp() as "atMs"`;
  return row;
}

/** Where this event stands; null when it is not in the log, or not any more. */
export async function findLogPlace(sql: Sql, id: number): Promise<LogPlace | null> {
  const [row] = await sql<LogPlace[]>`select xid::text as xid, id, at as "atMs" from events where id = ${id}`;
  return row ?? null;
}

/** The last event of what is over; null while there is none. */
export async function findLastEvent(sql: Sql): Promise<number | null> {
  // Each day is a table of its own, and mostly it is one of the last two.
  for (const within of ["1 day", "1000 years"]) {
    const [row] = await sql<{ id: number }[]>`
      select id from events
       where xid < pg_snapshot_xmin(pg_current_snapshot()) and at > clock_timestamp() - ${within}::text::interval
       order by xid desc, id desc limit 1`;
    if (row !== undefined) return row.id;
  }
  return null;
}

/** What stands behind a place and is over, in order, and where to read on. O(what it reads). */
export async function readLog(
  sql: Sql,
  { xid, id, atMs }: LogPlace,
  limit: number,
): Promise<{ readonly events: readonly LoggedEvent[]; readonly place: LogPlace }> {
  const rows = await sql<
    (LoggedEvent & { readonly xmin: string; readonly nowMs: number; readonly id: number | null })[]
  >`
    select ${columns(sql)}, s.xmin::text as xmin, clock_timestamp() as "nowMs"
      from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) s
      left join lateral (
        select * from events
         where (xid, id) > (${xid}::xid8, ${id}::bigint) and xid < s.xmin
           and at > ${atMs - TRANSACTION_MAX_MS}::timestamptz
         order by xid, id limit ${limit}) e on true
     order by e.xid, e.id`;
  const events = rows.filter((row): row is typeof row & { id: number } => row.id !== null);
  const last = events.at(-1);
  const [first] = rows;
  if (first === undefined) return { events: [], place: { xid, id, atMs } };
  // All that is over is read: the next look begins behind it, whoever wrote last.
  const end = { xid: first.xmin, id: 0, atMs: first.nowMs };
  const place = last !== undefined && events.length === limit ? { xid: last.xid, id: last.id, atMs: last.atMs } : end;
  return { events: events.map(({ xmin: _xmin, nowMs: _nowMs, ...event }) => event), place };
}

export type EventFilter = {
  readonly kinds: readonly string[] | null;
  readonly nodeId: NodeId | null;
  readonly assetId: AssetId | null;
};

/** The latest events below an id that pass, newest first; it looks at `depth` at most. */
export async function listEventsBelow(
  sql: Sql,
  { kinds, nodeId, assetId }: EventFilter,
  { below, depth, limit }: { readonly below: number | null; readonly depth: number; readonly limit: number },
): Promise<readonly LoggedEvent[]> {
  const names = kinds === null ? null : [...kinds];
  return sql<LoggedEvent[]>`
    select ${columns(sql)}
      from (select * from events where ${below}::bigint is null or id < ${below}::bigint order by id desc limit ${depth}) e
     where (${names}::text[] is null or e.kind = any(${names}::text[]))
       and (${nodeId}::bigint is null or e.node_id = ${nodeId}::bigint)
       and (${assetId}::bigint is null or e.asset_ids @> array[${assetId}::bigint])
     order by e.id desc limit ${limit}`;
}

/** The id of the last event that the above looks at; null where it comes to the end of the log. */
export async function findEventDepth(sql: Sql, below: number | null, depth: number): Promise<number | null> {
  const [row] = await sql<{ id: number }[]>`
    select id from events where ${below}::bigint is null or id < ${below}::bigint
     order by id desc offset ${depth - 1} limit 1`;
  return row?.id ?? null;
}
