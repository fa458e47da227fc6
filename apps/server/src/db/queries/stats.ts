import type { Sql } from "../database.ts";

export type Overview = {
  readonly nowMs: number;
  readonly assets: Readonly<
    Record<"total" | "complete" | "withoutCopy" | "open" | "gone" | "review" | "withdrawn", number>
  >;
  readonly bytes: Readonly<Record<"catalog" | "copied", number>>;
  readonly copies: Readonly<Record<"counting" | "wanted", number>>;
  readonly nodes: Readonly<Record<"online" | "suspect" | "offline" | "lost" | "retired", number>>;
  readonly leases: Readonly<
    Record<"open" | "granted" | "stored" | "failed" | "released" | "expired" | "cancelled" | "reassigned", number>
  >;
};

/** The whole at a glance, in one snapshot. Reads every asset and assignment: for people, not for hot paths. */
export async function readOverview(sql: Sql): Promise<Overview> {
  const [row] = await sql<[Overview]>`
    with asset as (
      select count(*) as total,
             count(*) filter (where s.state = 'wanted' and s.independent_copies >= d.copies_target) as complete,
             count(*) filter (where s.independent_copies = 0) as "withoutCopy",
             count(*) filter (where s.state = 'wanted' and s.independent_copies < d.copies_target) as open,
             count(*) filter (where s.state = 'gone') as gone,
             count(*) filter (where s.state = 'review') as review,
             count(*) filter (where s.state = 'withdrawn') as withdrawn,
             least(coalesce(sum(a.size_bytes) filter (where s.state = 'wanted'), 0), ${Number.MAX_SAFE_INTEGER}::bigint) as catalog,
             coalesce(sum(least(s.independent_copies, d.copies_target)) filter (where s.state = 'wanted'), 0) as counting,
             coalesce(sum(d.copies_target) filter (where s.state = 'wanted'), 0) as wanted
        from standings s join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id),
    replica as (
      select least(coalesce(sum(r.size_bytes), 0), ${Number.MAX_SAFE_INTEGER}::bigint) as copied
        from replicas r join nodes n on n.id = r.node_id
       where r.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted),
    node as (
      select count(*) filter (where life = 'online') as online, count(*) filter (where life = 'suspect') as suspect,
             count(*) filter (where life = 'offline') as offline, count(*) filter (where life = 'lost') as lost,
             count(*) filter (where life = 'retired') as retired from nodes),
    lease as (
      select count(*) filter (where state in ('granted', 'running')) as open, count(*) as granted,
             count(*) filter (where state = 'stored') as stored, count(*) filter (where state = 'failed') as failed,
             count(*) filter (where state = 'released') as released,
             count(*) filter (where state = 'expired') as expired,
             count(*) filter (where state = 'cancelled') as cancelled,
             count(*) filter (
               where reclaimed_at is not null
                 and exists (select from assignments later
                              where later.asset_id = x.asset_id and later.node_id <> x.node_id
                                and later.granted_at >= x.reclaimed_at)) as reassigned
        from assignments x)
    select clock_timestamp() as "nowMs",
           json_build_object('total', total, 'complete', complete, 'withoutCopy', "withoutCopy", 'open', asset.open,
                             'gone', gone, 'review', review, 'withdrawn', withdrawn) as assets,
           json_build_object('catalog', catalog, 'copied', copied) as bytes,
           json_build_object('counting', counting, 'wanted', wanted) as copies,
           row_to_json(node) as nodes, row_to_json(lease) as leases
      from asset, replica, node, lease`;
  return row;
}
