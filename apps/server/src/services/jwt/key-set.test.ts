import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { expect, onTestFinished, test, vi } from "vitest";
import { createLog } from "../../log.ts";
import { readConfig } from "../../config.ts";
import { createIssuer } from "./issuer.ts";
import { KeySet } from "./key-set.ts";
import { verifyJwt } from "./verify-jwt.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const RULES = {
  issuer: "https://login.example",
  audience: "dispatcher",
  roleClaim: "realm.roles",
  operatorClaim: "operator",
};

type Signer = { readonly sign: (claims?: Record<string, unknown>) => Promise<string>; readonly jwk: object };

async function aSigner(kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA");
  const claims = { iss: RULES.issuer, aud: RULES.audience, sub: "alice", realm: { roles: ["admin"] } };
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg: "EdDSA" },
    sign: (more = {}) =>
      new SignJWT({ ...claims, exp: Date.now() / 1000 + 600, ...more })
        .setProtectedHeader({ alg: "EdDSA", kid })
        .sign(privateKey),
  };
}

/** An issuer's server on a real port, whose answer a test changes, and a key set of it with a clock of its own. */
async function start() {
  const issuer = { requests: 0, answer: (_response: ServerResponse): void => {} };
  const path = `/${randomUUID()}/jwks.json?token=geheim`;
  const server = createServer((request, response) => {
    // Whoever had this port before may still be called by somebody.
    if (request.url !== path) return void response.writeHead(404).end();
    issuer.requests += 1;
    return issuer.answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const clock = { nowMs: 5 };
  const lines: string[] = [];
  const log = { warn: (...said: unknown[]) => void lines.push(JSON.stringify(said)) };
  const keySet = new KeySet({ source, log, nowMs: () => clock.nowMs });
  const verify = (token: string) => verifyJwt(token, keySet.keyOf, RULES);
  const publish = (...signers: readonly Signer[]): void => {
    issuer.answer = (response) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ keys: signers.map(({ jwk }) => jwk) }));
    };
  };
  const fail = (status = 500): void => {
    issuer.answer = (response) => response.writeHead(status).end("no");
  };
  return { issuer, clock, lines, verify, publish, fail, keySet };
}

test("keys are read once for all who come at once, and again after ten minutes", async () => {
  const { issuer, clock, verify, publish } = await start();
  const signer = await aSigner("a");
  publish(signer);
  const token = await signer.sign();
  const callers = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
  expect(callers[0]).toEqual({ role: "admin", who: "jwt alice", operator: null });
  expect(issuer.requests).toBe(1);
  clock.nowMs += 10 * MINUTE_MS - 1;
  await verify(token);
  expect(issuer.requests).toBe(1);
  clock.nowMs += 1;
  await verify(token);
  await vi.waitFor(() => expect(issuer.requests).toBe(2));
});

test("an issuer that is away is asked twice a minute at most, and the keys of before go on for a day", async () => {
  const { issuer, clock, lines, verify, publish, fail } = await start();
  const signer = await aSigner("a");
  publish(signer);
  const token = await signer.sign();
  await verify(token);
  fail();
  clock.nowMs += 10 * MINUTE_MS;
  for (let round = 0; round < 50; round += 1) await verify(token);
  await vi.waitFor(() => expect(lines).toHaveLength(1));
  expect(issuer.requests).toBe(2);
  clock.nowMs += 30 * SECOND_MS - 1;
  await verify(token);
  expect(issuer.requests).toBe(2);
  clock.nowMs += 1;
  await verify(token);
  await vi.waitFor(() => expect(lines).toHaveLength(2));
  expect(issuer.requests).toBe(3);
  expect(lines[0]).toContain("the answer is 500");
  expect(lines.join("")).not.toContain("geheim");

  clock.nowMs = 5 + 24 * HOUR_MS - 1;
  await verify(token);
  await vi.waitFor(() => expect(lines).toHaveLength(3));
  clock.nowMs += 1;
  await expect(verify(token)).rejects.toMatchObject({ code: "JWKS_UNAVAILABLE" });
  // It is back, and asked again when its pause is over.
  publish(signer);
  clock.nowMs += 30 * SECOND_MS;
  await verify(token);
});

test("an issuer that was never reached is a clear failure, and is not asked with every token", async () => {
  const { issuer, clock, verify, publish, fail } = await start();
  const signer = await aSigner("a");
  const token = await signer.sign();
  fail(404);
  for (let round = 0; round < 20; round += 1) {
    await expect(verify(token)).rejects.toMatchObject({
      code: "JWKS_UNAVAILABLE",
      detail: "The keys of the token issuer cannot be read: the answer is 404.",
    });
  }
  expect(issuer.requests).toBe(1);
  publish(signer);
  clock.nowMs += 30 * SECOND_MS;
  await verify(token);
});

