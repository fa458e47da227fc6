import type {
  AssetId,
  AssetState,
  AssignmentState,
  CopyRange,
  DatasetId,
  Digest,
  DigestAlgorithm,
  NodeId,
  NodeLife,
  OperatorId,
  OriginId,
  Priority,
  Rank,
  Trust,
} from "@dispatcher/core";
import type { Sql } from "../database.ts";

type DigestColumns = { readonly digestAlgorithm: DigestAlgorithm | null; readonly digestHex: string | null };

function toDigest({ digestAlgorithm, digestHex }: DigestColumns): Digest | null {
  return digestAlgorithm === null || digestHex === null ? null : { algorithm: digestAlgorithm, hex: digestHex };
}

/** An asset as the rules see it. */
export type AssetFacts = {
  readonly id: AssetId;
  readonly originId: OriginId;
  readonly url: string;
  readonly scheme: string;
  readonly sizeBytes: number | null;
  readonly digest: Digest | null;
  readonly state: AssetState;
  readonly copies: CopyRange;
  readonly priority: Priority;
  readonly rank: Rank | null;
  readonly removeByMs: number | null;
  readonly createdAtMs: number;
  readonly placesLeft: number;
  readonly urgency: number;
  readonly lastTerm: number;
};

type AssetFactsRow = Omit<AssetFacts, "digest" | "copies"> & CopyRange & DigestColumns;

function toAssetFacts({ min, target, max, digestAlgorithm, digestHex, ...rest }: AssetFactsRow): AssetFacts {
  return { ...rest, copies: { min, target, max }, digest: toDigest({ digestAlgorithm, digestHex }) };
}

const assetFacts = (sql: Sql) => sql`
  select a.id::text as id, a.origin_id::text as "originId", a.url, a.scheme, a.size_bytes as "sizeBytes",
         a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex", a.state,
         d.copies_min as min, d.copies_target as target, d.copies_max as max,
         coalesce(a.priority, d.priority) as priority, a.rank, a.remove_by as "removeByMs",
         a.created_at as "createdAtMs", a.places_left as "placesLeft", a.urgency, a.last_term as "lastTerm"
    from assets a join datasets d on d.id = a.dataset_id`;

export async function readAssets(sql: Sql, ids: readonly AssetId[]): Promise<readonly AssetFacts[]> {
  const rows = await sql<AssetFactsRow[]>`${assetFacts(sql)} where a.id = any(${ids}::bigint[]) order by a.id`;
  return rows.map(toAssetFacts);
}

/**
 * Lock assets for a change of their holders, in id order; after nodes, before origins. The facts are read behind the lock,
 * in a statement of their own: one that had to wait would still see the dataset as it was before.
 */
export async function lockAssets(sql: Sql, ids: readonly AssetId[]): Promise<readonly AssetFacts[]> {
  if (ids.length === 0) return [];
  await sql`select from assets where id = any(${ids}::bigint[]) order by assets.id for no key update`;
  return readAssets(sql, ids);
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
  /** Null for an open lease. */
  readonly replica: {
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly trust: Trust;
    readonly counts: boolean;
  } | null;
};

/** Everybody who has, or has leased, one of the assets. */
export async function readHolders(
  sql: Sql,
  assetIds: readonly AssetId[],
  vetting: { readonly verifiedCopies: number; readonly ageMs: number },
): Promise<readonly HolderRow[]> {
  if (assetIds.length === 0) return [];
  const rows = await sql<
    (Omit<HolderRow, "replica"> & { sizeBytes: number | null; sha256: string; trust: Trust; counts: boolean })[]
  >`
    select x.asset_id::text as "assetId", x.node_id::text as "nodeId", x.operator_id::text as "operatorId", x.state, n.network,
           n.life, n.inventory_wanted as "inventoryWanted",
           n.verified_copies >= ${vetting.verifiedCopies}
             and n.created_at <= now() - ${vetting.ageMs} * interval '1 millisecond' as "isVetted",
           x.size_bytes as "sizeBytes", encode(x.sha256, 'hex') as sha256, x.trust, x.counts
      from assignments x join nodes n on n.id = x.node_id
     where x.asset_id = any(${assetIds}::bigint[]) and x.state in ('granted', 'running', 'stored')
     order by x.asset_id, x.node_id`;
  return rows.map(({ sizeBytes, sha256, trust, counts, ...rest }) => ({
    ...rest,
    replica: sizeBytes === null ? null : { sizeBytes, sha256, trust, counts },
  }));
}

