/** Copies that are to leave their nodes. Whoever writes here holds the node's row and the asset's, as with all copies. */
import type { AssetId, AssignmentId, NodeId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

export type LeavingReason = "LEAVING" | "GIVEN_BACK" | "WITHDRAWN";

/** Let the sweeps look at a locked node now, later, or with null not at all. */
export async function scheduleEvacuation(sql: Sql, id: NodeId, inMs: number | null): Promise<void> {
  await sql`
    update nodes set evacuate_at = clock_timestamp() + ${inMs}::double precision * interval '1 millisecond' where id = ${id}`;
}

export async function setOfferLimit(sql: Sql, id: NodeId, bytes: number | null): Promise<void> {
  await sql`update nodes set offer_limit_bytes = ${bytes} where id = ${id}`;
}

/** Nodes that are to be looked at, longest due first. O(nodes). */
export async function findDueEvacuations(sql: Sql, limit: number): Promise<readonly NodeId[]> {
  const rows = await sql<{ id: NodeId }[]>`
    select id::text as id from nodes where evacuate_at <= clock_timestamp() and life <> 'retired'
     order by evacuate_at, nodes.id limit ${limit}`;
  return rows.map(({ id }) => id);
}

/** Copies of a node that are not to leave yet, the largest first. O(what it ever had). */
export async function findStaying(
  sql: Sql,
  id: NodeId,
  limit: number,
): Promise<readonly { readonly assetId: AssetId; readonly sizeBytes: number }[]> {
  return sql<{ assetId: AssetId; sizeBytes: number }[]>`
    select asset_id::text as "assetId", size_bytes as "sizeBytes" from assignments
     where node_id = ${id} and state = 'stored' and not is_surplus
     order by size_bytes desc, assignments.asset_id limit ${limit}`;
}

/** Bytes of a node's copies that are to leave and are still on record. */
export async function readLeavingBytes(sql: Sql, id: NodeId): Promise<number> {
  const [row] = await sql<[{ bytes: number }]>`
    select coalesce(sum(x.size_bytes), 0)::bigint as bytes from leaving_copies l
      join assignments x on x.asset_id = l.asset_id and x.node_id = l.node_id and x.state = 'stored'
     where l.node_id = ${id} and l.permitted_at is null`;
  return row.bytes;
}

/** Mark copies of locked nodes and assets as leaving. */
export async function markLeaving(
  sql: Sql,
  copies: readonly { readonly nodeId: NodeId; readonly assetId: AssetId; readonly independentAtStart: number }[],
  reason: LeavingReason,
): Promise<void> {
  if (copies.length === 0) return;
  const nodeIds = copies.map(({ nodeId }) => nodeId);
  const assetIds = copies.map(({ assetId }) => assetId);
  await sql`
    update assignments x set is_surplus = true
      from unnest(${nodeIds}::bigint[], ${assetIds}::bigint[]) as l(node_id, asset_id)
     where x.asset_id = l.asset_id and x.node_id = l.node_id and x.state = 'stored'`;
  await sql`
    insert into leaving_copies (node_id, asset_id, reason, independent_at_start)
    select l.node_id, l.asset_id, ${reason}, l.independent
      from unnest(${nodeIds}::bigint[], ${assetIds}::bigint[],
                  ${copies.map(({ independentAtStart }) => independentAtStart)}::integer[])
             as l(node_id, asset_id, independent)
    on conflict (node_id, asset_id) do update
       set reason = excluded.reason, independent_at_start = excluded.independent_at_start, permitted_at = null`;
  await sql`update nodes set has_leaving = true where id = any(${[...new Set(nodeIds)]}::bigint[])`;
}

/** Let copies that have no permit yet stay: those of a node that were to leave with it, or those of assets. Answers their assets. */
export async function keepLeaving(
  sql: Sql,
  which: { readonly nodeId: NodeId } | { readonly withdrawnAssetIds: readonly AssetId[] },
): Promise<readonly AssetId[]> {
  const condition =
    "nodeId" in which
      ? sql`l.node_id = ${which.nodeId} and l.reason <> 'WITHDRAWN'`
      : sql`l.asset_id = any(${[...which.withdrawnAssetIds]}::bigint[]) and l.reason = 'WITHDRAWN'`;
  const rows = await sql<{ assetId: AssetId }[]>`
    with kept as (
      delete from leaving_copies l where ${condition} and l.permitted_at is null returning node_id, asset_id)
    update assignments x set is_surplus = false from kept
     where x.asset_id = kept.asset_id and x.node_id = kept.node_id and x.state = 'stored'
    returning x.asset_id::text as "assetId"`;
  return rows.map(({ assetId }) => assetId);
}

/** A copy that is to leave; `assignmentId` is null where it is not on record any more. */
export type LeavingCopy = {
  readonly assetId: AssetId;
  readonly reason: LeavingReason;
  readonly independentAtStart: number;
  readonly assignmentId: AssignmentId | null;
  readonly sizeBytes: number;
  readonly sha256: string;
};

/** Copies of a locked node that wait for a permit, those first that were not looked at for longest; they have been, now. */
export async function takeWaiting(sql: Sql, id: NodeId, limit: number): Promise<readonly LeavingCopy[]> {
  return sql<LeavingCopy[]>`
    with turn as (
      select node_id, asset_id from leaving_copies where node_id = ${id} and permitted_at is null
       order by looked_at limit ${limit}),
    looked as (
      update leaving_copies l set looked_at = clock_timestamp() from turn
       where l.node_id = turn.node_id and l.asset_id = turn.asset_id
      returning l.node_id, l.asset_id, l.reason, l.independent_at_start)
    select l.asset_id::text as "assetId", l.reason, l.independent_at_start as "independentAtStart",
           x.id::text as "assignmentId", coalesce(x.size_bytes, 0) as "sizeBytes", coalesce(encode(x.sha256, 'hex'), '') as sha256
      from looked l
      left join assignments x on x.asset_id = l.asset_id and x.node_id = l.node_id and x.state = 'stored'`;
}

/** Write down that a node may delete these. */
export async function permitLeaving(sql: Sql, id: NodeId, assetIds: readonly AssetId[]): Promise<void> {
  if (assetIds.length === 0) return;
  await sql`
    update leaving_copies set permitted_at = clock_timestamp()
     where node_id = ${id} and asset_id = any(${[...assetIds]}::bigint[])`;
}

/** Forget copies that are gone. */
export async function forgetLeaving(sql: Sql, id: NodeId, assetIds: readonly AssetId[] | "permitted"): Promise<void> {
  await sql`
    delete from leaving_copies
     where node_id = ${id}
       and ${assetIds === "permitted" ? sql`permitted_at is not null` : sql`asset_id = any(${[...assetIds]}::bigint[])`}`;
}

/** Note whether a locked node has copies left that are to go. */
export async function noteLeaving(sql: Sql, id: NodeId): Promise<void> {
  await sql`
    update nodes set has_leaving = exists (select from leaving_copies where node_id = ${id}) where id = ${id}`;
}

/**
 * What a node has the permit to delete and has not shown to be gone: of these assets, or of all with null. Not what it has come
 * to hold again, and not what has no other copy any more, unless nobody wants it.
 */
export async function readPermitted(
  sql: Sql,
  id: NodeId,
  { assetIds, limit }: { readonly assetIds: readonly AssetId[] | null; readonly limit: number },
): Promise<readonly { readonly assetId: AssetId; readonly reason: LeavingReason }[]> {
  const ids = assetIds === null ? null : [...assetIds];
  return sql<{ assetId: AssetId; reason: LeavingReason }[]>`
    select l.asset_id::text as "assetId", l.reason from leaving_copies l join standings s on s.asset_id = l.asset_id
     where l.node_id = ${id} and l.permitted_at is not null
       and (${ids}::bigint[] is null or l.asset_id = any(${ids}::bigint[]))
       and (s.independent_copies > 0 or (l.reason = 'WITHDRAWN' and s.state = 'withdrawn'))
       and not exists (select from assignments x where x.asset_id = l.asset_id and x.node_id = l.node_id
                                                   and x.state in ('granted', 'running', 'stored'))
     order by l.asset_id limit ${limit}`;
}

/** Nodes that leave and have nothing left. O(nodes). */
export async function findLeft(sql: Sql, limit: number): Promise<readonly NodeId[]> {
  const rows = await sql<{ id: NodeId }[]>`
    select id::text as id from nodes
     where duty = 'leaving' and life <> 'retired' and held_copies = 0 and open_assignments = '{}' and not has_leaving
     order by nodes.id limit ${limit}`;
  return rows.map(({ id }) => id);
}

/** Nodes that have a copy of one of the assets. */
export async function findNodesHolding(sql: Sql, assetIds: readonly AssetId[]): Promise<readonly NodeId[]> {
  const rows = await sql<{ id: NodeId }[]>`
    select distinct node_id::text as id from assignments
     where asset_id = any(${[...assetIds]}::bigint[]) and state = 'stored'`;
  return rows.map(({ id }) => id);
}
