-- Who saves what: assignments with their leases, and the replicas they ended in.
-- Additive: the previous server can still run.

create table assignments (
  id bigint generated always as identity primary key,
  asset_id bigint not null references assets,
  node_id bigint not null references nodes,
  operator_id bigint not null references operators,
  origin_id bigint not null references origins,
  state text not null
    check (state in ('granted', 'running', 'stored', 'released', 'failed', 'expired', 'cancelled')),
  -- The grants of an asset are numbered: a higher term is a later grant.
  term integer not null check (term >= 1),
  granted_at timestamptz not null,
  lease_expires_at timestamptz,
  ended_at timestamptz,
  reserved_bytes bigint not null check (reserved_bytes >= 0),
  bytes_done bigint not null default 0 check (bytes_done >= 0),
  -- When it first ended without a copy. A late copy may follow all the same.
  reclaimed_at timestamptz,
  failure_code text,
  failure_message text,
  unique (asset_id, term),
  constraint assignments_open_has_deadline
    check ((state in ('granted', 'running')) = (lease_expires_at is not null)),
  constraint assignments_ended_has_time check ((state in ('granted', 'running')) = (ended_at is null)),
  constraint assignments_ended_reserves_nothing check (state in ('granted', 'running') or reserved_bytes = 0),
  constraint assignments_failed_has_code check ((state = 'failed') = (failure_code is not null))
) with (fillfactor = 70);

-- One open lease or copy of an asset on a node, whatever the code does.
create unique index assignments_one_per_node on assignments (asset_id, node_id)
  where state in ('granted', 'running', 'stored');
create index assignments_open_by_node on assignments (node_id) where lease_expires_at is not null;
create index assignments_due on assignments (lease_expires_at) where lease_expires_at is not null;

create table replicas (
  assignment_id bigint primary key references assignments,
  asset_id bigint not null references assets,
  node_id bigint not null references nodes,
  operator_id bigint not null references operators,
  size_bytes bigint not null check (size_bytes >= 0),
  sha256 bytea not null check (octet_length(sha256) = 32),
  trust text not null check (trust in ('verified', 'claimed', 'agreed')),
  -- False for a copy that disagrees with the others.
  counts boolean not null,
  etag text,
  last_modified text,
  stored_at timestamptz not null,
  unique (asset_id, node_id)
);
create index replicas_by_node on replicas (node_id);

-- Who has, or has leased, an asset in a way that counts: not what lies on an absent node, nor a copy that disagrees.
create view counting_holders as
  select x.asset_id, x.node_id, x.operator_id
    from assignments x
    join nodes n on n.id = x.node_id
    left join replicas r on r.assignment_id = x.id
   where x.state in ('granted', 'running')
      or (x.state = 'stored' and r.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted);

-- One row: when a server last swept, and until when nothing expires (after all servers were away).
create table service_state (
  singleton boolean primary key default true check (singleton),
  alive_at timestamptz not null,
  mercy_until timestamptz not null
);
insert into service_state (alive_at, mercy_until) values (now(), now());
