import type {
  AssetId,
  Assignment,
  AssignmentId,
  AssignmentState,
  Digest,
  DigestAlgorithm,
  FailureCode,
  NodeId,
  OperatorId,
  OriginId,
  Trust,
} from "@dispatcher/core";
import { isOpen } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** An assignment of a node, with the state the core's functions take. */
export type StoredAssignment = {
  readonly id: AssignmentId;
  readonly assetId: AssetId;
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  readonly originId: OriginId;
  readonly assignment: Assignment;
};

type AssignmentRow = Omit<StoredAssignment, "assignment"> & {
  readonly state: AssignmentState;
  readonly term: number;
  readonly grantedAtMs: number;
  readonly expiresAtMs: number | null;
  readonly reservedBytes: number;
  readonly bytesDone: number;
  readonly failureCode: FailureCode | null;
};

function toStored(row: AssignmentRow): StoredAssignment {
  const { id, assetId, nodeId, operatorId, originId, state, term, grantedAtMs, bytesDone } = row;
  const ids = { id, assetId, nodeId, operatorId, originId };
  if (state === "granted" || state === "running") {
    if (row.expiresAtMs === null) throw new Error(`Assignment ${id} is ${state} without a deadline.`);
    const { expiresAtMs, reservedBytes } = row;
    return { ...ids, assignment: { state, term, grantedAtMs, expiresAtMs, reservedBytes, bytesDone } };
  }
  return { ...ids, assignment: { state, term, grantedAtMs, bytesDone, failureCode: row.failureCode } };
}

const columns = (sql: Sql) => sql`
  x.id::text as id, x.asset_id::text as "assetId", x.node_id::text as "nodeId", x.operator_id::text as "operatorId",
  x.origin_id::text as "originId", x.state, x.term, x.granted_at as "grantedAtMs",
  x.lease_expires_at as "expiresAtMs", x.reserved_bytes as "reservedBytes", x.bytes_done as "bytesDone",
  x.failure_code as "failureCode"`;

/** The assignments named, of these nodes alone, and everything these nodes have open; the nodes are locked. */
export async function readAssignmentsOfNodes(
  sql: Sql,
  nodeIds: readonly NodeId[],
  ids: readonly AssignmentId[],
): Promise<readonly StoredAssignment[]> {
  const rows = await sql<AssignmentRow[]>`
    select ${columns(sql)} from assignments x
     where x.node_id = any(${nodeIds}::bigint[]) and x.lease_expires_at is not null
    union
    select ${columns(sql)} from assignments x
     where x.id = any(${ids}::bigint[]) and x.node_id = any(${nodeIds}::bigint[])`;
  return rows.map(toStored);
}

/** Assignments of these nodes that hold a place of one of the assets: open or stored. */
export async function readHoldingsOfNodes(
  sql: Sql,
  nodeIds: readonly NodeId[],
  assetIds: readonly AssetId[],
): Promise<readonly StoredAssignment[]> {
  const rows = await sql<AssignmentRow[]>`
    select ${columns(sql)} from assignments x
     where x.node_id = any(${nodeIds}::bigint[]) and x.asset_id = any(${assetIds}::bigint[])
       and x.state in ('granted', 'running', 'stored')`;
  return rows.map(toStored);
}

/** Leases of assets that nobody has begun to work on, newest first: what may be taken back when a copy is surplus. */
export async function readUnstartedOfAssets(
  sql: Sql,
  assetIds: readonly AssetId[],
): Promise<readonly { readonly id: AssignmentId; readonly nodeId: NodeId; readonly assetId: AssetId }[]> {
  return sql<{ id: AssignmentId; nodeId: NodeId; assetId: AssetId }[]>`
    select id::text as id, node_id::text as "nodeId", asset_id::text as "assetId" from assignments
     where asset_id = any(${assetIds}::bigint[]) and state = 'granted' order by asset_id, term desc`;
}

/** Leases past their deadline and grace, oldest first. */
export async function findOverdue(
  sql: Sql,
  graceMs: number,
  limit: number,
): Promise<readonly { readonly id: AssignmentId; readonly nodeId: NodeId }[]> {
  return sql<{ id: AssignmentId; nodeId: NodeId }[]>`
    select id::text as id, node_id::text as "nodeId" from assignments
     where lease_expires_at <= now() - ${graceMs} * interval '1 millisecond'
     order by lease_expires_at, id limit ${limit}`;
}

