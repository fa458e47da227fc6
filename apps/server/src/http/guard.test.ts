import { request as httpRequest } from "node:http";
import { DispatcherError } from "@dispatcher/core";
import { expect, test, vi } from "vitest";
import { codeOf, dial, post, readAll, startApp } from "../../test/support/test-app.ts";
import type { TestApp } from "../../test/support/test-app.ts";

const JOIN = { joinToken: "x", name: "n", offeredBytes: 1, marginBytes: 0, schemes: [], agentVersion: "1.0.0" };

function eventsOf({ lines }: TestApp, event: string): readonly Readonly<Record<string, unknown>>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line["event"] === event);
}

test("whoever calls more often than allowed is told when to come again, in both shapes", async () => {
  const { url } = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "2" });
  expect((await fetch(url)).status).toBe(200);
  expect((await fetch(url)).status).toBe(200);
  const rest = await fetch(url);
  expect(rest.status).toBe(429);
  expect(rest.headers.get("retry-after")).toMatch(/^(2\d|30)$/);
  expect(rest.headers.get("content-type")).toContain("application/problem+json");
  expect(await codeOf(rest)).toBe("RATE_LIMITED");

  const trpc = await fetch(`${url}/trpc/stats.overview`);
  expect(trpc.status).toBe(429);
  expect(trpc.headers.get("content-type")).toContain("application/json");
  expect(await trpc.json()).toMatchObject({
    error: {
      json: {
        data: {
          code: "TOO_MANY_REQUESTS",
          httpStatus: 429,
          dispatcher: { code: "RATE_LIMITED", details: { retryAfterMs: expect.any(Number) } },
        },
      },
    },
  });
});

test("each call of a batch counts, and what is not there counts as well", async () => {
  const { url } = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "3" });
  const batch = await fetch(`${url}/trpc/system.health,system.health?batch=1`);
  expect(batch.status).not.toBe(429);
  expect((await fetch(`${url}/nowhere`)).status).toBe(404);
  expect((await fetch(`${url}/nowhere`)).status).toBe(429);
});

test("joins have a limit of their own, however the name is written", async () => {
  const { url } = await startApp({ DISPATCHER_RATE_JOINS_PER_MINUTE: "1" });
  expect((await post(url, "node.join", JOIN)).status).toBe(503);
  for (const name of [
    "node.join",
    "node%2Ejoin",
    "node%252Ejoin",
    "node.join?batch=1",
    "stats.overview,node.join?batch=1",
  ]) {
    expect((await post(url, name, JOIN)).status, name).toBe(429);
  }
  expect((await fetch(url)).status).toBe(200);
});

test("health answers however often it is asked", async () => {
  const { url } = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  for (let asked = 0; asked < 5; asked += 1) expect((await fetch(`${url}/health`)).status).toBe(503);
});

test("no limit is no limit", async () => {
  const { url } = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "0" });
  for (let asked = 0; asked < 5; asked += 1) expect((await fetch(url)).status).toBe(200);
});

test("X-Forwarded-For of a stranger changes nothing, and is told once", async () => {
  const app = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  const ask = (from: string) => fetch(app.url, { headers: { "x-forwarded-for": from } });
  expect((await ask("192.0.2.1")).status).toBe(200);
  expect((await ask("192.0.2.2")).status).toBe(429);
  expect(eventsOf(app, "proxy.untrusted")).toHaveLength(1);
});

test("behind a trusted proxy each caller is its own, and what a caller adds is not believed", async () => {
  const { url } = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "1", DISPATCHER_TRUSTED_PROXIES: "127.0.0.1" });
  const ask = (chain: string) => fetch(url, { headers: { "x-forwarded-for": chain } });
  expect((await ask("192.0.2.1")).status).toBe(200);
  expect((await ask("192.0.2.2")).status).toBe(200);
  // The proxy appends whom it saw: what stands before is the caller's own invention.
  expect((await ask("198.51.100.7, 192.0.2.1")).status).toBe(429);
  // A /64 is one caller.
  expect((await ask("2001:db8:1:2::1")).status).toBe(200);
  expect((await ask("2001:db8:1:2:ffff::1")).status).toBe(429);
  expect((await ask("2001:db8:1:3::1")).status).toBe(200);
});

