/**
 * How assets stand: what follows from their copies, and the queues that come of it. A row here is the asset's lock: whoever
 * changes its copies holds it.
 */
import type {
  AssetId,
  AssetState,
  AssignmentId,
  CopyRange,
  DatasetId,
  Digest,
  NodeId,
  NodeLife,
  OperatorId,
  OriginId,
  Priority,
  Rank,
  Trust,
} from "@dispatcher/core";
import type { Sql } from "../database.ts";
import { toDigest } from "./digest.ts";
import type { DigestColumns } from "./digest.ts";

/** An asset as the rules see it. */
export type AssetFacts = {
  readonly id: AssetId;
  /** Another one where the catalog has come to say something else. */
  readonly factsVersion: number;
  readonly originId: OriginId;
  readonly scheme: string;
  readonly sizeBytes: number | null;
  /** Where that is null, the most that a node has found it to be. */
  readonly seenBytes: number | null;
  readonly digest: Digest | null;
  readonly state: AssetState;
  readonly copies: CopyRange;
  readonly priority: Priority;
  readonly rank: Rank | null;
  readonly removeByMs: number | null;
  readonly createdAtMs: number;
};

type AssetFactsRow = Omit<AssetFacts, "digest" | "copies"> & CopyRange & DigestColumns;

/** Field by field: what is left over from a destructured row is a slow object, and these are made by the thousand. */
function toAssetFacts(row: AssetFactsRow): AssetFacts {
  const { id, factsVersion, originId, scheme, sizeBytes, seenBytes, state, priority, rank, removeByMs, createdAtMs } =
    row;
  const { min, target, max } = row;
  const digest = toDigest(row);
  const copies = { min, target, max };
  return {
    id,
    factsVersion,
    originId,
    scheme,
    sizeBytes,
    seenBytes,
    digest,
    state,
    copies,
    priority,
    rank,
    removeByMs,
    createdAtMs,
  };
}

const assetFacts = (sql: Sql) => sql`
  s.asset_id::text as id, s.facts_version as "factsVersion", a.origin_id::text as "originId", a.scheme, a.size_bytes as "sizeBytes",
  s.seen_bytes as "seenBytes", a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex", s.state,
  d.copies_min as min, d.copies_target as target, d.copies_max as max,
  coalesce(a.priority, d.priority) as priority, a.rank, a.remove_by as "removeByMs", a.created_at as "createdAtMs"`;

/**
 * Lock assets for a change of their copies, in id order; after nodes, before origins. What the caller knows of them already
 * is not read again while it holds.
 */
export async function lockAssets(
  sql: Sql,
  ids: readonly AssetId[],
  known: (id: AssetId) => AssetFacts | undefined = () => undefined,
): Promise<readonly AssetFacts[]> {
  if (ids.length === 0) return [];
  const locked = await sql<Pick<AssetFacts, "id" | "state" | "factsVersion">[]>`
    select asset_id::text as id, state, facts_version as "factsVersion" from standings
     where asset_id = any(${ids}::bigint[]) order by asset_id for no key update`;
  const factsById = new Map<AssetId, AssetFacts>();
  const unknown: AssetId[] = [];
  for (const { id, state, factsVersion } of locked) {
    const facts = known(id);
    if (facts?.factsVersion !== factsVersion) unknown.push(id);
    else factsById.set(id, facts.state === state ? facts : { ...facts, state });
  }
  for (const facts of await readAssetFacts(sql, unknown)) factsById.set(facts.id, facts);
  return locked.flatMap(({ id }) => factsById.get(id) ?? []);
}

async function readAssetFacts(sql: Sql, ids: readonly AssetId[]): Promise<readonly AssetFacts[]> {
  if (ids.length === 0) return [];
  const rows = await sql<AssetFactsRow[]>`
    select ${assetFacts(sql)} from standings s join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id
     where s.asset_id = any(${ids}::bigint[])`;
  return rows.map(toAssetFacts);
}

/** An asset as it stands, in whatever state; not locked. */
export async function findAsset(
  sql: Sql,
  id: AssetId,
): Promise<(AssetFacts & { readonly retryAtMs: number | null; readonly nowMs: number }) | null> {
  const [row] = await sql<(AssetFactsRow & { retryAtMs: number | null; nowMs: number })[]>`
    select ${assetFacts(sql)}, s.retry_at as "retryAtMs", clock_timestamp() as "nowMs"
      from standings s join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id
     where s.asset_id = ${id}`;
  return row === undefined ? null : { ...toAssetFacts(row), retryAtMs: row.retryAtMs, nowMs: row.nowMs };
}

