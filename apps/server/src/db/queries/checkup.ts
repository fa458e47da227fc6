import type { NodeId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

export type PostgresFacts = {
  readonly version: string;
  /** As PostgreSQL writes them: `on`, `off`, `local` ... */
  readonly fsync: string;
  readonly synchronousCommit: string;
  readonly fullPageWrites: string;
  readonly maxConnections: number;
  readonly isStandby: boolean;
  readonly sizeBytes: number;
};

/** What PostgreSQL is, and the settings of it that a commit's safety hangs on. */
export async function readPostgresFacts(sql: Sql): Promise<PostgresFacts> {
  const [row] = await sql<[PostgresFacts]>`
    select current_setting('server_version') as version, current_setting('fsync') as fsync,
           current_setting('synchronous_commit') as "synchronousCommit",
           current_setting('full_page_writes') as "fullPageWrites",
           current_setting('max_connections')::integer as "maxConnections",
           pg_is_in_recovery() as "isStandby", pg_database_size(current_database()) as "sizeBytes"`;
  return row;
}

/** When a server swept last, and whether one holds the sweeps now. */
export async function readSweeping(sql: Sql): Promise<{ readonly sweptMsAgo: number; readonly isHeld: boolean }> {
  const [row] = await sql<[{ sweptMsAgo: number; isHeld: boolean }]>`
    select (extract(epoch from now() - alive_at) * 1000)::double precision as "sweptMsAgo",
           sweeper_until > now() as "isHeld" from service_state`;
  return row;
}

export type SilenceFacts = {
  /** Nodes that are taken to be there: online or suspect. */
  readonly present: number;
  /** Since the last sync of any of them, and since that of the one that is silent longest; null without one. */
  readonly latestMsAgo: number | null;
  readonly oldestMsAgo: number | null;
  /** Which that is. */
  readonly oldestId: NodeId | null;
};

/** How long those nodes have been silent that are taken to be there. O(nodes). */
export async function readSilence(sql: Sql): Promise<SilenceFacts> {
  const [row] = await sql<[SilenceFacts]>`
    select count(*) as present,
           (extract(epoch from now() - max(coalesce(last_sync_at, created_at))) * 1000)::double precision as "latestMsAgo",
           (extract(epoch from now() - min(coalesce(last_sync_at, created_at))) * 1000)::double precision as "oldestMsAgo",
           (array_agg(id::text order by coalesce(last_sync_at, created_at), id))[1] as "oldestId"
      from nodes where life in ('online', 'suspect')`;
  return row;
}

/** Standings that wait to be reckoned anew: how many, counted up to `most`, and for how long the first has waited. */
export async function readDueStandings(
  sql: Sql,
  most: number,
): Promise<{ readonly due: number; readonly oldestMs: number | null }> {
  const [row] = await sql<[{ due: number; oldestMs: number | null }]>`
    select count(*) as due, (extract(epoch from now() - min(due_at)) * 1000)::double precision as "oldestMs"
      from (select due_at from standings where due_at <= now() order by due_at limit ${most}) late`;
  return row;
}

/** Whether an event has fallen into the table for days that none was made for. */
export async function hasStrayEvents(sql: Sql): Promise<boolean> {
  const [row] = await sql<[{ isThere: boolean }]>`select exists (select from events_default) as "isThere"`;
  return row.isThere;
}

export type LedgerFault = {
  readonly nodeId: NodeId;
  readonly ledger: "held bytes" | "held copies" | "reserved bytes";
  /** In the node's own row. */
  readonly says: number;
  /** By the rows that it stands for. */
  readonly rows: number;
};

/** Compare the ledgers of so many nodes, chosen by chance, with the rows they stand for, in one snapshot. O(their copies). */
export async function compareLedgers(
  sql: Sql,
  nodes: number,
): Promise<{ readonly compared: number; readonly faults: readonly LedgerFault[] }> {
  const [row] = await sql<[{ compared: number; faults: LedgerFault[] }]>`
    with sample as materialized (
      select id, held_bytes, held_copies, reserved_bytes from nodes order by random() limit ${nodes}),
    counted as (
      select s.*, coalesce(x.bytes, 0) as bytes, coalesce(x.copies, 0) as copies, coalesce(x.reserved, 0) as reserved
        from sample s
       cross join lateral (
         select sum(size_bytes) filter (where state = 'stored')::bigint as bytes,
                count(*) filter (where state = 'stored') as copies,
                sum(reserved_bytes) filter (where lease_expires_at is not null)::bigint as reserved
           from assignments where node_id = s.id) x),
    faults as (
      select id, ledger, says, rows from counted
       cross join lateral (values ('held bytes', held_bytes, bytes), ('held copies', held_copies, copies),
                                  ('reserved bytes', reserved_bytes, reserved)) as l(ledger, says, rows)
       where says <> rows)
    select (select count(*) from sample) as compared,
           coalesce((select jsonb_agg(jsonb_build_object(
             'nodeId', id::text, 'ledger', ledger, 'says', says, 'rows', rows) order by id, ledger) from faults), '[]') as faults`;
  return row;
}
