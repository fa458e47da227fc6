import type { z } from "zod";
import type { EventLiveInput, EventLiveOutput } from "../wire/event.ts";
import { findLastEvent } from "../db/queries/event-log.ts";
import type { Dependencies } from "./dependencies.ts";
import type { EventFeed } from "./event-feed.ts";
import { toEventFilter, toEventView } from "./list-events.ts";

/** Of a caller inside the process who gives none: leaving the loop ends it. */
const NEVER = new AbortController().signal;

type Message = z.output<typeof EventLiveOutput> & { readonly id: string };

/**
 * The log of events as it grows, in messages of some events, each with the id to go on behind. Whoever names no event is told
 * first where the log ends, in a message without events: a listener that is cut before anything happens goes on from there.
 * @throws DispatcherError EVENT_UNKNOWN, STREAM_CUT, DATABASE_UNAVAILABLE
 */
export async function* followEvents(
  { db }: Pick<Dependencies, "db">,
  feed: EventFeed,
  { lastEventId, ...filter }: z.output<typeof EventLiveInput>,
  { withNames, signal }: { readonly withNames: boolean; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Message, void, void> {
  const from = lastEventId === undefined ? ((await findLastEvent(db.sql)) ?? 0) : Number(lastEventId);
  if (lastEventId === undefined) yield { id: String(from), events: [] };
  for await (const events of feed.follow(toEventFilter(filter), { lastEventId: from, signal: signal ?? NEVER })) {
    const last = events.at(-1);
    if (last === undefined) continue;
    yield { id: String(last.id), events: events.map((event) => toEventView(event, { withNames })) };
  }
}
