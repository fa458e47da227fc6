/** What people see of nodes, and tell them. */
import type { AssetId, AssignmentId, NodeId, NodeLife } from "@dispatcher/core";
import type { Sql } from "../database.ts";
import { nodeSummary } from "./nodes.ts";
import type { NodeDuty, NodeSummary } from "./nodes.ts";

export type NodeDetails = NodeSummary & {
  readonly network: string | null;
  readonly schemes: readonly string[];
  readonly createdAtMs: number;
  readonly verifiedCopies: number;
  readonly inventoryWanted: boolean;
};

export async function findNodeDetails(sql: Sql, id: NodeId): Promise<NodeDetails | null> {
  const [row] = await sql<NodeDetails[]>`
    select summary.*, n.network, n.schemes, n.created_at as "createdAtMs", n.verified_copies as "verifiedCopies",
           n.inventory_wanted as "inventoryWanted"
      from nodes n cross join lateral (${nodeSummary(sql)} where n.id = ${id}) summary where n.id = ${id}`;
  return row ?? null;
}

/** What a node has open, the soonest to end first. */
export async function readOpenOfNode(
  sql: Sql,
  id: NodeId,
): Promise<
  readonly {
    readonly assignmentId: AssignmentId;
    readonly assetId: AssetId;
    readonly path: string;
    readonly state: "granted" | "running";
    readonly bytesDone: number;
    readonly reservedBytes: number;
    readonly expiresAtMs: number;
  }[]
> {
  return sql`
    select x.id::text as "assignmentId", x.asset_id::text as "assetId", a.path, x.state, x.bytes_done as "bytesDone",
           x.reserved_bytes as "reservedBytes", x.lease_expires_at as "expiresAtMs"
      from nodes n cross join unnest(n.open_assignments) as o(id)
      join assignments x on x.id = o.id join assets a on a.id = x.asset_id
     where n.id = ${id} and x.lease_expires_at is not null
     order by x.lease_expires_at, x.id`;
}

/** Give a node that is locked something else to do. */
export async function setNodeDuty(sql: Sql, id: NodeId, duty: NodeDuty): Promise<void> {
  await sql`update nodes set duty = ${duty} where id = ${id}`;
}

/** The copies of a node that is locked count from now on only once it has shown that it holds them. */
export async function distrustCopies(sql: Sql, id: NodeId): Promise<void> {
  await sql`update nodes set inventory_wanted = true where id = ${id}`;
}

export async function setNodeLife(sql: Sql, id: NodeId, life: NodeLife): Promise<void> {
  await sql`update nodes set life = ${life} where id = ${id}`;
}

export async function setNodeMessage(sql: Sql, id: NodeId, message: string | null): Promise<void> {
  await sql`update nodes set message = ${message} where id = ${id}`;
}

/** Let a node that is locked be told to stop all that it has open; answers how many were not told before. */
export async function stopLeasesOfNode(sql: Sql, openIds: readonly AssignmentId[]): Promise<number> {
  const rows = await sql`
    update assignments set is_surplus = true
     where id = any(${[...openIds]}::bigint[]) and lease_expires_at is not null and not is_surplus returning id`;
  return rows.length;
}

/** What would be missing without the copies of a node that count. */
export type Loss = {
  readonly copies: number;
  readonly bytes: number;
  /** Assets that would have fewer independent copies than their minimum, and have as many now. */
  readonly belowMin: number;
  /** Assets of which it has the last copy. */
  readonly lastCopies: number;
};

/** O(its copies). */
export async function readLossWithout(sql: Sql, id: NodeId): Promise<Loss> {
  const [row] = await sql<[Loss]>`
    select count(*) as copies, coalesce(sum(r.size_bytes), 0)::bigint as bytes,
           count(*) filter (where s.independent_copies >= d.copies_min and rest.copies < d.copies_min) as "belowMin",
           count(*) filter (where rest.copies = 0) as "lastCopies"
      from replicas r join standings s on s.asset_id = r.asset_id
      join assets a on a.id = r.asset_id join datasets d on d.id = a.dataset_id
     cross join lateral (
       select count(distinct o.operator_id) as copies from replicas o join nodes n on n.id = o.node_id
        where o.asset_id = r.asset_id and o.node_id <> r.node_id and o.counts
          and n.life not in ('lost', 'retired') and not n.inventory_wanted) rest
     where r.node_id = ${id}`;
  return row;
}

/** What a node last said of itself, with what it has open as it is on record; null for an unknown one. */
export async function readNodeAsSaid(
  sql: Sql,
  id: NodeId,
): Promise<{
  readonly agentVersion: string;
  readonly offeredBytes: number;
  readonly marginBytes: number;
  readonly freeBytes: number;
  readonly schemes: string[];
  readonly open: {
    readonly assignmentId: AssignmentId;
    readonly term: number;
    readonly state: "waiting" | "running";
    readonly bytesDone: number;
  }[];
} | null> {
  const [node] = await sql<
    { agentVersion: string; offeredBytes: number; marginBytes: number; freeBytes: number; schemes: string[] }[]
  >`
    select agent_version as "agentVersion", offered_bytes as "offeredBytes", margin_bytes as "marginBytes",
           free_bytes as "freeBytes", schemes
      from nodes where id = ${id}`;
  if (node === undefined) return null;
  const open = await sql<
    { assignmentId: AssignmentId; term: number; state: "waiting" | "running"; bytesDone: number }[]
  >`
    select x.id::text as "assignmentId", x.term, x.bytes_done as "bytesDone",
           case x.state when 'running' then 'running' else 'waiting' end as state
      from nodes n cross join unnest(n.open_assignments) as o(id) join assignments x on x.id = o.id
     where n.id = ${id} and x.lease_expires_at is not null order by x.id`;
  return { ...node, open: [...open] };
}
