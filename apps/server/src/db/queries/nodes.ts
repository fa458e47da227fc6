import { quickestNodes } from "@dispatcher/core";
import type {
  AssignmentId,
  ByteLedger,
  Holding,
  LifeThresholds,
  NodeId,
  NodeLife,
  OperatorId,
  QuickNode,
  VettingRule,
} from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** What a node is to do; the migration that adds it says what each means. */
export const NODE_DUTIES = ["active", "draining", "leaving", "blocked"] as const;
export type NodeDuty = (typeof NODE_DUTIES)[number];

export type NodeRow = {
  readonly id: NodeId;
  readonly operatorId: OperatorId;
  readonly network: string | null;
  readonly life: NodeLife;
  readonly duty: NodeDuty;
  /** For its volunteer. */
  readonly message: string | null;
  readonly schemes: readonly string[];
  readonly agentVersion: string;
  readonly offeredBytes: number;
  readonly marginBytes: number;
  readonly heldBytes: number;
  readonly heldCopies: number;
  /** Of the list of its copies. */
  readonly heldDigest: string;
  readonly reservedBytes: number;
  readonly freeBytes: number;
  readonly quota: number;
  readonly rateBytesPerS: number | null;
  readonly verifiedCopies: number;
  readonly isVetted: boolean;
  readonly inventoryWanted: boolean;
  readonly createdAtMs: number;
  /** Its open leases. */
  readonly openIds: readonly AssignmentId[];
  /** When the first of them ends; null without any. */
  readonly leaseDueAtMs: number | null;
  /** It has copies that are to leave it. */
  readonly hasLeaving: boolean;
  /** It wants to offer no more than this; null for what its syncs say. */
  readonly offerLimitBytes: number | null;
  /** Database time of this read. */
  readonly nowMs: number;
  /** By which transaction the row was written last: another one whenever something of the node has changed since. */
  readonly version: string;
};

export function ledgerOf({ offeredBytes, marginBytes, heldBytes, reservedBytes }: NodeRow): ByteLedger {
  return { offeredBytes, marginBytes, heldBytes, reservedBytes };
}

/** What it has, as the server counts it. */
export function holdingOfNode({ heldCopies, heldBytes, heldDigest }: NodeRow): Holding {
  return { copies: heldCopies, bytes: heldBytes, digest: heldDigest };
}

/** The columns that follow from what it has, but for the bytes, which are the ledger's. */
export function heldColumnsOf({ copies, digest }: Holding): Pick<NodeRow, "heldCopies" | "heldDigest"> {
  return { heldCopies: copies, heldDigest: digest };
}

/**
 * Lock nodes for a change of their ledgers or assignments, in id order. Whoever changes a node's assignments holds this
 * lock: it is what keeps two leases of one asset off one node. Locks are taken as nodes, then assets, then origins.
 */
export async function lockNodes(
  sql: Sql,
  ids: readonly NodeId[],
  vetting: { readonly verifiedCopies: number; readonly ageMs: number },
): Promise<readonly NodeRow[]> {
  return sql<NodeRow[]>`${nodeRow(sql, vetting)} where id = any(${ids}::bigint[]) order by nodes.id for no key update`;
}

const nodeRow = (sql: Sql, vetting: { readonly verifiedCopies: number; readonly ageMs: number }) => sql`
    select id::text as id, operator_id::text as "operatorId", network, life, duty, message, has_leaving as "hasLeaving",
           offer_limit_bytes as "offerLimitBytes", schemes, agent_version as "agentVersion",
           offered_bytes as "offeredBytes", margin_bytes as "marginBytes", held_bytes as "heldBytes",
           held_copies as "heldCopies", encode(held_digest, 'hex') as "heldDigest", reserved_bytes as "reservedBytes",
           free_bytes as "freeBytes", quota, rate_bytes_per_s as "rateBytesPerS", verified_copies as "verifiedCopies",
           inventory_wanted as "inventoryWanted",
           verified_copies >= ${vetting.verifiedCopies}
             and created_at <= now() - ${vetting.ageMs} * interval '1 millisecond' as "isVetted",
           created_at as "createdAtMs", open_assignments::text[] as "openIds", lease_due_at as "leaseDueAtMs",
           clock_timestamp() as "nowMs", xmin::text as version
      from nodes`;

