import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { post, startApp } from "../test/support/test-app.ts";
import { createTestDatabase } from "../test/support/test-database.ts";
import { ADMIN_COMMAND } from "./services/authenticate.ts";

type Attribute = {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
};
type Span = {
  readonly name: string;
  readonly traceId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
};
type Sent = {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
};

/** What is sent to it, in the JSON of OTLP. */
async function startCollector(
  status = 200,
): Promise<{ readonly url: string; readonly sent: Sent[]; readonly paths: string[] }> {
  const sent: Sent[] = [];
  const paths: string[] = [];
  const server = createServer((request, response) => {
    const take = async (): Promise<void> => {
      sent.push(JSON.parse(await text(request)) as Sent);
      paths.push(request.url ?? "");
      response.writeHead(status, { "content-type": "application/json" }).end("{}");
    };
    void take();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sent, paths };
}

const FACTS = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1000 };
const SYNC = { ...FACTS, freeBytes: 1000, wants: 1, open: [], finished: [], failed: [], released: [] };

test("a request is a span under its caller's, its group and its round are spans, and no key is in any", async () => {
  const collector = await startCollector();
  await using database = await createTestDatabase();
  const { url, app, tracing } = await startApp({ OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/` }, database.url);
  const { joinToken } = await app.services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const { key } = await app.services.joinNode({ joinToken, name: "one", ...FACTS }, null);
  await fetch(`${url}/?secret=in-the-query`, {
    headers: { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, "x-request-id": "mine" },
  });
  await fetch(url, { headers: { traceparent: `00-${"0".repeat(32)}-${"b".repeat(16)}-01` } });
  expect((await post(url, "node.sync", SYNC, key)).status).toBe(200);
  await expect.poll(() => app.load.requests, { timeout: 30_000 }).toBe(0);
  await tracing?.close();

  expect(collector.paths).toContain("/v1/traces");
  const written = JSON.stringify(collector.sent);
  expect(written).not.toContain(key);
  expect(written).not.toContain("in-the-query");
  const spans = collector.sent.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  );
  const names = new Set(spans.map(({ name }) => name));
  expect(names).toEqual(new Set(["GET /", "node.sync", "sync group", "allocation round"]));
  const [child, root] = spans.filter(({ name }) => name === "GET /");
  expect(child).toMatchObject({ traceId: "a".repeat(32), parentSpanId: "b".repeat(16), kind: 2 });
  expect(child?.attributes).toContainEqual({ key: "dispatcher.request_id", value: { stringValue: "mine" } });
  expect(root?.parentSpanId ?? "").toBe("");
  for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
    expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano)).toBe(true);
  }
  expect(written).toContain('"dispatcher-server"');
});

test("a collector that refuses is told of in the log, and harms no request", async () => {
  const collector = await startCollector(400);
  const { url, lines, app, tracing } = await startApp({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  expect((await fetch(url)).status).toBe(200);
  await expect.poll(() => app.load.requests, { timeout: 30_000 }).toBe(0);
  await tracing?.close();
  expect(lines.filter((line) => line.includes('"traces.unsent"'))).toHaveLength(1);
});

test("of requests that nobody decided about, the share that is set is traced", async () => {
  const collector = await startCollector();
  const { url, app, tracing } = await startApp({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER_ARG: "0",
  });
  await fetch(url);
  await fetch(url, { headers: { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` } });
  await expect.poll(() => app.load.requests, { timeout: 30_000 }).toBe(0);
  await tracing?.close();
  const written = JSON.stringify(collector.sent);
  expect(written.split('"GET /"')).toHaveLength(2);
  expect(written).toContain("a".repeat(32));
});
