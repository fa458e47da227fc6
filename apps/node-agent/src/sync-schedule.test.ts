import { expect, test } from "vitest";
import { SyncSchedule } from "./sync-schedule.ts";

const NEXT = { nextSyncMs: 60_000, retryAfterMs: null };

function aSchedule(random = 1): SyncSchedule {
  return new SyncSchedule(1000, () => random);
}

test("the first sync is due at once, the following when the server says", () => {
  const schedule = aSchedule();
  expect(schedule.dueAtMs).toBe(1000);
  schedule.answered(1500, NEXT);
  expect(schedule.dueAtMs).toBe(61_500);
});

test("news is told a moment later, and more news does not put it off", () => {
  const schedule = aSchedule();
  schedule.answered(1000, NEXT);
  schedule.hasNews(5000);
  schedule.hasNews(5050);
  expect(schedule.dueAtMs).toBe(5100);
});

test("news just before a sync is due does not put it off", () => {
  const schedule = aSchedule();
  schedule.answered(1000, NEXT);
  schedule.hasNews(60_990);
  expect(schedule.dueAtMs).toBe(61_000);
});

test("two syncs are never less than 200 ms apart", () => {
  const schedule = aSchedule();
  schedule.answered(1000, { nextSyncMs: 0, retryAfterMs: 0 });
  expect(schedule.dueAtMs).toBe(1200);
  schedule.hasNews(1010);
  expect(schedule.dueAtMs).toBe(1200);
  const withoutLuck = aSchedule(0);
  withoutLuck.failed(1000);
  expect(withoutLuck.dueAtMs).toBe(1200);
});

test("a node with room asks again when the refusal says, if that is sooner", () => {
  const schedule = aSchedule();
  schedule.answered(1000, { nextSyncMs: 60_000, retryAfterMs: 3000 });
  expect(schedule.dueAtMs).toBe(4000);
  schedule.answered(4000, { nextSyncMs: 1000, retryAfterMs: 3000 });
  expect(schedule.dueAtMs).toBe(5000);
});

test("failures double the pause up to a minute, jittered down to nothing", () => {
  const schedule = aSchedule();
  const pauses = Array.from({ length: 9 }, () => {
    schedule.failed(0);
    return schedule.dueAtMs;
  });
  expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  const lucky = aSchedule(0.5);
  lucky.failed(0);
  expect(lucky.dueAtMs).toBe(500);
});

test("news does not hurry a server that is away, and an answer ends the backoff", () => {
  const schedule = aSchedule();
  schedule.failed(1000);
  schedule.failed(2000);
  schedule.hasNews(2001);
  expect(schedule.dueAtMs).toBe(4000);
  schedule.answered(4000, NEXT);
  schedule.hasNews(5000);
  expect(schedule.dueAtMs).toBe(5100);
  schedule.failed(5100);
  expect(schedule.dueAtMs).toBe(6100);
});
