import { StatsOverviewOutput } from "../wire/stats.ts";
import { readerProcedure, router } from "./trpc.ts";

export const statsRouter = router({
  /** The whole at a glance: assets, bytes, copies, nodes, leases. */
  overview: readerProcedure.output(StatsOverviewOutput).query(({ ctx }) => ctx.services.readOverview()),
});
