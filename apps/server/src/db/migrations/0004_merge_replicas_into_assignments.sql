-- A copy is how its assignment ended, so it is the same row: one write where there were two, nothing to keep in step, and
-- no row that could miss its other half. `replicas` stays as a view, for whoever reads.
-- The server of before cannot run on the result: it writes to the table that is gone.

alter table assignments
  add column size_bytes bigint check (size_bytes >= 0),
  add column sha256 bytea check (octet_length(sha256) = 32),
  add column trust text check (trust in ('verified', 'claimed', 'agreed')),
  -- False for a copy that disagrees with the others.
  add column counts boolean,
  add column etag text,
  add column last_modified text;

update assignments x
   set size_bytes = r.size_bytes, sha256 = r.sha256, trust = r.trust, counts = r.counts, etag = r.etag,
       last_modified = r.last_modified, ended_at = r.stored_at
  from replicas r where r.assignment_id = x.id;

drop view counting_holders;
drop table replicas;

alter table assignments add constraint assignments_stored_has_copy check (
  (state = 'stored') = (sha256 is not null) and (state = 'stored') = (size_bytes is not null)
  and (state = 'stored') = (trust is not null) and (state = 'stored') = (counts is not null)
  and (state = 'stored' or (etag is null and last_modified is null)));

-- Four look-ups and as many row locks for each lease cost more than the lease. What they guard cannot happen: assets, nodes,
-- operators and origins are never deleted, and every lease is written under the locks of its node, asset and origin.
alter table assignments
  drop constraint assignments_asset_id_fkey,
  drop constraint assignments_node_id_fkey,
  drop constraint assignments_operator_id_fkey,
  drop constraint assignments_origin_id_fkey;

create index assignments_stored_by_node on assignments (node_id) where state = 'stored';

create view replicas as
  select id as assignment_id, asset_id, node_id, operator_id, size_bytes, sha256, trust, counts, etag, last_modified,
         ended_at as stored_at
    from assignments where state = 'stored';

-- Who has, or has leased, an asset in a way that counts: not what lies on an absent node, nor a copy that disagrees.
create view counting_holders as
  select x.asset_id, x.node_id, x.operator_id
    from assignments x
    join nodes n on n.id = x.node_id
   where x.state in ('granted', 'running')
      or (x.state = 'stored' and x.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted);
