import {
  NodeActInput,
  NodeActOutput,
  NodeGetInput,
  NodeGetOutput,
  NodeGiveBackInput,
  NodeGiveBackOutput,
  NodeInventoryInput,
  NodeInventoryOutput,
  NodeJoinInput,
  NodeJoinOutput,
  NodeLeaveInput,
  NodeLeaveOutput,
  NodeListInput,
  NodeListOutput,
  NodeMessageInput,
  NodeSyncInput,
  NodeSyncOutput,
} from "../wire/node.ts";
import { adminProcedure, nodeProcedure, publicProcedure, readerProcedure, router } from "./trpc.ts";

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

  /**
   * Take one's leave: `gracefully` one's copies are made elsewhere first, `immediately` one is retired now. The answer tells what
   * would be missing. For a node, for itself. NODE_RETIRED. Idempotent while it leaves. O(its copies).
   */
  leave: nodeProcedure
    .input(NodeLeaveInput)
    .output(NodeLeaveOutput)
    .mutation(({ ctx, input }) => ctx.services.leaveNode(ctx.nodeId, input)),

  /**
   * Offer no more than so many bytes; what is held above is made elsewhere first. For a node, for itself. NODE_RETIRED.
   * Idempotent.
   */
  giveBack: nodeProcedure
    .input(NodeGiveBackInput)
    .output(NodeGiveBackOutput)
    .mutation(({ ctx, input }) => ctx.services.giveBack(ctx.nodeId, input)),

  /** Every node with its ledger, by id; without names for those who have no right to them. */
  list: readerProcedure
    .input(NodeListInput)
    .output(NodeListOutput)
    .query(({ ctx, input }) => ctx.services.listNodes(input.life ?? null, ctx.actor)),

  /** One node with what it has open and what would be missing without it. For coordinators. NODE_UNKNOWN. O(its copies). */
  get: adminProcedure
    .input(NodeGetInput)
    .output(NodeGetOutput)
    .query(({ ctx, input }) => ctx.services.getNode(input.id)),

  /** No new work for a node, and its copies are made elsewhere; what it has open goes on. For coordinators. NODE_UNKNOWN, NODE_RETIRED. Idempotent. */
  drain: adminProcedure
    .input(NodeActInput)
    .output(NodeActOutput)
    .mutation(({ ctx, input }) => ctx.services.changeDuty(input, { to: "draining", actor: ctx.actor })),

  /** Let a node that drains or leaves work on. For coordinators. NODE_UNKNOWN, NODE_RETIRED. Idempotent. */
  undrain: adminProcedure
    .input(NodeActInput)
    .output(NodeActOutput)
    .mutation(({ ctx, input }) => ctx.services.changeDuty(input, { to: "active", actor: ctx.actor })),

  /**
   * No work for a node that is not to be trusted: what it has open is stopped with its next sync, and its copies do not count.
   * For coordinators. NODE_UNKNOWN, NODE_RETIRED. Idempotent. O(its copies).
   */
  block: adminProcedure
    .input(NodeActInput)
    .output(NodeActOutput)
    .mutation(({ ctx, input }) => ctx.services.changeDuty(input, { to: "blocked", actor: ctx.actor })),

  /** Trust a blocked node again: its copies count once it has listed them. For coordinators. As `block` else. */
  unblock: adminProcedure
    .input(NodeActInput)
    .output(NodeActOutput)
    .mutation(({ ctx, input }) => ctx.services.unblockNode(input, ctx.actor)),

  /**
   * Give a node up for good: its copies do not count any more, its leases end, its key is refused. `node.get` tells before what
   * would be missing. For coordinators. NODE_UNKNOWN. Idempotent. O(its copies).
   */
  retire: adminProcedure
    .input(NodeActInput)
    .output(NodeActOutput)
    .mutation(({ ctx, input }) => ctx.services.retireNode(input, ctx.actor)),

  /** A line for the volunteer, told with each sync until it is replaced. For coordinators. NODE_UNKNOWN. Idempotent. */
  message: adminProcedure
    .input(NodeMessageInput)
    .output(NodeActOutput)
    .mutation(({ ctx, input }) => ctx.services.messageNode(input, ctx.actor)),
});
