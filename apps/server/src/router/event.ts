import { DispatcherError } from "@dispatcher/core";
import { tracked } from "@trpc/server";
import type { TrackedEnvelope } from "@trpc/server";
import type { z } from "zod";
import { seesNames } from "../services/rights.ts";
import { EventListInput, EventListOutput, EventLiveInput } from "../wire/event.ts";
import type { EventLiveOutput } from "../wire/event.ts";
import { readerProcedure, router, toTrpcError } from "./trpc.ts";

export const eventRouter = router({
  /** A page of the log, newest first. For anyone, without details but for coordinators. INPUT_INVALID. Looks at 20,000. */
  list: readerProcedure
    .input(EventListInput)
    .output(EventListOutput)
    .query(({ ctx, input }) => ctx.services.listEvents(input, { withNames: seesNames(ctx.actor) })),

  /**
   * The log as it grows, as server-sent events; each message has the id by which to go on behind it, so that nothing is lost or
   * told twice whatever dies in between. For anyone, without details but for coordinators. EVENT_UNKNOWN when the log does not
   * reach back so far; STREAM_CUT for a listener that is too slow and when the server stops: connect again. One look at the log
   * every half second, however many listen.
   */
  live: readerProcedure.input(EventLiveInput).subscription(async function* ({
    ctx,
    input,
    signal,
  }): AsyncGenerator<TrackedEnvelope<z.output<typeof EventLiveOutput>>, void, void> {
    try {
      const withNames = seesNames(ctx.actor);
      for await (const { id, ...message } of ctx.services.followEvents(input, { withNames, signal })) {
        yield tracked(id, message);
      }
    } catch (error) {
      throw error instanceof DispatcherError ? toTrpcError(error) : error;
    }
  }),
});