test("a batch of more calls than allowed is refused before anything of it is read", async () => {
  const { url } = await startApp({ DISPATCHER_BATCH_MAX: "3" });
  const batch = (calls: number) => fetch(`${url}/trpc/${Array(calls).fill("system.health").join(",")}?batch=1`);
  expect((await batch(3)).status).not.toBe(413);
  const refused = await batch(4);
  expect(refused.status).toBe(413);
  expect(await codeOf(refused)).toBe("PAYLOAD_TOO_LARGE");
});

test("a batch of ten thousand calls ends at the first line", async () => {
  const { url } = await startApp();
  const names = Array(10_000).fill("a").join(",");
  const response = await fetch(`${url}/trpc/${names}?batch=1`, { method: "POST", body: "{}" });
  expect([404, 413, 414, 431]).toContain(response.status);
  expect(["PAYLOAD_TOO_LARGE", "PROCEDURE_UNKNOWN", "INPUT_INVALID"]).toContain(await codeOf(response));
});

test("a body of 100 MB is refused by its length, with a key and without", async () => {
  const { port } = await startApp();
  for (const [key, limit] of [
    ["", "at most 65536 bytes"],
    ["Authorization: Bearer abcdef\r\n", "too large"],
  ] as const) {
    const socket = dial(
      port,
      `POST /trpc/node.sync HTTP/1.1\r\nHost: x\r\n${key}Content-Type: application/json\r\nContent-Length: 104857600\r\n\r\n{`,
    );
    const answer = await readAll(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain("PAYLOAD_TOO_LARGE");
    expect(answer).toContain(limit);
    expect(answer.toLowerCase()).toContain("connection: close");
  }
});

test("a body without a length is read as far as it may be long, and only of those with a key", async () => {
  const { port } = await startApp({ DISPATCHER_BODY_MAX_BYTES: "65536" });
  const head =
    "POST /trpc/node.sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
  const chunk = `10000\r\n${"a".repeat(65_536)}\r\n`;
  expect(await readAll(dial(port, `${head}\r\n5\r\nhello\r\n`))).toMatch(/^HTTP\/1\.1 413 /);
  const long = await readAll(dial(port, `${head}Authorization: Bearer abcdef\r\n\r\n${chunk}${chunk}`));
  expect(long).toMatch(/^HTTP\/1\.1 413 /);
});

test("JSON that is nested too deep is refused unparsed, in bodies and in queries", async () => {
  const { url } = await startApp();
  const deep = `${'{"json":{"a":'.padEnd(10)}${"[".repeat(50_000)}${"]".repeat(50_000)}}}`.slice(0, 60_000);
  const body = await post(url, "node.join", deep);
  expect(body.status).toBe(400);
  expect(await codeOf(body)).toBe("INPUT_INVALID");
  const input = encodeURIComponent("[".repeat(1_000));
  const query = await fetch(`${url}/trpc/asset.get?input=${input}`);
  expect(query.status).toBe(400);
  expect(await query.text()).toContain("nested deeper than 32 levels");
});

test("a flood of headers is refused", async () => {
  const { port } = await startApp();
  const socket = dial(
    port,
    `GET / HTTP/1.1\r\nHost: x\r\n${"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(2_000)}`,
  );
  const answer = await readAll(socket);
  expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  expect(answer).toContain("PAYLOAD_TOO_LARGE");
});

test("what is no HTTP is answered as such, and a bad URL as a problem", async () => {
  const { port, url } = await startApp();
  const answer = await readAll(dial(port, "HELLO\r\n\r\n"));
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toContain('"code":"INPUT_INVALID"');
  const bad = await fetch(`${url}/%ff`);
  expect(bad.status).toBe(400);
  expect(await codeOf(bad)).toBe("INPUT_INVALID");
});

test("whoever sends a request byte by byte is cut off, in its headers and in its body", async () => {
  const { port } = await startApp({ DISPATCHER_REQUEST_TIMEOUT_MS: "600" });
  const head = "POST /trpc/node.join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n";
  const slow = [dial(port, head), dial(port, `${head}\r\n{`)];
  const dripping = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write("a");
  }, 50);
  try {
    for (const answer of await Promise.all(slow.map(readAll))) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain("REQUEST_TIMEOUT");
    }
  } finally {
    clearInterval(dripping);
  }
});

