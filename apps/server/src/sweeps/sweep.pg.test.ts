import { waitFor } from "@dispatcher/testbed";
import { pino } from "pino";
import { expect, test } from "vitest";
import { startTestDispatcher } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../test/support/test-dispatcher.ts";
import { holdSweeping } from "../db/queries/service-state.ts";
import { runSweeps } from "./sweep.ts";

/** A server that sweeps, as far as its log tells; stopped when it is disposed. */
function startSweeping({ dependencies }: TestDispatcher) {
  const stop = new AbortController();
  const events: string[] = [];
  const log = pino(
    { level: "info" },
    { write: (line: string) => void events.push((JSON.parse(line) as { event: string }).event) },
  );
  const running = runSweeps({ ...dependencies, log }, stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { events, end, [Symbol.asyncDispose]: end };
}

const sweeperOf = async ({ sql }: TestDispatcher): Promise<string | null> => {
  const [row] = await sql<{ sweeper: string | null }[]>`
    select sweeper from service_state where sweeper_until > now()`;
  return row?.sweeper ?? null;
};

const FAST = { DISPATCHER_SWEEP_INTERVAL_MS: "100" };
const OTHER = "00000000-0000-4000-8000-000000000001";

test("of two servers one sweeps, and when it stops in order the other does at once", async () => {
  await using dispatcher = await startTestDispatcher(FAST);
  await using first = startSweeping(dispatcher);
  const firstId = await waitFor("a sweeper", () => sweeperOf(dispatcher));
  await using second = startSweeping(dispatcher);
  await first.end();
  await waitFor("the other one", async () => {
    const sweeper = await sweeperOf(dispatcher);
    return sweeper !== null && sweeper !== firstId;
  });
  expect(first.events).toEqual(["sweeper.began"]);
  expect(second.events).toEqual(["sweeper.began"]);
});

test("while another server holds the lease nothing is swept; when that has run out, it is", async () => {
  await using dispatcher = await startTestDispatcher(FAST);
  await dispatcher.addAssets(1);
  const ada = await dispatcher.join("ada");
  await ada.claim();
  await dispatcher.endLeases();
  expect(await holdSweeping(dispatcher.sql, { serverId: OTHER, leaseMs: 600_000 })).toBe(true);
  await using server = startSweeping(dispatcher);
  const openLeases = async (): Promise<number> => {
    const [row] = await dispatcher.sql<[{ count: number }]>`
      select count(*) from assignments where lease_expires_at is not null`;
    return row.count;
  };
  await waitFor("the server to have looked", async () => {
    const [row] = await dispatcher.sql<[{ hasLooked: boolean }]>`
      select mercy_until <= now() and alive_at > '-infinity' as "hasLooked" from service_state`;
    return row.hasLooked;
  });
  expect([await sweeperOf(dispatcher), await openLeases(), server.events]).toEqual([OTHER, 1, []]);

  // The other one died: what it held runs out.
  await dispatcher.sql`update service_state set sweeper_until = now()`;
  await waitFor("the lease to be reclaimed", async () => (await openLeases()) === 0);
  expect(server.events[0]).toBe("sweeper.began");
});

test("a sweeper that is told it is none any more stops between two batches", async () => {
  await using dispatcher = await startTestDispatcher(FAST);
  expect(await holdSweeping(dispatcher.sql, { serverId: OTHER, leaseMs: 0 })).toBe(true);
  await using server = startSweeping(dispatcher);
  await waitFor("it to sweep", () => server.events.includes("sweeper.began"));
  await dispatcher.sql`update service_state set sweeper = ${OTHER}, sweeper_until = now() + interval '1 hour'`;
  await waitFor("it to notice", () => server.events.includes("sweeper.lost"));
  expect(await sweeperOf(dispatcher)).toBe(OTHER);
});
