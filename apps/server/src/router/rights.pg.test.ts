/**
 * Who may call what: every procedure of the router against every kind of caller, over HTTP. A procedure without a row fails
 * the first test; what a caller is told is the code, exactly.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeId } from "@dispatcher/core";
import { SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair } from "jose";
import type { JWTPayload } from "jose";
import { expect, onTestFinished, test } from "vitest";
import { SecretWatch } from "../../test/support/secret-watch.ts";
import { createTestDatabase } from "../../test/support/test-database.ts";
import { createApp } from "../app.ts";
import { readConfig } from "../config.ts";
import type { Sql } from "../db/database.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";
import type { Services } from "../services/index.ts";
import { appRouter } from "./index.ts";

const ISSUER = "https://login.example";
const AUDIENCE = "dispatcher";
const ADMIN_KEY = "the-admin-key-of-the-settings";
const MINUTE_MS = 60_000;

/** Kinds of callers that are known; `own` and `other` operate, and `itself` and `stranger` are, the node that is named. */
type Kind = "none" | "admin" | "own" | "other" | "itself" | "stranger" | "viewer";
type Outcome = "ok" | "KEY_MISSING" | "FORBIDDEN" | "ASSIGNMENT_UNKNOWN" | "LEASE_ENDED";
type Outcomes = Readonly<Record<Kind, Outcome>>;

const EVERYONE: Outcomes = {
  none: "ok",
  admin: "ok",
  own: "ok",
  other: "ok",
  itself: "ok",
  stranger: "ok",
  viewer: "ok",
};
const NOBODY: Outcomes = {
  none: "KEY_MISSING",
  admin: "FORBIDDEN",
  own: "FORBIDDEN",
  other: "FORBIDDEN",
  itself: "FORBIDDEN",
  stranger: "FORBIDDEN",
  viewer: "FORBIDDEN",
};
const ADMINS: Outcomes = { ...NOBODY, admin: "ok" };
const NODES: Outcomes = { ...NOBODY, itself: "ok", stranger: "ok" };
/** They are let in, and have no such lease. */
const NO_LEASES: Outcomes = { ...NOBODY, itself: "ASSIGNMENT_UNKNOWN", stranger: "ASSIGNMENT_UNKNOWN" };
const OPERATORS: Outcomes = { ...ADMINS, own: "ok", other: "ok" };
const OWN_OPERATOR: Outcomes = { ...ADMINS, own: "ok" };

type Row = {
  readonly path: string;
  /** What tells it from other rows of the procedure. */
  readonly title?: string;
  readonly input?: (world: World) => unknown;
  readonly outcomes: Outcomes;
  /** Anyone, with `DISPATCHER_PUBLIC_READ=on` alone. */
  readonly isReading?: true;
};

const FACTS = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };
const LEASE = { assignmentId: "999999", term: 1 };
const COPY = {
  sizeBytes: 1,
  sha256: "ab".repeat(32),
  digest: null,
  etag: null,
  lastModified: null,
  fetchMs: 1,
  fetchedBytes: 1,
};
const HOST = "origin.example:443";
const REPORT = { ...FACTS, freeBytes: 1000, wants: 0, open: [], finished: [], failed: [], released: [] };

