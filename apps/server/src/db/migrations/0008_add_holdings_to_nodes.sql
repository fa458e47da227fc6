-- What a node holds, in one line beside its ledger: how many copies, and a digest of their list (`inventory.ts` of the core
-- says which). Each transaction that stores or drops a copy holds the node's row and writes it anyway, so the line is exact
-- and costs no statement; a sync compares it with what the node says of itself.
-- The server of before can run on the result: it leaves the line behind, its nodes are asked for an inventory, and the last
-- page of that counts anew.

-- The same from the rows, for a count anew and for tests: the SHA-256 of each copy as eight numbers of 32 bits, each of
-- them added up modulo 2^32.
create view holdings as
  select node_id, max(copies) as copies, max(bytes) as bytes,
         decode(string_agg(lpad(to_hex(lane), 8, '0'), '' order by number), 'hex') as digest
    from (select x.node_id, number, count(*) as copies, sum(x.size_bytes)::bigint as bytes,
                 (sum(('x' || substr(e.hex, number * 8 + 1, 8))::bit(32)::bigint) % 4294967296)::bigint as lane
            from assignments x
           cross join lateral (
             select encode(sha256(convert_to(x.asset_id || ':' || x.size_bytes || ':' || encode(x.sha256, 'hex'), 'UTF8')),
                           'hex') as hex
             offset 0) e
           cross join generate_series(0, 7) as number
           where x.state = 'stored'
           group by x.node_id, number) lanes
   group by node_id;

alter table nodes
  add column held_copies bigint not null default 0 check (held_copies >= 0),
  add column held_digest bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(held_digest) = 32);
update nodes n set held_copies = h.copies, held_digest = h.digest from holdings h where h.node_id = n.id;
