import { expect, onTestFinished, test, vi } from "vitest";
import { startTestDispatcher } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../test/support/test-dispatcher.ts";
import type { Sql } from "../db/database.ts";
import { findCallers } from "../db/queries/keys.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { createServices } from "./index.ts";
import { KeyUse } from "./key-use.ts";
import { makeFirstAdminKey } from "./make-first-admin-key.ts";
import type { Manager } from "./rights.ts";

const MINUTE_MS = 60_000;
const FACTS = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };

const ENTRY = {
  place: "1",
  path: "f",
  url: "https://origin.example/f",
  sizeBytes: 1,
  digest: null,
  mediaType: null,
  priority: null,
  removeByMs: null,
};

async function start(env: Readonly<Record<string, string>> = {}): Promise<TestDispatcher> {
  const dispatcher = await startTestDispatcher(env);
  onTestFinished(() => dispatcher[Symbol.asyncDispose]());
  return dispatcher;
}

/** A manager of ada's nodes. */
async function operatorOf({ sql }: TestDispatcher, name: string): Promise<Manager> {
  const [row] = await sql<{ id: string }[]>`select id::text as id from operators where name = ${name}`;
  if (row === undefined) throw new Error(`There is no operator ${name}.`);
  return { kind: "operator", who: `key of ${name}`, operatorId: row.id as never };
}

async function eventsOf({ sql }: TestDispatcher, kind: string) {
  return sql<{ actor: string; nodeId: number | null; detail: Record<string, unknown> }[]>`
    select actor, node_id as "nodeId", detail from events where kind = ${kind} order by id`;
}

/** The same dependencies, which count the statements that stand on their own. */
function counting(dependencies: Dependencies): { readonly counted: Dependencies; readonly statements: () => number } {
  let statements = 0;
  const sql = new Proxy(dependencies.db.sql, {
    apply(target, self, args) {
      statements += 1;
      return Reflect.apply(target, self, args) as unknown;
    },
  });
  const db = Object.create(dependencies.db, { sql: { value: sql } }) as Dependencies["db"];
  return { counted: { ...dependencies, db }, statements: () => statements };
}

test("a key opens what its role says until it is past its time", async () => {
  const { services, sql } = await start();
  const made = await services.createKey({ role: "viewer", name: "screen", lifeMs: MINUTE_MS }, ADMIN_COMMAND);
  expect(made.key).toMatch(new RegExp(`^dsp_${made.id}_[\\w-]{43}$`));
  expect(await services.authenticate(made.key)).toEqual({ kind: "viewer", who: `key ${made.id}` });
  await sql`update keys set expires_at = now() + interval '1 hour'`;
  expect(await services.authenticate(made.key)).toMatchObject({ kind: "viewer" });
  await sql`update keys set expires_at = now()`;
  await expect(services.authenticate(made.key)).rejects.toMatchObject({ code: "KEY_EXPIRED" });
});

test("a key without a life has no end", async () => {
  const { services } = await start();
  const { expiresAtMs } = await services.createKey({ role: "admin", name: "me" }, ADMIN_COMMAND);
  expect(expiresAtMs).toBeNull();
});

test("a revoked key is refused at once by every server, and revoking it again changes nothing", async () => {
  const dispatcher = await start();
  const { services, sql } = dispatcher;
  const other = createServices(dispatcher.dependencies);
  const { id, key } = await services.createKey({ role: "admin", name: "me" }, ADMIN_COMMAND);
  await other.authenticate(key);
  expect(await services.revokeKey({ id, reason: "lost laptop" }, ADMIN_COMMAND)).toEqual({ revoked: [id] });
  await expect(other.authenticate(key)).rejects.toMatchObject({ code: "KEY_REVOKED" });
  const [before] = await sql`select revoked_at from keys`;
  expect(await services.revokeKey({ id }, ADMIN_COMMAND)).toEqual({ revoked: [] });
  expect(await sql`select revoked_at from keys`).toEqual([before]);
  expect(await eventsOf(dispatcher, "key.revoked")).toEqual([
    { actor: "admin", nodeId: null, detail: { ids: [id], by: "admin command", reason: "lost laptop" } },
  ]);
});