const ROWS: readonly Row[] = [
  {
    path: "asset.import",
    input: () => ({ dataset: { key: "d", title: null, sourceUrl: null }, entries: [] }),
    outcomes: ADMINS,
  },
  { path: "asset.list", outcomes: EVERYONE, isReading: true },
  { path: "asset.explain", input: ({ assetId }) => ({ id: assetId }), outcomes: ADMINS },
  { path: "asset.prioritize", input: ({ assetId }) => ({ ids: [assetId], priority: 3 }), outcomes: ADMINS },
  { path: "asset.withdraw", input: ({ assetId }) => ({ ids: [assetId] }), outcomes: ADMINS },
  { path: "asset.restore", input: ({ assetId }) => ({ ids: [assetId] }), outcomes: ADMINS },
  { path: "asset.requeue", input: () => ({ dryRun: true }), outcomes: ADMINS },
  { path: "assignment.claim", input: () => ({ wants: 1, known: [], freeBytes: 0 }), outcomes: NODES },
  {
    path: "assignment.renew",
    input: () => ({ ...LEASE, state: "waiting", bytesDone: 0 }),
    outcomes: { ...NOBODY, itself: "LEASE_ENDED", stranger: "LEASE_ENDED" },
  },
  { path: "assignment.complete", input: () => ({ ...LEASE, ...COPY }), outcomes: NO_LEASES },
  { path: "assignment.fail", input: () => ({ ...LEASE, code: "STALLED", message: "m" }), outcomes: NO_LEASES },
  { path: "assignment.release", input: () => ({ ...LEASE, reason: "stopping" }), outcomes: NO_LEASES },
  { path: "dataset.list", outcomes: EVERYONE, isReading: true },
  { path: "dataset.get", input: () => ({ key: "d" }), outcomes: EVERYONE, isReading: true },
  { path: "dataset.update", input: () => ({ key: "d", priority: 4 }), outcomes: ADMINS },
  { path: "event.list", outcomes: EVERYONE, isReading: true },
  { path: "event.live", input: () => ({}), outcomes: EVERYONE, isReading: true },
  { path: "asset.get", input: ({ assetId }) => ({ id: assetId }), outcomes: EVERYONE, isReading: true },
  {
    path: "key.create",
    title: "for a node",
    input: ({ nodeId }) => ({ role: "node", name: "n", nodeId }),
    outcomes: OWN_OPERATOR,
  },
  {
    path: "key.create",
    title: "for its operator",
    input: () => ({ role: "operator", name: "o", operator: "ada" }),
    outcomes: ADMINS,
  },
  { path: "key.create", title: "for a viewer", input: () => ({ role: "viewer", name: "v" }), outcomes: ADMINS },
  { path: "key.create", title: "for an admin", input: () => ({ role: "admin", name: "a" }), outcomes: ADMINS },
  { path: "key.list", outcomes: OPERATORS },
  {
    path: "key.revoke",
    title: "of a node",
    input: async ({ services, nodeId }) => ({
      id: (await services.createKey({ role: "node", name: "r", nodeId }, ADMIN_COMMAND)).id,
    }),
    outcomes: OWN_OPERATOR,
  },
  {
    path: "key.revoke",
    title: "all of a node",
    input: ({ sacrificeId }) => ({ nodeId: sacrificeId }),
    outcomes: OWN_OPERATOR,
  },
  {
    path: "key.revoke",
    title: "of a viewer",
    input: async ({ services }) => ({
      id: (await services.createKey({ role: "viewer", name: "r" }, ADMIN_COMMAND)).id,
    }),
    outcomes: ADMINS,
  },
  {
    path: "node.join",
    input: ({ joinToken }) => ({ joinToken, name: randomUUID(), ...FACTS }),
    outcomes: EVERYONE,
  },
  { path: "node.sync", input: () => REPORT, outcomes: NODES },
  {
    path: "node.inventory",
    input: () => ({ page: 1, pages: 1, asOfMs: 0, afterId: null, upToId: null, copies: [] }),
    outcomes: NODES,
  },
  { path: "node.list", outcomes: EVERYONE, isReading: true },
  { path: "node.get", input: ({ sacrificeId }) => ({ id: sacrificeId }), outcomes: ADMINS },
  { path: "node.leave", input: () => ({ how: "gracefully", dryRun: true }), outcomes: NODES },
  { path: "node.giveBack", input: () => ({ offeredBytes: null }), outcomes: NODES },
  { path: "node.message", input: ({ sacrificeId }) => ({ id: sacrificeId, message: "hello" }), outcomes: ADMINS },
  { path: "node.drain", input: ({ sacrificeId }) => ({ id: sacrificeId }), outcomes: ADMINS },
  { path: "node.undrain", input: ({ sacrificeId }) => ({ id: sacrificeId }), outcomes: ADMINS },
  { path: "node.block", input: ({ sacrificeId }) => ({ id: sacrificeId }), outcomes: ADMINS },
  { path: "node.unblock", input: ({ sacrificeId }) => ({ id: sacrificeId }), outcomes: ADMINS },
  { path: "node.retire", input: ({ sacrificeId }) => ({ id: sacrificeId }), outcomes: ADMINS },
  { path: "origin.list", outcomes: EVERYONE, isReading: true },
  { path: "origin.get", input: () => ({ host: HOST }), outcomes: EVERYONE, isReading: true },
  { path: "origin.pause", input: () => ({ host: HOST }), outcomes: ADMINS },
  { path: "origin.resume", input: () => ({ host: HOST }), outcomes: ADMINS },
  { path: "origin.setBudget", input: () => ({ host: HOST, budget: null }), outcomes: ADMINS },
  { path: "stats.overview", outcomes: EVERYONE, isReading: true },
  { path: "stats.copiesHistogram", outcomes: EVERYONE, isReading: true },
  { path: "stats.throughput", input: () => ({ by: "hour", last: 2 }), outcomes: EVERYONE, isReading: true },
  { path: "stats.leaderboard", outcomes: EVERYONE, isReading: true },
  { path: "stats.atRisk", outcomes: EVERYONE, isReading: true },
  { path: "system.health", outcomes: EVERYONE },
  { path: "system.version", outcomes: EVERYONE },
  { path: "token.create", input: () => ({ operator: "ada" }), outcomes: OWN_OPERATOR },
  { path: "token.list", outcomes: OPERATORS },
  {
    path: "token.revoke",
    input: async ({ services }) => ({
      id: (await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: MINUTE_MS }, ADMIN_COMMAND)).id,
    }),
    outcomes: OWN_OPERATOR,
  },
];

