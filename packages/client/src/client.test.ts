import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DispatcherError } from "@dispatcher/core";
import { expect, onTestFinished, test } from "vitest";
import { createDispatcherClient } from "./client.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that answers request after request with the answers given, the last one again and again. */
async function serve(
  ...answers: readonly Answer[]
): Promise<{ readonly url: string; readonly requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(request);
    request.resume();
    answer?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

const good =
  (data: unknown): Answer =>
  (_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ result: { data: { json: data } } }));
  };

const refused =
  (status: number, code: string, details: Readonly<Record<string, number>> = { answer: 42 }): Answer =>
  (_request, response) => {
    const dispatcher = { code, detail: `Test: ${code}.`, details };
    const json = { message: "told", code: -32000, data: { code: "X", httpStatus: status, dispatcher } };
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { json } }));
  };

const cut: Answer = (request) => request.socket.destroy();

/** Retries without waiting, so that no test depends on time. */
const retry = { baseMs: 0 };

test("a failure of the server arrives as a DispatcherError with its code and numbers", async () => {
  const { url, requests } = await serve(refused(404, "ASSET_UNKNOWN"));
  const client = createDispatcherClient({ url, retry });
  const error: unknown = await client.asset.get.query({ id: "7" }).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(DispatcherError);
  expect(error).toMatchObject({ code: "ASSET_UNKNOWN", detail: "Test: ASSET_UNKNOWN.", details: { answer: 42 } });
  expect(requests).toHaveLength(1);
});

test("the key travels as a bearer token", async () => {
  const { url, requests } = await serve(good({ nodes: [] }));
  await createDispatcherClient({ url, key: "dsp_node_x" }).node.list.query();
  expect(requests[0]?.headers.authorization).toBe("Bearer dsp_node_x");
});

test("a key that is a function is asked before each attempt, and may answer another one", async () => {
  const { url, requests } = await serve(refused(503, "DATABASE_UNAVAILABLE"), good({ nodes: [] }));
  const keys = ["first", "second", "third"];
  const client = createDispatcherClient({ url, retry, key: async () => keys.shift() ?? "none" });
  await client.node.list.query();
  await client.node.list.query();
  expect(requests.map(({ headers }) => headers.authorization)).toEqual([
    "Bearer first",
    "Bearer second",
    "Bearer third",
  ]);
});

test("what the key's function throws is what the call rejects with, and nothing is sent", async () => {
  const { url, requests } = await serve(good({ nodes: [] }));
  const loggedOut = new Error("logged out");
  const key = (): Promise<string> => Promise.reject(loggedOut);
  await expect(createDispatcherClient({ url, retry, key }).node.list.query()).rejects.toBe(loggedOut);
  const live = createDispatcherClient({ url, retry, key }).event.live;
  const told = new Promise((resolve) => live.subscribe({}, { onError: resolve }));
  expect(await told).toBe(loggedOut);
  await expect(live.subscribe({}).next()).rejects.toBe(loggedOut);
  expect(requests).toHaveLength(0);
});

test("a key's function that never answers ends in time, and by an abort", async () => {
  const { url } = await serve(good({ nodes: [] }));
  const client = createDispatcherClient({ url, retry: { retries: 0 }, key: () => new Promise(() => {}) });
  await expect(client.node.list.query({}, { timeoutMs: 1 })).rejects.toMatchObject({ code: "SERVER_UNREACHABLE" });
  const aborter = new AbortController();
  const call = client.node.list.query({}, { signal: aborter.signal });
  aborter.abort(new Error("enough"));
  await expect(call).rejects.toThrow("enough");
});

test("calls of one moment share a request when that is wished, at most so many of them", async () => {
  const { url, requests } = await serve((request, response) => {
    const calls = new URL(request.url ?? "", "http://any").pathname.split(",").length;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(Array.from({ length: calls }, () => ({ result: { data: { json: { nodes: [] } } } }))));
  });
  const batched = createDispatcherClient({ url, key: "dsp_node_x", batch: { maxCalls: 2 } });
  await Promise.all([1, 2, 3].map(() => batched.node.list.query()));
  const list = "/trpc/node.list";
  expect(requests.map((request) => (request.url ?? "").split("?")[0])).toEqual([`${list},node.list`, list]);
  expect(requests[0]?.headers.authorization).toBe("Bearer dsp_node_x");

  const single = await serve(good({ nodes: [] }));
  const client = createDispatcherClient({ url: single.url });
  await Promise.all([1, 2, 3].map(() => client.node.list.query()));
  expect(single.requests).toHaveLength(3);
});

test("each call of a batch that was refused as a whole is tried again, and one may be aborted alone", async () => {
  const aborter = new AbortController();
  const { url } = await serve(refused(503, "DATABASE_UNAVAILABLE"), (request, response) => {
    aborter.abort(new Error("enough"));
    const calls = new URL(request.url ?? "", "http://any").pathname.split(",").length;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(Array.from({ length: calls }, () => ({ result: { data: { json: { nodes: [] } } } }))));
  });
  const client = createDispatcherClient({ url, retry, batch: true });
  const [kept, dropped] = await Promise.allSettled([
    client.node.list.query(),
    client.node.list.query({}, { signal: aborter.signal }),
  ]);
  expect(kept).toEqual({ status: "fulfilled", value: { nodes: [] } });
  expect(dropped).toEqual({ status: "rejected", reason: new Error("enough") });
});

