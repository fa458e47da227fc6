import type { AssetId, NodeId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** What can happen. */
export const EVENT_KINDS = [
  "node.joined",
  "node.moved",
  "node.synced",
  "node.granted",
  "copies.told",
  "copies.reconciled",
  "leases.ended",
  "assets.imported",
  "assets.renewed",
  "assets.prioritized",
  "assets.withdrawn",
  "assets.restored",
  "assets.requeued",
  "dataset.updated",
  "origin.paused",
  "origin.resumed",
  "origin.budgeted",
  "node.drained",
  "node.undrained",
  "node.blocked",
  "node.unblocked",
  "node.retired",
  "node.messaged",
  "node.leaving",
  "node.left",
  "node.gave-back",
  "copies.leaving",
  "copies.permitted",
  "token.created",
  "token.revoked",
  "key.created",
  "key.revoked",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export type NewEvent = {
  readonly kind: EventKind;
  readonly actor: "node" | "admin" | "operator" | "server";
  readonly nodeId?: NodeId;
  /** The assets that stand otherwise since. */
  readonly assetIds?: readonly AssetId[];
  /** Small: what, and why. */
  readonly detail?: Readonly<Record<string, unknown>>;
};

/** Append to the log, in the transaction of what happened; answers their ids. */
export async function appendEvents(sql: Sql, events: readonly NewEvent[]): Promise<readonly number[]> {
  if (events.length === 0) return [];
  const rows = events.map(({ kind, actor, nodeId, assetIds, detail }) => ({
    kind,
    actor,
    node: nodeId ?? null,
    assets: [...(assetIds ?? [])],
    detail: detail ?? {},
  }));
  const inserted = await sql<{ id: number }[]>`
    insert into events (kind, actor, node_id, asset_ids, detail)
    select kind, actor, node, assets, detail
      from jsonb_to_recordset(${sql.json(rows as never)}) as r(
             kind text, actor text, node bigint, assets bigint[], detail jsonb)
    returning id`;
  return inserted.map(({ id }) => id);
}

/** Where a reader of the log stands: all of the transactions below are read. */
export type EventCursor = string;

/** From now on: what is committed later, or under way now, comes after it. */
export async function readEventCursor(sql: Sql): Promise<EventCursor> {
  const [row] = await sql<[{ xmin: string }]>`select pg_snapshot_xmin(pg_current_snapshot())::text as xmin`;
  return row.xmin;
}

/** The assets that stand otherwise since an event. */
export type ChangedAssets = {
  readonly id: number;
  /** Nodes have taken them up or finished them, and given nothing back: they have become less urgent. */
  readonly isProgress: boolean;
  readonly assetIds: readonly AssetId[];
};

/**
 * The assets that changed since, and where to read on; of the last hour at most, so a reader that slept longer begins anew.
 * What a transaction that was under way before had changed may come twice, and nothing is missed. Of events that are `known`
 * to the reader the assets are not told again.
 */
export async function readChangedAssets(
  sql: Sql,
  cursor: EventCursor,
  known: readonly number[] = [],
): Promise<{
  readonly events: readonly ChangedAssets[];
  readonly cursor: EventCursor;
}> {
  const rows = await sql<{ id: number | null; isProgress: boolean; assetIds: AssetId[] | null; xmin: string }[]>`
    select e.id, case when e.id = any(${known}::bigint[]) then '{}' else e.asset_ids::text[] end as "assetIds",
           pg_snapshot_xmin(pg_current_snapshot())::text as xmin,
           e.kind in ('node.synced', 'node.granted') and e.detail - '{granted,running,stored}'::text[] = '{}' as "isProgress"
      from (select 1) one left join events e on e.xid >= ${cursor}::xid8 and e.at > now() - interval '1 hour' and e.asset_ids <> '{}'`;
  const events = rows.flatMap(({ id, isProgress, assetIds }) =>
    id === null || assetIds === null ? [] : [{ id, isProgress, assetIds }],
  );
  return { events, cursor: rows[0]?.xmin ?? cursor };
}

/** The days, as YYYYMMDD, that have a table of their own; with what the database's clock says is today. */
export async function readEventDays(sql: Sql): Promise<{ readonly today: string; readonly days: readonly string[] }> {
  const [row] = await sql<[{ today: string; days: string[] }]>`
    select to_char(now() at time zone 'utc', 'YYYYMMDD') as today,
           coalesce(array_agg(substr(c.relname, 8)) filter (where c.relname ~ '^events_[0-9]{8}$'), '{}')::text[] as days
      from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'events'::regclass`;
  return row;
}

/** The day so many days later, or earlier below 0. */
export function shiftDay(day: string, days: number): string {
  const shifted = new Date(`${dateOf(day)}T00:00:00Z`);
  shifted.setUTCDate(shifted.getUTCDate() + days);
  return shifted.toISOString().slice(0, 10).replaceAll("-", "");
}

/** As PostgreSQL and Date write it. */
function dateOf(day: string): string {
  return `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`;
}

/** Make the table of a day. What has fallen into the table for the rest moves over. */
export async function addEventDay(sql: Sql, day: string): Promise<void> {
  const table = `events_${requireDay(day)}`;
  const [from, to] = [day, shiftDay(day, 1)].map((one) => `'${dateOf(one)} 00:00:00+00'`);
  await sql.unsafe(`create table ${table} (like events including defaults including constraints)`);
  await sql.unsafe(`
    with strays as (delete from events_default where at >= ${from} and at < ${to} returning *)
    insert into ${table} select * from strays`);
  await sql.unsafe(`alter table events attach partition ${table} for values from (${from}) to (${to})`);
}

/** Drop a day as a whole. */
export async function dropEventDay(sql: Sql, day: string): Promise<void> {
  await sql.unsafe(`drop table events_${requireDay(day)}`);
}

/** It becomes part of a statement. */
function requireDay(day: string): string {
  if (!/^[0-9]{8}$/.test(day)) throw new Error(`"${day}" is no day.`);
  return day;
}
