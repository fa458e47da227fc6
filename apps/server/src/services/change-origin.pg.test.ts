import { expect, test } from "vitest";
import { finished, startBalanced } from "../../test/support/test-dispatcher.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";
import type { Actor } from "./authenticate.ts";

const admin: Actor = ADMIN_COMMAND;
const host = "origin.example:443";

test("a pause holds on another server at once, and what is open goes on", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(5);
  const other = dispatcher.another();
  const ada = await dispatcher.join("ada", { services: other.services });
  const [grant] = await ada.claim(1);
  if (grant === undefined) throw new Error("Nothing was granted.");
  const paused = await dispatcher.services.pauseOrigin({ host, reason: "they asked" }, { paused: true, actor: admin });
  expect(paused).toMatchObject({ host, paused: true, inUse: 1, openSlots: 0 });
  // Its view says otherwise still; the row that it locks does not.
  expect(await ada.sync({ wants: 3, finished: [finished(grant)] })).toMatchObject({
    grants: [],
    reports: [{ outcome: "accepted" }],
  });
  const resumed = await dispatcher.services.pauseOrigin({ host }, { paused: false, actor: admin });
  expect(resumed).toMatchObject({ paused: false, inUse: 0 });
  await dispatcher.services.pauseOrigin({ host }, { paused: false, actor: admin });
  await other.hearLog();
  expect(await ada.claim(1)).toHaveLength(1);
  const events = await dispatcher.sql`select kind, actor, detail from events where kind like 'origin.%' order by id`;
  expect(events).toMatchObject([
    { kind: "origin.paused", actor: "admin", detail: { host, reason: "they asked" } },
    { kind: "origin.resumed", detail: { host } },
  ]);
});

test("a budget of its own bounds what is granted, and null gives the servers' back", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(9);
  const set = (budget: { concurrencyMax: number; requestsPerMinute: number } | null) =>
    dispatcher.services.setBudget({ host, budget }, admin);
  expect(await set({ concurrencyMax: 1, requestsPerMinute: 60_000 })).toMatchObject({
    budget: { concurrencyMax: 1, isDefault: false },
    concurrency: 1,
    openSlots: 1,
  });
  const ada = await dispatcher.join("ada");
  expect(await ada.claim(2)).toHaveLength(1);
  expect(await set(null)).toMatchObject({ budget: { concurrencyMax: 10, isDefault: true }, concurrency: 10 });
  await dispatcher.hearLog();
  const { grants } = await ada.sync({ wants: 2 });
  expect(grants.length).toBeGreaterThan(1);
  await set(null);
  const events = await dispatcher.sql`select detail from events where kind = 'origin.budgeted' order by id`;
  expect(events).toMatchObject([
    { detail: { before: null, after: { concurrencyMax: 1 } } },
    { detail: { before: { concurrencyMax: 1 }, after: null } },
  ]);
});

test("origins are listed by host in pages, and an unknown one is refused", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(3, (index) => ({ url: `https://${"cab"[index]}.example/x` }));
  const first = await dispatcher.services.listOrigins({ limit: 2 });
  expect(first.origins.map((origin) => origin.host)).toEqual(["a.example:443", "b.example:443"]);
  const second = await dispatcher.services.listOrigins({ limit: 2, after: first.next ?? "" });
  expect(second).toMatchObject({ origins: [{ host: "c.example:443" }], next: null });
  await dispatcher.services.pauseOrigin({ host: "b.example:443" }, { paused: true, actor: admin });
  const { origins } = await dispatcher.services.listOrigins({ limit: 9, paused: true });
  expect(origins.map((origin) => origin.host)).toEqual(["b.example:443"]);
  expect(await dispatcher.services.getOrigin({ host: "a.example:443" })).toMatchObject({ paused: false });
  const unknown = { code: "ORIGIN_UNKNOWN", details: { origin: "no" } };
  await expect(dispatcher.services.getOrigin({ host: "no" })).rejects.toMatchObject(unknown);
  await expect(dispatcher.services.pauseOrigin({ host: "no" }, { paused: true, actor: admin })).rejects.toMatchObject(
    unknown,
  );
  await expect(dispatcher.services.listOrigins({ limit: 1, after: "bm8" })).rejects.toMatchObject({
    code: "INPUT_INVALID",
  });
});