test("a query is tried again after a cut connection and a database that was away", async () => {
  const { url, requests } = await serve(cut, refused(503, "DATABASE_UNAVAILABLE"), good({ nodes: [] }));
  expect(await createDispatcherClient({ url, retry }).node.list.query()).toEqual({ nodes: [] });
  expect(requests).toHaveLength(3);
});

test("a mutation that makes something is sent once", async () => {
  const { url, requests } = await serve(cut);
  const input = { joinToken: "x", name: "n", offeredBytes: 1, marginBytes: 0, schemes: [], agentVersion: "1.0.0" };
  await expect(createDispatcherClient({ url, retry }).node.join.mutate(input)).rejects.toMatchObject({
    code: "SERVER_UNREACHABLE",
  });
  expect(requests).toHaveLength(1);
});

test("after the last retry the failure is told", async () => {
  const { url, requests } = await serve(refused(503, "DATABASE_UNAVAILABLE"));
  const client = createDispatcherClient({ url, retry: { baseMs: 0, retries: 2 } });
  await expect(client.stats.overview.query()).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  expect(requests).toHaveLength(3);
});

test("a call that was refused for its number is sent again, whatever it does, when the server has said so", async () => {
  const { url, requests } = await serve(refused(429, "RATE_LIMITED", { retryAfterMs: 1 }), good({ nodeId: "1" }));
  const input = { joinToken: "x", name: "n", offeredBytes: 1, marginBytes: 0, schemes: [], agentVersion: "1.0.0" };
  expect(await createDispatcherClient({ url, retry }).node.join.mutate(input)).toEqual({ nodeId: "1" });
  expect(requests).toHaveLength(2);
});

test("a server that is overloaded is understood in its own bytes, for one call and for each of a batch", async () => {
  const detail = "The service has more to do than it can answer in time.";
  const dispatcher = `{"code":"OVERLOADED","detail":"${detail}","details":{"retryAfterMs":5001}}`;
  const data = `{"code":"SERVICE_UNAVAILABLE","httpStatus":503,"dispatcher":${dispatcher}}`;
  const { url } = await serve((_request, response) => {
    response.writeHead(503, { "retry-after": "6", "content-type": "application/json; charset=utf-8" });
    response.end(`{"error":{"json":{"message":"${detail} Wait.","code":-32603,"data":${data}}}}`);
  });
  const one = createDispatcherClient({ url, retry });
  const batched = createDispatcherClient({ url, retry, batch: true });
  const calls = [one.node.list.query(), batched.node.list.query(), batched.stats.overview.query()];
  for (const { status, ...told } of await Promise.allSettled<unknown>(calls)) {
    expect(status).toBe("rejected");
    expect(told).toMatchObject({ reason: { code: "OVERLOADED", detail, details: { retryAfterMs: 5001 } } });
  }
});

test("a server that asks for a longer pause than the longest is not asked again", async () => {
  const { url, requests } = await serve(refused(503, "OVERLOADED", { retryAfterMs: 5_001 }));
  await expect(createDispatcherClient({ url, retry }).stats.overview.query()).rejects.toMatchObject({
    code: "OVERLOADED",
    details: { retryAfterMs: 5_001 },
  });
  expect(requests).toHaveLength(1);
});

test("a page that is not of a Dispatcher server is said to be none, without its text", async () => {
  const { url } = await serve((_request, response) => {
    response.writeHead(502, { "content-type": "text/html" });
    response.end("<h1>Bad gateway</h1>");
  });
  await expect(createDispatcherClient({ url, retry: { retries: 0 } }).stats.overview.query()).rejects.toMatchObject({
    code: "SERVER_UNREACHABLE",
    details: { url },
  });
});

test("a server that does not answer in time is unreachable", async () => {
  const { url } = await serve(() => {});
  const client = createDispatcherClient({ url, timeoutMs: 50, retry: { retries: 0 } });
  await expect(client.stats.overview.query()).rejects.toMatchObject({
    code: "SERVER_UNREACHABLE",
    detail: expect.stringContaining("no answer in time"),
  });
});

test("one call may have another time than the client's, and a fetch that heeds no signal does not hold it up", async () => {
  const options = { url: "http://127.0.0.1:1", retry: { retries: 0 }, fetch: () => new Promise<never>(() => {}) };
  const client = createDispatcherClient({ ...options, timeoutMs: 1e8 });
  await expect(client.stats.overview.query(undefined, { timeoutMs: 1 })).rejects.toMatchObject({
    code: "SERVER_UNREACHABLE",
    detail: expect.stringContaining("no answer in time"),
  });
});

test("nobody listens: unreachable, with what the system says", async () => {
  const client = createDispatcherClient({ url: "http://127.0.0.1:1", retry: { retries: 0 } });
  await expect(client.stats.overview.query()).rejects.toMatchObject({ code: "SERVER_UNREACHABLE" });
});

test("an abort ends the call and its retries with the caller's reason", async () => {
  const { url, requests } = await serve(() => aborter.abort(new Error("enough")));
  const aborter = new AbortController();
  const client = createDispatcherClient({ url, retry });
  await expect(client.stats.overview.query(undefined, { signal: aborter.signal })).rejects.toThrow("enough");
  expect(requests).toHaveLength(1);
});

test("a path in front of the server is kept", async () => {
  const { url, requests } = await serve(good({ nodes: [] }));
  await createDispatcherClient({ url: `${url}/rescue` }).node.list.query();
  expect(requests[0]?.url).toContain("/rescue/trpc/node.list");
});
