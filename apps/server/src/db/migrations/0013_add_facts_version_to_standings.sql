-- What the catalog says of an asset is needed with each of its copies and changes once in a while. A server that has read it
-- asks from then on only whether it still holds, of the row that it locks anyway.
-- Additive, and the previous server may not run beside the next one: it would change facts without saying so.

--
-- Of files whose size the catalog does not know nodes learn the size, and are often too small for it by then: what one of
-- them has seen is what the next one is asked for.

alter table standings
  -- Raised in the transaction that changes the asset's facts or those of its dataset.
  add column facts_version integer not null default 0,
  -- The most that a node has found it to be; null where the catalog knows, or nobody has looked.
  add column seen_bytes bigint check (seen_bytes >= 0);
