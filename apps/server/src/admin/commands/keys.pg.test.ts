import { expect, onTestFinished, test } from "vitest";
import { startTestDispatcher } from "../../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../../test/support/test-dispatcher.ts";
import { createCaller } from "../../router/index.ts";
import { ADMIN_COMMAND } from "../../services/authenticate.ts";
import type { Caller } from "../caller.ts";
import { createKey, revokeKey, showKeys } from "./keys.ts";
import { createToken, revokeToken, showTokens } from "./tokens.ts";

const DAY_MS = 86_400_000;

async function start(): Promise<{ readonly dispatcher: TestDispatcher; readonly caller: Caller }> {
  const dispatcher = await startTestDispatcher();
  onTestFinished(() => dispatcher[Symbol.asyncDispose]());
  const { services, secrets } = dispatcher;
  return { dispatcher, caller: createCaller({ services, log: secrets.log, actor: ADMIN_COMMAND, network: null }) };
}

test("a key is on a line of its own when it is made, and in no list", async () => {
  const { dispatcher, caller } = await start();
  const { nodeId } = await dispatcher.join("ada");
  const made = await createKey(caller, { role: "node", name: "spare", nodeId, lifeMs: 90 * DAY_MS });
  expect(made.text).toMatch(/^dsp_[0-9]+_[\w-]{43}\n\nKey [0-9]+ "spare" with the role node, for 90 d\. /);
  const endless = await createKey(caller, { role: "viewer", name: "screen" });
  expect(endless.text).toContain("without an end.");
  const { text, data } = await showKeys(caller, { all: false });
  expect(text.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
    ["id", "name", "role", "of", "state", "ends", "last used", "made by"],
    [expect.any(String), "spare", "node", "ada-1 (ada)", "valid", "90 d", "never", "admin command"],
    [expect.any(String), "screen", "viewer", "valid", "never", "never", "admin command"],
  ]);
  expect(dispatcher.secrets.leaks([text, JSON.stringify(data)])).toEqual([]);
  expect(dispatcher.secrets.leaks([made.text])).toHaveLength(1);
});

test("what is revoked is said, and is in the list of all alone", async () => {
  const { dispatcher, caller } = await start();
  const { nodeId } = await dispatcher.join("ada");
  const { id } = await caller.key.create({ role: "viewer", name: "screen" });
  expect((await revokeKey(caller, { id })).text).toBe(`Revoked: ${id}.`);
  expect((await revokeKey(caller, { id })).text).toBe("It was revoked before.");
  expect((await showKeys(caller, { all: false })).text).toContain("There is no key. Make one:");
  expect((await showKeys(caller, { all: true })).text).toContain("revoked");
  const ofNode = await caller.key.create({ role: "node", name: "spare", nodeId });
  const joinKey = `The key that node ${nodeId} joined with opens nothing any more. `;
  expect((await revokeKey(caller, { nodeId })).text).toBe(`${joinKey}Revoked: ${ofNode.id}.`);
  expect((await revokeKey(caller, { nodeId })).text).toBe(`${joinKey}No other key was valid.`);
});

test("all pages of a list are shown", async () => {
  const { dispatcher, caller } = await start();
  await dispatcher.sql`
    insert into keys (secret_hash, role, name, made_by)
    select sha256(n::text::bytea), 'viewer', 'k' || n, 'test' from generate_series(1, 1001) n`;
  const { data } = await showKeys(caller, { all: false });
  expect(data).toHaveLength(1001);
});

test("join tokens are made, listed without their secret, and revoked", async () => {
  const { dispatcher, caller } = await start();
  expect((await showTokens(caller, { all: false })).text).toContain("There is no join token. Make one:");
  const made = await createToken(caller, { operator: "ada", uses: 2, lifeMs: 7 * DAY_MS });
  expect(made.text).toMatch(/^dsp_join_[\w-]{43}\n\nJoin token [0-9]+, good for 2 node\(s\) of ada, for 7 d\.$/);
  const { text, data } = await showTokens(caller, { all: false });
  const [head, row] = text.split("\n").map((line) => line.split(/ {2,}/));
  expect(head).toEqual(["id", "operator", "state", "uses left", "joined", "ends", "made by"]);
  expect(row).toEqual([expect.any(String), "ada", "valid", "2", "0", "7 d", "admin command"]);
  expect(dispatcher.secrets.leaks([text, JSON.stringify(data)])).toEqual([]);
  const id = row?.[0] ?? "";
  expect((await revokeToken(caller, { id })).text).toBe(`Revoked: ${id}.`);
  expect((await revokeToken(caller, { id })).text).toBe("It was revoked before.");
  expect((await showTokens(caller, { all: true })).text).toMatch(/ada +revoked +2 +0 +over/);
});
