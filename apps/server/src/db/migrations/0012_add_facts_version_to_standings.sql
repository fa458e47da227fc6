-- What the catalog says of an asset is needed with each of its copies and changes once in a while. A server that has read it
-- asks from then on only whether it still holds, of the row that it locks anyway.
-- Additive, and the previous server may not run beside the next one: it would change facts without saying so.

alter table standings
  -- Raised in the transaction that changes the asset's facts or those of its dataset.
  add column facts_version integer not null default 0;
