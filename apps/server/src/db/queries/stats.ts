import type { Sql } from "../database.ts";

export type Overview = {
  readonly nowMs: number;
  readonly assets: Readonly<
    Record<"total" | "complete" | "belowMin" | "withoutCopy" | "open" | "gone" | "review" | "withdrawn", number>
  >;
  readonly bytes: Readonly<Record<"catalog" | "copied", number>>;
  readonly copies: Readonly<Record<"counting" | "wanted", number>>;
  readonly nodes: Readonly<Record<"online" | "suspect" | "offline" | "lost" | "retired", number>>;
  readonly leases: Readonly<
    Record<"open" | "granted" | "stored" | "failed" | "released" | "expired" | "cancelled" | "reassigned", number>
  >;
  /** Wanted assets by their independent copies, fewest first. */
  readonly histogram: readonly { readonly copies: number; readonly assets: number; readonly bytes: number }[];
};

/** The whole at a glance, in one snapshot. Reads every asset and assignment: seconds for each million of them. */
export async function countOverview(sql: Sql): Promise<Overview> {
  const [row] = await sql<[Overview]>`
    with asset as (
      select count(*) as total,
             count(*) filter (where s.state = 'wanted' and s.independent_copies >= d.copies_target) as complete,
             count(*) filter (where s.state = 'wanted' and s.independent_copies < d.copies_min) as "belowMin",
             count(*) filter (where s.independent_copies = 0) as "withoutCopy",
             count(*) filter (where s.state = 'wanted' and s.independent_copies < d.copies_target) as open,
             count(*) filter (where s.state = 'gone') as gone,
             count(*) filter (where s.state = 'review') as review,
             count(*) filter (where s.state = 'withdrawn') as withdrawn,
             least(coalesce(sum(a.size_bytes) filter (where s.state = 'wanted'), 0), ${Number.MAX_SAFE_INTEGER}::bigint) as catalog,
             coalesce(sum(least(s.independent_copies, d.copies_target)) filter (where s.state = 'wanted'), 0) as counting,
             coalesce(sum(d.copies_target) filter (where s.state = 'wanted'), 0) as wanted
        from standings s join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id),
    replica as (
      select least(coalesce(sum(r.size_bytes), 0), ${Number.MAX_SAFE_INTEGER}::bigint) as copied
        from replicas r join nodes n on n.id = r.node_id
       where r.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted),
    node as (
      select count(*) filter (where life = 'online') as online, count(*) filter (where life = 'suspect') as suspect,
             count(*) filter (where life = 'offline') as offline, count(*) filter (where life = 'lost') as lost,
             count(*) filter (where life = 'retired') as retired from nodes),
    lease as (
      select count(*) filter (where state in ('granted', 'running')) as open, count(*) as granted,
             count(*) filter (where state = 'stored') as stored, count(*) filter (where state = 'failed') as failed,
             count(*) filter (where state = 'released') as released,
             count(*) filter (where state = 'expired') as expired,
             count(*) filter (where state = 'cancelled') as cancelled,
             count(*) filter (
               where reclaimed_at is not null
                 and exists (select from assignments later
                              where later.asset_id = x.asset_id and later.node_id <> x.node_id
                                and later.granted_at >= x.reclaimed_at)) as reassigned
        from assignments x),
    bar as (
      select s.independent_copies as copies, count(*) as assets,
             least(coalesce(sum(a.size_bytes), 0), ${Number.MAX_SAFE_INTEGER}::bigint) as bytes
        from standings s join assets a on a.id = s.asset_id where s.state = 'wanted' group by s.independent_copies)
    select clock_timestamp() as "nowMs",
           json_build_object('total', total, 'complete', complete, 'belowMin', "belowMin", 'withoutCopy', "withoutCopy", 'open', asset.open,
                             'gone', gone, 'review', review, 'withdrawn', withdrawn) as assets,
           json_build_object('catalog', catalog, 'copied', copied) as bytes,
           json_build_object('counting', counting, 'wanted', wanted) as copies,
           row_to_json(node) as nodes, row_to_json(lease) as leases,
           coalesce((select json_agg(row_to_json(bar) order by bar.copies) from bar), '[]') as histogram
      from asset, replica, node, lease`;
  return row;
}

/** The least that the overview reads, in bytes: what it costs to count it. O(1). */
export async function readCountedBytes(sql: Sql): Promise<number> {
  const [row] = await sql<[{ bytes: number }]>`
    select pg_relation_size('standings') + pg_relation_size('assignments') as bytes`;
  return row.bytes;
}

/** How it was when it was last counted; null before the first time. */
export async function readStoredOverview(
  sql: Sql,
): Promise<{ readonly overview: Overview; readonly tookMs: number; readonly ageMs: number } | null> {
  const [row] = await sql<{ overview: Overview; tookMs: number; ageMs: number }[]>`
    select numbers as overview, took_ms as "tookMs",
           (extract(epoch from clock_timestamp() - counted_at) * 1000)::double precision as "ageMs" from overviews`;
  return row ?? null;
}

export async function storeOverview(sql: Sql, overview: Overview, tookMs: number): Promise<void> {
  const numbers = sql.json(overview);
  await sql`
    insert into overviews (counted_at, took_ms, numbers)
    values (to_timestamp(${overview.nowMs}::double precision / 1000), ${tookMs}, ${numbers})
    on conflict (singleton) do update
       set counted_at = excluded.counted_at, took_ms = excluded.took_ms, numbers = excluded.numbers
     where overviews.counted_at < excluded.counted_at`;
}

