import { pino } from "pino";
import { expect, inject, onTestFinished, test } from "vitest";
import { createTestDatabase } from "../test/support/test-database.ts";
import { createApp } from "./app.ts";
import type { App } from "./app.ts";
import { readConfig } from "./config.ts";
import { openDatabase } from "./db/database.ts";
import { ADMIN_COMMAND } from "./services/authenticate.ts";
import { sweepOnce } from "./sweeps/sweep.ts";

const ADMIN_KEY = "an-admin-key-for-tests";

/** The server's doors over a database of their own, on a real port. */
async function listen(
  databaseUrl?: string,
): Promise<{ readonly url: string; readonly app: App; readonly lines: string[] }> {
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => lines.push(line) });
  const database = databaseUrl === undefined ? await createTestDatabase() : null;
  const db = openDatabase({ url: databaseUrl ?? database?.url ?? "", applicationName: "test", poolSize: 4, log });
  const app = createApp(readConfig({ DISPATCHER_ADMIN_KEY: ADMIN_KEY, DISPATCHER_LOOP_DELAY_MAX_MS: "0" }), db, log);
  const url = await app.http.listen({ host: "127.0.0.1", port: 0 });
  onTestFinished(async () => {
    await app.http.close();
    await db.close();
    await database?.[Symbol.asyncDispose]();
  });
  return { url, app, lines };
}

type Body = {
  readonly error: {
    readonly json: { readonly message: string; readonly data: { readonly dispatcher: { readonly code: string } } };
  };
};

