import { findLogPlace, readLog } from "../db/queries/event-log.ts";
import type { LogPlace } from "../db/queries/event-log.ts";
import { addToHours, lockCountedUpTo } from "../db/queries/stats.ts";
import type { Dependencies } from "./dependencies.ts";

/** Before everything: the log begins somewhere behind it. */
const BEGINNING: LogPlace = { xid: "0", id: 0, atMs: 0 };

/**
 * Add up to `limit` events of the log to the hours in which they happened. The place in the log moves in the same transaction, so
 * that each event is counted once, whoever dies and however many servers sweep. Answers how many events were read.
 */
export async function countHours({ db }: Dependencies, limit: number): Promise<number> {
  return db.transaction(async (sql) => {
    const upTo = await lockCountedUpTo(sql);
    // One that is not kept any more was older than all that are.
    const place = upTo === null ? BEGINNING : ((await findLogPlace(sql, upTo)) ?? BEGINNING);
    const { events } = await readLog(sql, place, limit);
    const last = events.at(-1);
    if (last === undefined) return 0;
    await addToHours(sql, events, last.id);
    return events.length;
  });
}
