-- Keys that people make and take back: for administrators, operators, single nodes and those who only read. A node's first
-- key stays with its node (0001): the row that has it says what else a call of the node needs to know.
-- Join tokens learn what was done with them, so that they can be listed and revoked.
-- The previous server can still run on the result: it knows none of these keys and refuses them. What is revoked it refuses
-- too, as a revoked token is past its time, and a node's key that was revoked is not in the node's row any more.

create table keys (
  id bigint generated always as identity primary key,
  -- Of the secret alone: the id before it in `dsp_<id>_<secret>` finds the row.
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  role text not null check (role in ('admin', 'operator', 'node', 'viewer')),
  name text not null check (char_length(name) between 1 and 100),
  operator_id bigint references operators,
  node_id bigint references nodes,
  -- In words: `key 7`, `admin command`.
  made_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  -- To the minute: written at most so often, whatever the key does.
  last_used_at timestamptz,
  constraint keys_operator_has_operator check ((role = 'operator') = (operator_id is not null)),
  constraint keys_node_has_node check ((role = 'node') = (node_id is not null))
) with (fillfactor = 70);
create index keys_by_node on keys (node_id) where node_id is not null;

alter table join_tokens
  -- Beside `uses_left`; what a previous server lets in is not counted here.
  add column uses_taken integer not null default 0 check (uses_taken >= 0),
  add column revoked_at timestamptz,
  -- Null where a previous server made it.
  add column made_by text,
  add constraint join_tokens_revoked_is_over check (revoked_at is null or expires_at <= revoked_at);
create index join_tokens_by_operator on join_tokens (operator_id);