test("who made a key, and why, is in the log of events, and nothing of its secret", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  const node = await dispatcher.join("ada");
  const ada = await operatorOf(dispatcher, "ada");
  const { id, key } = await services.createKey(
    { role: "node", name: "spare", nodeId: node.nodeId, reason: "the old one leaked" },
    ada,
  );
  const events = await eventsOf(dispatcher, "key.created");
  expect(events).toEqual([
    {
      actor: "operator",
      nodeId: Number(node.nodeId),
      detail: { id, role: "node", name: "spare", expiresAtMs: null, by: "key of ada", reason: "the old one leaked" },
    },
  ]);
  expect(dispatcher.secrets.leaks([JSON.stringify(events), key])).toEqual([key]);
});

test("neither secret nor hash of a key is in any list", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  await dispatcher.join("ada");
  await services.createKey({ role: "admin", name: "me" }, ADMIN_COMMAND);
  const lists = [
    await services.listKeys({ all: true, limit: 100 }, ADMIN_COMMAND),
    await services.listJoinTokens({ all: true, limit: 100 }, ADMIN_COMMAND),
  ];
  expect(lists).toMatchObject([{ keys: [{ name: "me" }] }, { tokens: [{ operator: "ada" }] }]);
  expect(JSON.stringify(lists)).not.toMatch(/hash|[\w-]{43}/);
  expect(dispatcher.secrets.leaks([JSON.stringify(lists)])).toEqual([]);
});

test("all keys of a node end at once, that of its join among them, and a new one lets it go on", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 2, lifeMs: MINUTE_MS }, ADMIN_COMMAND);
  const { nodeId, key } = await services.joinNode({ joinToken, name: "one", ...FACTS }, null);
  const other = await services.joinNode({ joinToken, name: "two", ...FACTS }, null);
  const spare = await services.createKey({ role: "node", name: "spare", nodeId }, ADMIN_COMMAND);
  const ada = await operatorOf(dispatcher, "ada");
  expect(await services.revokeKey({ nodeId, reason: "stolen" }, ada)).toEqual({ revoked: [spare.id] });
  await expect(services.authenticate(key)).rejects.toMatchObject({ code: "KEY_INVALID" });
  await expect(services.authenticate(spare.key)).rejects.toMatchObject({ code: "KEY_REVOKED" });
  expect(await services.authenticate(other.key)).toMatchObject({ kind: "node", nodeId: other.nodeId });
  const fresh = await services.createKey({ role: "node", name: "fresh", nodeId }, ada);
  expect(await services.authenticate(fresh.key)).toMatchObject({ kind: "node", nodeId, who: `key ${fresh.id}` });
  expect(await eventsOf(dispatcher, "key.revoked")).toEqual([
    { actor: "operator", nodeId: Number(nodeId), detail: { ids: [spare.id], by: "key of ada", reason: "stolen" } },
  ]);
});

test("an operator makes, sees and revokes what is its own, and learns nothing of the rest", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  const [mine, theirs] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  const ada = await operatorOf(dispatcher, "ada");
  const own = await services.createKey({ role: "operator", name: "ada", operator: "ada" }, ADMIN_COMMAND);
  const spare = await services.createKey({ role: "node", name: "spare", nodeId: mine.nodeId }, ada);
  const foreign = await services.createKey({ role: "node", name: "ben's", nodeId: theirs.nodeId }, ADMIN_COMMAND);
  const viewer = await services.createKey({ role: "viewer", name: "screen" }, ADMIN_COMMAND);

  const { keys } = await services.listKeys({ all: false, limit: 100 }, ada);
  expect(keys.map(({ id }) => id)).toEqual([own.id, spare.id]);
  expect((await services.listJoinTokens({ all: true, limit: 100 }, ada)).tokens).toMatchObject([{ operator: "ada" }]);
  for (const id of [foreign.id, viewer.id, "999" as typeof own.id]) {
    await expect(services.revokeKey({ id }, ada)).rejects.toMatchObject({ code: "FORBIDDEN" });
  }
  for (const nodeId of [theirs.nodeId, "999" as typeof mine.nodeId]) {
    await expect(services.revokeKey({ nodeId }, ada)).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(services.createKey({ role: "node", name: "x", nodeId }, ada)).rejects.toMatchObject({
      code: "FORBIDDEN",
    });
  }
  await expect(services.createKey({ role: "operator", name: "x", operator: "ada" }, ada)).rejects.toMatchObject({
    code: "FORBIDDEN",
  });
  expect(await services.revokeKey({ id: own.id }, ada)).toEqual({ revoked: [own.id] });
});

