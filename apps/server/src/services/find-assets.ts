import { DispatcherError, compareIds } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { findDataset, findLastLookedAt, findOrigin, searchAssetPlaces } from "../db/queries/asset-search.ts";
import type { AssetFilter, AssetOrder, AssetPlace, AssetSearch } from "../db/queries/asset-search.ts";
import { findAssetIds } from "../db/queries/asset-acts.ts";
import type { AssetListInput, AssetRestoreInput } from "../wire/asset.ts";
import { fromCursor, isId, toCursor } from "./cursor.ts";

type FilterInput = Pick<
  z.output<typeof AssetListInput>,
  "dataset" | "origin" | "state" | "incomplete" | "belowMin" | "startsWith"
>;
type Selection = Omit<z.output<typeof AssetRestoreInput>, "reason">;

/** Assets that one search looks at. Too small: pages with nothing on them. Too large: a page that takes seconds. */
export const SEARCH_DEPTH = 20_000;

/** @throws DispatcherError DATASET_UNKNOWN, ORIGIN_UNKNOWN */
export async function toFilter(sql: Sql, input: FilterInput): Promise<AssetFilter> {
  const { dataset, origin, state = null, incomplete = false, belowMin = false, startsWith = null } = input;
  return {
    datasetId: dataset === undefined ? null : ((await findDataset(sql, dataset)) ?? refuseDataset(dataset)),
    originId: origin === undefined ? null : ((await findOrigin(sql, origin)) ?? refuseOrigin(origin)),
    state,
    incomplete,
    belowMin,
    startsWith,
  };
}

export function refuseDataset(key: string): never {
  throw new DispatcherError("DATASET_UNKNOWN", `There is no dataset "${key}".`, { details: { dataset: key } });
}

export function refuseOrigin(host: string): never {
  throw new DispatcherError("ORIGIN_UNKNOWN", `There is no origin "${host}".`, { details: { origin: host } });
}

/** A cursor tells its order, so that a page of another list is not taken for one of this. */
function placeToCursor(order: AssetOrder, { key, id }: AssetPlace): string {
  return toCursor([order, key, id]);
}

/** @throws DispatcherError INPUT_INVALID */
function placeFromCursor(order: AssetOrder, cursor: string): AssetPlace {
  const isKey = (key: unknown): key is AssetPlace["key"] =>
    order === "urgency" ? typeof key === "number" : order === "text" ? typeof key === "string" : key === null;
  return fromCursor(cursor, ([itsOrder, key, id, ...rest]) =>
    itsOrder === order && isKey(key) && isId(id) && rest.length === 0 ? { key, id: id as AssetId } : null,
  );
}

export type Selected = {
  /** In the order of ids. */
  readonly ids: readonly AssetId[];
  readonly next: string | null;
};

/**
 * The assets that an act is about: those named, or the next of those that pass the filter, `limit` of them and of the
 * 20,000 it looks at. @throws DispatcherError ASSET_UNKNOWN, DATASET_UNKNOWN, ORIGIN_UNKNOWN, INPUT_INVALID
 */
export async function selectAssets(sql: Sql, { ids, filter, limit, after }: Selection): Promise<Selected> {
  if (ids !== undefined) {
    const known = await findAssetIds(sql, ids);
    const isKnown = new Set(known);
    const missing = ids.find((id) => !isKnown.has(id));
    if (missing === undefined) return { ids: known, next: null };
    throw new DispatcherError("ASSET_UNKNOWN", `There is no asset ${missing}; nothing was changed.`, {
      details: { id: missing },
    });
  }
  const search = {
    filter: await toFilter(sql, filter ?? {}),
    order: filter?.startsWith === undefined ? "id" : "text",
    depth: SEARCH_DEPTH,
  } as const;
  const { found, next } = await readPage(sql, { ...search, limit, after }, searchAssetPlaces);
  // Rows are locked in the order of ids.
  return { ids: found.map(({ id }) => id).toSorted(compareIds), next };
}

/**
 * A page of what `search` finds, with the cursor of the next one. It goes on behind the last that was found or, where few
 * pass the filter, behind the last that was looked at. @throws DispatcherError INPUT_INVALID for a cursor of another list
 */
export async function readPage<Found extends AssetPlace>(
  sql: Sql,
  {
    limit,
    after,
    ...search
  }: Omit<AssetSearch, "after"> & { readonly limit: number; readonly after?: string | undefined },
  find: (sql: Sql, search: AssetSearch & { readonly limit: number }) => Promise<readonly Found[]>,
): Promise<{ readonly found: readonly Found[]; readonly next: string | null }> {
  const place = after === undefined ? null : placeFromCursor(search.order, after);
  const read = await find(sql, { ...search, after: place, limit: limit + 1 });
  const found = read.slice(0, limit);
  const last = found.at(-1);
  if (read.length > limit && last !== undefined) return { found, next: placeToCursor(search.order, last) };
  const looked = await findLastLookedAt(sql, { ...search, after: place });
  return { found, next: looked === null ? null : placeToCursor(search.order, looked) };
}