/** Of what type each procedure is, by path. */
function readProcedures(): ReadonlyMap<string, string> {
  const { _def: definition } = appRouter;
  const procedures = definition.procedures as unknown as Record<string, { readonly _def: { readonly type: string } }>;
  return new Map(
    Object.entries(procedures).map(
      ([
        path,
        {
          _def: { type },
        },
      ]) => [path, type],
    ),
  );
}
const TYPE_BY_PATH = readProcedures();

type Caller = {
  readonly name: string;
  readonly key: string | null;
  /** How it is known, or why it is not. */
  readonly is: Kind | "KEY_INVALID" | "KEY_EXPIRED" | "KEY_REVOKED" | "NODE_RETIRED" | "FORBIDDEN";
};

type World = {
  readonly url: string;
  readonly services: Services;
  readonly sql: Sql;
  readonly secrets: SecretWatch;
  readonly callers: readonly Caller[];
  /** A node of ada's, one of hers that may lose its keys, an asset, and a token of hers. */
  readonly nodeId: NodeId;
  readonly sacrificeId: NodeId;
  readonly assetId: string;
  readonly joinToken: string;
};

/** A dispatcher with a person, a node or a program of every kind. */
async function startWorld(env: Readonly<Record<string, string>> = {}): Promise<World> {
  const secrets = new SecretWatch();
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-"));
  const tokens = await makeTokens(join(folder, "jwks.json"));
  const database = await createTestDatabase();
  const config = readConfig({
    DISPATCHER_ADMIN_KEY: ADMIN_KEY,
    DISPATCHER_JWT_ISSUER: ISSUER,
    DISPATCHER_JWT_AUDIENCE: AUDIENCE,
    DISPATCHER_JWT_JWKS: join(folder, "jwks.json"),
    // Two thousand calls of one address.
    DISPATCHER_RATE_READS_PER_MINUTE: "0",
    DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
    DISPATCHER_RATE_JOINS_PER_MINUTE: "0",
    DISPATCHER_LOOP_DELAY_MAX_MS: "0",
    ...env,
  });
  const app = createApp(config, database.db, secrets.log);
  const services = secrets.watch(app.services);
  const url = await app.http.listen({ host: "127.0.0.1", port: 0 });
  onTestFinished(async () => {
    await app.http.close();
    await database[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const { sql } = database;
  const lifeMs = 60 * MINUTE_MS;
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1000, lifeMs }, ADMIN_COMMAND);
  const ben = await services.createJoinToken({ operator: "ben", uses: 10, lifeMs }, ADMIN_COMMAND);
  const node = await services.joinNode({ joinToken, name: "one", ...FACTS }, null);
  const sacrifice = await services.joinNode({ joinToken, name: "two", ...FACTS }, null);
  const stranger = await services.joinNode({ joinToken: ben.joinToken, name: "one", ...FACTS }, null);
  const retired = await services.joinNode({ joinToken: ben.joinToken, name: "two", ...FACTS }, null);
  await sql`update nodes set life = 'retired' where id = ${retired.nodeId}`;
  const make = (input: Parameters<Services["createKey"]>[0]) => services.createKey(input, ADMIN_COMMAND);
  const [admin, own, other, itself, viewer, expired, revoked] = await Promise.all([
    make({ role: "admin", name: "admin" }),
    make({ role: "operator", name: "ada", operator: "ada" }),
    make({ role: "operator", name: "ben", operator: "ben" }),
    make({ role: "node", name: "one", nodeId: node.nodeId }),
    make({ role: "viewer", name: "screen" }),
    make({ role: "admin", name: "expired", lifeMs: MINUTE_MS }),
    make({ role: "admin", name: "revoked" }),
  ]);
  await sql`update keys set expires_at = now() where id = ${expired.id}`;
  await services.revokeKey({ id: revoked.id }, ADMIN_COMMAND);
  const spareSecret = viewer.key.split("_").slice(2).join("_");
  const entry = { place: "1", path: "f", url: "https://origin.example/f", sizeBytes: 1, digest: null };
  await services.importAssets({
    dataset: { key: "d", title: null, sourceUrl: null },
    entries: [{ ...entry, mediaType: null, priority: null, removeByMs: null }],
  });
  const [asset] = await sql<[{ id: string }]>`select id::text as id from assets`;

  const callers: readonly Caller[] = [
    { name: "nobody", key: null, is: "none" },
    { name: "the admin key of the settings", key: ADMIN_KEY, is: "admin" },
    { name: "an admin", key: admin.key, is: "admin" },
    { name: "its operator", key: own.key, is: "own" },
    { name: "another operator", key: other.key, is: "other" },
    { name: "the node, by its join", key: node.key, is: "itself" },
    { name: "the node, by a key that was made", key: itself.key, is: "itself" },
    { name: "another node", key: stranger.key, is: "stranger" },
    { name: "a retired node", key: retired.key, is: "NODE_RETIRED" },
    { name: "a viewer", key: viewer.key, is: "viewer" },
    { name: "an expired key", key: expired.key, is: "KEY_EXPIRED" },
    { name: "a revoked key", key: revoked.key, is: "KEY_REVOKED" },
    { name: "an admin's id with another's secret", key: `dsp_${admin.id}_${spareSecret}`, is: "KEY_INVALID" },
    { name: "a revoked id with another's secret", key: `dsp_${revoked.id}_${spareSecret}`, is: "KEY_INVALID" },
    { name: "an unknown id", key: `dsp_999999_${spareSecret}`, is: "KEY_INVALID" },
    { name: "an id beyond all ids", key: `dsp_9999999999999999999_${spareSecret}`, is: "KEY_INVALID" },
    { name: "an unknown node's key", key: `dsp_node_${spareSecret}`, is: "KEY_INVALID" },
    { name: "a join token for a key", key: joinToken, is: "KEY_INVALID" },
    { name: "a malformed key", key: "dsp_1", is: "KEY_INVALID" },
    { name: "a key with a blank", key: `${admin.key} x`, is: "KEY_INVALID" },
    ...tokens,
  ];
  for (const { key } of callers) if (key !== null && key.length > 20) secrets.add(key);
  const ids = { nodeId: node.nodeId, sacrificeId: sacrifice.nodeId, assetId: asset.id };
  return { url, services, sql, secrets, callers, joinToken, ...ids };
}

/** Tokens of an issuer, good and bad, whose public keys are in `file`. */
async function makeTokens(file: string): Promise<readonly Caller[]> {
  const pairs = await Promise.all(
    (["EdDSA", "ES256", "RS256"] as const).map(async (alg) => ({ alg, ...(await generateKeyPair(alg)) })),
  );
  const [ed, es, rs] = pairs as [(typeof pairs)[number], (typeof pairs)[number], (typeof pairs)[number]];
  const foreign = await generateKeyPair("EdDSA");
  const keys = await Promise.all(
    pairs.map(async ({ alg, publicKey }) => ({ ...(await exportJWK(publicKey)), alg, kid: alg, use: "sig" })),
  );
  await writeFile(file, JSON.stringify({ keys }));

  const nowS = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: "alice", exp: nowS + 600, role: "admin" } satisfies JWTPayload;
  const sign = ({ alg, privateKey }: (typeof pairs)[number], changes: JWTPayload = {}, kid: string = alg) =>
    new SignJWT({ ...claims, ...changes }).setProtectedHeader({ alg, kid }).sign(privateKey);
  const { exp: _, ...endless } = claims;
  const pem = new TextEncoder().encode(await exportSPKI(rs.publicKey));
  const [head, body] = (await sign(es)).split(".");
  const [, , signature] = (await sign(es, { sub: "bob" })).split(".");
  return [
    { name: "a token of an admin", key: await sign(ed), is: "admin" },
    { name: "a token with several roles", key: await sign(es, { role: ["viewer", "admin", "baker"] }), is: "admin" },
    { name: "a token of its operator", key: await sign(es, { role: "operator", operator: "ada" }), is: "own" },
    { name: "a token of another operator", key: await sign(rs, { role: "operator", operator: "ben" }), is: "other" },
    { name: "a token of a viewer", key: await sign(rs, { role: "viewer" }), is: "viewer" },
    { name: "a token that begins in a moment, by a wrong clock", key: await sign(ed, { nbf: nowS + 5 }), is: "admin" },
    { name: "an expired token", key: await sign(ed, { exp: nowS - 60 }), is: "KEY_EXPIRED" },
    { name: "a token of another issuer", key: await sign(ed, { iss: "https://evil.example" }), is: "KEY_INVALID" },
    { name: "a token for another audience", key: await sign(ed, { aud: "bakery" }), is: "KEY_INVALID" },
    { name: "a token not yet valid", key: await sign(ed, { nbf: nowS + 300 }), is: "KEY_INVALID" },
    {
      name: "a token without an end",
      key: await new SignJWT(endless).setProtectedHeader({ alg: "EdDSA", kid: "EdDSA" }).sign(ed.privateKey),
      is: "KEY_INVALID",
    },
    { name: "a token without a role", key: await sign(ed, { role: "baker" }), is: "FORBIDDEN" },
    { name: "a token of a node, which has keys", key: await sign(ed, { role: "node" }), is: "FORBIDDEN" },
    { name: "a token of no operator", key: await sign(ed, { role: "operator" }), is: "KEY_INVALID" },
    {
      name: "a token of an unknown operator",
      key: await sign(ed, { role: "operator", operator: "eve" }),
      is: "KEY_INVALID",
    },
    { name: "an unsigned token", key: new UnsecuredJWT(claims).encode(), is: "KEY_INVALID" },
    {
      name: "a token signed with the public key as a shared secret",
      key: await new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "RS256" }).sign(pem),
      is: "KEY_INVALID",
    },
    { name: "a token of a key that is nobody's", key: await sign({ ...ed, ...foreign }), is: "KEY_INVALID" },
    { name: "a token of a key that is not listed", key: await sign(ed, {}, "other"), is: "KEY_INVALID" },
    { name: "a token with another's signature", key: `${head}.${body}.${signature}`, is: "KEY_INVALID" },
    { name: "a token that is none", key: "a.b.c", is: "KEY_INVALID" },
  ];
}

