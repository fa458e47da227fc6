import {
  OriginBudgetInput,
  OriginGetInput,
  OriginListInput,
  OriginListOutput,
  OriginPauseInput,
  OriginView,
} from "../wire/origin.ts";
import { adminProcedure, readerProcedure, router } from "./trpc.ts";

export const originRouter = router({
  /** A page of origins by host, each as it stands: budget, fetches, breaker. For anyone. INPUT_INVALID. O(page). */
  list: readerProcedure
    .input(OriginListInput)
    .output(OriginListOutput)
    .query(({ ctx, input }) => ctx.services.listOrigins(input)),

  /** One origin as it stands. For anyone. ORIGIN_UNKNOWN. */
  get: readerProcedure
    .input(OriginGetInput)
    .output(OriginView)
    .query(({ ctx, input }) => ctx.services.getOrigin(input)),

  /** Leave an origin alone; every server knows at once. For coordinators. ORIGIN_UNKNOWN. Idempotent. */
  pause: adminProcedure
    .input(OriginPauseInput)
    .output(OriginView)
    .mutation(({ ctx, input }) => ctx.services.pauseOrigin(input, { paused: true, actor: ctx.actor })),

  /** Let a paused origin go on. For coordinators. ORIGIN_UNKNOWN. Idempotent. */
  resume: adminProcedure
    .input(OriginPauseInput)
    .output(OriginView)
    .mutation(({ ctx, input }) => ctx.services.pauseOrigin(input, { paused: false, actor: ctx.actor })),

  /** Give an origin a budget of its own; every server knows at once. For coordinators. ORIGIN_UNKNOWN. Idempotent. */
  setBudget: adminProcedure
    .input(OriginBudgetInput)
    .output(OriginView)
    .mutation(({ ctx, input }) => ctx.services.setBudget(input, ctx.actor)),
});