/** A copy or an open lease of an asset, with what the rules need to know of its node. */
export type HolderRow = {
  readonly assetId: AssetId;
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  readonly network: string | null;
  readonly life: NodeLife;
  readonly inventoryWanted: boolean;
  readonly isVetted: boolean;
  readonly state: "granted" | "running" | "stored";
  /** A lease that is not needed any more. */
  readonly isSurplus: boolean;
  /** The asset's turn by which it came to hold it. */
  readonly turn: number;
  /** Null for an open lease. */
  readonly replica: {
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly trust: Trust;
    readonly counts: boolean;
  } | null;
};

/** Everybody who has, or has leased, one of the assets, but by the assignments in `except`. */
export async function readHolders(
  sql: Sql,
  assetIds: readonly AssetId[],
  vetting: { readonly verifiedCopies: number; readonly ageMs: number },
  except: readonly AssignmentId[] = [],
): Promise<readonly HolderRow[]> {
  if (assetIds.length === 0) return [];
  const rows = await sql<
    (Omit<HolderRow, "replica"> & { sizeBytes: number | null; sha256: string; trust: Trust; counts: boolean })[]
  >`
    select x.asset_id::text as "assetId", x.node_id::text as "nodeId", x.operator_id::text as "operatorId", x.state, x.is_surplus as "isSurplus", x.turn, n.network,
           n.life, n.inventory_wanted as "inventoryWanted",
           n.verified_copies >= ${vetting.verifiedCopies}
             and n.created_at <= now() - ${vetting.ageMs} * interval '1 millisecond' as "isVetted",
           x.size_bytes as "sizeBytes", encode(x.sha256, 'hex') as sha256, x.trust, x.counts
      from assignments x join nodes n on n.id = x.node_id
     where x.asset_id = any(${assetIds}::bigint[]) and x.state in ('granted', 'running', 'stored')
       and x.id <> all(${except}::bigint[])
     order by x.asset_id, x.node_id`;
  return rows.map((row) => {
    const { assetId, nodeId, operatorId, network, life, inventoryWanted, isVetted, state, isSurplus, turn } = row;
    const { sizeBytes, sha256, trust, counts } = row;
    const replica = sizeBytes === null ? null : { sizeBytes, sha256, trust, counts };
    const node = { nodeId, operatorId, network, life, inventoryWanted, isVetted };
    return { assetId, ...node, state, isSurplus, turn, replica };
  });
}

/** What follows from an asset's copies. */
export type AssetStanding = {
  readonly id: AssetId;
  readonly independentCopies: number;
  readonly placesLeft: number;
  readonly urgency: number;
  /** When it is to be computed anew, by time alone; null for never. */
  readonly dueAtMs: number | null;
};

/**
 * Write how locked assets stand. A mark that is due already stays: whoever set it saw what this writer may not have seen.
 * Only `isRenewal`, which was made because of the mark, takes it away.
 */
export async function updateStandings(
  sql: Sql,
  standings: readonly AssetStanding[],
  { isRenewal }: { readonly isRenewal: boolean },
): Promise<void> {
  if (standings.length === 0) return;
  await sql`
    update standings s
       set independent_copies = r.copies, places_left = r.places, urgency = r.urgency,
           due_at = case when s.due_at <= clock_timestamp() and not ${isRenewal} then s.due_at else r.due_at end
      from unnest(${standings.map((one) => one.id)}::bigint[], ${standings.map((one) => one.independentCopies)}::integer[],
                  ${standings.map((one) => one.placesLeft)}::integer[],
                  ${standings.map((one) => String(one.urgency))}::double precision[],
                  ${standings.map((one) => one.dueAtMs)}::timestamptz[]) as r(id, copies, places, urgency, due_at)
     where s.asset_id = r.id`;
}

/** After failures: the new state, and how long the asset rests (null: no longer than it does anyway). */
export async function updateStandingsAfterFailure(
  sql: Sql,
  assets: readonly { readonly id: AssetId; readonly state: AssetState; readonly restMs: number | null }[],
): Promise<void> {
  if (assets.length === 0) return;
  const rows = assets.map(({ id, state, restMs }) => ({ id, state, rest: restMs }));
  await sql`
    update standings s
       set state = case when s.state = 'wanted' then r.state else s.state end,
           retry_at = coalesce(clock_timestamp() + r.rest * interval '1 millisecond', s.retry_at)
      from jsonb_to_recordset(${sql.json(rows)}) as r(id bigint, state text, rest double precision)
     where s.asset_id = r.id`;
}

