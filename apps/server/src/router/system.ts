import { healthShownOutside } from "../shown-outside.ts";
import { SystemHealthOutput, SystemVersionOutput } from "../wire/stats.ts";
import { publicProcedure, router } from "./trpc.ts";

export const systemRouter = router({
  /** Whether the service can do its work now. */
  health: publicProcedure
    .output(SystemHealthOutput)
    .query(async ({ ctx }) => healthShownOutside(await ctx.services.checkHealth(), ctx.log)),

  /** Which release this server is, and of which schema its database. For anyone. */
  version: publicProcedure.output(SystemVersionOutput).query(({ ctx }) => ctx.services.readVersion()),
});
