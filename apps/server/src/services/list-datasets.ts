import type { z } from "zod";
import { findDatasetByKey, listDatasetsAfter } from "../db/queries/datasets.ts";
import type { Dataset } from "../db/queries/datasets.ts";
import type { DatasetListInput, DatasetListOutput } from "../wire/dataset.ts";
import { fromCursor, toCursor } from "./cursor.ts";
import type { Dependencies } from "./dependencies.ts";
import { refuseDataset } from "./find-assets.ts";

/** A page of datasets by key. @throws DispatcherError INPUT_INVALID for a cursor of another list */
export async function listDatasets(
  { db }: Dependencies,
  { limit, after }: z.output<typeof DatasetListInput>,
): Promise<z.output<typeof DatasetListOutput>> {
  const place =
    after === undefined
      ? null
      : fromCursor(after, ([key, ...rest]) => (typeof key === "string" && rest.length === 0 ? key : null));
  const read = await listDatasetsAfter(db.sql, place, limit + 1);
  const datasets = read.slice(0, limit);
  const last = datasets.at(-1);
  return { datasets, next: read.length > limit && last !== undefined ? toCursor([last.key]) : null };
}

/** @throws DispatcherError DATASET_UNKNOWN */
export async function getDataset({ db }: Dependencies, key: string): Promise<Dataset> {
  return (await findDatasetByKey(db.sql, key)) ?? refuseDataset(key);
}