test("an administrator is told that there is no such key, node or token", async () => {
  const { services } = await start();
  const id = "999" as never;
  await expect(services.revokeKey({ id }, ADMIN_COMMAND)).rejects.toMatchObject({ code: "KEY_UNKNOWN" });
  await expect(services.revokeKey({ nodeId: id }, ADMIN_COMMAND)).rejects.toMatchObject({ code: "NODE_UNKNOWN" });
  await expect(services.revokeJoinToken({ id }, ADMIN_COMMAND)).rejects.toMatchObject({ code: "TOKEN_UNKNOWN" });
  await expect(services.createKey({ role: "node", name: "x", nodeId: id }, ADMIN_COMMAND)).rejects.toMatchObject({
    code: "NODE_UNKNOWN",
  });
});

test("lists come in pages, and those that are over only when asked for", async () => {
  const { services, sql } = await start();
  const ids: string[] = [];
  for (const name of ["a", "b", "c", "d"]) {
    ids.push((await services.createKey({ role: "viewer", name }, ADMIN_COMMAND)).id);
    await services.createJoinToken({ operator: name, uses: 1, lifeMs: MINUTE_MS }, ADMIN_COMMAND);
  }
  const first = await services.listKeys({ all: true, limit: 3 }, ADMIN_COMMAND);
  expect(first.keys.map(({ id }) => id)).toEqual(ids.slice(0, 3));
  const second = await services.listKeys({ all: true, limit: 3, after: first.next ?? undefined }, ADMIN_COMMAND);
  expect(second).toMatchObject({ keys: [{ id: ids[3] }], next: null });
  expect((await services.listKeys({ all: true, limit: 4 }, ADMIN_COMMAND)).next).toBeNull();

  await sql`update keys set expires_at = now() where name = 'a'`;
  await sql`update keys set revoked_at = now() where name = 'b'`;
  await sql`update join_tokens t set uses_left = 0 from operators o where o.id = t.operator_id and o.name = 'a'`;
  await sql`update join_tokens t set expires_at = now() from operators o where o.id = t.operator_id and o.name = 'b'`;
  const valid = await services.listKeys({ all: false, limit: 10 }, ADMIN_COMMAND);
  expect(valid.keys.map(({ name }) => name)).toEqual(["c", "d"]);
  const tokens = await services.listJoinTokens({ all: false, limit: 10 }, ADMIN_COMMAND);
  expect(tokens.tokens.map(({ operator }) => operator)).toEqual(["c", "d"]);
  const all = await services.listKeys({ all: true, limit: 10 }, ADMIN_COMMAND);
  expect(all.keys.map(({ state }) => state)).toEqual(["expired", "revoked", "valid", "valid"]);
  const allTokens = await services.listJoinTokens({ all: true, limit: 10 }, ADMIN_COMMAND);
  expect(allTokens.tokens.map(({ state }) => state)).toEqual(["used up", "expired", "valid", "valid"]);
});

test("uses of a token are counted with the joins, whoever comes at once", async () => {
  const { services } = await start();
  const { id, joinToken } = await services.createJoinToken(
    { operator: "ada", uses: 3, lifeMs: MINUTE_MS },
    ADMIN_COMMAND,
  );
  const joins = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) => services.joinNode({ joinToken, name: `n${index % 5}`, ...FACTS }, null)),
  );
  const joined = joins.filter(({ status }) => status === "fulfilled").length;
  expect(joined).toBe(3);
  expect((await services.listJoinTokens({ all: true, limit: 10 }, ADMIN_COMMAND)).tokens).toMatchObject([
    { id, usesLeft: 0, usesTaken: 3, state: "used up", madeBy: "admin command" },
  ]);
});

test("a revoked token lets nobody in any more, and those who came stay", async () => {
  const dispatcher = await start();
  const { services, sql } = dispatcher;
  const { id, joinToken } = await services.createJoinToken(
    { operator: "ada", uses: 3, lifeMs: MINUTE_MS },
    ADMIN_COMMAND,
  );
  const { key } = await services.joinNode({ joinToken, name: "one", ...FACTS }, null);
  expect(await services.revokeJoinToken({ id, reason: "posted in public" }, ADMIN_COMMAND)).toEqual({ revoked: [id] });
  await expect(services.joinNode({ joinToken, name: "two", ...FACTS }, null)).rejects.toMatchObject({
    code: "JOIN_TOKEN_INVALID",
  });
  expect(await services.authenticate(key)).toMatchObject({ kind: "node" });
  expect(await services.revokeJoinToken({ id }, ADMIN_COMMAND)).toEqual({ revoked: [] });
  expect(await eventsOf(dispatcher, "token.revoked")).toEqual([
    { actor: "admin", nodeId: null, detail: { id, operator: "ada", by: "admin command", reason: "posted in public" } },
  ]);
  // So that a server of before, which looks at uses and time alone, refuses it as well.
  expect(await sql`select 1 from join_tokens where expires_at <= now() and uses_left = 2`).toHaveLength(1);
});

