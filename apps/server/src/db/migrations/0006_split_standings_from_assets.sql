-- What the catalog says of an asset changes with an import; how it stands changes with every copy. In one row, each copy
-- wrote the URL and the path again, and an entry into each of six indexes. Apart, it writes a narrow row with three.
-- Leases no longer write to the asset at all: what is on its way is counted where it is decided.
-- The server of before cannot run on the result: it writes to columns that are gone.

create table standings (
  asset_id bigint primary key references assets,
  origin_id bigint not null,
  -- Binary order of magnitude of the size in bytes; -1 where that is unknown.
  size_class smallint not null,
  state text not null default 'wanted' check (state in ('wanted', 'gone', 'review', 'withdrawn')),
  -- The three below follow from the copies there are; the core computes them whenever those change.
  independent_copies integer not null default 0 check (independent_copies >= 0),
  places_left integer not null check (places_left >= 0),
  urgency double precision not null,
  -- When the three above are to be computed anew, because time changes the urgency or much has changed at once; null for
  -- never.
  due_at timestamptz,
  -- After a failure it rests until then.
  retry_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

insert into standings (asset_id, origin_id, size_class, state, independent_copies, places_left, urgency, due_at, retry_at)
select id, origin_id, case when size_bytes is null then -1 else floor(ln(size_bytes + 1.0::double precision) / ln(2.0::double precision)) end,
       state, independent_copies, places_left, urgency, now(), retry_at
  from assets;

drop index assets_queue, assets_list, assets_standing_due;
alter table assets
  drop column state, drop column independent_copies, drop column places_left, drop column urgency,
  drop column standing_due_at, drop column retry_at, drop column last_term;

-- The head of each queue: files of one origin and one order of magnitude, so that what is too big for a node stands in
-- nobody's way.
create index standings_queue on standings (origin_id, size_class, urgency desc, asset_id)
  where state = 'wanted' and places_left > 0;
-- Lists, and those that are due.
create index standings_list on standings (urgency desc, asset_id);
create index standings_due on standings (due_at) where due_at is not null;

-- Which leases a node has open stands in its own row, which every sync locks and writes anyway. So no index has to follow
-- a lease through its states, and PostgreSQL can write each of them in place.
alter table nodes
  add column open_assignments bigint[] not null default '{}',
  -- When the first of them ends.
  add column lease_due_at timestamptz;
update nodes n
   set open_assignments = x.ids, lease_due_at = x.due_at
  from (select node_id, array_agg(id order by id) as ids, min(lease_expires_at) as due_at
          from assignments where lease_expires_at is not null group by node_id) x
 where x.node_id = n.id;

-- The turns of an asset are numbered: each grant takes one, which is its term, and so does a copy that comes late. Who
-- decided without knowing of the latest turn finds the next one taken: so two servers never act on one asset unseen.
alter table assignments drop constraint assignments_asset_id_term_key;
alter table assignments add column turn integer;
update assignments set turn = term;
alter table assignments alter column turn set not null, add constraint assignments_asset_turn unique (asset_id, turn);

-- A lease of an asset that has copies enough without it. It ends once its node has been told: until then the node may begin
-- the fetch, and the slot of the origin is its.
alter table assignments add column is_surplus boolean not null default false;

-- One open lease or copy of an asset on a node: kept by the lock of the node's row and a look at its assignments of the
-- asset before each grant.
drop index assignments_one_per_node, assignments_open_by_node, assignments_due, assignments_stored_by_node;
create index assignments_by_node on assignments (node_id);
alter table assignments set (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
