import { seesNames } from "../services/rights.ts";
import {
  AssetGetInput,
  AssetGetOutput,
  AssetImportInput,
  AssetImportOutput,
  AssetListInput,
  AssetListOutput,
} from "../wire/asset.ts";
import { adminProcedure, readerProcedure, router } from "./trpc.ts";

export const assetRouter = router({
  /** Take in a batch of a catalog, at most 1000 entries. Idempotent. */
  import: adminProcedure
    .input(AssetImportInput)
    .output(AssetImportOutput)
    .mutation(({ ctx, input }) => ctx.services.importAssets(input, ctx.actor)),

  /** A page of assets, highest urgency first. */
  list: readerProcedure
    .input(AssetListInput)
    .output(AssetListOutput)
    .query(({ ctx, input }) => ctx.services.listAssets(input)),

  /** One asset with its copies and the history of its grants. */
  get: readerProcedure
    .input(AssetGetInput)
    .output(AssetGetOutput)
    .query(({ ctx, input }) => ctx.services.getAsset({ id: input.id, withNames: seesNames(ctx.actor) })),
});
