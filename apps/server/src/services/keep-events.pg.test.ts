import { expect, onTestFinished, test } from "vitest";
import { startTestDispatcher } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../test/support/test-dispatcher.ts";
import { addEventDay, appendEvents, dropEventDay, readEventDays } from "../db/queries/events.ts";
import { keepEvents } from "./keep-events.ts";

async function start(env: Readonly<Record<string, string>> = {}): Promise<TestDispatcher> {
  const dispatcher = await startTestDispatcher(env);
  onTestFinished(() => dispatcher[Symbol.asyncDispose]());
  return dispatcher;
}

const EVENT = { kind: "assets.renewed", actor: "server" } as const;

test("a week of days stands ready after the first migration, and each event lies in its own", async () => {
  const { sql } = await start();
  const { today, days } = await readEventDays(sql);
  expect(days).toHaveLength(8);
  await appendEvents(sql, [EVENT]);
  const rows = await sql<{ table: string }[]>`select tableoid::regclass::text as table from events`;
  expect(rows).toEqual([{ table: `events_${today}` }]);
});

test("a day that is missing is made, and takes over what fell beside it", async () => {
  const { sql, dependencies } = await start();
  const { today } = await readEventDays(sql);
  await dropEventDay(sql, today);
  const [id] = await appendEvents(sql, [EVENT]);
  await keepEvents(dependencies);
  const rows = await sql<{ id: number; table: string }[]>`select id, tableoid::regclass::text as table from events`;
  expect(rows).toEqual([{ id, table: `events_${today}` }]);
  expect((await readEventDays(sql)).days).toHaveLength(8);
});

test("days past their time are dropped, others stay", async () => {
  const { sql, dependencies } = await start({ DISPATCHER_EVENTS_DAYS: "30" });
  for (const day of ["20200101", "20200102"]) await addEventDay(sql, day);
  await keepEvents(dependencies);
  await keepEvents(dependencies);
  const { days } = await readEventDays(sql);
  expect(days).toHaveLength(8);
});

test("what is no day never becomes part of a statement", async () => {
  const { sql } = await start();
  await expect(dropEventDay(sql, "default; drop table events")).rejects.toThrow("is no day");
});
