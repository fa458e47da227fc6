/**
 * The log of events as it grows, for any number of listeners. One look at the log for all of them, while there is one.
 *
 * Listeners are told what is over (see `LogPlace`), so each of them can go on behind the last event it has seen: on this server
 * or on another one, now or next week, and nothing is lost or told twice. What a listener does not take in time waits in a
 * buffer; when that is full the listener is cut, and goes on behind its last event when it comes again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import type { Database } from "../db/database.ts";
import { findLogPlace, readLog, readLogEnd } from "../db/queries/event-log.ts";
import type { EventFilter, LogPlace, LoggedEvent } from "../db/queries/event-log.ts";
import type { Log } from "../log.ts";

/** How late an event may come. Shorter: more looks at a log in which nothing has happened. */
const POLL_MS = 500;
/** Events read at once. */
const BATCH = 500;
/** Events that wait for one listener. Too small: a busy second cuts everybody. Too large: slow listeners fill the memory. */
const BUFFER_MAX = 5_000;
/** Events in one message: few enough that a message is small. */
const MESSAGE_MAX = 200;

/** Before all events. */
const LOG_BEGIN: LogPlace = { xid: "0", id: 0, atMs: 86_400_000 };

type Listener = {
  readonly passes: (event: LoggedEvent) => boolean;
  waiting: LoggedEvent[];
  isCut: boolean;
  /** Something waits, or it is over. */
  wake: () => void;
};

function isBehind(event: Pick<LogPlace, "xid" | "id">, place: Pick<LogPlace, "xid" | "id">): boolean {
  const [a, b] = [BigInt(event.xid), BigInt(place.xid)];
  return a > b || (a === b && event.id > place.id);
}

function toPredicate({ kinds, nodeId, assetId }: EventFilter): (event: LoggedEvent) => boolean {
  const wanted = kinds === null ? null : new Set(kinds);
  return (event) =>
    (wanted === null || wanted.has(event.kind)) &&
    (nodeId === null || event.nodeId === nodeId) &&
    (assetId === null || event.assetIds.includes(assetId));
}

export class EventFeed {
  readonly #db: Database;
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();
  /** All before it was told to those who listened then; null while nobody does. */
  #place: Promise<LogPlace> | null = null;
  readonly #closing = new AbortController();

  constructor({ db, log }: { readonly db: Database; readonly log: Log }) {
    this.#db = db;
    this.#log = log;
  }

  /** How many listen now. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /**
   * Events that pass, in the order of the log, a few at a time: those behind the one named (0: all), else those from now on (and
   * what was written in the last moments, where transactions were under way). Ends when
   * `signal` aborts.
   * @throws DispatcherError EVENT_UNKNOWN when the named one is not in the log; STREAM_CUT for a listener that is too slow, and
   *   when the server stops; DATABASE_UNAVAILABLE
   */
  async *follow(
    filter: EventFilter,
    { lastEventId, signal }: { readonly lastEventId: number | null; readonly signal: AbortSignal },
  ): AsyncGenerator<readonly LoggedEvent[], void, void> {
    const passes = toPredicate(filter);
    const from = lastEventId === null ? null : await this.#placeOf(lastEventId);
    let wake: (() => void) | null = null;
    const listener: Listener = { passes, waiting: [], isCut: false, wake: () => wake?.() };
    const stop = (): void => wake?.();
    signal.addEventListener("abort", stop);
    this.#closing.signal.addEventListener("abort", stop);
    try {
      const start = await this.#join(listener);
      if (from !== null && isBehind(start, from)) yield* this.#catchUp(passes, from, { upTo: start, signal });
      while (!signal.aborted) {
        if (this.#closing.signal.aborted) throw cut("The server stops.");
        if (listener.isCut) throw cut(`More than ${BUFFER_MAX} events waited for this listener.`);
        if (listener.waiting.length > 0) {
          yield listener.waiting.splice(0, MESSAGE_MAX);
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          // What came between the look above and this line has woken nobody.
          if (isDone(listener, signal, this.#closing.signal)) resolve();
        });
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#closing.signal.removeEventListener("abort", stop);
      this.#leave(listener);
    }
  }

  /** Cut every listener: they are to go on at another server. None may come any more. */
  close(): void {
    this.#closing.abort();
  }

  async #placeOf(id: number): Promise<LogPlace> {
    if (id === 0) return LOG_BEGIN;
    const place = await findLogPlace(this.#db.sql, id);
    if (place !== null) return place;
    throw new DispatcherError("EVENT_UNKNOWN", `Event ${id} is not in the log, or not any more.`, { details: { id } });
  }

  /** Take part from now on; answers the place behind which the listener is told everything. */
  async #join(listener: Listener): Promise<LogPlace> {
    for (;;) {
      const isFirst = this.#place === null;
      const place = (this.#place ??= readLogEnd(this.#db.sql));
      try {
        const start = await place;
        // Another look may have been made meanwhile, of which this listener has heard nothing.
        if (this.#place !== place) continue;
        this.#listeners.add(listener);
        if (isFirst) void this.#poll();
        return start;
      } catch (error) {
        if (this.#place === place) this.#place = null;
        throw error;
      }
    }
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /** What a listener has missed, from the log itself. */
  async *#catchUp(
    passes: Listener["passes"],
    from: LogPlace,
    { upTo, signal }: { readonly upTo: LogPlace; readonly signal: AbortSignal },
  ): AsyncGenerator<readonly LoggedEvent[], void, void> {
    for (let place = from; !signal.aborted && !this.#closing.signal.aborted;) {
      const read = await readLog(this.#db.sql, place, BATCH);
      const missed = read.events.filter((event) => !isBehind(event, upTo));
      const told = missed.filter(passes);
      for (let start = 0; start < told.length; start += MESSAGE_MAX) yield told.slice(start, start + MESSAGE_MAX);
      if (read.events.length < BATCH || missed.length < read.events.length) return;
      place = read.place;
    }
  }

  /** Look at the log as long as somebody listens. */
  async #poll(): Promise<void> {
    let isDown = false;
    while (this.#listeners.size > 0 && !this.#closing.signal.aborted) {
      await delay(POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
      try {
        while (this.#listeners.size > 0 && (await this.#look()) === BATCH);
        isDown = false;
      } catch (error) {
        // Listeners are told what they missed when the database is back.
        if (!isDown) this.#log.warn({ event: "feed.failed", err: error }, "the log of events could not be read");
        isDown = true;
      }
    }
    this.#place = null;
  }

  async #look(): Promise<number> {
    const place = await this.#place;
    if (place === null) return 0;
    const { events, place: next } = await readLog(this.#db.sql, place, BATCH);
    this.#place = Promise.resolve(next);
    for (const listener of this.#listeners) {
      for (const event of events) if (listener.passes(event)) listener.waiting.push(event);
      if (listener.waiting.length > BUFFER_MAX) {
        listener.isCut = true;
        listener.waiting = [];
        this.#listeners.delete(listener);
      }
      if (listener.isCut || listener.waiting.length > 0) listener.wake();
    }
    return events.length;
  }
}

function isDone(listener: Listener, ...signals: readonly AbortSignal[]): boolean {
  return listener.isCut || listener.waiting.length > 0 || signals.some((signal) => signal.aborted);
}

function cut(why: string): DispatcherError {
  return new DispatcherError("STREAM_CUT", why);
}
