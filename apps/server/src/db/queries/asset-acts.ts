/** What people do to assets. */
import type { AssetId, AssetState, FailureCode, NodeId, DatasetId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** Of these ids those that there are, in their order by number. */
export async function findAssetIds(sql: Sql, ids: readonly AssetId[]): Promise<readonly AssetId[]> {
  const rows = await sql<{ id: AssetId }[]>`
    select id::text as id from assets where id = any(${[...ids]}::bigint[]) order by assets.id`;
  return rows.map(({ id }) => id);
}

/** Give assets a priority of their own, or with null their dataset's; answers those that had another. */
export async function setPriority(
  sql: Sql,
  ids: readonly AssetId[],
  priority: number | null,
): Promise<readonly AssetId[]> {
  const rows = await sql<{ id: AssetId }[]>`
    with locked as (
      select id from assets
       where id = any(${[...ids]}::bigint[]) and priority is distinct from ${priority}::smallint
       order by id for no key update)
    update assets set priority = ${priority} from locked where assets.id = locked.id returning assets.id::text as id`;
  const changed = rows.map(({ id }) => id);
  await sql`update standings set facts_version = facts_version + 1 where asset_id = any(${changed}::bigint[])`;
  return changed;
}

/**
 * Move assets that are locked to another state, and let them be looked at once more in `againMs`: whoever decided to grant one
 * of them before this may write it after.
 */
export async function setAssetState(
  sql: Sql,
  ids: readonly AssetId[],
  { state, againMs }: { readonly state: AssetState; readonly againMs: number },
): Promise<void> {
  await sql`
    update standings set state = ${state}, due_at = clock_timestamp() + ${againMs} * interval '1 millisecond'
     where asset_id = any(${[...ids]}::bigint[])`;
}

/** Want assets that are locked once more: what failed before does not count, and they rest no longer. */
export async function askAgain(sql: Sql, ids: readonly AssetId[]): Promise<void> {
  await sql`
    update standings set state = 'wanted', retry_at = null, asked_again_at = clock_timestamp()
     where asset_id = any(${[...ids]}::bigint[])`;
}

/** Let the nodes of every open lease of these assets be told to stop; answers how many were not told before. */
export async function stopLeasesOfAssets(sql: Sql, ids: readonly AssetId[]): Promise<number> {
  const rows = await sql`
    update assignments set is_surplus = true
     where asset_id = any(${[...ids]}::bigint[]) and state in ('granted', 'running') and not is_surplus returning id`;
  return rows.length;
}

/** The same of those among these assets that are withdrawn: they were granted by somebody who did not know it yet. */
export async function stopLeasesOfWithdrawn(sql: Sql, ids: readonly AssetId[]): Promise<void> {
  await sql`
    update assignments x set is_surplus = true from standings s
     where s.asset_id = any(${[...ids]}::bigint[]) and s.state = 'withdrawn' and x.asset_id = s.asset_id
       and x.state in ('granted', 'running') and not x.is_surplus`;
}

/** An asset that was put aside, with its last failure. */
export type AsideAsset = {
  readonly id: AssetId;
  readonly path: string;
  readonly failureCode: FailureCode | null;
  readonly failedAtMs: number | null;
};

export type AsideFilter = {
  readonly state: "review" | "gone";
  readonly datasetId: DatasetId | null;
  /** Who failed last. */
  readonly nodeId: NodeId | null;
  /** Null for any. */
  readonly codes: readonly FailureCode[] | null;
  /** How long ago the last failure is. */
  readonly olderThanMs: number | null;
  readonly newerThanMs: number | null;
};

/** Those that are in review or gone, the most urgent first. O(those that are). */
export async function findAside(
  sql: Sql,
  { state, datasetId, nodeId, codes, olderThanMs, newerThanMs }: AsideFilter,
  limit: number,
): Promise<readonly AsideAsset[]> {
  return sql<AsideAsset[]>`
    select a.id::text as id, a.path, f.failure_code as "failureCode", f.ended_at as "failedAtMs"
      from standings s join assets a on a.id = s.asset_id
      left join lateral (
        select x.node_id, x.failure_code, x.ended_at from assignments x
         where x.asset_id = s.asset_id and x.state = 'failed' order by x.ended_at desc limit 1) f on true
     where s.state = ${state} and s.state <> 'wanted'
       and (${datasetId}::bigint is null or a.dataset_id = ${datasetId}::bigint)
       and (${nodeId}::bigint is null or f.node_id = ${nodeId}::bigint)
       and (${codes === null ? null : [...codes]}::text[] is null or f.failure_code = any(${codes === null ? null : [...codes]}::text[]))
       and (${olderThanMs}::double precision is null
            or f.ended_at <= clock_timestamp() - ${olderThanMs}::double precision * interval '1 millisecond')
       and (${newerThanMs}::double precision is null
            or f.ended_at >= clock_timestamp() - ${newerThanMs}::double precision * interval '1 millisecond')
     order by s.urgency desc, s.asset_id limit ${limit}`;
}

/** What people did to an asset, newest first. */
export async function readActs(
  sql: Sql,
  id: AssetId,
  limit: number,
): Promise<
  readonly { readonly id: number; readonly atMs: number; readonly kind: string; readonly reason: string | null }[]
> {
  return sql<{ id: number; atMs: number; kind: string; reason: string | null }[]>`
    select id, at as "atMs", kind, detail ->> 'reason' as reason from events
     where kind in ('assets.prioritized', 'assets.withdrawn', 'assets.restored', 'assets.requeued')
       and asset_ids @> array[${id}::bigint]
     order by id desc limit ${limit}`;
}
