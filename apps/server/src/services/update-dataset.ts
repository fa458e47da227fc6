import { asPriority } from "@dispatcher/core";
import type { z } from "zod";
import { findDatasetByKey, updateDatasetWishes } from "../db/queries/datasets.ts";
import type { Dataset } from "../db/queries/datasets.ts";
import { appendEvents } from "../db/queries/events.ts";
import { markDatasetDue } from "../db/queries/standings.ts";
import type { DatasetUpdateInput } from "../wire/dataset.ts";
import { eventOf } from "./act.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { refuseDataset } from "./find-assets.ts";

/**
 * Change what is wished for all of a dataset's assets. How they stand follows with the sweeps, 500 at a time, so that a large
 * dataset stops nobody. Doing it again changes nothing. O(its assets), in one statement.
 * @throws DispatcherError DATASET_UNKNOWN
 */
export async function updateDataset(
  { db }: Dependencies,
  { key, reason, ...wishes }: z.output<typeof DatasetUpdateInput>,
  actor: Actor,
): Promise<Dataset> {
  return db.transaction(async (sql) => {
    const before = (await findDatasetByKey(sql, key, { lock: true })) ?? refuseDataset(key);
    const { id, copies } = before;
    const after = {
      ...before,
      priority: wishes.priority === undefined ? before.priority : asPriority(wishes.priority),
      copies: wishes.copies ?? copies,
    };
    const isSame =
      before.priority === after.priority &&
      copies.min === after.copies.min &&
      copies.target === after.copies.target &&
      copies.max === after.copies.max;
    if (isSame) return before;
    await updateDatasetWishes(sql, after);
    await markDatasetDue(sql, id);
    const detail = {
      dataset: key,
      before: { priority: before.priority, copies },
      after: { priority: after.priority, copies: after.copies },
    };
    await appendEvents(sql, [eventOf({ actor, reason }, "dataset.updated", { detail })]);
    return after;
  });
}
