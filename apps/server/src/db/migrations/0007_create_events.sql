-- What happened: who did what to which assets, when and why. Only ever added to; old days are dropped as a whole.
-- It is also how servers hear of each other's changes: a reader remembers the oldest transaction that was under way when it
-- last looked (pg_snapshot_xmin), and reads what is of that one or younger. So it misses nothing that commits late.
-- Additive: the previous server can still run, unheard by the others.

create table events (
  id bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  xid xid8 not null default pg_current_xact_id(),
  kind text not null,
  -- Who: `node`, `admin`, `server`.
  actor text not null,
  node_id bigint,
  -- The assets that stand otherwise since.
  asset_ids bigint[] not null default '{}',
  detail jsonb not null default '{}'
) partition by range (at);
create index events_by_xid on events (xid, id);
create index events_by_id on events (id);
-- For what falls outside of the days that were made ahead.
create table events_default partition of events default;
do $$
declare day date;
begin
  for ahead in 0..7 loop
    day := (now() at time zone 'utc')::date + ahead;
    execute format('create table %I partition of events for values from (%L) to (%L)',
                   'events_' || to_char(day, 'YYYYMMDD'), day || ' 00:00:00+00', day + 1 || ' 00:00:00+00');
  end loop;
end $$;
