/**
 * Finding assets, for people. The catalog may have ten million, so each search walks one index from one place on and looks
 * at so many at most: what a page costs does not depend on the catalog, nor on how few pass the filter.
 */
import type { AssetId, AssetState, DatasetId, OriginId } from "@dispatcher/core";
import type { Sql } from "../database.ts";
import { assetSummary, toAssetSummary } from "./assets.ts";
import type { AssetSummary, AssetSummaryRow } from "./assets.ts";

/** Which assets are meant; null and false for no such condition. */
export type AssetFilter = {
  readonly datasetId: DatasetId | null;
  readonly originId: OriginId | null;
  readonly state: AssetState | null;
  /** Fewer independent copies than the target. */
  readonly incomplete: boolean;
  /** Fewer than the minimum. */
  readonly belowMin: boolean;
  /** The beginning of the path, or of the URL where it has `://`; at most 200 characters, as the indexes know no more. */
  readonly startsWith: string | null;
};

/** `text` is that of the path or the URL, byte by byte; whichever the filter asks for. */
export type AssetOrder = "urgency" | "id" | "text";

/** A place in a list: that of an asset, or of the last one looked at. `key` is null in the order of ids. */
export type AssetPlace = { readonly key: number | string | null; readonly id: AssetId };

export type AssetSearch = {
  readonly filter: AssetFilter;
  readonly order: AssetOrder;
  readonly after: AssetPlace | null;
  /** Looked at, at most. */
  readonly depth: number;
  /** The filter names a dataset or an origin with no more than that: these are put in order, and no others looked at. */
  readonly isOfFew?: boolean;
};

/** The ids to look at, with their keys, in order: one walk through one index. */
function walk(sql: Sql, search: AssetSearch) {
  const { filter, order, after, depth } = search;
  const { datasetId, originId, state, startsWith } = filter;
  if (order === "text" && startsWith !== null) {
    const text = startsWith.includes("://") ? sql`left(a.url, 200) collate "C"` : sql`left(a.path, 200) collate "C"`;
    const end = textAfter(startsWith);
    return sql`
      select a.id, ${text} as key from assets a
       where ${text} >= ${startsWith} ${end === null ? sql`` : sql`and ${text} < ${end}`}
         ${after === null ? sql`` : sql`and (${text}, a.id) > (${after.key}, ${after.id}::bigint)`}
       order by ${text}, a.id limit ${depth}`;
  }
  if (order === "urgency") {
    const ofFew =
      datasetId === null ? sql`a.origin_id = ${originId}::bigint` : sql`a.dataset_id = ${datasetId}::bigint`;
    return sql`
      select w.asset_id as id, w.urgency as key from standings w ${search.isOfFew ? sql`join assets a on a.id = w.asset_id and ${ofFew}` : sql``}
       where ${state === null ? sql`true` : sql`w.state = ${state}`}
         ${state === null || state === "wanted" ? sql`` : sql`and w.state <> 'wanted'`}
         ${after === null ? sql`` : sql`and w.urgency <= ${after.key}::double precision and (w.urgency < ${after.key}::double precision or w.asset_id > ${after.id}::bigint)`}
       order by w.urgency desc, w.asset_id limit ${depth}`;
  }
  return sql`
    select a.id, null::text as key from assets a
     where ${datasetId === null ? sql`true` : sql`a.dataset_id = ${datasetId}::bigint`}
       ${originId === null ? sql`` : sql`and a.origin_id = ${originId}::bigint`}
       ${after === null ? sql`` : sql`and a.id > ${after.id}::bigint`}
     order by a.id limit ${depth}`;
}

/** The first text behind all that begin like this, byte by byte; null where there is none. */
export function textAfter(start: string): string | null {
  const points = Array.from(start, (character) => character.codePointAt(0) ?? 0);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    // No text has half a character in it, so the next one after those before the halves is the one behind them.
    const next = last === 0xd7ff ? 0xe000 : last + 1;
    if (next <= 0x10ffff) return String.fromCodePoint(...points, next);
  }
  return null;
}

