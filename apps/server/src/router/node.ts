import {
  NodeInventoryInput,
  NodeInventoryOutput,
  NodeJoinInput,
  NodeJoinOutput,
  NodeListInput,
  NodeListOutput,
  NodeSyncInput,
  NodeSyncOutput,
} from "../wire/node.ts";
import { nodeProcedure, publicProcedure, readerProcedure, router } from "./trpc.ts";

export const nodeRouter = router({
  /** Take part with a join token; answers the node's own key, this once. */
  join: publicProcedure
    .input(NodeJoinInput)
    .output(NodeJoinOutput)
    .mutation(({ ctx, input }) => ctx.services.joinNode(input, ctx.network)),

  /** Report, and get work: the one call of a node. Idempotent; a repeated report is answered `repeated`. */
  sync: nodeProcedure
    .input(NodeSyncInput)
    .output(NodeSyncOutput)
    .mutation(({ ctx, input }) => ctx.services.syncNode({ nodeId: ctx.nodeId, input, network: ctx.network })),

  /** One page of all that the node holds, when a sync has asked for it. Idempotent; pages may come in any order. */
  inventory: nodeProcedure
    .input(NodeInventoryInput)
    .output(NodeInventoryOutput)
    .mutation(({ ctx, input }) => ctx.services.reconcileInventory({ nodeId: ctx.nodeId, page: input })),

  /** Every node with its ledger, by id; without names for those who have no right to them. */
  list: readerProcedure
    .input(NodeListInput)
    .output(NodeListOutput)
    .query(({ ctx, input }) => ctx.services.listNodes(input.life ?? null, ctx.actor)),
});
