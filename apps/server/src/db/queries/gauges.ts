import type { NodeLife } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** What a graph shows of the state: sums over nodes and origins, whatever the size of the catalog. */
export type GaugeRow = {
  readonly nodes: Readonly<Record<NodeLife, number>>;
  /** Of nodes that are not lost. */
  readonly ledger: Readonly<Record<"offered" | "held" | "reserved" | "margin", number>>;
  readonly copies: number;
  readonly openLeases: number;
  readonly origins: Readonly<Record<"open" | "saturated" | "closed" | "paused", number>>;
  readonly fetches: number;
  /** As PostgreSQL's statistics have it: to count them reads them all. Negative before the first `analyze`. */
  readonly assets: number;
  readonly sweptMsAgo: number;
};

/** One look at `nodes` and `origins`, for scrapes. `concurrency` is that of origins without a budget of their own. */
export async function readGauges(sql: Sql, concurrency: number): Promise<GaugeRow> {
  const [row] = await sql<[GaugeRow]>`
    with node as (
      select json_build_object(
               'online', count(*) filter (where life = 'online'), 'suspect', count(*) filter (where life = 'suspect'),
               'offline', count(*) filter (where life = 'offline'), 'lost', count(*) filter (where life = 'lost'),
               'retired', count(*) filter (where life = 'retired')) as nodes,
             json_build_object(
               'offered', coalesce(sum(offered_bytes) filter (where counts), 0),
               'held', coalesce(sum(held_bytes) filter (where counts), 0),
               'reserved', coalesce(sum(reserved_bytes) filter (where counts), 0),
               'margin', coalesce(sum(margin_bytes) filter (where counts), 0)) as ledger,
             coalesce(sum(held_copies) filter (where counts), 0)::double precision as copies,
             coalesce(sum(cardinality(open_assignments)), 0)::double precision as "openLeases"
        from (select *, life not in ('lost', 'retired') as counts from nodes) n),
    origin as (
      select json_build_object(
               'open', count(*) filter (where standing = 'open'), 'saturated', count(*) filter (where standing = 'saturated'),
               'closed', count(*) filter (where standing = 'closed'), 'paused', count(*) filter (where standing = 'paused')) as origins,
             coalesce(sum(in_use), 0)::double precision as fetches
        from (select in_use, case when paused then 'paused' when closed_until > now() then 'closed'
                                  when in_use >= coalesce(concurrency, concurrency_max, ${concurrency}::integer) then 'saturated'
                                  else 'open' end as standing
                from origins) o)
    select node.*, origin.*,
           (select reltuples::double precision from pg_class where oid = 'assets'::regclass) as assets,
           (select greatest(0, extract(epoch from clock_timestamp() - alive_at) * 1000)::bigint from service_state)
             as "sweptMsAgo"
      from node, origin`;
  return row;
}
