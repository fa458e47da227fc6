import { z } from "zod";
import { AssetIdShape, Cursor, NodeIdShape, TimeMs, storableText } from "./common.ts";

export const EventView = z.object({
  /** Unique, and greater the later it was written; which is not always the order in which they came to be. */
  id: z.int(),
  atMs: TimeMs,
  /** `node.synced`, `origin.paused` ...: docs/operations.md lists them. */
  kind: z.string(),
  /** Who: a node, people, or a server by itself. */
  actor: z.string(),
  nodeId: NodeIdShape.nullable(),
  /** The assets that stand otherwise since. */
  assetIds: z.array(AssetIdShape),
  /** What and why. For an administrator; null for others, as it names people. */
  detail: z.record(z.string(), z.unknown()).nullable(),
});

/** Which events are meant: all conditions that are given hold. */
const EventFilterShape = z.object({
  /** One of these. */
  kinds: z.array(storableText(100)).min(1).max(50).optional(),
  nodeId: NodeIdShape.optional(),
  assetId: AssetIdShape.optional(),
});

export const EventListInput = EventFilterShape.extend({
  limit: z.int().min(1).max(1000).default(100),
  after: Cursor,
}).prefault({});

export const EventListOutput = z.object({
  /**
   * Newest first. A page looks at 20,000 events at most, so where few pass the filter it may have fewer than `limit`, or none,
   * and a `next` all the same.
   */
  events: z.array(EventView),
  next: z.string().nullable(),
});

export const EventLiveInput = EventFilterShape.extend({
  /**
   * Go on behind the event of this id: the id of the last message that came; 0 for the beginning of the log. Without it, from
   * now on: the first message has no events and the id to go on from.
   */
  lastEventId: z
    .string()
    .regex(/^\d{1,16}$/, "the id of an event")
    .optional(),
}).prefault({});

/** Some events, oldest first; none where it only tells where the stream begins. The message's id is that of the last one. */
export const EventLiveOutput = z.object({ events: z.array(EventView) });