test("connections beyond the limit are closed, those that are open are served, and from most of it on none is kept", async () => {
  const app = await startApp({ DISPATCHER_CONNECTIONS_MAX: "2" });
  const first = dial(app.port);
  const second = dial(app.port);
  await vi.waitUntil(
    async () => {
      const { promise, resolve } = Promise.withResolvers<number>();
      app.app.http.server.getConnections((_fault, count) => resolve(count));
      return (await promise) === 2;
    },
    { timeout: 30_000 },
  );
  expect(await readAll(dial(app.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))).toBe("");
  expect(eventsOf(app, "connections.dropped")).toHaveLength(1);
  first.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const answer = await readAll(first);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer.toLowerCase()).toContain("connection: close");
  second.destroy();
});

test("with enough under way others are refused at once, reports later, health never", async () => {
  const { url, app } = await startApp({ DISPATCHER_REQUESTS_MAX: "4" });
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  app.services.readOverview = () => over.promise;
  const waiting = [1, 2].map(() => fetch(`${url}/trpc/stats.overview`));
  await vi.waitUntil(() => app.load.requests === 2, { timeout: 30_000 });

  const refused = await fetch(`${url}/trpc/stats.overview`);
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("3");
  expect(await codeOf(refused)).toBe("OVERLOADED");
  // A report is let in, and fails for want of a key.
  expect((await post(url, "node.sync")).status).toBe(401);
  expect(await codeOf(await fetch(`${url}/health`))).not.toBe("OVERLOADED");

  over.reject(new DispatcherError("ASSET_UNKNOWN", "Over."));
  await Promise.all(waiting);
  await vi.waitUntil(() => app.load.requests === 0, { timeout: 30_000 });
  expect((await fetch(url)).status).toBe(200);
});

test("a request is at work once its body is there", async () => {
  const { app, port } = await startApp();
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  app.services.authenticate = () => over.promise;
  const sending = dial(
    port,
    "POST /trpc/node.sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{",
  );
  await vi.waitUntil(() => app.load.requests === 1, { timeout: 30_000 });
  expect(app.load.atWork).toBe(0);
  sending.write("}");
  await vi.waitUntil(() => app.load.atWork === 1, { timeout: 30_000 });
  over.reject(new DispatcherError("KEY_INVALID", "Over."));
  await vi.waitUntil(() => app.load.requests === 0, { timeout: 30_000 });
  expect(app.load.atWork).toBe(0);
});

test("requests that were given up count as long as there is work for them", async () => {
  const { url, app } = await startApp();
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  app.services.readOverview = () => over.promise;
  const giveUp = new AbortController();
  const asked = fetch(`${url}/trpc/stats.overview`, { signal: giveUp.signal }).catch(() => null);
  await vi.waitUntil(() => app.load.requests === 1, { timeout: 30_000 });
  giveUp.abort();
  await asked;
  over.reject(new DispatcherError("ASSET_UNKNOWN", "Over."));
  await expect.poll(() => app.load.requests, { timeout: 30_000 }).toBe(0);
});

test("a flood is one line of the log, and each request one at DEBUG", async () => {
  const app = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  for (let asked = 0; asked < 5; asked += 1) await fetch(`${app.url}/?secret=in-the-query`);
  await expect.poll(() => eventsOf(app, "request"), { timeout: 30_000 }).toHaveLength(5);
  expect(eventsOf(app, "requests.refused")).toMatchObject([{ code: "RATE_LIMITED", level: 40 }]);
  expect(app.lines.join("")).not.toContain("in-the-query");
});

test("an id of the caller's own is taken over if it is plain, and each answer has one", async () => {
  const { url } = await startApp();
  const idFor = async (id: string): Promise<string | null> =>
    (await fetch(url, { headers: { "x-request-id": id } })).headers.get("x-request-id");
  expect(await idFor("job-17.a:b_c")).toBe("job-17.a:b_c");
  for (const id of ["", "a b", "x".repeat(65), '"quoted"', "caf\u00e9", "a,b"]) {
    expect(await idFor(id), id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  }
});

test("a request in two shapes at once is not guessed at", async () => {
  const { port } = await startApp();
  const { promise, resolve } = Promise.withResolvers<number>();
  const sent = httpRequest(
    { host: "127.0.0.1", port, path: "/trpc/node.join?batch=1&batch=0", method: "POST" },
    (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    },
  );
  sent.end("{}");
  // As the router does: the first one counts.
  expect(await promise).toBeGreaterThanOrEqual(400);
});