/** Grants to be written. */
export async function insertAssignments(
  sql: Sql,
  grants: readonly {
    readonly assetId: AssetId;
    readonly nodeId: NodeId;
    readonly operatorId: OperatorId;
    readonly originId: OriginId;
    readonly term: number;
    readonly reservedBytes: number;
    readonly leaseMs: number;
  }[],
  nowMs: number,
): Promise<void> {
  if (grants.length === 0) return;
  const rows = grants.map((grant) => ({
    asset: grant.assetId,
    node: grant.nodeId,
    operator: grant.operatorId,
    origin: grant.originId,
    term: grant.term,
    reserved: grant.reservedBytes,
    lease: grant.leaseMs,
  }));
  await sql`
    insert into assignments (asset_id, node_id, operator_id, origin_id, state, term, granted_at, lease_expires_at,
                             reserved_bytes)
    select asset, node, operator, origin, 'granted', term, to_timestamp(${nowMs}::double precision / 1000),
           to_timestamp((${nowMs}::double precision + lease) / 1000), reserved
      from jsonb_to_recordset(${sql.json(rows)}) as r(
        asset bigint, node bigint, operator bigint, origin bigint, term integer, reserved bigint, lease double precision)`;
}

/** The copy that an assignment ended in. */
export type NewCopy = {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly trust: Trust;
  readonly etag: string | null;
  readonly lastModified: string | null;
};

export type AssignmentChange = {
  readonly id: AssignmentId;
  readonly assignment: Assignment;
  readonly message?: string;
  /** With `stored` alone. */
  readonly copy?: NewCopy;
};

/**
 * Write the new states of assignments whose nodes are locked. Those that give a place up go first: the same node may take
 * it by another of them, and the constraint that allows one looks at each row as it is written.
 */
export async function updateAssignments(sql: Sql, changes: readonly AssignmentChange[]): Promise<void> {
  const givesUp = ({ assignment }: AssignmentChange): boolean => !isOpen(assignment) && assignment.state !== "stored";
  await writeAssignments(sql, changes.filter(givesUp));
  await writeAssignments(
    sql,
    changes.filter((change) => !givesUp(change)),
  );
}

async function writeAssignments(sql: Sql, changes: readonly AssignmentChange[]): Promise<void> {
  if (changes.length === 0) return;
  const rows = changes.map(({ id, assignment, message, copy }) => ({
    id,
    state: assignment.state,
    term: assignment.term,
    bytes: assignment.bytesDone,
    granted: assignment.grantedAtMs,
    expires: "expiresAtMs" in assignment ? assignment.expiresAtMs : null,
    reserved: "reservedBytes" in assignment ? assignment.reservedBytes : 0,
    code: "failureCode" in assignment ? assignment.failureCode : null,
    message: message ?? null,
    size: copy?.sizeBytes ?? null,
    sha256: copy?.sha256 ?? null,
    trust: copy?.trust ?? null,
    etag: copy?.etag ?? null,
    modified: copy?.lastModified ?? null,
  }));
  await sql`
    update assignments
       set state = r.state, term = r.term, bytes_done = r.bytes, reserved_bytes = r.reserved,
           granted_at = to_timestamp(r.granted / 1000), lease_expires_at = to_timestamp(r.expires / 1000),
           ended_at = case when r.expires is null then clock_timestamp() end,
           reclaimed_at = coalesce(reclaimed_at, case when r.state in ('released', 'failed', 'expired')
                                                      then clock_timestamp() end),
           failure_code = r.code, failure_message = r.message,
           size_bytes = r.size, sha256 = decode(r.sha256, 'hex'), trust = r.trust,
           counts = case when r.state = 'stored' then true end, etag = r.etag, last_modified = r.modified
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, state text, term integer, bytes bigint, granted double precision, expires double precision,
             reserved bigint, code text, message text, size bigint, sha256 text, trust text, etag text, modified text)
     where assignments.id = r.id`;
}

/** What has failed on each of the assets since its last copy was made: the material for review and `gone`. */
export async function readFailures(
  sql: Sql,
  assetIds: readonly AssetId[],
): Promise<readonly { readonly assetId: AssetId; readonly nodeId: NodeId; readonly code: FailureCode }[]> {
  if (assetIds.length === 0) return [];
  return sql<{ assetId: AssetId; nodeId: NodeId; code: FailureCode }[]>`
    select x.asset_id::text as "assetId", x.node_id::text as "nodeId", x.failure_code as code from assignments x
     where x.asset_id = any(${assetIds}::bigint[]) and x.state = 'failed'
       and not exists (select from assignments s
                        where s.asset_id = x.asset_id and s.state = 'stored' and s.term > x.term)
     order by x.id`;
}

/** Who has failed on one of the assets, or let its lease run out, so lately that another is asked first. */
export async function readLateFailures(
  sql: Sql,
  {
    assetIds,
    nodeIds,
    withinMs,
  }: { readonly assetIds: readonly AssetId[]; readonly nodeIds: readonly NodeId[]; readonly withinMs: number },
): Promise<readonly { readonly assetId: AssetId; readonly nodeId: NodeId }[]> {
  if (assetIds.length === 0 || withinMs === 0) return [];
  return sql<{ assetId: AssetId; nodeId: NodeId }[]>`
    select asset_id::text as "assetId", node_id::text as "nodeId" from assignments
     where asset_id = any(${assetIds}::bigint[]) and node_id = any(${nodeIds}::bigint[])
       and state in ('failed', 'expired')
       and ended_at > clock_timestamp() - ${withinMs} * interval '1 millisecond'`;
}

