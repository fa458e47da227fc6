import { request as httpRequest } from "node:http";
import { expect, test, vi } from "vitest";
import { dial, readAll, startApp } from "../../test/support/test-app.ts";
import type { TestApp } from "../../test/support/test-app.ts";

/** A server with more to do than it can answer, without the work. */
async function startOverloaded(env: Readonly<Record<string, string>> = {}): Promise<TestApp> {
  const started = await startApp(env);
  started.app.load.requests = 1_000_000;
  return started;
}

/** The whole answer, byte for byte but for what is the clock's own. */
async function answerTo({ port }: TestApp, line: string, more = ""): Promise<string> {
  const sent = `${line} HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n${more}Connection: close\r\n\r\n`;
  return (await readAll(dial(port, sent)))
    .replace(/\r\nDate: [^\r]*/, "")
    .replace(/"retryAfterMs":5\d{4}\b/, '"retryAfterMs":5XXXX');
}

const SAFE = [
  "x-request-id: mine",
  "content-security-policy: default-src 'none';frame-ancestors 'none'",
  "cross-origin-resource-policy: same-origin",
  "referrer-policy: no-referrer",
  "x-content-type-options: nosniff",
];

function answer(status: string, retryAfterS: number, type: string, body: unknown): string {
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status}`,
    ...SAFE,
    `retry-after: ${retryAfterS}`,
    "cache-control: no-store",
    `content-type: ${type}; charset=utf-8`,
    `content-length: ${text.length}`,
    "Connection: close",
  ];
  return `${lines.join("\r\n")}\r\n\r\n${text}`;
}

const AGAIN = "Wait for as long as the answer says and repeat the call as it was.";
const BUSY = "The service has more to do than it can answer in time.";
const OFTEN = "There were too many calls from here in the last minute.";

const BUSY_TRPC = answer("503 Service Unavailable", 3, "application/json", {
  error: {
    json: {
      message: `${BUSY} ${AGAIN}`,
      code: -32603,
      data: {
        code: "SERVICE_UNAVAILABLE",
        httpStatus: 503,
        dispatcher: { code: "OVERLOADED", detail: BUSY, details: { retryAfterMs: 3000 } },
      },
    },
  },
});
const BUSY_REST = answer("503 Service Unavailable", 3, "application/problem+json", {
  type: "/docs/errors.md#OVERLOADED",
  title: "Overloaded",
  status: 503,
  detail: `${BUSY} ${AGAIN}`,
  code: "OVERLOADED",
  details: { retryAfterMs: 3000 },
});

test("a server that is overloaded answers in these bytes: a call, a batch, REST", async () => {
  const server = await startOverloaded();
  expect(await answerTo(server, "GET /trpc/asset.list")).toBe(BUSY_TRPC);
  // One for the whole of it: what was not read has no parts.
  expect(await answerTo(server, "GET /trpc/asset.list,stats.overview?batch=1")).toBe(BUSY_TRPC);
  expect(await answerTo(server, "GET /api/v1/asset/list")).toBe(BUSY_REST);
  expect(
    await answerTo(server, "POST /trpc/node.join", "Content-Type: application/json\r\nContent-Length: 0\r\n"),
  ).toBe(BUSY_TRPC);
  expect(await answerTo(server, "GET /nowhere")).toBe(BUSY_REST);
  expect(await answerTo(server, "HEAD /api/v1/asset/list")).toBe(BUSY_REST.slice(0, BUSY_REST.indexOf("{")));
});

const plain = (text: string): string =>
  text.replace(/retry-after: [56]\d\b/, "retry-after: 60").replaceAll("55555", "5XXXX");

test("whoever asks too often is answered in these bytes: a call, a batch, REST", async () => {
  const server = await startApp({ DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  await fetch(server.url);
  // Of the minute a few seconds at most are over; the length of the number is the same.
  const trpc = answer("429 Too Many Requests", 60, "application/json", {
    error: {
      json: {
        message: `${OFTEN} ${AGAIN}`,
        code: -32029,
        data: {
          code: "TOO_MANY_REQUESTS",
          httpStatus: 429,
          dispatcher: { code: "RATE_LIMITED", detail: OFTEN, details: { retryAfterMs: 55_555 } },
        },
      },
    },
  });
  const rest = answer("429 Too Many Requests", 60, "application/problem+json", {
    type: "/docs/errors.md#RATE_LIMITED",
    title: "Rate limited",
    status: 429,
    detail: `${OFTEN} ${AGAIN}`,
    code: "RATE_LIMITED",
    details: { retryAfterMs: 55_555 },
  });
  expect(plain(await answerTo(server, "GET /trpc/asset.list"))).toBe(plain(trpc));
  expect(plain(await answerTo(server, "GET /trpc/asset.list,stats.overview?batch=1"))).toBe(plain(trpc));
  expect(plain(await answerTo(server, "GET /api/v1/asset/list"))).toBe(plain(rest));
});

test("a connection is kept behind a refusal, and not behind a body that is too long to be read", async () => {
  const { port } = await startOverloaded({ DISPATCHER_BODY_MAX_BYTES: "65536" });
  const ask = "GET /trpc/asset.list HTTP/1.1\r\nHost: x\r\n";
  const twice = await readAll(dial(port, `${ask}\r\n${ask}Connection: close\r\n\r\n`));
  expect(twice.match(/^HTTP\/1\.1 503/gm)).toHaveLength(1);
  expect(twice.match(/HTTP\/1\.1 503/g)).toHaveLength(2);
  expect(twice).toContain("Keep-Alive: timeout=");
  const body = "a".repeat(65_536);
  const head = "POST /trpc/asset.import HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  const whole = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  const kept = await readAll(dial(port, `${whole}${ask}Connection: close\r\n\r\n`));
  expect(kept.match(/HTTP\/1\.1 503/g)).toHaveLength(2);
  for (const length of ["Content-Length: 65537", "Transfer-Encoding: chunked"]) {
    const refused = await readAll(dial(port, `${head}${length}\r\n\r\n`));
    expect(refused).toMatch(/^HTTP\/1\.1 503 /);
    expect(refused).toContain("connection: close");
  }
});

test("refusals are counted and logged as other answers are", async () => {
  const server = await startOverloaded();
  const { app, lines } = server;
  await answerTo(server, "GET /trpc/asset.list");
  const requests = (): readonly unknown[] =>
    lines.map((line) => JSON.parse(line) as { event: string }).filter(({ event }) => event === "request");
  await vi.waitUntil(() => requests().length === 1, { timeout: 30_000 });
  expect(requests()).toMatchObject([{ requestId: "mine", status: 503, code: "OVERLOADED", path: "/trpc/asset.list" }]);
  const metrics = await app.metrics.render({});
  expect(metrics).toContain('dispatcher_calls_total{call="asset.list",code="OVERLOADED"} 1');
  expect(metrics).toContain('dispatcher_call_duration_seconds_count{call="asset.list"} 1');
  expect(app.load.requests).toBe(1_000_000);
});

test("a stream of events is no load, however long it goes on", async () => {
  const { url, app } = await startApp();
  const begun = Promise.withResolvers<AbortSignal>();
  app.services.followEvents = async function* (_input, { signal }) {
    if (signal === undefined) throw new Error("A stream is told when its listener goes.");
    begun.resolve(signal);
    yield { id: "1", events: [] };
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  };
  const listening = httpRequest(`${url}/trpc/event.live`, { headers: { accept: "text/event-stream" } });
  listening.on("error", () => {});
  listening.end();
  const signal = await begun.promise;
  expect(app.load.requests).toBe(0);
  listening.destroy();
  await vi.waitUntil(() => signal.aborted, { timeout: 30_000 });
  // The answer to another one comes behind whatever its end has counted.
  expect((await fetch(url)).status).toBe(200);
  await vi.waitUntil(() => app.load.requests === 0, { timeout: 30_000 });
});
