import {
  DatasetGetInput,
  DatasetListInput,
  DatasetListOutput,
  DatasetUpdateInput,
  DatasetView,
} from "../wire/dataset.ts";
import { adminProcedure, readerProcedure, router } from "./trpc.ts";

export const datasetRouter = router({
  /** A page of datasets by key. For anyone. INPUT_INVALID. O(page). */
  list: readerProcedure
    .input(DatasetListInput)
    .output(DatasetListOutput)
    .query(({ ctx, input }) => ctx.services.listDatasets(input)),

  /** One dataset with what is wished for its assets. For anyone. DATASET_UNKNOWN. */
  get: readerProcedure
    .input(DatasetGetInput)
    .output(DatasetView)
    .query(({ ctx, input }) => ctx.services.getDataset(input.key)),

  /** Change priority or copies of all its assets. For coordinators. DATASET_UNKNOWN. Idempotent. O(its assets). */
  update: adminProcedure
    .input(DatasetUpdateInput)
    .output(DatasetView)
    .mutation(({ ctx, input }) => ctx.services.updateDataset(input, ctx.actor)),
});
