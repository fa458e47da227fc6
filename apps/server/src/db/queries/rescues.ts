/** What is read for nodes that speak over REST, and tell their rescues by assets and not by leases. */
import type { AssetId, AssignmentId, AssignmentState, NodeId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

export type Offer = {
  readonly offeredBytes: number;
  readonly marginBytes: number;
  readonly heldBytes: number;
  readonly freeBytes: number;
};

/** What a node offers and holds; null when there is none of this id. */
export async function findOffer(sql: Sql, id: NodeId): Promise<Offer | null> {
  const [row] = await sql<Offer[]>`
    select offered_bytes as "offeredBytes", margin_bytes as "marginBytes", held_bytes as "heldBytes",
           free_bytes as "freeBytes"
      from nodes where id = ${id}`;
  return row ?? null;
}

/** The salt of a join token that is not revoked and not past its time, used up or not; null for any other. */
export async function findKeySalt(sql: Sql, tokenHash: Uint8Array): Promise<Uint8Array | null> {
  const [row] = await sql<{ salt: Uint8Array }[]>`
    select key_salt as salt from join_tokens where token_hash = ${tokenHash} and expires_at > now()`;
  return row?.salt ?? null;
}

export type LatestAssignment = {
  readonly id: AssignmentId;
  readonly assetId: AssetId;
  readonly term: number;
  readonly state: AssignmentState;
  /** Of the copy; null unless it is stored. */
  readonly sha256: string | null;
};

/** For each of the assets what the node has of it, or had last. */
export async function readLatestAssignments(
  sql: Sql,
  nodeId: NodeId,
  assetIds: readonly AssetId[],
): Promise<readonly LatestAssignment[]> {
  if (assetIds.length === 0) return [];
  return sql<LatestAssignment[]>`
    select distinct on (asset_id) id::text as id, asset_id::text as "assetId", term, state,
           encode(sha256, 'hex') as sha256
      from assignments
     where node_id = ${nodeId} and asset_id = any(${assetIds}::bigint[])
     order by asset_id, state in ('granted', 'running', 'stored') desc, id desc`;
}
