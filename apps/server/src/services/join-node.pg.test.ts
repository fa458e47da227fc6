import { expect, onTestFinished, test } from "vitest";
import { startTestDispatcher } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../test/support/test-dispatcher.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

async function start(env: Readonly<Record<string, string>> = {}): Promise<TestDispatcher> {
  const dispatcher = await startTestDispatcher(env);
  onTestFinished(() => dispatcher[Symbol.asyncDispose]());
  return dispatcher;
}

const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };

test("a token lets in as many nodes as it has uses, and each gets a key of its own", async () => {
  const { services } = await start();
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 2, lifeMs: 60_000 }, ADMIN_COMMAND);
  const one = await services.joinNode({ joinToken, name: "one", ...facts }, null);
  const two = await services.joinNode({ joinToken, name: "two", ...facts }, null);
  expect(one.key).not.toBe(two.key);
  expect(one.operator).toBe("ada");
  await expect(services.joinNode({ joinToken, name: "three", ...facts }, null)).rejects.toMatchObject({
    code: "JOIN_TOKEN_INVALID",
  });
  expect(await services.authenticate(one.key)).toMatchObject({ kind: "node", nodeId: one.nodeId });
});

test("a last use that two nodes take at once lets one in", async () => {
  const { services } = await start();
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const outcomes = await Promise.allSettled(
    ["one", "two", "three"].map((name) => services.joinNode({ joinToken, name, ...facts }, null)),
  );
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

test("a name that is taken costs no use of the token", async () => {
  const { services } = await start();
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 2, lifeMs: 60_000 }, ADMIN_COMMAND);
  await services.joinNode({ joinToken, name: "one", ...facts }, null);
  await expect(services.joinNode({ joinToken, name: "one", ...facts }, null)).rejects.toMatchObject({
    code: "NODE_NAME_TAKEN",
  });
  await services.joinNode({ joinToken, name: "two", ...facts }, null);
});

test("a token past its time lets nobody in", async () => {
  const { services, sql } = await start();
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 2, lifeMs: 60_000 }, ADMIN_COMMAND);
  await sql`update join_tokens set expires_at = now()`;
  await expect(services.joinNode({ joinToken, name: "one", ...facts }, null)).rejects.toMatchObject({
    code: "JOIN_TOKEN_INVALID",
  });
});

test("a margin above the offer is refused with what is missing", async () => {
  const { services } = await start();
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  await expect(services.joinNode({ joinToken, name: "one", ...facts, marginBytes: 1001 }, null)).rejects.toMatchObject({
    code: "LEDGER_EXCEEDED",
    details: { missingBytes: 1 },
  });
});

test("neither keys nor tokens are in the database, only their hashes", async () => {
  const { services, sql } = await start();
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const { key } = await services.joinNode({ joinToken, name: "one", ...facts }, null);
  const rows =
    await sql`select row_to_json(n)::text as text from nodes n union all select row_to_json(t)::text from join_tokens t`;
  const everything = JSON.stringify(rows);
  expect(everything).not.toContain(key);
  expect(everything).not.toContain(joinToken);
});

test("an unknown key is refused, no key is anyone, the admin key is an administrator", async () => {
  const { services } = await start({ DISPATCHER_ADMIN_KEY: "correct-horse-battery" });
  expect(await services.authenticate(null)).toEqual({ kind: "anyone" });
  expect(await services.authenticate("correct-horse-battery")).toEqual({
    kind: "admin",
    who: "DISPATCHER_ADMIN_KEY",
  });
  await expect(services.authenticate("correct-horse-batterz")).rejects.toMatchObject({ code: "KEY_INVALID" });
});
