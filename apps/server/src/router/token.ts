import {
  TokenCreateInput,
  TokenCreateOutput,
  TokenListInput,
  TokenListOutput,
  TokenRevokeInput,
  TokenRevokeOutput,
} from "../wire/token.ts";
import { operatorProcedure, router } from "./trpc.ts";

export const tokenRouter = router({
  /** Make a join token for an operator; shown this once. An operator makes them for itself alone. */
  create: operatorProcedure
    .input(TokenCreateInput)
    .output(TokenCreateOutput)
    .mutation(({ ctx, input }) => ctx.services.createJoinToken(input, ctx.actor)),

  /** A page of join tokens without their secrets: all, or an operator's own. */
  list: operatorProcedure
    .input(TokenListInput)
    .output(TokenListOutput)
    .query(({ ctx, input }) => ctx.services.listJoinTokens(input, ctx.actor)),

  /** Let nobody join with a token any more. Idempotent. */
  revoke: operatorProcedure
    .input(TokenRevokeInput)
    .output(TokenRevokeOutput)
    .mutation(({ ctx, input }) => ctx.services.revokeJoinToken(input, ctx.actor)),
});