/** What follows from an asset's holders. */
export type AssetStanding = {
  readonly id: AssetId;
  readonly independentCopies: number;
  readonly placesLeft: number;
  readonly urgency: number;
  /** When it is to be computed anew, by time alone; null for never. */
  readonly dueAtMs: number | null;
  readonly lastTerm: number;
};

export async function updateAssetStandings(sql: Sql, standings: readonly AssetStanding[]): Promise<void> {
  if (standings.length === 0) return;
  const rows = standings.map((one) => ({
    id: one.id,
    copies: one.independentCopies,
    places: one.placesLeft,
    urgency: one.urgency,
    due_at: one.dueAtMs,
    term: one.lastTerm,
  }));
  await sql`
    update assets
       set independent_copies = r.copies, places_left = r.places, urgency = r.urgency,
           standing_due_at = to_timestamp(r.due_at / 1000), last_term = r.term
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, copies integer, places integer, urgency double precision, due_at double precision, term integer)
     where assets.id = r.id`;
}

/** After failures: the new state, and how long the asset rests (null: no longer than it does anyway). */
export async function updateAssetsAfterFailure(
  sql: Sql,
  assets: readonly { readonly id: AssetId; readonly state: AssetState; readonly restMs: number | null }[],
): Promise<void> {
  if (assets.length === 0) return;
  const rows = assets.map(({ id, state, restMs }) => ({ id, state, rest: restMs }));
  await sql`
    update assets
       set state = case when assets.state = 'wanted' then r.state else assets.state end,
           retry_at = coalesce(clock_timestamp() + r.rest * interval '1 millisecond', assets.retry_at)
      from jsonb_to_recordset(${sql.json(rows)}) as r(id bigint, state text, rest double precision)
     where assets.id = r.id`;
}

/** Let the standing of all of a dataset's assets be computed anew, by the sweeps and in their batches. */
export async function markDatasetDue(sql: Sql, datasetId: DatasetId): Promise<void> {
  await sql`update assets set standing_due_at = now() where dataset_id = ${datasetId}`;
}

/** As above, of all assets that a node has a copy of. */
export async function markNodesAssetsDue(sql: Sql, nodeId: NodeId): Promise<void> {
  await sql`
    update assets set standing_due_at = now()
     where id in (select asset_id from replicas where node_id = ${nodeId})`;
}

/** Assets whose standing is to be computed anew. */
export async function findDueAssets(sql: Sql, limit: number): Promise<readonly AssetId[]> {
  const rows = await sql<{ id: AssetId }[]>`
    select id::text as id from assets where standing_due_at <= now() order by standing_due_at limit ${limit}`;
  return rows.map((row) => row.id);
}

/**
 * The most urgent assets of these origins, at most `take` of each and `limit` in all, whoever asks. O(origins x take), by
 * the heads of the queues.
 */
export async function findMostUrgent(
  sql: Sql,
  { origins, limit }: { readonly origins: Window["origins"]; readonly limit: number },
): Promise<readonly AssetId[]> {
  if (origins.length === 0) return [];
  const rows = await sql<{ id: AssetId }[]>`
    select head.id::text as id
      from unnest(${origins.map((origin) => origin.id)}::bigint[], ${origins.map((origin) => origin.take)}::integer[])
             as o(id, take)
     cross join lateral (
       select a.id, a.urgency from assets a
        where a.origin_id = o.id and a.state = 'wanted' and a.places_left > 0
          and (a.retry_at is null or a.retry_at <= clock_timestamp())
        order by a.urgency desc, a.id limit o.take) head
     order by head.urgency desc, head.id limit ${limit}`;
  return rows.map((row) => row.id);
}

export type Window = {
  readonly origins: readonly { readonly id: OriginId; readonly take: number }[];
  readonly askers: readonly { readonly id: NodeId; readonly operatorId: OperatorId; readonly usableBytes: number }[];
  readonly unknownSizeBytes: number;
  /** Failures of a node on an asset so young keep the asset from that node. */
  readonly avoidMs: number;
  /** When so many operators hold an asset, that is all of them, one may take it on a second node. */
  readonly operatorCount: number;
};

