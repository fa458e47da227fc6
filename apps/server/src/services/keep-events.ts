import { addEventDay, dropEventDay, readEventDays, shiftDay } from "../db/queries/events.ts";
import type { Dependencies } from "./dependencies.ts";

/** Tables of days are made so long ahead: a service whose sweeps stop for less than that never writes into the rest. */
const DAYS_AHEAD = 7;

/**
 * See to the tables of the event log: one for each day of the week to come, none that is older than what is kept. Answers 0,
 * as there is never more to do at once.
 */
export async function keepEvents({ db, config, log }: Dependencies): Promise<number> {
  const { today, days } = await readEventDays(db.sql);
  const known = new Set(days);
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead += 1) {
    const day = shiftDay(today, ahead);
    if (!known.has(day)) await db.transaction((sql) => addEventDay(sql, day));
  }
  const oldest = shiftDay(today, -config.DISPATCHER_EVENTS_DAYS);
  for (const day of days.filter((one) => one < oldest).toSorted()) {
    await db.transaction((sql) => dropEventDay(sql, day));
    log.info({ event: "events.dropped", day }, `the events of ${day} are past their time`);
  }
  return 0;
}