/** Call over HTTP; answers "ok" or the code, and the body where it should hold no secret. */
async function call(
  world: World,
  { path, input }: Row,
  { key }: Caller,
): Promise<{ readonly outcome: string; readonly status: number; readonly body: string }> {
  const headers = key === null ? {} : { authorization: `Bearer ${key}` };
  const json = JSON.stringify({ json: await input?.(world) });
  const response =
    TYPE_BY_PATH.get(path) !== "mutation"
      ? await fetch(`${world.url}/trpc/${path}${input === undefined ? "" : `?input=${encodeURIComponent(json)}`}`, {
          headers,
        })
      : await fetch(`${world.url}/trpc/${path}`, {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: json,
        });
  const body = TYPE_BY_PATH.get(path) === "subscription" ? await readStart(response) : await response.text();
  const { error } = JSON.parse(body) as { error?: { json: { data: { dispatcher: { code: string } } } } };
  return { outcome: error?.json.data.dispatcher.code ?? "ok", status: response.status, body };
}

/** What a stream begins with, as a plain call would answer it; then nobody listens any more. */
async function readStart(response: Response): Promise<string> {
  if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) return response.text();
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = (await reader?.read()) ?? {};
  await reader?.cancel();
  const [, failure] = /event: serialized-error\ndata: (.*)/.exec(value) ?? [];
  return failure === undefined ? "{}" : JSON.stringify({ error: JSON.parse(failure) });
}