test("an operator makes join tokens for itself, named or not, and for nobody else", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  await dispatcher.join("ada");
  const ada = await operatorOf(dispatcher, "ada");
  const rest = { uses: 1, lifeMs: MINUTE_MS };
  expect(await services.createJoinToken(rest, ada)).toMatchObject({ operator: "ada" });
  expect(await services.createJoinToken({ operator: "ada", ...rest }, ada)).toMatchObject({ operator: "ada" });
  await expect(services.createJoinToken({ operator: "ben", ...rest }, ada)).rejects.toMatchObject({
    code: "FORBIDDEN",
  });
  await expect(services.createJoinToken(rest, ADMIN_COMMAND)).rejects.toMatchObject({ code: "INPUT_INVALID" });
  const theirs = await services.createJoinToken({ operator: "ben", ...rest }, ADMIN_COMMAND);
  await expect(services.revokeJoinToken({ id: theirs.id }, ada)).rejects.toMatchObject({ code: "FORBIDDEN" });
});

test("names of nodes are for administrators, viewers and their own operator", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  await dispatcher.join("ada");
  await dispatcher.join("ben");
  const namesFor = async (reader: Actor) =>
    (await services.listNodes(null, reader)).nodes.map(({ name, operator }) => `${name} of ${operator}`);
  const ada = await operatorOf(dispatcher, "ada");
  expect(await namesFor({ kind: "anyone" })).toEqual(["null of null", "null of null"]);
  expect(await namesFor(ada)).toEqual(["ada-1 of ada", "null of null"]);
  expect(await namesFor(ADMIN_COMMAND)).toEqual(["ada-1 of ada", "ben-1 of ben"]);
  expect(await namesFor({ kind: "viewer", who: "key 1" })).toEqual(["ada-1 of ada", "ben-1 of ben"]);
});

test("callers who come at once are looked up together, whatever they carry", async () => {
  const dispatcher = await start();
  const { services } = dispatcher;
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 50, lifeMs: MINUTE_MS }, ADMIN_COMMAND);
  const nodeKeys: string[] = [];
  for (let index = 0; index < 50; index += 1) {
    nodeKeys.push((await services.joinNode({ joinToken, name: `n${index}`, ...FACTS }, null)).key);
  }
  const shared = await services.createKey({ role: "viewer", name: "screen" }, ADMIN_COMMAND);
  const { counted, statements } = counting(dispatcher.dependencies);
  const { authenticate } = createServices(counted);
  const before = statements();
  const callers = [...nodeKeys, ...Array.from({ length: 100 }, () => shared.key)];
  const actors = await Promise.all(callers.map((key) => authenticate(key)));
  expect(actors.filter(({ kind }) => kind === "node")).toHaveLength(50);
  expect(actors.filter(({ kind }) => kind === "viewer")).toHaveLength(100);
  // One for each of the two lanes.
  expect(statements() - before).toBe(2);
});

test("a look-up finds its rows by index, however many nodes and keys there are", async () => {
  const { services, sql } = await start();
  await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: MINUTE_MS }, ADMIN_COMMAND);
  await sql`
    insert into nodes (operator_id, name, key_hash, agent_version, schemes, offered_bytes, margin_bytes, quota)
    select o.id, 'n' || n, sha256(n::text::bytea), '1.0.0', '{https}', 0, 0, 2
      from operators o cross join generate_series(1, 5000) n`;
  await sql`
    insert into keys (secret_hash, role, name, node_id, made_by)
    select sha256(n.id::text::bytea), 'node', 'k', n.id, 'test' from nodes n`;
  await sql`analyze nodes, keys, operators`;
  const plans: string[] = [];
  // The very statement, explained instead of run.
  const explaining = (async (strings: TemplateStringsArray, ...values: readonly never[]) => {
    const explained = Object.assign([`explain ${strings[0]}`, ...strings.slice(1)], { raw: strings.raw });
    const rows = await sql<Record<string, string>[]>(explained, ...values);
    plans.push(rows.map((row) => row["QUERY PLAN"]).join("\n"));
    return [];
  }) as unknown as Sql;
  const hash = Buffer.alloc(32, 1);
  await findCallers(explaining, [
    { kind: "node key", hash },
    { kind: "key", id: "7" as never },
  ]);
  expect(plans).toHaveLength(1);
  expect(plans[0]).not.toMatch(/Seq Scan on (nodes|keys)/);
});