const passes = (sql: Sql, { datasetId, originId, state, incomplete, belowMin }: AssetFilter) => sql`
  (${datasetId}::bigint is null or a.dataset_id = ${datasetId}::bigint)
  and (${originId}::bigint is null or a.origin_id = ${originId}::bigint)
  and (${state}::text is null or s.state = ${state})
  and (not ${incomplete}::boolean or s.independent_copies < d.copies_target)
  and (not ${belowMin}::boolean or s.independent_copies < d.copies_min)`;

const inOrder = (sql: Sql, order: AssetOrder) =>
  order === "urgency" ? sql`l.key desc, l.id` : order === "text" ? sql`l.key, l.id` : sql`l.id`;

/** The places of those of the next `depth` assets that pass the filter, `limit` at most. */
const places = (sql: Sql, search: AssetSearch & { readonly limit: number }) => sql`
  select l.id, l.key
    from (${walk(sql, search)}) l join assets a on a.id = l.id join standings s on s.asset_id = a.id
    join datasets d on d.id = a.dataset_id
   where ${passes(sql, search.filter)}
   order by ${inOrder(sql, search.order)} limit ${search.limit}`;

/** Those of the next `depth` assets that pass the filter, `limit` at most. */
export async function searchAssets(
  sql: Sql,
  search: AssetSearch & { readonly limit: number },
): Promise<readonly (AssetSummary & AssetPlace)[]> {
  const rows = await sql<(AssetSummaryRow & { key: AssetPlace["key"] })[]>`
    select found.*, l.key
      from (${places(sql, search)}) l cross join lateral (${assetSummary(sql)} where a.id = l.id) found
     order by ${inOrder(sql, search.order)}`;
  return rows.map(({ key, ...row }) => ({ ...toAssetSummary(row), key }));
}

/** Their places alone. */
export async function searchAssetPlaces(
  sql: Sql,
  search: AssetSearch & { readonly limit: number },
): Promise<readonly AssetPlace[]> {
  return sql<AssetPlace[]>`
    select l.id::text as id, l.key from (${places(sql, search)}) l order by ${inOrder(sql, search.order)}`;
}

/** Whether a dataset, or an origin, has no more assets than a search looks at. O(depth), in the index. */
export async function isWithinDepth(sql: Sql, { datasetId, originId }: AssetFilter, depth: number): Promise<boolean> {
  const rows = await sql`
    select from assets
     where ${datasetId === null ? sql`origin_id = ${originId}::bigint` : sql`dataset_id = ${datasetId}::bigint`}
    offset ${depth} limit 1`;
  return rows.length === 0;
}

/** The place of the last asset that a search looks at; null where it comes to the end of the list. O(depth), in the index. */
export async function findLastLookedAt(sql: Sql, search: AssetSearch): Promise<AssetPlace | null> {
  const [row] = await sql<AssetPlace[]>`
    select l.id::text as id, l.key from (${walk(sql, search)}) l
     order by ${inOrder(sql, search.order)} offset ${search.depth - 1} limit 1`;
  return row ?? null;
}

/** Wanted assets that have fewer copies than their target and are to be removed before `beforeMs`, the soonest first. */
export async function findEndingSoon(
  sql: Sql,
  { beforeMs, depth, limit }: { readonly beforeMs: number; readonly depth: number; readonly limit: number },
): Promise<readonly AssetSummary[]> {
  const rows = await sql<AssetSummaryRow[]>`
    select found.*
      from (select e.id, e.remove_by from assets e where e.remove_by < ${beforeMs}::timestamptz
             order by e.remove_by, e.id limit ${depth}) l
     cross join lateral (
       ${assetSummary(sql)} where a.id = l.id and s.state = 'wanted' and s.independent_copies < d.copies_target) found
     order by l.remove_by, l.id limit ${limit}`;
  return rows.map(toAssetSummary);
}

export async function findDataset(sql: Sql, key: string): Promise<DatasetId | null> {
  const [row] = await sql<{ id: DatasetId }[]>`select id::text as id from datasets where key = ${key}`;
  return row?.id ?? null;
}

export async function findOrigin(sql: Sql, host: string): Promise<OriginId | null> {
  const [row] = await sql<{ id: OriginId }[]>`select id::text as id from origins where host = ${host}`;
  return row?.id ?? null;
}