/** Nodes that take part now, the named one among them whatever its life; not locked. At most `limit`, by id. */
export async function readPresentNodes(
  sql: Sql,
  { vetting, limit, also }: { readonly vetting: VettingRule; readonly limit: number; readonly also: NodeId | null },
): Promise<readonly (NodeRow & { readonly openBytes: number })[]> {
  const rows = await sql<NodeRow[]>`
    ${nodeRow(sql, vetting)} where id = ${also}::bigint or life in ('online', 'suspect')
     order by (id = ${also}::bigint) is true desc, nodes.id limit ${limit}`;
  const leases = await sql<{ nodeId: NodeId; openBytes: number }[]>`
    select x.node_id::text as "nodeId", sum(greatest(0, x.reserved_bytes - x.bytes_done))::bigint as "openBytes"
      from assignments x where x.id = any(${rows.flatMap(({ openIds }) => openIds)}::bigint[])
       and x.lease_expires_at is not null group by x.node_id`;
  const openBytesById = new Map(leases.map(({ nodeId, openBytes }) => [nodeId, openBytes]));
  return rows.map((row) => ({ ...row, openBytes: openBytesById.get(row.id) ?? 0 }));
}

/** The columns that follow from what a node has open. */
export function leasesOf(
  open: readonly { readonly id: AssignmentId; readonly assignment: { readonly expiresAtMs: number } }[] = [],
): Pick<NodeRow, "openIds" | "leaseDueAtMs"> {
  return {
    openIds: open.map(({ id }) => id),
    leaseDueAtMs: open.length === 0 ? null : Math.min(...open.map(({ assignment }) => assignment.expiresAtMs)),
  };
}

/** What may change of a node as it works. */
type NodeToWrite = Pick<
  NodeRow,
  | "id"
  | "offeredBytes"
  | "marginBytes"
  | "heldBytes"
  | "heldCopies"
  | "heldDigest"
  | "reservedBytes"
  | "quota"
  | "rateBytesPerS"
  | "verifiedCopies"
  | "inventoryWanted"
  | "openIds"
  | "leaseDueAtMs"
>;

/** As `jsonb_to_recordset` takes it below. */
function toRecord(node: NodeToWrite) {
  return {
    id: node.id,
    offered: node.offeredBytes,
    margin: node.marginBytes,
    held: node.heldBytes,
    copies: node.heldCopies,
    digest: node.heldDigest,
    reserved: node.reservedBytes,
    quota: node.quota,
    rate: node.rateBytesPerS,
    verified: node.verifiedCopies,
    inventory: node.inventoryWanted,
    open: [...node.openIds],
    due: node.leaseDueAtMs,
  };
}

/** Write what may have changed of locked nodes. */
export async function updateNodes(sql: Sql, nodes: readonly NodeToWrite[]): Promise<void> {
  if (nodes.length === 0) return;
  const rows = nodes.map(toRecord);
  await sql`
    update nodes
       set offered_bytes = r.offered, margin_bytes = r.margin, held_bytes = r.held, held_copies = r.copies,
           held_digest = decode(r.digest, 'hex'), reserved_bytes = r.reserved,
           quota = r.quota, rate_bytes_per_s = r.rate, verified_copies = r.verified, inventory_wanted = r.inventory,
           open_assignments = r.open, lease_due_at = to_timestamp(r.due / 1000)
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, offered bigint, margin bigint, held bigint, copies bigint, digest text, reserved bigint,
             quota integer, rate double precision, verified bigint, inventory boolean, open bigint[], due double precision)
     where nodes.id = r.id`;
}

