import { expect, test } from "vitest";
import { startApp } from "../../test/support/test-app.ts";

const PAGE = "https://dashboard.example";

function preflight(url: string, origin: string): Promise<Response> {
  return fetch(`${url}/trpc/stats.overview`, {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "GET", "access-control-request-headers": "authorization" },
  });
}

test("a page that is on the list may call, and read why it was refused", async () => {
  const { url, app } = await startApp({ DISPATCHER_CORS_ORIGINS: PAGE, DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  const asked = await preflight(url, PAGE);
  expect(asked.status).toBe(204);
  expect(asked.headers.get("access-control-allow-origin")).toBe(PAGE);
  expect(asked.headers.get("access-control-allow-headers")).toContain("authorization");
  // Without it, a page's event stream begins and never goes on.
  expect(asked.headers.get("access-control-allow-headers")).toContain("last-event-id");
  expect(asked.headers.get("access-control-allow-credentials")).toBeNull();

  const answers = [await fetch(url, { headers: { origin: PAGE } }), await fetch(url, { headers: { origin: PAGE } })];
  expect(answers.map(({ status }) => status)).toEqual([200, 429]);
  for (const { headers } of answers) {
    expect(headers.get("access-control-allow-origin")).toBe(PAGE);
    expect(headers.get("access-control-expose-headers")).toContain("retry-after");
    expect(headers.get("vary")).toContain("Origin");
  }
  await expect.poll(() => app.load.requests, { timeout: 30_000 }).toBe(0);
});

test("another page gets no permission, and none does without a list", async () => {
  const { url } = await startApp({ DISPATCHER_CORS_ORIGINS: `${PAGE},https://other.example` });
  for (const origin of ["https://evil.example", `${PAGE}.evil.example`, "http://dashboard.example", "null"]) {
    expect((await preflight(url, origin)).headers.get("access-control-allow-origin"), origin).toBeNull();
    expect((await fetch(url, { headers: { origin } })).headers.get("access-control-allow-origin")).toBeNull();
  }
  const { url: closed } = await startApp();
  expect((await fetch(closed, { headers: { origin: PAGE } })).headers.get("access-control-allow-origin")).toBeNull();
});

test("any page may call where the list says so", async () => {
  const { url } = await startApp({ DISPATCHER_CORS_ORIGINS: "*" });
  expect((await preflight(url, PAGE)).headers.get("access-control-allow-origin")).toBe("*");
});

test("answers are not to be framed, sniffed or run, refusals neither, and HTTP promises no HTTPS", async () => {
  const { url } = await startApp();
  for (const path of ["/", "/health", "/nowhere", "/trpc/stats.overview"]) {
    const { headers } = await fetch(`${url}${path}`);
    expect(headers.get("content-security-policy"), path).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers.get("x-content-type-options"), path).toBe("nosniff");
    expect(headers.get("strict-transport-security"), path).toBeNull();
    expect(headers.get("server"), path).toBeNull();
  }
});
