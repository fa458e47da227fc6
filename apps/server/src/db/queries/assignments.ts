import type {
  AssetId,
  Assignment,
  AssignmentId,
  AssignmentState,
  Digest,
  FailureCode,
  NodeId,
  OperatorId,
  OriginId,
  Trust,
} from "@dispatcher/core";
import type { Sql } from "../database.ts";
import { toDigest } from "./digest.ts";
import type { DigestColumns } from "./digest.ts";

/** An assignment of a node, with the state the core's functions take. */
export type StoredAssignment = {
  readonly id: AssignmentId;
  readonly assetId: AssetId;
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  readonly originId: OriginId;
  /** Open, and not needed any more: its node is to be told. */
  readonly isSurplus: boolean;
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
  const ids = { id, assetId, nodeId, operatorId, originId, isSurplus: row.isSurplus };
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
  x.failure_code as "failureCode", x.is_surplus as "isSurplus"`;

/** The assignments named, of these nodes alone; the nodes are locked. */
export async function readAssignmentsOfNodes(
  sql: Sql,
  nodeIds: readonly NodeId[],
  ids: readonly AssignmentId[],
): Promise<readonly StoredAssignment[]> {
  if (ids.length === 0) return [];
  const rows = await sql<AssignmentRow[]>`
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
     where asset_id = any(${assetIds}::bigint[]) and state = 'granted' and not is_surplus order by asset_id, term desc`;
}

/** Let the nodes of these leases be told that they are not needed. */
export async function markSurplus(sql: Sql, ids: readonly AssignmentId[]): Promise<void> {
  if (ids.length === 0) return;
  await sql`update assignments set is_surplus = true where id = any(${ids}::bigint[])`;
}

/** Leases past their deadline and grace, oldest first. O(nodes), and of those that are late O(their leases). */
export async function findOverdue(
  sql: Sql,
  graceMs: number,
  limit: number,
): Promise<readonly { readonly id: AssignmentId; readonly nodeId: NodeId }[]> {
  return sql<{ id: AssignmentId; nodeId: NodeId }[]>`
    select x.id::text as id, x.node_id::text as "nodeId"
      from nodes n cross join unnest(n.open_assignments) as o(id) join assignments x on x.id = o.id
     where n.lease_due_at <= now() - ${graceMs} * interval '1 millisecond'
       and x.lease_expires_at <= now() - ${graceMs} * interval '1 millisecond'
     order by x.lease_expires_at, x.id limit ${limit}`;
}

/** What a node is granted, as it is told: with the asset and where to fetch it. */
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

type OpenGrantRow = Omit<OpenGrant, "asset"> & Omit<OpenGrant["asset"], "digest"> & DigestColumns;

const grantColumns = (sql: Sql) => sql`
  x.node_id::text as "nodeId", x.id::text as "assignmentId", x.term, x.lease_expires_at as "expiresAtMs",
  x.reserved_bytes as "reservedBytes", a.id::text as id, a.url, d.key as dataset, a.path,
  a.size_bytes as "sizeBytes", a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex"`;

function toOpenGrant(row: OpenGrantRow): OpenGrant {
  const { nodeId, assignmentId, term, expiresAtMs, reservedBytes, id, url, dataset, path, sizeBytes } = row;
  const asset = { id, url, dataset, path, sizeBytes, digest: toDigest(row) };
  return { nodeId, assignmentId, term, expiresAtMs, reservedBytes, asset };
}

/** The grants with these ids, oldest first. */
export async function readGrants(sql: Sql, ids: readonly AssignmentId[]): Promise<readonly OpenGrant[]> {
  if (ids.length === 0) return [];
  const rows = await sql<OpenGrantRow[]>`
    select ${grantColumns(sql)}
      from assignments x join assets a on a.id = x.asset_id join datasets d on d.id = a.dataset_id
     where x.id = any(${ids}::bigint[]) and x.lease_expires_at is not null
     order by x.id`;
  return rows.map(toOpenGrant);
}

/** Those of these leases that are surplus. */
export async function readSurplus(sql: Sql, ids: readonly AssignmentId[]): Promise<readonly AssignmentId[]> {
  if (ids.length === 0) return [];
  const rows = await sql<{ id: AssignmentId }[]>`
    select id::text as id from assignments where id = any(${ids}::bigint[]) and is_surplus`;
  return rows.map(({ id }) => id);
}

/** A grant that is to be written. */
export type NewAssignment = {
  readonly assetId: AssetId;
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  readonly originId: OriginId;
  readonly term: number;
  readonly reservedBytes: number;
  readonly expiresAtMs: number;
  /** What its node is told of the asset, and the version of the facts that this is from. */
  readonly asset: OpenGrant["asset"];
  readonly factsVersion: number;
  /** Whose turn has to be the one before, where that was decided in this process too; else null. */
  readonly after: NodeId | null;
};

/**
 * Write grants of nodes that are locked, and answer those that were written, in their order. A grant is written when its
 * turn is the next one of its asset and, where this process decided the turn before as well, that one was taken by whom it
 * was decided for, and when the asset is wanted and the catalog still says of it what the node is told. The others have been
 * overtaken. The turns that are committed are looked at first: the constraint alone
 * would wait for whoever just reports on such a row. All write in the order of ids, so that no two wait for each other.
 */
export async function insertAssignments(
  sql: Sql,
  grants: readonly NewAssignment[],
  nowMs: number,
): Promise<readonly OpenGrant[]> {
  if (grants.length === 0) return [];
  const rows = await sql<{ id: AssignmentId; assetId: AssetId; nodeId: NodeId; term: number }[]>`
    insert into assignments (asset_id, node_id, operator_id, origin_id, state, term, turn, granted_at, lease_expires_at,
                             reserved_bytes)
    select r.asset, r.node, r.operator, r.origin, 'granted', r.term, r.term,
           to_timestamp(${nowMs}::double precision / 1000), to_timestamp(r.expires / 1000), r.reserved
      from (select *, row_number() over (partition by asset order by term) as place
              from unnest(${grants.map((grant) => grant.assetId)}::bigint[], ${grants.map((grant) => grant.nodeId)}::bigint[],
                          ${grants.map((grant) => grant.operatorId)}::bigint[], ${grants.map((grant) => grant.originId)}::bigint[],
                          ${grants.map((grant) => grant.term)}::integer[], ${grants.map((grant) => grant.reservedBytes)}::bigint[],
                          ${grants.map((grant) => grant.expiresAtMs)}::double precision[],
                          ${grants.map((grant) => grant.after)}::bigint[], ${grants.map((grant) => grant.factsVersion)}::integer[])
                     as u(asset, node, operator, origin, term, reserved, expires, after, facts)) r
      join standings s on s.asset_id = r.asset and s.state = 'wanted' and s.facts_version = r.facts
     cross join lateral (
       select coalesce(max(h.turn), 0) as last_turn,
              coalesce(bool_or(h.turn = r.term - 1 and h.node_id = r.after), false) as is_after,
              coalesce(bool_or(h.node_id = r.node and h.state in ('granted', 'running', 'stored')), false) as is_held
         from assignments h where h.asset_id = r.asset) t
     where r.term = r.place + t.last_turn and (r.place > 1 or r.after is null or t.is_after) and not t.is_held
     order by r.asset, r.term
    on conflict (asset_id, turn) do nothing
    returning id::text as id, asset_id::text as "assetId", node_id::text as "nodeId", term`;
  const idByGrant = new Map(rows.map(({ id, assetId, nodeId, term }) => [`${assetId} ${nodeId} ${term}`, id]));
  const written = grants.flatMap(({ nodeId, term, expiresAtMs, reservedBytes, asset }): readonly OpenGrant[] => {
    const assignmentId = idByGrant.get(`${asset.id} ${nodeId} ${term}`);
    return assignmentId === undefined ? [] : [{ nodeId, assignmentId, term, expiresAtMs, reservedBytes, asset }];
  });
  return withoutOvertaken(sql, grants, written);
}

/** Where of two grants of one asset the earlier was not written, the later was decided without knowing who came instead. */
async function withoutOvertaken(
  sql: Sql,
  grants: readonly NewAssignment[],
  written: readonly OpenGrant[],
): Promise<readonly OpenGrant[]> {
  if (written.length === grants.length) return written;
  const isWritten = new Set(written.map(({ asset, term }) => `${asset.id} ${term}`));
  const lost = grants.filter(({ assetId, term }) => !isWritten.has(`${assetId} ${term}`));
  const overtaken = new Set(
    written.filter(({ asset, term }) => lost.some((grant) => grant.assetId === asset.id && grant.term < term)),
  );
  if (overtaken.size === 0) return written;
  await sql`delete from assignments where id = any(${[...overtaken].map((grant) => grant.assignmentId)}::bigint[])`;
  return written.filter((grant) => !overtaken.has(grant));
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
  /** It was surplus, and goes on all the same. */
  readonly isNeeded?: true;
  /** The asset's next turn, taken by a copy that comes late and by a lease that is granted anew. */
  readonly turn?: number;
};

/** Write the new states of assignments whose nodes are locked. */
export async function updateAssignments(sql: Sql, changes: readonly AssignmentChange[]): Promise<void> {
  const isCopy = (change: AssignmentChange): change is CopyChange => change.copy !== undefined;
  await writeCopies(sql, changes.filter(isCopy));
  await writeStates(
    sql,
    changes.filter((change) => !isCopy(change)),
  );
}

type CopyChange = AssignmentChange & { readonly copy: NewCopy };

async function writeCopies(sql: Sql, changes: readonly CopyChange[]): Promise<void> {
  if (changes.length === 0) return;
  await sql`
    update assignments x
       set state = 'stored', bytes_done = r.bytes, reserved_bytes = 0, lease_expires_at = null,
           ended_at = clock_timestamp(), failure_code = null, failure_message = null, is_surplus = false,
           size_bytes = r.size, sha256 = decode(r.sha256, 'hex'), trust = r.trust, counts = true, etag = r.etag,
           last_modified = r.modified, turn = coalesce(r.turn, x.turn)
      from unnest(${changes.map(({ id }) => id)}::bigint[], ${changes.map(({ assignment }) => assignment.bytesDone)}::bigint[],
                  ${changes.map(({ copy }) => copy.sizeBytes)}::bigint[], ${changes.map(({ copy }) => copy.sha256)}::text[],
                  ${changes.map(({ copy }) => copy.trust)}::text[], ${changes.map(({ copy }) => copy.etag)}::text[],
                  ${changes.map(({ copy }) => copy.lastModified)}::text[], ${changes.map(({ turn }) => turn ?? null)}::integer[])
             as r(id, bytes, size, sha256, trust, etag, modified, turn)
     where x.id = r.id`;
}

async function writeStates(sql: Sql, changes: readonly AssignmentChange[]): Promise<void> {
  if (changes.length === 0) return;
  const rows = changes.map(({ id, assignment, message, turn, isNeeded }) => ({
    id,
    state: assignment.state,
    term: assignment.term,
    bytes: assignment.bytesDone,
    granted: assignment.grantedAtMs,
    expires: "expiresAtMs" in assignment ? assignment.expiresAtMs : null,
    reserved: "reservedBytes" in assignment ? assignment.reservedBytes : 0,
    code: "failureCode" in assignment ? assignment.failureCode : null,
    message: message ?? null,
    turn: turn ?? null,
    needed: isNeeded ?? false,
  }));
  await sql`
    update assignments
       set state = r.state, term = r.term, bytes_done = r.bytes, reserved_bytes = r.reserved,
           granted_at = to_timestamp(r.granted / 1000), lease_expires_at = to_timestamp(r.expires / 1000),
           ended_at = case when r.expires is null then clock_timestamp() end,
           reclaimed_at = coalesce(reclaimed_at, case when r.state in ('released', 'failed', 'expired')
                                                      then clock_timestamp() end),
           failure_code = r.code, failure_message = r.message, turn = coalesce(r.turn, assignments.turn),
           is_surplus = is_surplus and r.expires is not null and not r.needed
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, state text, term integer, bytes bigint, granted double precision, expires double precision,
             reserved bigint, code text, message text, turn integer, needed boolean)
     where assignments.id = r.id`;
}

/** What has failed on each of the assets since its last copy was made, or people asked for it again: the material for review. */
export async function readFailures(
  sql: Sql,
  assetIds: readonly AssetId[],
): Promise<readonly { readonly assetId: AssetId; readonly nodeId: NodeId; readonly code: FailureCode }[]> {
  if (assetIds.length === 0) return [];
  return sql<{ assetId: AssetId; nodeId: NodeId; code: FailureCode }[]>`
    select x.asset_id::text as "assetId", x.node_id::text as "nodeId", x.failure_code as code
      from assignments x join standings w on w.asset_id = x.asset_id
     where x.asset_id = any(${assetIds}::bigint[]) and x.state = 'failed'
       and x.ended_at > coalesce(w.asked_again_at, '-infinity')
       and not exists (select from assignments s
                        where s.asset_id = x.asset_id and s.state = 'stored' and s.term > x.term)
     order by x.id`;
}

/** Who has failed on one of the assets, or let its lease run out, so lately that another is asked first; and until when. */
export async function readLateFailures(
  sql: Sql,
  { assetIds, withinMs }: { readonly assetIds: readonly AssetId[]; readonly withinMs: number },
): Promise<readonly { readonly assetId: AssetId; readonly nodeId: NodeId; readonly untilMs: number }[]> {
  if (assetIds.length === 0 || withinMs === 0) return [];
  return sql<{ assetId: AssetId; nodeId: NodeId; untilMs: number }[]>`
    select asset_id::text as "assetId", node_id::text as "nodeId",
           max(ended_at) + ${withinMs} * interval '1 millisecond' as "untilMs"
      from assignments
     where asset_id = any(${assetIds}::bigint[]) and state in ('failed', 'expired')
       and ended_at > clock_timestamp() - ${withinMs} * interval '1 millisecond'
     group by asset_id, node_id`;
}

/** The latest turn of each of the assets that was ever granted. */
export async function readLastTurns(sql: Sql, assetIds: readonly AssetId[]): Promise<ReadonlyMap<AssetId, number>> {
  if (assetIds.length === 0) return new Map();
  const rows = await sql<{ assetId: AssetId; turn: number }[]>`
    select asset_id::text as "assetId", max(turn) as turn from assignments
     where asset_id = any(${assetIds}::bigint[]) group by asset_id`;
  return new Map(rows.map(({ assetId, turn }) => [assetId, turn]));
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

/** A copy as the node's list is compared with it. */
export type RecordedCopy = {
  readonly assignmentId: AssignmentId;
  readonly assetId: AssetId;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly storedAtMs: number;
};

const recordedCopy = (sql: Sql) => sql`
  assignment_id::text as "assignmentId", asset_id::text as "assetId", size_bytes as "sizeBytes",
  encode(sha256, 'hex') as sha256, stored_at as "storedAtMs"`;

/** A node's copies of assets behind `afterId` and up to `upToId`; null for no end. */
export async function readReplicasInRange(
  sql: Sql,
  nodeId: NodeId,
  { afterId, upToId }: { readonly afterId: AssetId | null; readonly upToId: AssetId | null },
): Promise<readonly RecordedCopy[]> {
  return sql<RecordedCopy[]>`
    select ${recordedCopy(sql)} from replicas
     where node_id = ${nodeId}
       and (${afterId}::bigint is null or asset_id > ${afterId}) and (${upToId}::bigint is null or asset_id <= ${upToId})`;
}

/** A node's copies of these assets. */
export async function readReplicasOfNode(
  sql: Sql,
  nodeId: NodeId,
  assetIds: readonly AssetId[],
): Promise<readonly RecordedCopy[]> {
  return sql<RecordedCopy[]>`
    select ${recordedCopy(sql)} from replicas where node_id = ${nodeId} and asset_id = any(${assetIds}::bigint[])`;
}

/** Of these assets those that have more copies than they may, wherever they are. */
export async function findCrowdedAssets(sql: Sql, assetIds: readonly AssetId[]): Promise<readonly AssetId[]> {
  if (assetIds.length === 0) return [];
  const rows = await sql<{ id: AssetId }[]>`
    select a.id::text as id from assets a join datasets d on d.id = a.dataset_id
     where a.id = any(${assetIds}::bigint[])
       and (select count(*) from assignments x where x.asset_id = a.id and x.state = 'stored') > d.copies_max`;
  return rows.map(({ id }) => id);
}

/** Whether a node has a copy of an asset that has more of them than it may. O(its copies). */
export async function hasCrowdedAsset(sql: Sql, nodeId: NodeId): Promise<boolean> {
  const [row] = await sql<[{ has: boolean }]>`
    select exists (
      select from replicas r join assets a on a.id = r.asset_id join datasets d on d.id = a.dataset_id
       where r.node_id = ${nodeId}
         and (select count(*) from assignments x where x.asset_id = a.id and x.state = 'stored') > d.copies_max) as has`;
  return row.has;
}

/** A copy that is there without a lease that could have ended in it. */
export type FoundCopy = Omit<NewAssignment, "reservedBytes" | "expiresAtMs" | "asset" | "factsVersion" | "after"> & {
  readonly copy: NewCopy;
};

/** Write copies of a locked node and locked assets that have no other assignment of it. */
export async function insertFoundCopies(sql: Sql, found: readonly FoundCopy[]): Promise<void> {
  if (found.length === 0) return;
  const rows = found.map(({ assetId, nodeId, operatorId, originId, term, copy }) => ({
    asset: assetId,
    node: nodeId,
    operator: operatorId,
    origin: originId,
    term,
    size: copy.sizeBytes,
    sha256: copy.sha256,
    trust: copy.trust,
    etag: copy.etag,
    modified: copy.lastModified,
  }));
  await sql`
    insert into assignments (asset_id, node_id, operator_id, origin_id, state, term, turn, granted_at, ended_at,
                             reserved_bytes, bytes_done, size_bytes, sha256, trust, counts, etag, last_modified)
    select asset, node, operator, origin, 'stored', term, term, clock_timestamp(), clock_timestamp(), 0, size, size,
           decode(sha256, 'hex'), trust, true, etag, modified
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             asset bigint, node bigint, operator bigint, origin bigint, term integer, size bigint, sha256 text, trust text,
             etag text, modified text)`;
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
