-- Who takes part: operators (people or organisations), their join tokens and their nodes.
-- First migration: there is no previous server.

create table operators (
  id bigint generated always as identity primary key,
  name text not null unique check (char_length(name) between 1 and 100),
  created_at timestamptz not null default now()
);

-- Only hashes of secrets are kept: a copy of this database lets nobody in.
create table join_tokens (
  id bigint generated always as identity primary key,
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  operator_id bigint not null references operators,
  uses_left integer not null check (uses_left >= 0),
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);

create table nodes (
  id bigint generated always as identity primary key,
  operator_id bigint not null references operators,
  name text not null check (char_length(name) between 1 and 100),
  key_hash bytea not null unique check (octet_length(key_hash) = 32),
  -- Where the last sync came from, as a prefix: nodes behind one network may fall together.
  network text,
  agent_version text not null,
  schemes text[] not null,
  life text not null default 'online' check (life in ('online', 'suspect', 'offline', 'lost', 'retired')),
  last_sync_at timestamptz,
  created_at timestamptz not null default now(),
  offered_bytes bigint not null,
  margin_bytes bigint not null check (margin_bytes >= 0),
  held_bytes bigint not null default 0 check (held_bytes >= 0),
  reserved_bytes bigint not null default 0 check (reserved_bytes >= 0),
  free_bytes bigint not null default 0 check (free_bytes >= 0),
  quota integer not null check (quota >= 1),
  rate_bytes_per_s double precision check (rate_bytes_per_s > 0),
  verified_copies bigint not null default 0 check (verified_copies >= 0),
  -- It was lost and came back: its copies count again once it has said what it still holds.
  inventory_wanted boolean not null default false,
  unique (operator_id, name),
  constraint nodes_ledger_balances check (held_bytes + reserved_bytes + margin_bytes <= offered_bytes)
) with (fillfactor = 70);