/** Of locked assets whose size the catalog does not know: the most that a node has found each to be. */
export async function raiseSeenBytes(sql: Sql, seen: ReadonlyMap<AssetId, number>): Promise<void> {
  if (seen.size === 0) return;
  await sql`
    update standings s set seen_bytes = r.bytes, facts_version = facts_version + 1
      from unnest(${[...seen.keys()]}::bigint[], ${[...seen.values()]}::bigint[]) as r(id, bytes)
     where s.asset_id = r.id`;
}

/** Of a dataset that has changed: the standing of all its assets is to be computed anew, by the sweeps and in their batches. */
export async function markDatasetDue(sql: Sql, datasetId: DatasetId): Promise<void> {
  await sql`
    update standings set due_at = now(), facts_version = facts_version + 1
     where asset_id in (select id from assets where dataset_id = ${datasetId})`;
}

/** As above, of all assets that a node has a copy of. */
export async function markNodesAssetsDue(sql: Sql, nodeId: NodeId): Promise<void> {
  await sql`
    update standings set due_at = now()
     where asset_id in (select asset_id from assignments where node_id = ${nodeId} and state = 'stored')`;
}

/** Assets whose standing is to be computed anew. */
export async function findDueAssets(sql: Sql, limit: number): Promise<readonly AssetId[]> {
  const rows = await sql<{ id: AssetId }[]>`
    select asset_id::text as id from standings where due_at <= now() order by due_at limit ${limit}`;
  return rows.map((row) => row.id);
}

/** Files of one origin and one order of magnitude, most urgent first. */
export type QueueId = { readonly originId: OriginId; readonly sizeClass: number };

/** A place in a queue: behind what is more urgent, and behind what is as urgent with a lower id. */
export type QueuePlace = { readonly urgency: number; readonly id: AssetId };

/** Every queue that has something in it. O(queues), by leaps through the index. */
export async function readQueueIds(sql: Sql): Promise<readonly QueueId[]> {
  return sql<QueueId[]>`
    with recursive queue as (
      (select origin_id, size_class from standings where state = 'wanted' and places_left > 0
        order by origin_id, size_class limit 1)
      union all
      select next.origin_id, next.size_class from queue q
       cross join lateral (
         select origin_id, size_class from standings s
          where state = 'wanted' and places_left > 0 and (s.origin_id, s.size_class) > (q.origin_id, q.size_class)
          order by origin_id, size_class limit 1) next)
    select origin_id::text as "originId", size_class as "sizeClass" from queue`;
}

/** An asset that needs copies, as it stands in its queue. */
export type QueuedAsset = {
  readonly facts: AssetFacts;
  /** What a node that gets it is told beside these. */
  readonly place: { readonly url: string; readonly dataset: string; readonly path: string };
  readonly sizeClass: number;
  readonly queuedUrgency: number;
  readonly placesLeft: number;
  /** In the future: it is not to be given out before then. */
  readonly retryAtMs: number | null;
  /** The database's clock when this was read. */
  readonly nowMs: number;
  /** The latest turn of the asset; 0 where nobody has had it. */
  readonly lastTurn: number;
};

type QueuedAssetRow = Omit<QueuedAsset, "facts" | "place"> & QueuedAsset["place"] & AssetFactsRow;

function toQueuedAsset(row: QueuedAssetRow): QueuedAsset {
  const { sizeClass, queuedUrgency, placesLeft, retryAtMs, nowMs, lastTurn, url, dataset, path } = row;
  const place = { url, dataset, path };
  return { facts: toAssetFacts(row), place, sizeClass, queuedUrgency, placesLeft, retryAtMs, nowMs, lastTurn };
}

const queuedAsset = (sql: Sql) => sql`
  ${assetFacts(sql)}, a.url, d.key as dataset, a.path, s.size_class as "sizeClass", s.urgency as "queuedUrgency", s.places_left as "placesLeft",
  s.retry_at as "retryAtMs", clock_timestamp() as "nowMs",
  coalesce((select x.turn from assignments x where x.asset_id = s.asset_id order by x.turn desc limit 1), 0) as "lastTurn"`;