test.each([
  ["no JSON", (response: ServerResponse) => response.end("<h1>Hello</h1>")],
  ["JSON that is no set", (response: ServerResponse) => response.end("[1]")],
  ["a set without keys", (response: ServerResponse) => response.end("{}")],
  ["more than any set", (response: ServerResponse) => response.end(`{"keys":[],"x":"${"x".repeat(2 ** 20)}"}`)],
  ["a redirection", (response: ServerResponse) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end()],
  ["a cut connection", (response: ServerResponse) => response.destroy()],
] as const)("%s in place of keys is a clear failure", async (_, answer) => {
  const { issuer, verify } = await start();
  issuer.answer = (response) => void answer(response);
  const { sign } = await aSigner("a");
  await expect(verify(await sign())).rejects.toMatchObject({ code: "JWKS_UNAVAILABLE" });
});

test("a token of a new key makes the set be read again, but not for every unknown name", async () => {
  const { issuer, clock, verify, publish } = await start();
  const [old, fresh, foreign] = [await aSigner("a"), await aSigner("b"), await aSigner("c")];
  publish(old);
  await verify(await old.sign());
  publish(old, fresh);
  const refused = { code: "KEY_INVALID" };
  await expect(verify(await fresh.sign())).rejects.toMatchObject(refused);
  clock.nowMs += 30 * SECOND_MS;
  await verify(await fresh.sign());
  expect(issuer.requests).toBe(2);
  const token = await foreign.sign();
  for (let round = 0; round < 20; round += 1) await expect(verify(token)).rejects.toMatchObject(refused);
  expect(issuer.requests).toBe(2);
});

test("a key that the issuer has withdrawn is refused once the set is read again", async () => {
  const { clock, verify, publish, issuer } = await start();
  const [old, fresh] = [await aSigner("a"), await aSigner("b")];
  publish(old);
  await verify(await old.sign());
  publish(fresh);
  clock.nowMs += 10 * MINUTE_MS;
  await verify(await old.sign());
  await vi.waitFor(() => expect(issuer.requests).toBe(2));
  await vi.waitFor(async () => verify(await fresh.sign()));
  await expect(verify(await old.sign())).rejects.toMatchObject({ code: "KEY_INVALID" });
});

test("a claim is found by its whole name first, then by its path", async () => {
  const { verify, publish } = await start();
  const signer = await aSigner("a");
  publish(signer);
  expect(await verify(await signer.sign({ "realm.roles": "viewer" }))).toMatchObject({ role: "viewer" });
  expect(await verify(await signer.sign({ realm: { roles: "operator" }, operator: "ada" }))).toMatchObject({
    role: "operator",
    operator: "ada",
  });
  await expect(verify(await signer.sign({ realm: "admin" }))).rejects.toMatchObject({ code: "FORBIDDEN" });
  await expect(verify(await signer.sign({ realm: null }))).rejects.toMatchObject({ code: "FORBIDDEN" });
});

test("a subject that no database can store, or no line can hold, is made to fit", async () => {
  const { verify, publish } = await start();
  const signer = await aSigner("a");
  publish(signer);
  expect((await verify(await signer.sign({ sub: "a\0b\nc" }))).who).toBe("jwt a\uFFFDb\uFFFDc");
  expect((await verify(await signer.sign({ sub: "x".repeat(1000) }))).who).toHaveLength("jwt ".length + 200);
});

test("keys are read from a file as well; one that is not there is a fault of the settings", async () => {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "jwks.json");
  const signer = await aSigner("a");
  const log = createLog({ level: "ERROR", isTerminal: false, destination: process.stderr });
  const env = { DISPATCHER_JWT_ISSUER: RULES.issuer, DISPATCHER_JWT_AUDIENCE: RULES.audience };
  const config = readConfig({ ...env, DISPATCHER_JWT_JWKS: file, DISPATCHER_JWT_ROLE_CLAIM: RULES.roleClaim });
  await expect(createIssuer({ config, log })?.check()).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    detail: expect.stringContaining("ENOENT") as string,
  });
  await writeFile(file, JSON.stringify({ keys: [signer.jwk] }));
  const issuer = createIssuer({ config, log });
  await issuer?.check();
  expect(await issuer?.verify(await signer.sign())).toMatchObject({ role: "admin" });
});

test("an issuer that is away when the server starts does not keep it from starting", async () => {
  const log = createLog({ level: "ERROR", isTerminal: false, destination: process.stderr });
  const env = { DISPATCHER_JWT_ISSUER: RULES.issuer, DISPATCHER_JWT_AUDIENCE: RULES.audience };
  const config = readConfig({ ...env, DISPATCHER_JWT_JWKS: "http://127.0.0.1:1/jwks.json" });
  await expect(createIssuer({ config, log })?.check()).resolves.toBeUndefined();
});

test("without an issuer in the settings there is none", () => {
  const log = createLog({ level: "ERROR", isTerminal: false, destination: process.stderr });
  expect(createIssuer({ config: readConfig({}), log })).toBeNull();
});