test("a key's last use is put down once a minute, in groups, behind the calls", async () => {
  const { services, sql, dependencies } = await start();
  const make = (name: string) => services.createKey({ role: "viewer", name }, ADMIN_COMMAND);
  const [first, second, third] = [await make("a"), await make("b"), await make("c")];
  const made = [first, second, third];
  const { counted, statements } = counting(dependencies);
  const use = new KeyUse(counted, 0);
  for (const { id } of [...made, ...made, ...made]) use.note(id);
  const used = async () => sql`select last_used_at as at from keys where last_used_at is not null order by id`;
  await vi.waitFor(async () => expect(await used()).toHaveLength(3));
  expect(statements()).toBe(1);

  // Another server, which has seen the same uses, changes nothing within the minute ...
  const before = await used();
  await sql`update keys set last_used_at = now() - interval '2 minutes' where id = ${second.id}`;
  use.note(first.id);
  use.note(second.id);
  await vi.waitFor(async () => expect((await used())[1]?.["at"]).toBeGreaterThanOrEqual(before[0]?.["at"] as number));
  expect((await used())[0]).toEqual(before[0]);
  expect(statements()).toBe(2);
});

test("only a use that is due is noted", async () => {
  const { services, sql } = await start();
  const { id, key } = await services.createKey({ role: "viewer", name: "a" }, ADMIN_COMMAND);
  const isDue = async () => (await findCallers(sql, [{ kind: "key", id }])).keyById.get(id)?.isUseDue;
  expect(await isDue()).toBe(true);
  await sql`update keys set last_used_at = now() - interval '30 seconds'`;
  expect(await isDue()).toBe(false);
  await sql`update keys set last_used_at = now() - interval '60 seconds'`;
  expect(await isDue()).toBe(true);
  await services.authenticate(key);
  await vi.waitFor(async () => expect(await isDue()).toBe(false), { timeout: 20_000 });
});

test("a use that cannot be put down harms nobody", async () => {
  const { secrets } = await start();
  const sql = (() => Promise.reject(new Error("gone"))) as never as Sql;
  const use = new KeyUse({ db: { sql } as Dependencies["db"], log: secrets.log }, 0);
  use.note("1" as never);
  await vi.waitFor(() => expect(secrets.lines.join("")).toContain("key.use-lost"));
});

test("of servers that start at once for the first time, one makes the admin key", async () => {
  const dispatcher = await start();
  const made = await Promise.all(Array.from({ length: 5 }, () => dispatcher.services.makeFirstAdminKey()));
  const [key, ...more] = made.filter((one) => one !== null);
  expect(more).toEqual([]);
  expect(await dispatcher.services.authenticate(key ?? "")).toMatchObject({ kind: "admin" });
  expect(await dispatcher.services.makeFirstAdminKey()).toBeNull();
  expect(await eventsOf(dispatcher, "key.created")).toMatchObject([
    { actor: "server", detail: { role: "admin", by: "first start" } },
  ]);
});

test("no admin key is made where the settings have one, or where there ever was one", async () => {
  const { services, dependencies } = await start();
  const config = { ...dependencies.config, DISPATCHER_ADMIN_KEY: "the-one-of-the-settings" };
  expect(await makeFirstAdminKey({ ...dependencies, config })).toBeNull();
  const { id } = await services.createKey({ role: "admin", name: "me" }, ADMIN_COMMAND);
  await services.revokeKey({ id }, ADMIN_COMMAND);
  expect(await services.makeFirstAdminKey()).toBeNull();
});

test("whoever imports a catalog is in the log of events", async () => {
  const dispatcher = await start();
  await dispatcher.services.importAssets(
    { dataset: { key: "d", title: null, sourceUrl: null }, entries: [ENTRY], reason: "a new source" },
    { kind: "admin", who: "jwt alice" },
  );
  expect(await eventsOf(dispatcher, "assets.imported")).toMatchObject([
    { actor: "admin", detail: { dataset: "d", by: "jwt alice", reason: "a new source" } },
  ]);
});