/** The same of locked nodes that have just spoken, with what they said of themselves; answers their version from now on. */
export async function updateSyncedNodes(
  sql: Sql,
  nodes: readonly (NodeToWrite & {
    readonly freeBytes: number;
    readonly agentVersion: string;
    readonly schemes: readonly string[];
    readonly network: string | null;
  })[],
): Promise<string> {
  const rows = nodes.map((node) => ({
    ...toRecord(node),
    free: node.freeBytes,
    version: node.agentVersion,
    schemes: [...node.schemes],
    network: node.network,
  }));
  const [row] = await sql<{ version: string }[]>`
    update nodes
       set offered_bytes = r.offered, margin_bytes = r.margin, held_bytes = r.held, held_copies = r.copies,
           held_digest = decode(r.digest, 'hex'), reserved_bytes = r.reserved,
           quota = r.quota, rate_bytes_per_s = r.rate, verified_copies = r.verified, inventory_wanted = r.inventory,
           open_assignments = r.open, lease_due_at = to_timestamp(r.due / 1000), life = 'online', last_sync_at = clock_timestamp(), free_bytes = r.free, agent_version = r.version,
           schemes = r.schemes, network = coalesce(r.network, nodes.network)
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, offered bigint, margin bigint, held bigint, copies bigint, digest text, reserved bigint,
             quota integer, rate double precision, verified bigint, inventory boolean, open bigint[], due double precision, free bigint,
             version text, schemes text[], network text)
     where nodes.id = r.id
    returning nodes.xmin::text as version`;
  return row?.version ?? "";
}

/**
 * Note that nodes are there which have nothing open, offer what they offered, and hold what is on record, where they say what
 * they hold. Answers these, with the database's clock; of the others nothing is written. One statement.
 */
export async function updateQuietNodes(
  sql: Sql,
  nodes: readonly {
    readonly id: NodeId;
    readonly freeBytes: number;
    readonly offeredBytes: number;
    readonly marginBytes: number;
    readonly agentVersion: string;
    readonly schemes: readonly string[];
    readonly network: string | null;
    readonly holding?: Holding | undefined;
  }[],
): Promise<readonly { readonly id: NodeId; readonly nowMs: number }[]> {
  if (nodes.length === 0) return [];
  const rows = nodes.map(({ id, freeBytes, offeredBytes, marginBytes, agentVersion, schemes, network, holding }) => ({
    id,
    free: freeBytes,
    offered: offeredBytes,
    margin: marginBytes,
    version: agentVersion,
    schemes: [...schemes],
    network,
    ...(holding === undefined ? {} : { copies: holding.copies, bytes: holding.bytes, digest: holding.digest }),
  }));
  return sql<{ id: NodeId; nowMs: number }[]>`
    update nodes n
       set life = 'online', last_sync_at = clock_timestamp(), free_bytes = r.free, agent_version = r.version,
           schemes = r.schemes, network = coalesce(r.network, n.network)
      from (select r.*
              from jsonb_to_recordset(${sql.json(rows)}) as r(
                     id bigint, free bigint, offered bigint, margin bigint, version text, schemes text[], network text,
                     copies bigint, bytes bigint, digest text)
              join nodes l on l.id = r.id
             order by l.id for no key update of l) r
     where n.id = r.id and n.life not in ('lost', 'retired') and n.duty = 'active' and not n.inventory_wanted
       and n.open_assignments = '{}' and n.message is null and not n.has_leaving and n.offer_limit_bytes is null
       and n.offered_bytes = r.offered and n.margin_bytes = r.margin
       and (r.copies is null
            or (n.held_copies, n.held_bytes, encode(n.held_digest, 'hex')) = (r.copies, r.bytes, r.digest))
    returning n.id::text as id, clock_timestamp() as "nowMs"`;
}