/**
 * For each asker and origin the most urgent assets that it could take, as many as `take`, and besides these the single most
 * urgent whatever its size, so that a node that is full can be told by how much. Bounded per pair by the head of the
 * origin's queue; passes over what the asker's operator holds and what does not fit.
 */
export async function findCandidates(sql: Sql, window: Window): Promise<readonly AssetId[]> {
  const { origins, askers } = window;
  const head = sql`
    select a.id, a.size_bytes from assets a
     where a.origin_id = o.id and a.state = 'wanted' and a.places_left > 0
       and (a.retry_at is null or a.retry_at <= clock_timestamp())
       and not exists (select from assignments x
                        where x.asset_id = a.id and x.node_id = n.id and x.state in ('granted', 'running', 'stored'))
       and (not exists (select from counting_holders h where h.asset_id = a.id and h.operator_id = n.operator_id)
            or (select count(distinct h.operator_id) from counting_holders h where h.asset_id = a.id)
               >= ${window.operatorCount})
       and not exists (select from assignments x
                        where x.asset_id = a.id and x.node_id = n.id and x.state in ('failed', 'expired')
                          and x.ended_at > clock_timestamp() - ${window.avoidMs} * interval '1 millisecond')`;
  const rows = await sql<{ id: AssetId }[]>`
    select distinct c.id::text as id
      from unnest(${origins.map((origin) => origin.id)}::bigint[], ${origins.map((origin) => origin.take)}::integer[])
             as o(id, take)
     cross join unnest(${askers.map((asker) => asker.id)}::bigint[], ${askers.map((asker) => asker.operatorId)}::bigint[],
                       ${askers.map((asker) => asker.usableBytes)}::bigint[]) as n(id, operator_id, usable)
     cross join lateral (
       (${head} and coalesce(a.size_bytes, ${window.unknownSizeBytes}::bigint) <= n.usable
         order by a.urgency desc, a.id limit o.take)
       union all
       (${head} order by a.urgency desc, a.id limit 1)) c`;
  return rows.map((row) => row.id);
}

export type DatasetRow = {
  readonly id: DatasetId;
  readonly priority: Priority;
  readonly copies: CopyRange;
};

/** Make or update a dataset; what is not given keeps its value, or takes the default where it is new. */
export async function upsertDataset(
  sql: Sql,
  dataset: {
    readonly key: string;
    readonly title: string | null;
    readonly sourceUrl: string | null;
    readonly priority: number | null;
    readonly copies: CopyRange | null;
  },
  fallback: { readonly priority: number; readonly copies: CopyRange },
): Promise<DatasetRow & { readonly isChanged: boolean }> {
  const { copies } = dataset;
  const [before] = await sql<{ priority: number; min: number; target: number; max: number }[]>`
    select priority, copies_min as min, copies_target as target, copies_max as max
      from datasets where key = ${dataset.key} for update`;
  const [row] = await sql<[{ id: DatasetId; priority: Priority; min: number; target: number; max: number }]>`
    insert into datasets (key, title, source_url, priority, copies_min, copies_target, copies_max)
    values (${dataset.key}, ${dataset.title}, ${dataset.sourceUrl}, ${dataset.priority ?? fallback.priority},
            ${(copies ?? fallback.copies).min}, ${(copies ?? fallback.copies).target}, ${(copies ?? fallback.copies).max})
    on conflict (key) do update
       set title = coalesce(excluded.title, datasets.title),
           source_url = coalesce(excluded.source_url, datasets.source_url),
           priority = coalesce(${dataset.priority}::smallint, datasets.priority),
           copies_min = coalesce(${copies?.min ?? null}::integer, datasets.copies_min),
           copies_target = coalesce(${copies?.target ?? null}::integer, datasets.copies_target),
           copies_max = coalesce(${copies?.max ?? null}::integer, datasets.copies_max)
    returning id::text as id, priority, copies_min as min, copies_target as target, copies_max as max`;
  const { id, priority, min, target, max } = row;
  const isChanged =
    before !== undefined &&
    (before.priority !== priority || before.min !== min || before.target !== target || before.max !== max);
  return { id, priority, copies: { min, target, max }, isChanged };
}

export type KnownAsset = {
  readonly id: AssetId;
  readonly datasetId: DatasetId;
  readonly dataset: string;
  readonly path: string;
  readonly url: string;
  readonly sizeBytes: number | null;
  readonly digest: Digest | null;
  readonly mediaType: string | null;
  readonly priority: number | null;
  readonly removeByMs: number | null;
  /** Somebody has a copy or works on one. */
  readonly isHeld: boolean;
};

