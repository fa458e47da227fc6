import { seesNames } from "../services/rights.ts";
import {
  StatsAtRiskInput,
  StatsAtRiskOutput,
  StatsCopiesOutput,
  StatsLeaderboardInput,
  StatsLeaderboardOutput,
  StatsOverviewOutput,
  StatsThroughputInput,
  StatsThroughputOutput,
} from "../wire/stats.ts";
import { readerProcedure, router } from "./trpc.ts";

export const statsRouter = router({
  /**
   * The whole at a glance: assets, bytes, copies, nodes, leases. For anyone. Of a large catalog as it was last counted, by the
   * sweeps; `ageMs` says when. O(1) there.
   */
  overview: readerProcedure.output(StatsOverviewOutput).query(({ ctx }) => ctx.services.readOverview()),

  /** How many wanted assets have how many independent copies; counted with the overview. For anyone. */
  copiesHistogram: readerProcedure.output(StatsCopiesOutput).query(({ ctx }) => ctx.services.readCopies()),

  /** What each of the last hours or days brought. For anyone. Counted by the sweeps, seconds behind. O(hours asked for). */
  throughput: readerProcedure
    .input(StatsThroughputInput)
    .output(StatsThroughputOutput)
    .query(({ ctx, input }) => ctx.services.readThroughput(input)),

  /** Operators by the copies that their nodes hold; names for coordinators alone. O(nodes). */
  leaderboard: readerProcedure
    .input(StatsLeaderboardInput)
    .output(StatsLeaderboardOutput)
    .query(({ ctx, input }) => ctx.services.readLeaderboard(input, { withNames: seesNames(ctx.actor) })),

  /** Assets in danger: below their minimum of copies, or soon to be removed. For anyone. Looks at 20,000 of each. */
  atRisk: readerProcedure
    .input(StatsAtRiskInput)
    .output(StatsAtRiskOutput)
    .query(({ ctx, input }) => ctx.services.readAtRisk(input)),
});
