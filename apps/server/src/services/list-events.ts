import type { z } from "zod";
import { findEventDepth, listEventsBelow } from "../db/queries/event-log.ts";
import type { EventFilter, LoggedEvent } from "../db/queries/event-log.ts";
import type { EventListInput, EventListOutput, EventView } from "../wire/event.ts";
import { fromCursor, toCursor } from "./cursor.ts";
import type { Dependencies } from "./dependencies.ts";
import { SEARCH_DEPTH } from "./find-assets.ts";

type FilterInput = Pick<z.output<typeof EventListInput>, "kinds" | "nodeId" | "assetId">;

export function toEventFilter({ kinds, nodeId, assetId }: FilterInput): EventFilter {
  return { kinds: kinds ?? null, nodeId: nodeId ?? null, assetId: assetId ?? null };
}

/** As it is shown. Without `withNames` nobody learns who the people are. */
export function toEventView(
  { xid: _xid, detail, ...event }: LoggedEvent,
  { withNames }: { readonly withNames: boolean },
): z.output<typeof EventView> {
  return { ...event, detail: withNames ? detail : null };
}

function isPlace(id: unknown): id is number {
  return typeof id === "number" && Number.isSafeInteger(id);
}

/** A page of the log, newest first. @throws DispatcherError INPUT_INVALID for a cursor of another list */
export async function listEvents(
  { db: { sql } }: Dependencies,
  { limit, after, ...filter }: z.output<typeof EventListInput>,
  names: { readonly withNames: boolean },
): Promise<z.output<typeof EventListOutput>> {
  const below =
    after === undefined ? null : fromCursor(after, ([id, ...rest]) => (isPlace(id) && rest.length === 0 ? id : null));
  const read = await listEventsBelow(sql, toEventFilter(filter), { below, depth: SEARCH_DEPTH, limit: limit + 1 });
  const events = read.slice(0, limit);
  const last = read.length > limit ? events.at(-1)?.id : await findEventDepth(sql, below, SEARCH_DEPTH);
  return {
    events: events.map((event) => toEventView(event, names)),
    next: last === undefined || last === null ? null : toCursor([last]),
  };
}
