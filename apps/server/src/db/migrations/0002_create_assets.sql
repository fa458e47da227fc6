-- What is to be saved, and where it comes from.
-- Additive: the previous server can still run.

create table datasets (
  id bigint generated always as identity primary key,
  key text not null unique check (key ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  title text,
  source_url text,
  priority smallint not null check (priority between 1 and 10),
  copies_min integer not null check (copies_min >= 1),
  copies_target integer not null check (copies_target >= copies_min),
  copies_max integer not null check (copies_max >= copies_target),
  created_at timestamptz not null default now()
);

-- The host and port an asset's URL points to, with its budget as the core's state machine keeps it. A budget that is null
-- is the servers' default, which they are started with: whoever imports a catalog need not know it.
create table origins (
  id bigint generated always as identity primary key,
  host text not null unique,
  concurrency_max integer check (concurrency_max >= 1),
  requests_per_minute integer check (requests_per_minute >= 1),
  paused boolean not null default false,
  -- Null: not throttled, as many as the budget allows.
  concurrency integer check (concurrency >= 1),
  in_use integer not null default 0 check (in_use >= 0),
  -- Begins as a full bucket, however large the budget makes it.
  tokens double precision not null default 'infinity',
  tokens_at timestamptz not null default now(),
  closed_until timestamptz,
  failures integer not null default 0 check (failures >= 0),
  clean_since timestamptz not null default now()
) with (fillfactor = 50);

create table assets (
  id bigint generated always as identity primary key,
  dataset_id bigint not null references datasets,
  path text not null,
  url text not null,
  scheme text not null,
  origin_id bigint not null references origins,
  size_bytes bigint check (size_bytes >= 0),
  digest_algorithm text check (digest_algorithm in ('sha256', 'sha512', 'sha1', 'md5')),
  digest_hex text check (digest_hex ~ '^[0-9a-f]+$'),
  media_type text,
  -- Null: the dataset's.
  priority smallint check (priority between 1 and 10),
  rank bigint check (rank >= 1),
  remove_by timestamptz,
  state text not null default 'wanted' check (state in ('wanted', 'gone', 'review', 'withdrawn')),
  -- The three below follow from the asset's holders; the core computes them whenever those change.
  independent_copies integer not null default 0 check (independent_copies >= 0),
  places_left integer not null check (places_left >= 0),
  urgency double precision not null,
  -- When the three above are to be computed anew, because time changes the urgency or much has changed at once; null for
  -- never.
  standing_due_at timestamptz,
  -- After a failure it rests until then.
  retry_at timestamptz,
  -- Grants so far: each gets the next number as its term.
  last_term integer not null default 0 check (last_term >= 0),
  created_at timestamptz not null default now(),
  constraint assets_digest_is_whole check ((digest_algorithm is null) = (digest_hex is null)),
  unique (dataset_id, path)
) with (fillfactor = 80);

-- A URL may be longer than an index entry can be: its MD5 stands for it (no secret, only a shorter name).
create unique index assets_url on assets (md5(url));

-- The head of each origin's queue.
create index assets_queue on assets (origin_id, urgency desc, id) where state = 'wanted' and places_left > 0;

-- Lists, and those that are due.
create index assets_list on assets (urgency desc, id);
create index assets_standing_due on assets (standing_due_at) where standing_due_at is not null;
