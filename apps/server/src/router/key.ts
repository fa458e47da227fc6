import {
  KeyCreateInput,
  KeyCreateOutput,
  KeyListInput,
  KeyListOutput,
  KeyRevokeInput,
  KeyRevokeOutput,
} from "../wire/key.ts";
import { operatorProcedure, router } from "./trpc.ts";

export const keyRouter = router({
  /** Make a key; shown this once. An operator makes keys for its own nodes alone. */
  create: operatorProcedure
    .input(KeyCreateInput)
    .output(KeyCreateOutput)
    .mutation(({ ctx, input }) => ctx.services.createKey(input, ctx.actor)),

  /** A page of keys without their secrets: all, or an operator's own and those of its nodes. */
  list: operatorProcedure
    .input(KeyListInput)
    .output(KeyListOutput)
    .query(({ ctx, input }) => ctx.services.listKeys(input, ctx.actor)),

  /** Revoke a key, or all keys of a node. Idempotent. */
  revoke: operatorProcedure
    .input(KeyRevokeInput)
    .output(KeyRevokeOutput)
    .mutation(({ ctx, input }) => ctx.services.revokeKey(input, ctx.actor)),
});
