import { seesNames } from "../services/rights.ts";
import {
  AssetExplainInput,
  AssetExplainOutput,
  AssetGetInput,
  AssetGetOutput,
  AssetImportInput,
  AssetImportOutput,
  AssetListInput,
  AssetListOutput,
  AssetPrioritizeInput,
  AssetPrioritizeOutput,
  AssetRequeueInput,
  AssetRequeueOutput,
  AssetRestoreInput,
  AssetRestoreOutput,
  AssetWithdrawInput,
  AssetWithdrawOutput,
} from "../wire/asset.ts";
import { adminProcedure, readerProcedure, router } from "./trpc.ts";

export const assetRouter = router({
  /** Take in a batch of a catalog, at most 1000 entries. For coordinators. Idempotent. */
  import: adminProcedure
    .input(AssetImportInput)
    .output(AssetImportOutput)
    .mutation(({ ctx, input }) => ctx.services.importAssets(input, ctx.actor)),

  /**
   * A page of assets, highest urgency first unless asked otherwise. For anyone. DATASET_UNKNOWN, ORIGIN_UNKNOWN,
   * INPUT_INVALID for a cursor of another list. A page looks at 20,000 assets at most, whatever the catalog.
   */
  list: readerProcedure
    .input(AssetListInput)
    .output(AssetListOutput)
    .query(({ ctx, input }) => ctx.services.listAssets(input)),

  /** One asset with its copies, the history of its grants, and what people did to it. For anyone. ASSET_UNKNOWN. */
  get: readerProcedure
    .input(AssetGetInput)
    .output(AssetGetOutput)
    .query(({ ctx, input }) => ctx.services.getAsset({ id: input.id, withNames: seesNames(ctx.actor) })),

  /**
   * Who could take an asset now, and what keeps the others; with a node, every rule about the two. For coordinators, as it
   * names nodes. ASSET_UNKNOWN, NODE_UNKNOWN. O(nodes that are there).
   */
  explain: adminProcedure
    .input(AssetExplainInput)
    .output(AssetExplainOutput)
    .query(({ ctx, input }) => ctx.services.explainAsset(input)),

  /**
   * Give assets a priority of their own; every server's queues follow within a second. For coordinators. ASSET_UNKNOWN,
   * DATASET_UNKNOWN, ORIGIN_UNKNOWN. Idempotent. One transaction for at most 1,000 assets.
   */
  prioritize: adminProcedure
    .input(AssetPrioritizeInput)
    .output(AssetPrioritizeOutput)
    .mutation(({ ctx, input }) => ctx.services.prioritizeAssets(input, ctx.actor)),

  /** Give assets up: no new grants, and open leases are stopped; copies stay. For coordinators. As `prioritize` else. */
  withdraw: adminProcedure
    .input(AssetWithdrawInput)
    .output(AssetWithdrawOutput)
    .mutation(({ ctx, input }) => ctx.services.withdrawAssets(input, ctx.actor)),

  /** Want withdrawn assets once more. For coordinators. As `prioritize` else. */
  restore: adminProcedure
    .input(AssetRestoreInput)
    .output(AssetRestoreOutput)
    .mutation(({ ctx, input }) => ctx.services.restoreAssets(input, ctx.actor)),

  /**
   * Want assets once more that wait in review or are gone, by what failed, when and where. For coordinators.
   * DATASET_UNKNOWN. `dryRun` changes nothing. One transaction for at most 1,000 assets.
   */
  requeue: adminProcedure
    .input(AssetRequeueInput)
    .output(AssetRequeueOutput)
    .mutation(({ ctx, input }) => ctx.services.requeueAssets(input, ctx.actor)),
});