/** Assets that are known under one of the URLs, or under one of the paths in the dataset. */
export async function findKnownAssets(
  sql: Sql,
  {
    datasetId,
    urls,
    paths,
  }: { readonly datasetId: DatasetId; readonly urls: readonly string[]; readonly paths: readonly string[] },
): Promise<readonly KnownAsset[]> {
  const rows = await sql<(Omit<KnownAsset, "digest"> & DigestColumns)[]>`
    select a.id::text as id, a.dataset_id::text as "datasetId", d.key as dataset, a.path, a.url,
           a.size_bytes as "sizeBytes", a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex",
           a.media_type as "mediaType", a.priority, a.remove_by as "removeByMs",
           exists (select from assignments x where x.asset_id = a.id and x.state in ('granted', 'running', 'stored'))
             as "isHeld"
      from assets a join datasets d on d.id = a.dataset_id
     where a.id in (select id from assets where md5(url) = any(select md5(u) from unnest(${[...urls]}::text[]) u)
                    union all
                    select id from assets where dataset_id = ${datasetId} and path = any(${[...paths]}::text[]))
     order by a.id for no key update of a`;
  return rows.map(({ digestAlgorithm, digestHex, ...rest }) => ({
    ...rest,
    digest: toDigest({ digestAlgorithm, digestHex }),
  }));
}

export type AssetToWrite = {
  readonly path: string;
  readonly url: string;
  readonly scheme: string;
  readonly originId: OriginId;
  readonly sizeBytes: number | null;
  readonly digest: Digest | null;
  readonly mediaType: string | null;
  readonly priority: number | null;
  readonly removeByMs: number | null;
};

/** As `jsonb_to_recordset` takes it below. */
function toRecord(asset: AssetToWrite) {
  return {
    path: asset.path,
    url: asset.url,
    scheme: asset.scheme,
    origin_id: asset.originId,
    size: asset.sizeBytes,
    algorithm: asset.digest?.algorithm ?? null,
    hex: asset.digest?.hex ?? null,
    media_type: asset.mediaType,
    priority: asset.priority,
    remove_by: asset.removeByMs,
  };
}

/** Add assets that are new; one that another import has added meanwhile is left as that import made it. */
export async function insertAssets(
  sql: Sql,
  datasetId: DatasetId,
  assets: readonly (AssetToWrite & { readonly placesLeft: number; readonly urgency: number })[],
): Promise<readonly AssetId[]> {
  if (assets.length === 0) return [];
  const rows = assets.map((asset) => ({
    ...toRecord(asset),
    places: asset.placesLeft,
    urgency: asset.urgency,
  }));
  const inserted = await sql<{ id: AssetId }[]>`
    insert into assets (dataset_id, path, url, scheme, origin_id, size_bytes, digest_algorithm, digest_hex, media_type,
                        priority, remove_by, places_left, urgency)
    select ${datasetId}::bigint, r.path, r.url, r.scheme, r.origin_id, r.size, r.algorithm, r.hex, r.media_type,
           r.priority, to_timestamp(r.remove_by / 1000), r.places, r.urgency
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             path text, url text, scheme text, origin_id bigint, size bigint, algorithm text, hex text, media_type text,
             priority smallint, remove_by double precision, places integer, urgency double precision)
    on conflict do nothing
    returning id::text as id`;
  return inserted.map((row) => row.id);
}

/** Write the catalog's facts of assets that are known. */
export async function updateAssetFacts(
  sql: Sql,
  assets: readonly (AssetToWrite & { readonly id: AssetId })[],
): Promise<void> {
  if (assets.length === 0) return;
  const rows = assets.map((asset) => ({ id: asset.id, ...toRecord(asset) }));
  await sql`
    update assets
       set path = r.path, url = r.url, scheme = r.scheme, origin_id = r.origin_id, size_bytes = r.size,
           digest_algorithm = r.algorithm, digest_hex = r.hex, media_type = r.media_type, priority = r.priority,
           remove_by = to_timestamp(r.remove_by / 1000)
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, path text, url text, scheme text, origin_id bigint, size bigint, algorithm text, hex text,
             media_type text, priority smallint, remove_by double precision)
     where assets.id = r.id`;
}

