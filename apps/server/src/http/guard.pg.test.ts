import { expect, onTestFinished, test } from "vitest";
import { codeOf, post, startApp } from "../../test/support/test-app.ts";
import type { TestApp } from "../../test/support/test-app.ts";
import { createTestDatabase } from "../../test/support/test-database.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";

const ADMIN_KEY = "an-admin-key-for-tests";
const FACTS = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };
const SYNC = { ...FACTS, freeBytes: 1000, wants: 0, open: [], finished: [], failed: [], released: [] };

async function startWith(env: Readonly<Record<string, string>>): Promise<TestApp & { readonly nodeKey: string }> {
  const database = await createTestDatabase();
  onTestFinished(() => database[Symbol.asyncDispose]());
  const started = await startApp({ DISPATCHER_ADMIN_KEY: ADMIN_KEY, ...env }, database.url);
  const { services } = started.app;
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const { key } = await services.joinNode({ joinToken, name: "one", ...FACTS }, null);
  return { ...started, nodeKey: key };
}

test("a key that was good has a limit of its own, beside that of its address", async () => {
  const { url, nodeKey } = await startWith({ DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  const read = (key?: string) =>
    fetch(`${url}/trpc/asset.list`, key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } });
  expect((await post(url, "node.sync", SYNC, nodeKey)).status).toBe(200);
  expect((await read()).status).toBe(200);
  expect((await read()).status).toBe(429);
  expect((await read(nodeKey)).status).toBe(200);
  expect((await read(nodeKey)).status).toBe(429);
  expect((await read("dsp_node_made_up")).status).toBe(429);
});

test("reports are taken however many there are, while what changes something else is not", async () => {
  const { url, nodeKey } = await startWith({ DISPATCHER_RATE_WRITES_PER_MINUTE: "1" });
  for (let call = 0; call < 20; call += 1) {
    expect((await post(url, "node.sync", SYNC, nodeKey)).status).toBe(200);
  }
  expect((await post(url, "token.create", { operator: "ben" }, ADMIN_KEY)).status).toBe(200);
  expect((await post(url, "token.create", { operator: "ben" }, ADMIN_KEY)).status).toBe(200);
  const refused = await post(url, "token.create", { operator: "ben" }, ADMIN_KEY);
  expect(refused.status).toBe(429);
  expect(await codeOf(refused)).toBe("RATE_LIMITED");
});

test("an address that guesses keys is stopped, and a node behind it goes on", async () => {
  const { url, nodeKey } = await startWith({ DISPATCHER_RATE_JOINS_PER_MINUTE: "2" });
  expect((await post(url, "node.sync", SYNC, nodeKey)).status).toBe(200);
  const guesses: number[] = [];
  for (let guess = 0; guess < 4; guess += 1) {
    guesses.push((await post(url, "node.sync", SYNC, `dsp_node_guess_${guess}`)).status);
  }
  expect(guesses).toEqual([401, 401, 429, 429]);
  expect((await post(url, "node.sync", SYNC, nodeKey)).status).toBe(200);
});

test("what an administrator changes is in the log at INFO, with who and what; what he reads is not", async () => {
  const { url, lines } = await startWith({});
  await post(url, "token.create", { operator: "ben" }, ADMIN_KEY);
  await fetch(`${url}/trpc/node.list`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  const acts = (): readonly unknown[] =>
    lines
      .map((line) => JSON.parse(line) as { level: number; event: string })
      .filter(({ level, event }) => level === 30 && event === "admin.act");
  await expect.poll(acts, { timeout: 30_000 }).toHaveLength(1);
  expect(acts()).toMatchObject([{ path: "/trpc/token.create", status: 200, actor: "admin", address: "127.0.0.1" }]);
});
