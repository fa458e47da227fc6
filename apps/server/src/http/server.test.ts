import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { dial, readAll, startApp } from "../../test/support/test-app.ts";
import type { TestApp } from "../../test/support/test-app.ts";
import { LISTENERS } from "./listeners.ts";

const HOST = "127.0.0.1";
const ASK = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** Listens as `pnpm start` does. */
function startListening(env: Readonly<Record<string, string>> = {}): Promise<TestApp> {
  return startApp(env, { listen: (app) => app.listen({ host: HOST, port: 0, backlog: 1024 }) });
}

function callersOf(port: number, count: number): readonly Socket[] {
  const callers = Array.from({ length: count }, () => connect({ host: HOST, port }).on("error", () => {}));
  onTestFinished(() => callers.forEach((caller) => caller.destroy()));
  return callers;
}

test.runIf(LISTENERS > 1)("many who come at once are taken in a few turns of the loop", async () => {
  const { app, port } = await startListening();
  const callers = callersOf(port, 64);
  let turns = 0;
  for (; app.connections() < callers.length; turns += 1) await new Promise(setImmediate);
  expect(turns).toBeLessThan(callers.length / 2);
});

test("connections are limited in all, whichever socket took them", async () => {
  const { app, port } = await startListening({ DISPATCHER_CONNECTIONS_MAX: "8" });
  const callers = callersOf(port, 40);
  await vi.waitUntil(() => callers.filter(({ closed }) => closed).length === 32, { timeout: 30_000 });
  expect(app.connections()).toBe(8);
});

test("what is no HTTP is answered by every socket as a problem", async () => {
  const { port } = await startListening();
  const answers = await Promise.all(Array.from({ length: 32 }, () => readAll(dial(port, "HELLO\r\n\r\n"))));
  for (const answer of answers) expect(answer).toContain('"code":"INPUT_INVALID"');
});

test("two servers are not given one port", async () => {
  const first = await startListening();
  const second = startApp({}, { listen: (app) => app.listen({ host: HOST, port: first.port }) });
  await expect(second).rejects.toMatchObject({ code: "EADDRINUSE" });
});

test("a server that stops answers what is under way, and then nobody, by whichever socket they came", async () => {
  const { app, url, port } = await startListening();
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  app.services.readOverview = () => over.promise;
  const asked = Array.from({ length: 32 }, () => fetch(`${url}/trpc/stats.overview`));
  await vi.waitUntil(() => app.load.requests === asked.length, { timeout: 30_000 });
  const idle = dial(port, ASK);
  await once(idle, "data");
  // Until then it is in the middle of an answer.
  await vi.waitUntil(() => app.load.requests === asked.length, { timeout: 30_000 });
  const closed = app.http.close();
  await once(idle, "end");
  await expect(once(connect({ host: HOST, port }), "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  over.reject(new Error("Over."));
  expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(asked.map(() => 500));
  await closed;
  await vi.waitUntil(() => app.connections() === 0, { timeout: 30_000 });
});

test("those who wait too long can be cut off, by whichever socket they came", async () => {
  const { app, url } = await startListening();
  app.services.readOverview = () => new Promise(() => {});
  const asked = Promise.allSettled(Array.from({ length: 32 }, () => fetch(`${url}/trpc/stats.overview`)));
  await vi.waitUntil(() => app.load.requests === 32, { timeout: 30_000 });
  app.closeConnections();
  expect((await asked).every(({ status }) => status === "rejected")).toBe(true);
});