/** Count a locked node's copies anew from their rows; true where that changed something. O(its copies). */
export async function recountCopies(sql: Sql, nodeId: NodeId): Promise<boolean> {
  const rows = await sql`
    update nodes n set held_copies = h.copies, held_digest = h.digest
      from (select coalesce(max(copies), 0) as copies,
                   coalesce((array_agg(digest))[1], decode(repeat('00', 32), 'hex')) as digest
              from holdings where node_id = ${nodeId}) h
     where n.id = ${nodeId} and (n.held_copies, n.held_digest) is distinct from (h.copies, h.digest)
    returning n.id`;
  return rows.length === 1;
}

/** How much of their offer these nodes have in use, 0 to 1, and how much they have been right. */
export async function readNodeWeights(
  sql: Sql,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, { readonly fullness: number; readonly verifiedCopies: number }>> {
  const rows = await sql<{ id: NodeId; fullness: number; verifiedCopies: number }[]>`
    select id::text as id, verified_copies as "verifiedCopies",
           coalesce((held_bytes + reserved_bytes)::double precision / nullif(offered_bytes, 0), 1) as fullness
      from nodes where id = any(${ids}::bigint[])`;
  return new Map(rows.map(({ id, ...weight }) => [id, weight]));
}

/** Null when the operator has a node of this name already. */
export async function insertNode(
  sql: Sql,
  node: {
    readonly operatorId: OperatorId;
    readonly name: string;
    readonly keyHash: Uint8Array;
    readonly network: string | null;
    readonly agentVersion: string;
    readonly schemes: readonly string[];
    readonly offeredBytes: number;
    readonly marginBytes: number;
    readonly quota: number;
  },
): Promise<NodeId | null> {
  const [row] = await sql<{ id: NodeId }[]>`
    insert into nodes (operator_id, name, key_hash, network, agent_version, schemes, offered_bytes, margin_bytes, quota)
    values (${node.operatorId}, ${node.name}, ${node.keyHash}, ${node.network}, ${node.agentVersion},
            ${[...node.schemes]}::text[], ${node.offeredBytes}, ${node.marginBytes}, ${node.quota})
    on conflict (operator_id, name) do nothing
    returning id::text as id`;
  return row?.id ?? null;
}

/** Whose a node is; null when there is none of this id. */
export async function findNodeOperator(sql: Sql, id: NodeId): Promise<OperatorId | null> {
  const [row] = await sql<
    { operatorId: OperatorId }[]
  >`select operator_id::text as "operatorId" from nodes where id = ${id}`;
  return row?.operatorId ?? null;
}

export type NodeSummary = {
  readonly id: NodeId;
  readonly name: string;
  readonly operator: string;
  readonly operatorId: OperatorId;
  readonly life: NodeLife;
  readonly lastSyncMs: number | null;
  readonly agentVersion: string;
  readonly offeredBytes: number;
  readonly marginBytes: number;
  readonly heldBytes: number;
  readonly reservedBytes: number;
  readonly freeBytes: number;
  readonly copies: number;
  readonly openLeases: number;
  readonly quota: number;
  readonly rateBytesPerS: number | null;
  readonly duty: NodeDuty;
  /** For its volunteer. */
  readonly message: string | null;
};

export const nodeSummary = (sql: Sql) => sql`
    select n.id::text as id, n.name, o.name as operator, o.id::text as "operatorId", n.life, n.duty, n.message, n.last_sync_at as "lastSyncMs",
           n.agent_version as "agentVersion", n.offered_bytes as "offeredBytes", n.margin_bytes as "marginBytes",
           n.held_bytes as "heldBytes", n.reserved_bytes as "reservedBytes", n.free_bytes as "freeBytes",
           n.held_copies as copies,
           cardinality(n.open_assignments) as "openLeases",
           n.quota, n.rate_bytes_per_s as "rateBytesPerS"
      from nodes n join operators o on o.id = n.operator_id`;

/** All nodes, or those in one state of life, by id. */
export async function listNodeSummaries(sql: Sql, life: NodeLife | null): Promise<NodeSummary[]> {
  return sql<NodeSummary[]>`${nodeSummary(sql)} where ${life}::text is null or n.life = ${life} order by n.id`;
}

/** How the fleet stands, for the rules that depend on its size. */
export type Fleet = {
  /** Operators with a node that synced lately. */
  readonly operatorCount: number;
  readonly vettedNodes: number;
  /** Offered, held and reserved bytes of all nodes and of those on trial. */
  readonly busyBytes: number;
  readonly busyBytesOnTrial: number;
  /** Those to whom others leave what takes too long; nodes on trial are not among them, as they get no first copies. */
  readonly quickNodes: readonly QuickNode[];
};

/** Looked at to find them. Fewer of a large fleet: slow nodes are asked for giants that quicker ones could do. */
const QUICK_NODES_READ = 300;

export async function readFleet(sql: Sql, vetting: VettingRule): Promise<Fleet> {
  const [row] = await sql<[Omit<Fleet, "quickNodes">]>`
    with fleet as (
      select operator_id, held_bytes + reserved_bytes as busy,
             verified_copies >= ${vetting.verifiedCopies}
               and created_at <= now() - ${vetting.ageMs} * interval '1 millisecond' as vetted
        from nodes where life in ('online', 'suspect'))
    select count(distinct operator_id) as "operatorCount", count(*) filter (where vetted) as "vettedNodes",
           coalesce(sum(busy), 0)::double precision as "busyBytes",
           coalesce(sum(busy) filter (where not vetted), 0)::double precision as "busyBytesOnTrial"
      from fleet`;
  const isTrialOn = row.vettedNodes >= vetting.fleetMin;
  const quick = await sql<QuickNode[]>`
    select operator_id::text as "operatorId", rate_bytes_per_s as "rateBytesPerS",
           greatest(0, least(offered_bytes - held_bytes, free_bytes) - margin_bytes - reserved_bytes) as "roomBytes"
      from nodes
     where life in ('online', 'suspect') and rate_bytes_per_s is not null
       and (not ${isTrialOn}::boolean
            or (verified_copies >= ${vetting.verifiedCopies}
                and created_at <= now() - ${vetting.ageMs} * interval '1 millisecond'))
     order by rate_bytes_per_s desc, id limit ${QUICK_NODES_READ}`;
  return { ...row, quickNodes: quickestNodes(quick) };
}

/**
 * Nodes whose silence puts them into another state of life than the one they are in, longest silent first. The core
 * decides where each goes; the thresholds here only find them.
 */
export async function findSilentNodes(
  sql: Sql,
  { suspectMs, offlineMs, lostMs, retiredMs }: LifeThresholds,
  limit: number,
): Promise<readonly { readonly id: NodeId; readonly life: NodeLife; readonly silentMs: number }[]> {
  return sql<{ id: NodeId; life: NodeLife; silentMs: number }[]>`
    with silent as (
      select id, life,
             floor(extract(epoch from now() - coalesce(last_sync_at, created_at)) * 1000)::bigint as ms
        from nodes where life <> 'retired')
    select id::text as id, life, ms as "silentMs" from silent
     where ms >= ${suspectMs}
       and life <> case when ms >= ${retiredMs} then 'retired' when ms >= ${lostMs} then 'lost'
                        when ms >= ${offlineMs} then 'offline' else 'suspect' end
     order by ms desc limit ${limit}`;
}

/** Move a node on, unless it has spoken or been moved meanwhile; true when it was this call that did. */
export async function moveNodeLife(
  sql: Sql,
  {
    id,
    from,
    to,
    silentMs,
  }: { readonly id: NodeId; readonly from: NodeLife; readonly to: NodeLife; readonly silentMs: number },
): Promise<boolean> {
  const rows = await sql`
    update nodes set life = ${to}
     where id = ${id} and life = ${from}
       and coalesce(last_sync_at, created_at) <= now() - ${silentMs} * interval '1 millisecond'
    returning id`;
  return rows.length === 1;
}