function isKind(is: Caller["is"]): is is Kind {
  return Object.hasOwn(EVERYONE, is);
}

function expected({ outcomes }: Pick<Row, "outcomes">, { is }: Caller): string {
  return isKind(is) ? outcomes[is] : is;
}

/** Every row for every caller, as lines that say what differs when they do. */
async function runTable(
  world: World,
  outcomesOf: (row: Row) => Outcomes,
): Promise<{ readonly found: readonly string[]; readonly wanted: readonly string[]; readonly bodies: string[] }> {
  const found: string[] = [];
  const wanted: string[] = [];
  const bodies: string[] = [];
  for (const row of ROWS) {
    const line = (name: string, outcome: string) => `${row.path} ${row.title ?? ""} by ${name}: ${outcome}`;
    const answers = await Promise.all(
      world.callers.map(async (caller) => ({ caller, ...(await call(world, row, caller)) })),
    );
    for (const { caller, outcome, body } of answers) {
      found.push(line(caller.name, outcome));
      wanted.push(line(caller.name, expected({ outcomes: outcomesOf(row) }, caller)));
      // What makes a secret answers with it, once.
      if (outcome !== "ok" || !/create|join$/.test(row.path)) bodies.push(body);
    }
  }
  return { found, wanted, bodies };
}

