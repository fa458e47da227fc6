import { TokenCreateInput, TokenCreateOutput } from "../wire/token.ts";
import { adminProcedure, router } from "./trpc.ts";

export const tokenRouter = router({
  /** Make a join token for an operator; shown this once. */
  create: adminProcedure
    .input(TokenCreateInput)
    .output(TokenCreateOutput)
    .mutation(({ ctx, input }) => ctx.services.createJoinToken(input)),
});
