import { expect, onTestFinished, test } from "vitest";
import { startTestDispatcher } from "../../../test/support/test-dispatcher.ts";
import { readFleet } from "./nodes.ts";

const resting = { verifiedCopies: 10, ageMs: 7 * 86_400_000, fleetMin: 20 };

async function startWithTwo() {
  const dispatcher = await startTestDispatcher();
  onTestFinished(() => dispatcher[Symbol.asyncDispose]());
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  const { sql } = dispatcher;
  await sql`update nodes set offered_bytes = 1000, margin_bytes = 100, free_bytes = 5000, rate_bytes_per_s = 9
             where id = ${ada.nodeId}`;
  await sql`update nodes set offered_bytes = 9000, margin_bytes = 100, free_bytes = 3000, rate_bytes_per_s = 5
             where id = ${ben.nodeId}`;
  const quickNodes = async (rule = resting) =>
    (await readFleet(sql, rule)).quickNodes.map(({ rateBytesPerS, roomBytes }) => [rateBytesPerS, roomBytes]);
  return { sql, ben, quickNodes };
}

test("the quick nodes come with the room that both ledger and disk leave them", async () => {
  const { quickNodes } = await startWithTwo();
  expect(await quickNodes()).toEqual([
    [9, 900],
    [5, 2900],
  ]);
});

test("nodes that are gone, or whose rate nobody knows, are not among them", async () => {
  const { sql, ben, quickNodes } = await startWithTwo();
  await sql`update nodes set life = 'offline' where id <> ${ben.nodeId}`;
  expect(await quickNodes()).toEqual([[5, 2900]]);
  await sql`update nodes set rate_bytes_per_s = null where id = ${ben.nodeId}`;
  expect(await quickNodes()).toEqual([]);
});

test("nor are nodes on trial, unless the trial rests", async () => {
  const { sql, ben, quickNodes } = await startWithTwo();
  const rule = { ...resting, fleetMin: 1 };
  expect(await quickNodes(rule)).toHaveLength(2);
  await sql`update nodes set verified_copies = 10, created_at = now() - interval '8 days' where id = ${ben.nodeId}`;
  expect(await quickNodes(rule)).toEqual([[5, 2900]]);
});