/** What an hour, or a day, brought. */
export type Bucket = {
  readonly startMs: number;
  readonly granted: number;
  readonly stored: number;
  readonly storedBytes: number;
  readonly failed: number;
  readonly released: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly adopted: number;
  readonly dropped: number;
};

/** Hold the place up to which hours are counted, against others who would add the same; null before the first event. */
export async function lockCountedUpTo(sql: Sql): Promise<number | null> {
  const [row] = await sql<[{ eventId: number | null }]>`
    select counted_event_id as "eventId" from service_state for no key update`;
  return row.eventId;
}

/** Read so much more on either side of the times given: these have lost what is below a millisecond. */
const TIME_SLACK_MS = 1;

/** Add what these events tell to their hours, and remember the last of them. O(the assignments they name). */
export async function addToHours(
  sql: Sql,
  events: readonly { readonly id: number; readonly atMs: number }[],
  upTo: number,
): Promise<void> {
  const ids = events.map(({ id }) => id);
  const times = events.map(({ atMs }) => atMs);
  // By the times PostgreSQL knows which days it need not look at.
  const fromMs = Math.min(...times) - TIME_SLACK_MS;
  const toMs = Math.max(...times) + TIME_SLACK_MS;
  await sql`
    insert into hourly_counts (hour, granted, stored, stored_bytes, failed, released, expired, cancelled, adopted, dropped)
    select date_trunc('hour', e.at, 'UTC'), sum(n.granted), sum(n.stored), sum(n.bytes), sum(n.failed), sum(n.released),
           sum(n.expired), sum(n.cancelled), sum(n.adopted), sum(n.dropped)
      from events e cross join lateral (
        select coalesce(jsonb_array_length(e.detail -> 'granted'), 0) as granted,
               coalesce(jsonb_array_length(e.detail -> 'stored'), 0) as stored,
               coalesce((select sum(x.bytes_done) from jsonb_array_elements_text(coalesce(e.detail -> 'stored', '[]')) i
                           join assignments x on x.id = i::bigint), 0) as bytes,
               coalesce(jsonb_array_length(e.detail -> 'failed'), 0) as failed,
               coalesce(jsonb_array_length(e.detail -> 'released'), 0) as released,
               coalesce(jsonb_array_length(e.detail -> 'expired'), 0) as expired,
               coalesce(jsonb_array_length(e.detail -> 'cancelled'), 0) as cancelled,
               coalesce(jsonb_array_length(e.detail -> 'adopted'), 0) as adopted,
               coalesce(jsonb_array_length(e.detail -> 'dropped'), 0) as dropped) n
     where e.id = any(${ids}::bigint[]) and e.at between ${fromMs}::timestamptz and ${toMs}::timestamptz
       and e.kind in ('node.synced', 'node.granted', 'leases.ended', 'copies.reconciled')
     group by 1
    on conflict (hour) do update
       set granted = hourly_counts.granted + excluded.granted, stored = hourly_counts.stored + excluded.stored,
           stored_bytes = hourly_counts.stored_bytes + excluded.stored_bytes,
           failed = hourly_counts.failed + excluded.failed, released = hourly_counts.released + excluded.released,
           expired = hourly_counts.expired + excluded.expired, cancelled = hourly_counts.cancelled + excluded.cancelled,
           adopted = hourly_counts.adopted + excluded.adopted, dropped = hourly_counts.dropped + excluded.dropped`;
  await sql`update service_state set counted_event_id = ${upTo}`;
}

/** What the hours or days from `fromMs` to before `toMs` brought, oldest first; those in which nothing happened are left out. */
export async function readBuckets(
  sql: Sql,
  { by, fromMs, toMs }: { readonly by: "hour" | "day"; readonly fromMs: number; readonly toMs: number },
): Promise<readonly Bucket[]> {
  return sql<Bucket[]>`
    select date_trunc(${by}, hour, 'UTC') as "startMs", sum(granted)::bigint as granted, sum(stored)::bigint as stored,
           sum(stored_bytes)::bigint as "storedBytes", sum(failed)::bigint as failed, sum(released)::bigint as released,
           sum(expired)::bigint as expired, sum(cancelled)::bigint as cancelled, sum(adopted)::bigint as adopted,
           sum(dropped)::bigint as dropped
      from hourly_counts where hour >= ${fromMs}::timestamptz and hour < ${toMs}::timestamptz
     group by 1 order by 1`;
}

/** Up to when the hours are counted: the time of the last event in them, null before the first. */
export async function readCountedUntil(sql: Sql): Promise<number | null> {
  const [row] = await sql<{ atMs: number }[]>`
    select e.at as "atMs" from service_state s join events e on e.id = s.counted_event_id`;
  return row?.atMs ?? null;
}

/** Operators by the copies that their nodes hold, most first. O(nodes). */
export async function readLeaderboard(
  sql: Sql,
  limit: number,
): Promise<
  readonly {
    readonly operator: string;
    readonly nodes: number;
    readonly copies: number;
    readonly bytes: number;
    readonly verifiedCopies: number;
    readonly sinceMs: number;
  }[]
> {
  return sql`
    select o.name as operator, count(*) filter (where n.life in ('online', 'suspect', 'offline')) as nodes,
           coalesce(sum(n.held_copies) filter (where present.is), 0)::bigint as copies,
           coalesce(sum(n.held_bytes) filter (where present.is), 0)::bigint as bytes,
           sum(n.verified_copies)::bigint as "verifiedCopies", min(n.created_at) as "sinceMs"
      from operators o join nodes n on n.operator_id = o.id
     cross join lateral (select n.life not in ('lost', 'retired') and not n.inventory_wanted as is) present
     group by o.id order by copies desc, bytes desc, o.id limit ${limit}`;
}
