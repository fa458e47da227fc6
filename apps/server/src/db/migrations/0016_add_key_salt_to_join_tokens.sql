-- A node that joins over REST gets a key made of its join token, its name and this salt, so that a first call whose answer was
-- lost can be made again, and answers the same key. Neither who has the token nor who has a copy of this table can make it.
-- The server of before can run on the result: it does not read the column, and what it inserts takes the default.

alter table join_tokens
  add column key_salt bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