/** What a node has open, as it is told: with the asset and where to fetch it. */
export type OpenGrant = {
  readonly nodeId: NodeId;
  readonly assignmentId: AssignmentId;
  readonly term: number;
  readonly expiresAtMs: number;
  readonly reservedBytes: number;
  readonly asset: {
    readonly id: AssetId;
    readonly url: string;
    readonly dataset: string;
    readonly path: string;
    readonly sizeBytes: number | null;
    readonly digest: Digest | null;
  };
};

/** Of each node the most urgent first. */
export async function readOpenGrants(sql: Sql, nodeIds: readonly NodeId[]): Promise<readonly OpenGrant[]> {
  const rows = await sql<
    (Omit<OpenGrant, "asset"> & {
      id: AssetId;
      url: string;
      dataset: string;
      path: string;
      sizeBytes: number | null;
      digestAlgorithm: DigestAlgorithm | null;
      digestHex: string | null;
    })[]
  >`
    select x.node_id::text as "nodeId", x.id::text as "assignmentId", x.term, x.lease_expires_at as "expiresAtMs",
           x.reserved_bytes as "reservedBytes", a.id::text as id, a.url, d.key as dataset, a.path,
           a.size_bytes as "sizeBytes", a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex"
      from assignments x join assets a on a.id = x.asset_id join datasets d on d.id = a.dataset_id
     where x.node_id = any(${nodeIds}::bigint[]) and x.lease_expires_at is not null
     order by a.urgency desc, x.id`;
  return rows.map(
    ({ nodeId, assignmentId, term, expiresAtMs, reservedBytes, digestAlgorithm, digestHex, ...asset }) => ({
      nodeId,
      assignmentId,
      term,
      expiresAtMs,
      reservedBytes,
      asset: {
        ...asset,
        digest: digestAlgorithm === null || digestHex === null ? null : { algorithm: digestAlgorithm, hex: digestHex },
      },
    }),
  );
}

/** Work a locked node has before it: leases, and bytes still to come. */
export async function readOpenWork(
  sql: Sql,
  nodeIds: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, { readonly openLeases: number; readonly openBytes: number }>> {
  const rows = await sql<{ nodeId: NodeId; openLeases: number; openBytes: number }[]>`
    select node_id::text as "nodeId", count(*) as "openLeases",
           coalesce(sum(greatest(reserved_bytes - bytes_done, 0)), 0)::bigint as "openBytes"
      from assignments where node_id = any(${nodeIds}::bigint[]) and lease_expires_at is not null
     group by node_id`;
  return new Map(rows.map(({ nodeId, ...work }) => [nodeId, work]));
}

export type ReplicaWeight = {
  readonly assetId: AssetId;
  readonly nodeId: NodeId;
  readonly trust: Trust;
  readonly counts: boolean;
};

/** Write what the copies of an asset are worth after they were weighed together. */
export async function updateReplicaWeights(sql: Sql, changes: readonly ReplicaWeight[]): Promise<void> {
  if (changes.length === 0) return;
  const rows = changes.map(({ assetId, nodeId, trust, counts }) => ({ asset: assetId, node: nodeId, trust, counts }));
  await sql`
    update assignments set trust = r.trust, counts = r.counts
      from jsonb_to_recordset(${sql.json(rows)}) as r(asset bigint, node bigint, trust text, counts boolean)
     where assignments.asset_id = r.asset and assignments.node_id = r.node and assignments.state = 'stored'`;
}

/** A node's copies, by asset. */
export async function readReplicasOfNode(
  sql: Sql,
  nodeId: NodeId,
): Promise<
  readonly {
    readonly assignmentId: AssignmentId;
    readonly assetId: AssetId;
    readonly sizeBytes: number;
    readonly sha256: string;
  }[]
> {
  return sql<{ assignmentId: AssignmentId; assetId: AssetId; sizeBytes: number; sha256: string }[]>`
    select assignment_id::text as "assignmentId", asset_id::text as "assetId", size_bytes as "sizeBytes",
           encode(sha256, 'hex') as sha256
      from replicas where node_id = ${nodeId} order by replicas.asset_id`;
}

/** Copies a node no longer has: their assignments count as given back. */
export async function dropReplicas(sql: Sql, assignmentIds: readonly AssignmentId[]): Promise<void> {
  if (assignmentIds.length === 0) return;
  await sql`
    update assignments set state = 'released', ended_at = clock_timestamp(), size_bytes = null, sha256 = null,
           trust = null, counts = null, etag = null, last_modified = null,
           reclaimed_at = coalesce(reclaimed_at, clock_timestamp())
     where id = any(${assignmentIds}::bigint[])`;
}
