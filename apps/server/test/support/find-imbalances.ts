import type { Sql } from "../../src/db/database.ts";

/**
 * Compare every counter and ledger with the rows it stands for, in one snapshot. Answers a line for each fault found;
 * empty when everything balances. `concurrencyDefault` is the servers' for origins without a budget of their own.
 */
export async function findImbalances(sql: Sql, concurrencyDefault: number): Promise<readonly string[]> {
  const rows = await sql<{ fault: string }[]>`
    select 'node ' || n.id || ' holds ' || n.held_bytes || ' bytes and its replicas ' || coalesce(r.bytes, 0) as fault
      from nodes n left join (select node_id, sum(size_bytes) as bytes from replicas group by node_id) r on r.node_id = n.id
     where n.held_bytes <> coalesce(r.bytes, 0)
    union all
    select 'node ' || n.id || ' counts ' || n.held_copies || ' copies and has ' || coalesce(h.copies, 0)
      from nodes n left join holdings h on h.node_id = n.id where n.held_copies <> coalesce(h.copies, 0)
    union all
    select 'node ' || n.id || ' has ' || encode(n.held_digest, 'hex') || ' for a digest, and its copies ' || encode(h.digest, 'hex')
      from nodes n
      left join holdings g on g.node_id = n.id
     cross join lateral (select coalesce(g.digest, decode(repeat('00', 32), 'hex')) as digest) h
     where n.held_digest <> h.digest
    union all
    select 'node ' || n.id || ' reserves ' || n.reserved_bytes || ' bytes and its leases ' || coalesce(x.bytes, 0)
      from nodes n
      left join (select node_id, sum(reserved_bytes) as bytes from assignments where lease_expires_at is not null
                  group by node_id) x on x.node_id = n.id
     where n.reserved_bytes <> coalesce(x.bytes, 0)
    union all
    select 'node ' || id || ' is past its offer' from nodes
     where held_bytes + reserved_bytes + margin_bytes > offered_bytes
    union all
    select 'origin ' || o.id || ' counts ' || o.in_use || ' fetches and has ' || count(x.id) || ' leases'
      from origins o left join assignments x on x.origin_id = o.id and x.lease_expires_at is not null
     group by o.id having o.in_use <> count(x.id)
    union all
    select 'origin ' || o.id || ' has ' || o.in_use || ' fetches, above its budget' from origins o
     where o.in_use > coalesce(o.concurrency_max, ${concurrencyDefault}::integer)
    union all
    select 'asset ' || asset_id || ' is ' || count(*) || ' times on node ' || node_id from assignments
     where state in ('granted', 'running', 'stored') group by asset_id, node_id having count(*) > 1
    union all
    select 'asset ' || x.asset_id || ' has ' || count(*) || ' copies and leases, above ' || d.copies_max
      from assignments x join assets a on a.id = x.asset_id join datasets d on d.id = a.dataset_id
     where x.state in ('granted', 'running', 'stored') and not (x.state = 'stored' and x.is_surplus)
     group by x.asset_id, d.copies_max having count(*) > d.copies_max
    union all
    select 'asset ' || s.asset_id || ' says ' || s.independent_copies || ' copies and has ' || count(distinct r.operator_id)
      from standings s
      left join (select r.* from replicas r join nodes n on n.id = r.node_id
                  where r.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted) r
        on r.asset_id = s.asset_id
     group by s.asset_id having s.independent_copies <> count(distinct r.operator_id)
    union all
    select 'asset ' || a.id || ' has no standing' from assets a
     where not exists (select from standings s where s.asset_id = a.id)
    union all
    select 'node ' || n.id || ' lists ' || n.open_assignments::text || ' as open, until ' || coalesce(n.lease_due_at::text, 'never')
           || ', and has ' || coalesce(x.ids::text, '{}') || ' until ' || coalesce(x.due_at::text, 'never')
      from nodes n
      left join (select node_id, array_agg(id order by id) as ids, min(lease_expires_at) as due_at
                   from assignments where lease_expires_at is not null group by node_id) x on x.node_id = n.id
     where (select coalesce(array_agg(id order by id), '{}') from unnest(n.open_assignments) as open(id))
             <> coalesce(x.ids, '{}')
        or abs(extract(epoch from coalesce(n.lease_due_at, 'epoch') - coalesce(x.due_at, 'epoch'))) > 0.01`;
  return rows.map((row) => row.fault);
}