/** The next `take` of each queue, from a place on. O(what it reads), by the heads of the queues. */
export async function readQueues(
  sql: Sql,
  queues: readonly (QueueId & { readonly after: QueuePlace | null; readonly take: number })[],
): Promise<readonly QueuedAsset[]> {
  if (queues.length === 0) return [];
  const rows = await sql<QueuedAssetRow[]>`
    select ${queuedAsset(sql)}
      from unnest(${queues.map((queue) => queue.originId)}::bigint[], ${queues.map((queue) => queue.sizeClass)}::integer[],
                  ${queues.map(({ after }) => (after === null ? "Infinity" : String(after.urgency)))}::double precision[],
                  ${queues.map(({ after }) => after?.id ?? "0")}::bigint[],
                  ${queues.map((queue) => queue.take)}::integer[]) as q(origin_id, size_class, urgency, id, take)
     cross join lateral (
       select * from (
         (select * from standings h
           where h.origin_id = q.origin_id and h.size_class = q.size_class and h.state = 'wanted' and h.places_left > 0
             and h.urgency = q.urgency and h.asset_id > q.id
           order by h.asset_id limit q.take)
         union all
         (select * from standings h
           where h.origin_id = q.origin_id and h.size_class = q.size_class and h.state = 'wanted' and h.places_left > 0
             and h.urgency < q.urgency
           order by h.urgency desc, h.asset_id limit q.take)) h
        order by urgency desc, asset_id limit q.take) s
      join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id
     order by s.origin_id, s.size_class, s.urgency desc, s.asset_id`;
  return rows.map(toQueuedAsset);
}

/** Of these assets those that stand in a queue. */
export async function readQueuedAssets(sql: Sql, ids: readonly AssetId[]): Promise<readonly QueuedAsset[]> {
  if (ids.length === 0) return [];
  const rows = await sql<QueuedAssetRow[]>`
    select ${queuedAsset(sql)} from standings s join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id
     where s.asset_id = any(${ids}::bigint[]) and s.state = 'wanted' and s.places_left > 0`;
  return rows.map(toQueuedAsset);
}

/** Of these assets where those that are in a queue stand. */
export async function readQueuePlaces(sql: Sql, ids: readonly AssetId[]): Promise<readonly (QueueId & QueuePlace)[]> {
  if (ids.length === 0) return [];
  return sql<(QueueId & QueuePlace)[]>`
    select origin_id::text as "originId", size_class as "sizeClass", urgency, asset_id::text as id from standings
     where asset_id = any(${ids}::bigint[]) and state = 'wanted' and places_left > 0`;
}

export type Search = {
  readonly queues: readonly (QueueId & { readonly after: QueuePlace })[];
  readonly asker: { readonly id: NodeId; readonly operatorId: OperatorId };
  /** So many of each queue. */
  readonly take: number;
  /** Looked at in each queue. */
  readonly depth: number;
  /** Failures so young keep a node from an asset. */
  readonly avoidMs: number;
};

/**
 * Behind the given place of each queue, the most urgent assets that neither the asker's operator holds nor the asker failed
 * on: what there may be for a node that cannot have anything of the heads. O(queues x depth).
 */
export async function findBehind(
  sql: Sql,
  { queues, asker, take, depth, avoidMs }: Search,
): Promise<readonly AssetId[]> {
  if (queues.length === 0) return [];
  const rows = await sql<{ id: AssetId }[]>`
    select found.id::text as id
      from unnest(${queues.map((queue) => queue.originId)}::bigint[], ${queues.map((queue) => queue.sizeClass)}::integer[],
                  ${queues.map(({ after }) => String(after.urgency))}::double precision[])
             as q(origin_id, size_class, urgency)
     cross join lateral (
       select h.asset_id as id from (
         select s.asset_id, s.urgency from standings s
          where s.origin_id = q.origin_id and s.size_class = q.size_class and s.state = 'wanted' and s.places_left > 0
            and s.urgency <= q.urgency and (s.retry_at is null or s.retry_at <= clock_timestamp())
          order by s.urgency desc, s.asset_id limit ${depth}) h
        where not exists (select from assignments x
                           where x.asset_id = h.asset_id
                             and (x.operator_id = ${asker.operatorId}::bigint and x.state in ('granted', 'running', 'stored')
                                  or x.node_id = ${asker.id}::bigint and x.state in ('failed', 'expired')
                                     and x.ended_at > clock_timestamp() - ${avoidMs} * interval '1 millisecond'))
        order by h.urgency desc, h.asset_id limit ${take}) found`;
  return rows.map((row) => row.id);
}
