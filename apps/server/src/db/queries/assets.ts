import type {
  AssetId,
  AssetState,
  AssignmentState,
  CopyRange,
  DatasetId,
  Digest,
  NodeId,
  OriginId,
  Priority,
  Trust,
} from "@dispatcher/core";
import type { Sql } from "../database.ts";
import { toDigest } from "./digest.ts";
import type { DigestColumns } from "./digest.ts";

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

/** Its order of magnitude, by which queues are kept apart. */
const sizeClass = (sql: Sql) => sql`
  case when r.size is null then -1
       else floor(ln(r.size + 1.0::double precision) / ln(2.0::double precision)) end`;

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
    with r as (
      select * from jsonb_to_recordset(${sql.json(rows)}) as r(
             path text, url text, scheme text, origin_id bigint, size bigint, algorithm text, hex text, media_type text,
             priority smallint, remove_by double precision, places integer, urgency double precision)),
    added as (
      insert into assets (dataset_id, path, url, scheme, origin_id, size_bytes, digest_algorithm, digest_hex, media_type,
                          priority, remove_by)
      select ${datasetId}::bigint, r.path, r.url, r.scheme, r.origin_id, r.size, r.algorithm, r.hex, r.media_type,
             r.priority, to_timestamp(r.remove_by / 1000)
        from r
      on conflict do nothing
      returning id, path)
    insert into standings (asset_id, origin_id, size_class, places_left, urgency)
    select added.id, r.origin_id, ${sizeClass(sql)}, r.places, r.urgency from added join r on r.path = added.path
    returning asset_id::text as id`;
  return inserted.map((row) => row.id);
}

/** Write the catalog's facts of assets that are known; a priority that it does not name stays. */
export async function updateAssetFacts(
  sql: Sql,
  assets: readonly (AssetToWrite & { readonly id: AssetId })[],
): Promise<void> {
  if (assets.length === 0) return;
  const rows = assets.map((asset) => ({ id: asset.id, ...toRecord(asset) }));
  await sql`
    update assets
       set path = r.path, url = r.url, scheme = r.scheme, origin_id = r.origin_id, size_bytes = r.size,
           digest_algorithm = r.algorithm, digest_hex = r.hex, media_type = r.media_type,
           priority = coalesce(r.priority, assets.priority),
           remove_by = to_timestamp(r.remove_by / 1000)
      from jsonb_to_recordset(${sql.json(rows)}) as r(
             id bigint, path text, url text, scheme text, origin_id bigint, size bigint, algorithm text, hex text,
             media_type text, priority smallint, remove_by double precision)
     where assets.id = r.id`;
  await sql`
    update standings s
       set origin_id = r.origin_id, size_class = ${sizeClass(sql)}, facts_version = facts_version + 1,
           seen_bytes = null
      from assets a cross join lateral (select a.origin_id, a.size_bytes as size) r
     where a.id = any(${assets.map((asset) => asset.id)}::bigint[]) and s.asset_id = a.id`;
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
  readonly copiesMin: number;
  readonly copiesTarget: number;
  readonly openLeases: number;
  readonly removeByMs: number | null;
};

export type AssetSummaryRow = Omit<AssetSummary, "digest"> & DigestColumns;

export function toAssetSummary({ digestAlgorithm, digestHex, ...rest }: AssetSummaryRow): AssetSummary {
  return { ...rest, digest: toDigest({ digestAlgorithm, digestHex }) };
}

export const assetSummary = (sql: Sql) => sql`
  select a.id::text as id, d.key as dataset, a.path, a.url, a.size_bytes as "sizeBytes",
         a.digest_algorithm as "digestAlgorithm", a.digest_hex as "digestHex", a.media_type as "mediaType",
         coalesce(a.priority, d.priority) as priority, s.urgency, s.state, s.independent_copies as copies,
         d.copies_min as "copiesMin", d.copies_target as "copiesTarget", a.remove_by as "removeByMs",
         (select count(*) from assignments x where x.asset_id = a.id and x.state in ('granted', 'running'))
           as "openLeases"
    from standings s join assets a on a.id = s.asset_id join datasets d on d.id = a.dataset_id`;

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