export type AssetSummary = {
  readonly id: AssetId;
  readonly dataset: string;
  readonly path: string;
  readonly url: string;
  readonly sizeBytes: number | null;
  readonly digest: Digest | null;
  readonly mediaType: string | null;
  readonly priority: number;
  readonly urgency: number;
  readonly state: AssetState;
  readonly copies: number;
  readonly copiesTarget: number;
  readonly openLeases: number;
};

type AssetSummaryRow = Omit<AssetSummary, "digest"> & DigestColumns;

function toAssetSummary({ digestAlgorithm, digestHex, ...rest }: AssetSummaryRow): AssetSummary {
  return { ...rest, digest: toDigest({ digestAlgorithm, digestHex }) };
}

const assetSummary = (sql: Sql) => sql`
  select a.id::text as id, d.key as dataset, a.path, a.url, a.size_bytes as "sizeBytes",
         a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex", a.media_type as "mediaType",
         coalesce(a.priority, d.priority) as priority, a.urgency, a.state, a.independent_copies as copies,
         d.copies_target as "copiesTarget",
         (select count(*) from assignments x where x.asset_id = a.id and x.state in ('granted', 'running'))
           as "openLeases"
    from assets a join datasets d on d.id = a.dataset_id`;

/** A page of assets, highest urgency first, then by id; `after` is the last one of the page before. */
export async function listAssetSummaries(
  sql: Sql,
  filter: {
    readonly dataset: string | null;
    readonly state: AssetState | null;
    readonly incomplete: boolean;
    readonly limit: number;
    readonly after: { readonly urgency: number; readonly id: AssetId } | null;
  },
): Promise<readonly AssetSummary[]> {
  const { dataset, state, incomplete, after, limit } = filter;
  const rows = await sql<AssetSummaryRow[]>`
    ${assetSummary(sql)}
     where (${dataset}::text is null or d.key = ${dataset})
       and (${state}::text is null or a.state = ${state})
       and (not ${incomplete} or a.independent_copies < d.copies_target)
       ${after === null ? sql`` : sql`and (a.urgency, -a.id) < (${after.urgency}::double precision, -(${after.id}::bigint))`}
     order by a.urgency desc, a.id limit ${limit}`;
  return rows.map(toAssetSummary);
}

export async function findAssetSummary(sql: Sql, id: AssetId): Promise<AssetSummary | null> {
  const [row] = await sql<AssetSummaryRow[]>`${assetSummary(sql)} where a.id = ${id}`;
  return row === undefined ? null : toAssetSummary(row);
}

export type AssetHistory = {
  readonly replicas: {
    readonly nodeId: NodeId;
    readonly node: string;
    readonly operator: string;
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly trust: Trust;
    readonly counts: boolean;
    readonly storedAtMs: number;
  }[];
  readonly assignments: {
    readonly nodeId: NodeId;
    readonly node: string;
    readonly state: AssignmentState;
    readonly term: number;
    readonly bytesDone: number;
    readonly grantedAtMs: number;
    readonly endedAtMs: number | null;
    readonly failureCode: string | null;
    readonly failureMessage: string | null;
  }[];
};

/** Every copy of an asset, and every grant of it, oldest first. */
export async function readAssetHistory(sql: Sql, id: AssetId): Promise<AssetHistory> {
  const replicas = await sql<AssetHistory["replicas"]>`
    select r.node_id::text as "nodeId", n.name as node, o.name as operator, r.size_bytes as "sizeBytes",
           encode(r.sha256, 'hex') as sha256, r.trust,
           r.counts and n.life not in ('lost', 'retired') and not n.inventory_wanted as counts,
           r.stored_at as "storedAtMs"
      from replicas r join nodes n on n.id = r.node_id join operators o on o.id = r.operator_id
     where r.asset_id = ${id} order by r.stored_at, r.node_id`;
  const assignments = await sql<AssetHistory["assignments"]>`
    select x.node_id::text as "nodeId", n.name as node, x.state, x.term, x.bytes_done as "bytesDone",
           x.granted_at as "grantedAtMs", x.ended_at as "endedAtMs", x.failure_code as "failureCode",
           x.failure_message as "failureMessage"
      from assignments x join nodes n on n.id = x.node_id
     where x.asset_id = ${id} order by x.term`;
  return { replicas: [...replicas], assignments: [...assignments] };
}
