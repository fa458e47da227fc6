import { healthShownOutside } from "../shown-outside.ts";
import { SystemHealthOutput } from "../wire/stats.ts";
import { publicProcedure, router } from "./trpc.ts";

export const systemRouter = router({
  /** Whether the service can do its work now. */
  health: publicProcedure
    .output(SystemHealthOutput)
    .query(async ({ ctx }) => healthShownOutside(await ctx.services.checkHealth(), ctx.log)),
});
