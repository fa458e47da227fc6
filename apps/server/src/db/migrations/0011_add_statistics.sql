-- Numbers that are counted now and then, so that nothing counts the catalog when somebody looks.
-- Additive: the server of before can still run, and counts when it is asked.

-- One row: how the rescue stood when it was last counted.
create table overviews (
  singleton boolean primary key default true check (singleton),
  counted_at timestamptz not null,
  -- Counting is not begun anew before a multiple of it has passed.
  took_ms double precision not null check (took_ms >= 0),
  numbers jsonb not null
);

-- What happened in each hour, added up from the log of events.
create table hourly_counts (
  hour timestamptz primary key check (hour = date_trunc('hour', hour, 'UTC')),
  granted bigint not null default 0,
  stored bigint not null default 0,
  stored_bytes bigint not null default 0,
  failed bigint not null default 0,
  released bigint not null default 0,
  expired bigint not null default 0,
  cancelled bigint not null default 0,
  adopted bigint not null default 0,
  dropped bigint not null default 0
);

-- Up to which event they are. Whoever adds more holds this row.
alter table service_state add column counted_event_id bigint;
