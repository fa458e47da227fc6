-- Copies that are to leave their nodes: because these drain or leave, give bytes back, or because nobody wants the asset any
-- more. Such a copy is marked as surplus in its assignment, where whoever looks at holders sees it; here stands why, and what
-- has to be there before it may go. Small, and empty most of the time.
-- Additive: the server of before can still run, but it permits nobody to delete anything of this.

create table leaving_copies (
  node_id bigint not null references nodes,
  asset_id bigint not null references assets,
  reason text not null check (reason in ('LEAVING', 'GIVEN_BACK', 'WITHDRAWN')),
  -- Independent copies when it was marked: without it there have to be as many, or the target.
  independent_at_start integer not null check (independent_at_start >= 0),
  -- Those that were not looked at for longest come first.
  looked_at timestamptz not null default clock_timestamp(),
  -- It is off the record, and its node is told to delete it until it has shown that it did.
  permitted_at timestamptz,
  primary key (node_id, asset_id)
);
create index leaving_copies_turn on leaving_copies (node_id, looked_at) where permitted_at is null;

alter table nodes
  -- It has copies above.
  add column has_leaving boolean not null default false,
  -- When the sweeps look for more copies of it that are to leave; null for never.
  add column evacuate_at timestamptz,
  -- It wants to offer no more than this, whatever its syncs say.
  add column offer_limit_bytes bigint check (offer_limit_bytes >= 0);