test("every procedure has its row", () => {
  expect([...new Set(ROWS.map(({ path }) => path))].toSorted()).toEqual([...TYPE_BY_PATH.keys()].toSorted());
});

test("every procedure lets in whom it should, tells others why not, and no answer or log line holds a secret", async () => {
  const world = await startWorld();
  const { found, wanted, bodies } = await runTable(world, ({ outcomes }) => outcomes);
  expect(found).toEqual(wanted);
  expect(world.secrets.lines.length).toBeGreaterThan(0);
  expect(world.secrets.leaks()).toEqual([]);
  expect(world.secrets.leaks(bodies)).toEqual([]);
});

test("with public reading off, reading needs a key of any kind, and the rest is as before", async () => {
  const world = await startWorld({ DISPATCHER_PUBLIC_READ: "off" });
  const { found, wanted } = await runTable(world, ({ outcomes, isReading }) =>
    isReading === true ? { ...outcomes, none: "KEY_MISSING" } : outcomes,
  );
  expect(found).toEqual(wanted);
});

test("a refusal has the status of its kind", async () => {
  const world = await startWorld();
  const statusOf = async (name: string, path: string) => {
    const caller = world.callers.find((one) => one.name === name);
    const row = ROWS.find((one) => one.path === path);
    if (caller === undefined || row === undefined) throw new Error("There is no such row or caller.");
    return (await call(world, row, caller)).status;
  };
  expect(await statusOf("nobody", "token.create")).toBe(401);
  expect(await statusOf("an expired key", "token.create")).toBe(401);
  expect(await statusOf("a revoked key", "token.create")).toBe(401);
  expect(await statusOf("a malformed key", "token.create")).toBe(401);
  expect(await statusOf("a viewer", "token.create")).toBe(403);
  expect(await statusOf("a token without a role", "token.create")).toBe(403);
});
