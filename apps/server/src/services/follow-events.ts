import type { z } from "zod";
import type { EventLiveInput, EventLiveOutput } from "../wire/event.ts";
import type { EventFeed } from "./event-feed.ts";
import { toEventFilter, toEventView } from "./list-events.ts";

/** Of a caller inside the process who gives none: leaving the loop ends it. */
const NEVER = new AbortController().signal;

type Message = z.output<typeof EventLiveOutput> & { readonly id: string };

/**
 * The log of events as it grows, in messages of some events, each with the id to go on behind.
 * @throws DispatcherError EVENT_UNKNOWN, STREAM_CUT, DATABASE_UNAVAILABLE
 */
export async function* followEvents(
  feed: EventFeed,
  { lastEventId, ...filter }: z.output<typeof EventLiveInput>,
  { withNames, signal }: { readonly withNames: boolean; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Message, void, void> {
  const from = lastEventId === undefined ? null : Number(lastEventId);
  for await (const events of feed.follow(toEventFilter(filter), { lastEventId: from, signal: signal ?? NEVER })) {
    const last = events.at(-1);
    if (last === undefined) continue;
    yield { id: String(last.id), events: events.map((event) => toEventView(event, { withNames })) };
  }
}
