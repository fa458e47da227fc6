import { SystemHealthOutput } from "../wire/stats.ts";
import { publicProcedure, router } from "./trpc.ts";

export const systemRouter = router({
  /** Whether the service can do its work now. */
  health: publicProcedure.output(SystemHealthOutput).query(({ ctx }) => ctx.services.checkHealth()),
});