async function mutate(
  url: string,
  path: string,
  input: unknown,
  key?: string,
): Promise<{ readonly status: number; readonly body: Body }> {
  const headers = {
    "content-type": "application/json",
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  const body = typeof input === "string" ? input : JSON.stringify({ json: input });
  const response = await fetch(`${url}/trpc/${path}`, { method: "POST", headers, body });
  return { status: response.status, body: (await response.json()) as Body };
}

function codeOf(body: Body): string {
  return body.error.json.data.dispatcher.code;
}

test("GET / greets byte for byte", async () => {
  const { url } = await listen();
  const response = await fetch(`${url}/`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(Buffer.from(await response.arrayBuffer())).toEqual(Buffer.from('"Hello rescuer 👋"'));
});

test("GET /health is 200 with a database and 503 without one", async () => {
  const { url, app: swept } = await listen();
  await sweepOnce(swept.dependencies);
  const up = await fetch(`${url}/health`);
  expect(up.status).toBe(200);
  expect(await up.json()).toMatchObject({
    status: "ok",
    database: { status: "ok", message: null },
    migrations: { status: "ok", newest: expect.stringMatching(/^\d{4}_/) },
    sweeps: { status: "ok", sweptMsAgo: expect.any(Number) },
    view: { candidates: 0, queues: 0, ageMs: null },
  });

  const { url: lonely } = await listen("postgres://nobody@127.0.0.1:1/nothing");
  const down = await fetch(`${lonely}/health`);
  expect(down.status).toBe(503);
  expect(await down.json()).toMatchObject({ status: "unavailable", database: { status: "unavailable" } });
  expect((await fetch(`${lonely}/health/ready`)).status).toBe(503);
  const live = await fetch(`${lonely}/health/live`);
  expect(live.status).toBe(200);
  expect(await live.json()).toMatchObject({ status: "ok" });
});

test("where the database is, and why it is away, is for the log and not for strangers", async () => {
  const { url, lines } = await listen("postgres://nobody@127.0.0.1:1/nothing");
  for (const path of ["health", "trpc/system.health", "trpc/stats.overview"]) {
    lines.length = 0;
    const body = await (await fetch(`${url}/${path}`)).text();
    expect(body, path).toContain("PostgreSQL is not available.");
    expect(body, path).not.toMatch(/127\.0\.0\.1|:1\b|ECONNREFUSED|nobody|nothing/);
    expect(lines.join(""), path).toContain("PostgreSQL at 127.0.0.1:1 is not available: connect ECONNREFUSED");
  }
});

test("a database that refuses the login does not tell strangers where it is, nor as whom", async () => {
  const wrong = new URL(inject("postgresUrl"));
  wrong.password = "wrong";
  const { url, lines } = await listen(wrong.href);
  for (const path of ["health", "trpc/stats.overview"]) {
    const body = await (await fetch(`${url}/${path}`)).text();
    expect(body, path).not.toContain(wrong.host);
    expect(body, path).not.toContain("password");
  }
  expect(lines.join("")).toContain(`PostgreSQL at ${wrong.host} refuses the login`);
});

test("a path that is not there is a problem with a code", async () => {
  const { url } = await listen();
  const response = await fetch(`${url}/nowhere?secret=1`);
  expect(response.status).toBe(404);
  expect(response.headers.get("content-type")).toContain("application/problem+json");
  expect(await response.json()).toMatchObject({ status: 404, code: "PROCEDURE_UNKNOWN" });
});

test("who may call what", async () => {
  const { url, app } = await listen();
  const { joinToken } = await app.services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };
  const { key } = await app.services.joinNode({ joinToken, name: "one", ...facts }, null);
  const sync = { ...facts, freeBytes: 1000, wants: 0, open: [], finished: [], failed: [], released: [] };
  const none = { dataset: { key: "d", title: null, sourceUrl: null }, entries: [] };
  const token = { operator: "ben" };

  const calls: readonly (readonly [path: string, input: unknown, key?: string])[] = [
    ["node.sync", sync],
    ["node.sync", sync, "dsp_node_unknown"],
    ["node.sync", sync, ADMIN_KEY],
    ["node.sync", sync, key],
    ["asset.import", none],
    ["asset.import", none, key],
    ["asset.import", none, ADMIN_KEY],
    ["token.create", token, key],
    ["token.create", token, ADMIN_KEY],
  ];
  const outcomes = await Promise.all(
    calls.map(async ([path, ...rest]) => {
      const { status, body } = await mutate(url, path, ...rest);
      return `${path} ${status} ${status === 200 ? "ok" : codeOf(body)}`;
    }),
  );
  expect(outcomes).toEqual([
    "node.sync 401 KEY_MISSING",
    "node.sync 401 KEY_INVALID",
    "node.sync 403 FORBIDDEN",
    "node.sync 200 ok",
    "asset.import 401 KEY_MISSING",
    "asset.import 403 FORBIDDEN",
    "asset.import 200 ok",
    "token.create 403 FORBIDDEN",
    "token.create 200 ok",
  ]);
});

test("bad input names the field and shows no stack", async () => {
  const { url } = await listen();
  const join = await mutate(url, "node.join", {
    joinToken: "x",
    name: "n",
    offeredBytes: -1,
    marginBytes: 0,
    schemes: [],
    agentVersion: "1.0.0",
  });
  expect(join.status).toBe(400);
  expect(codeOf(join.body)).toBe("INPUT_INVALID");
  expect(join.body.error.json.message).toContain("offeredBytes");
  expect(JSON.stringify(join.body)).not.toContain("stack");

  const garbage = await mutate(url, "node.join", "{not json");
  expect(garbage.status).toBe(400);
  expect(codeOf(garbage.body)).toBe("INPUT_INVALID");

  const unknown = await mutate(url, "node.explode", {});
  expect(unknown.status).toBe(404);
  expect(codeOf(unknown.body)).toBe("PROCEDURE_UNKNOWN");
});

test("a database that is away is said as such, with 503", async () => {
  const { url } = await listen("postgres://nobody@127.0.0.1:1/nothing");
  const { status, body } = await mutate(url, "node.join", {
    joinToken: "x",
    name: "n",
    offeredBytes: 1,
    marginBytes: 0,
    schemes: [],
    agentVersion: "1.0.0",
  });
  expect(status).toBe(503);
  expect(codeOf(body)).toBe("DATABASE_UNAVAILABLE");
});

test("a bug is told without detail and logged with its cause", async () => {
  const { url, app, lines } = await listen();
  app.services.readOverview = () => Promise.reject(new Error("the secret inside"));
  const response = await fetch(`${url}/trpc/stats.overview`);
  expect(response.status).toBe(500);
  const body = await response.text();
  expect(body).not.toContain("the secret inside");
  expect(body).toContain("INTERNAL");
  expect(lines.join("")).toContain("the secret inside");
});

test("an id beyond what a database holds is bad input, and text that it cannot store is mended", async () => {
  const { url, app } = await listen();
  const input = encodeURIComponent(JSON.stringify({ json: { id: "9999999999999999999" } }));
  const beyond = await fetch(`${url}/trpc/asset.get?input=${input}`);
  expect(beyond.status).toBe(400);

  const { joinToken } = await app.services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };
  const { key } = await app.services.joinNode({ joinToken, name: "one", ...facts }, null);
  const failed = [{ assignmentId: "1", term: 1, code: "STALLED", message: "half \ud800 and nul \0" }];
  const sync = { ...facts, freeBytes: 1000, wants: 0, open: [], finished: [], failed, released: [] };
  expect((await mutate(url, "node.sync", sync, key)).status).toBe(200);
});

test("a stop answers the calls that are under way", async () => {
  const { url, app } = await listen();
  const asked = Promise.withResolvers<void>();
  const health = Promise.withResolvers<Awaited<ReturnType<typeof app.services.checkHealth>>>();
  app.services.checkHealth = () => {
    asked.resolve();
    return health.promise;
  };
  const call = fetch(`${url}/health`);
  await asked.promise;
  const closed = app.http.close();
  health.resolve({
    status: "ok",
    version: "0",
    database: { status: "ok", message: null },
    migrations: { status: "ok", newest: null },
    sweeps: { status: "ok", sweptMsAgo: 0 },
    view: { candidates: 0, queues: 0, ageMs: null },
  });
  expect((await call).status).toBe(200);
  await closed;
});
