-- One server sweeps at a time: which one, and until when unless it says so again. Judged by the database's clock.
-- Additive: a server of before sweeps beside it, which costs work and harms nothing.

alter table service_state
  add column sweeper uuid,
  add column sweeper_until timestamptz not null default '-infinity';
