-- What coordinators do to nodes and assets, and the indexes by which they find assets.
-- None of the indexes follows a lease or a copy: `assets` changes with imports and wishes alone, and an asset is put aside
-- or taken back by people, or by failures. So nothing of this is paid for by a sync.
-- Additive: the server of before can still run, but it gives work to nodes that are to have none.

alter table nodes
  -- active: takes part. draining: no new work, and its copies are made elsewhere. leaving: as draining, then it is retired.
  -- blocked: no new work, and its copies do not count.
  add column duty text not null default 'active' check (duty in ('active', 'draining', 'leaving', 'blocked')),
  -- For its volunteer, told with each sync.
  add column message text check (char_length(message) between 1 and 500);

-- Failures of before do not count again once people have asked for the asset anew.
alter table standings add column asked_again_at timestamptz;

create index assets_by_dataset on assets (dataset_id, id);
create index assets_by_origin on assets (origin_id, id);
-- How paths and URLs begin, byte by byte. A whole one may be longer than an index entry can be.
create index assets_by_path on assets (left(path, 200) collate "C", id);
create index assets_by_url on assets (left(url, 200) collate "C", id);
create index assets_by_removal on assets (remove_by, id) where remove_by is not null;
-- Those that wait for people, or that nobody wants.
create index standings_aside on standings (state, urgency desc, asset_id) where state <> 'wanted';

-- What people did to an asset. Not what nodes did: that stands in its assignments, and is a thousand times as much.
create index events_of_acts on events using gin (asset_ids)
  where kind in ('assets.prioritized', 'assets.withdrawn', 'assets.restored', 'assets.requeued');
