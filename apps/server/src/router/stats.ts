import { StatsOverviewOutput } from "../wire/stats.ts";
import { publicProcedure, router } from "./trpc.ts";

export const statsRouter = router({
  /** The whole at a glance: assets, bytes, copies, nodes, leases. */
  overview: publicProcedure.output(StatsOverviewOutput).query(({ ctx }) => ctx.services.readOverview()),
});
