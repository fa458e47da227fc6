/** All that the tests of fleets ask the database in SQL: the one place to change with the schema. */
import type { Sql } from "../../src/db/database.ts";
import type { OriginPlan } from "./fleet-catalog.ts";

export type AssignmentRow = {
  readonly id: string;
  readonly assetId: string;
  readonly nodeId: string;
  readonly operatorId: string;
  readonly state: string;
  readonly term: number;
  readonly origin: string;
  readonly grantedAtMs: number;
  /** Null where there is no copy. */
  readonly counts: boolean | null;
};

export type AssetRow = {
  readonly id: string;
  readonly state: string;
  readonly lastTerm: number;
  readonly copiesTarget: number;
  readonly copiesMax: number;
};

export type FleetRows = {
  readonly assignments: readonly AssignmentRow[];
  readonly assets: readonly AssetRow[];
  readonly origins: readonly OriginPlan[];
};

/** Everything that the logs of a fleet are held against. Every origin has a budget of its own. */
export async function readFleetRows(sql: Sql): Promise<FleetRows> {
  const assignments = await sql<AssignmentRow[]>`
    select x.id::text as id, x.asset_id::text as "assetId", x.node_id::text as "nodeId",
           x.operator_id::text as "operatorId", x.state, x.term, o.host as origin, x.granted_at as "grantedAtMs",
           case when r.assignment_id is not null
                then r.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted end as counts
      from assignments x
      join origins o on o.id = x.origin_id
      join nodes n on n.id = x.node_id
      left join replicas r on r.assignment_id = x.id`;
  const assets = await sql<AssetRow[]>`
    select a.id::text as id, s.state, coalesce(x.term, 0) as "lastTerm", d.copies_target as "copiesTarget",
           d.copies_max as "copiesMax"
      from assets a join standings s on s.asset_id = a.id join datasets d on d.id = a.dataset_id
      left join (select asset_id, max(term) as term from assignments group by asset_id) x on x.asset_id = a.id`;
  return { assignments, assets, origins: await readBudgets(sql) };
}

async function readBudgets(sql: Sql): Promise<readonly OriginPlan[]> {
  return sql<OriginPlan[]>`
    select host, concurrency_max as "concurrencyMax", requests_per_minute as "requestsPerMinute" from origins
     where concurrency_max is not null and requests_per_minute is not null`;
}

/** Give origins budgets of their own, whether they are known already or not. */
export async function setBudgets(sql: Sql, plans: readonly OriginPlan[]): Promise<void> {
  for (const { host, concurrencyMax, requestsPerMinute } of plans) {
    await sql`
      insert into origins (host, concurrency_max, requests_per_minute)
      values (${host}, ${concurrencyMax}, ${requestsPerMinute})
      on conflict (host) do update
         set concurrency_max = excluded.concurrency_max, requests_per_minute = excluded.requests_per_minute`;
  }
}

/** Copies that are there, and those that are still to be made, by the host of their origin. */
export type Backlog = { readonly made: number; readonly missingByOrigin: ReadonlyMap<string, number> };

export async function readBacklog(sql: Sql): Promise<Backlog> {
  const rows = await sql<{ host: string; made: number; missing: number }[]>`
    select o.host, coalesce(sum(s.independent_copies), 0)::bigint as made,
           coalesce(sum(greatest(d.copies_target - s.independent_copies, 0)), 0)::bigint as missing
      from origins o
      left join assets a on a.origin_id = o.id
      left join standings s on s.asset_id = a.id
      left join datasets d on d.id = a.dataset_id
     group by o.host`;
  return {
    made: rows.reduce((sum, row) => sum + row.made, 0),
    missingByOrigin: new Map(rows.map((row) => [row.host, row.missing])),
  };
}

/** Assets that do not yet have the copies they should, each with all that is known of why. */
export async function describeUndone(sql: Sql, limit: number): Promise<readonly string[]> {
  const rows = await sql<{ text: string }[]>`
    select 'asset ' || a.id || ', ' || coalesce(a.size_bytes::text, '?') || ' bytes, ' || s.state || ', '
           || s.independent_copies || ' of ' || d.copies_target || ' copies, ' || s.places_left || ' places left'
           || coalesce(', rests until ' || s.retry_at, '') || coalesce(', due ' || s.due_at, '')
           || '; origin ' || o.host || ' has ' || o.in_use || ' in use of ' || coalesce(o.concurrency, o.concurrency_max)
           || coalesce(', closed until ' || o.closed_until, '') || '; '
           || coalesce((select string_agg('turn ' || x.turn || ' ' || x.state || coalesce(' ' || x.failure_code, '')
                                          || ' by node ' || n.id || ' of ' || n.operator_id || ' (' || n.life || ')', ', '
                                          order by x.turn)
                          from assignments x join nodes n on n.id = x.node_id where x.asset_id = a.id), 'nobody') as text
      from assets a join standings s on s.asset_id = a.id join datasets d on d.id = a.dataset_id
      join origins o on o.id = a.origin_id
     where s.independent_copies < d.copies_target order by a.id limit ${limit}`;
  return rows.map((row) => row.text);
}

/** Assets that have more copies than are allowed, whatever is leased beside them. */
export async function findOverfull(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ fault: string }[]>`
    select 'asset ' || a.id || ' has ' || count(*) || ' copies, ' || d.copies_max || ' allowed' as fault
      from replicas r join assets a on a.id = r.asset_id join datasets d on d.id = a.dataset_id
     group by a.id, d.copies_max having count(*) > d.copies_max`;
  return rows.map((row) => row.fault);
}

/**
 * Transactions that have ever been given a number: only those that write are. One that is higher than before tells that
 * somebody has written meanwhile.
 */
export async function readNextTransaction(sql: Sql): Promise<string> {
  const [row] = await sql<[{ next: string }]>`select pg_snapshot_xmax(pg_current_snapshot())::text as next`;
  return row.next;
}

/** Sessions that a program of this name has opened. */
export async function countSessions(sql: Sql, applicationName: string): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    select count(*) as count from pg_stat_activity where application_name = ${applicationName}`;
  return row.count;
}

/** Whether a standby follows this server, and every commit waits for it. */
export async function hasSynchronousStandby(sql: Sql): Promise<boolean> {
  return (await sql`select from pg_stat_replication where sync_state = 'sync'`).length > 0;
}

/** A process of PostgreSQL that works for somebody else; null when there is none. */
export async function findBackend(sql: Sql, applicationName: string): Promise<number | null> {
  const [row] = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity where application_name = ${applicationName} order by random() limit 1`;
  return row?.pid ?? null;
}
