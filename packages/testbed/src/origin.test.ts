import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OriginFault } from "./origin-fault.ts";
import { startOrigin } from "./origin.ts";
import { waitFor } from "./wait-for.ts";

const BYTES = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
const FILES = new Map([["data.csv", BYTES]]);

type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer; wasCut: boolean };

/** Over node:http and not fetch, to see what comes before a connection is cut. */
function get(url: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, method, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      const settle = (wasCut: boolean): void =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces), wasCut });
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", () => settle(true));
      response.on("end", () => settle(false));
    });
    sent.on("error", reject);
    sent.end();
  });
}

const withFault = (fault: OriginFault) => startOrigin({ files: FILES, faults: { "data.csv": fault } });

test("a file comes whole, with its length, type, strong ETag and time", async () => {
  await using origin = await startOrigin({ files: FILES });
  const { status, headers, body } = await get(`${origin.url}/data.csv`);
  expect(status).toBe(200);
  expect(body).toEqual(BYTES);
  expect(headers).toMatchObject({
    "content-length": "1000",
    "content-type": "text/csv; charset=utf-8",
    "accept-ranges": "bytes",
    etag: expect.stringMatching(/^"[^"]+"$/),
    "last-modified": expect.stringMatching(/GMT$/),
  });
});

test("HEAD tells the same and sends no body", async () => {
  await using origin = await startOrigin({ files: FILES });
  const { status, headers, body } = await get(`${origin.url}/data.csv`, {}, "HEAD");
  expect([status, headers["content-length"], body.length]).toEqual([200, "1000", 0]);
  expect(origin.concurrencyPeak).toBe(0);
});

test("a range comes as 206 with its place, and one behind the end as 416", async () => {
  await using origin = await startOrigin({ files: FILES });
  const part = await get(`${origin.url}/data.csv`, { range: "bytes=900-" });
  expect([part.status, part.headers["content-range"]]).toEqual([206, "bytes 900-999/1000"]);
  expect(part.body).toEqual(BYTES.subarray(900));
  const behind = await get(`${origin.url}/data.csv`, { range: "bytes=1000-" });
  expect([behind.status, behind.headers["content-range"]]).toEqual([416, "bytes */1000"]);
});

test("If-Range gives the range of the same version and the whole of another", async () => {
  await using origin = await startOrigin({ files: FILES });
  const { headers } = await get(`${origin.url}/data.csv`);
  for (const same of [headers.etag, headers["last-modified"]]) {
    expect((await get(`${origin.url}/data.csv`, { range: "bytes=900-", "if-range": String(same) })).status).toBe(206);
  }
  expect((await get(`${origin.url}/data.csv`, { range: "bytes=900-", "if-range": '"other"' })).status).toBe(200);
});

test("what is not there is 404, and other methods are 405", async () => {
  await using origin = await startOrigin({ files: FILES });
  expect((await get(`${origin.url}/none.csv`)).status).toBe(404);
  expect((await get(`${origin.url}/data.csv`, {}, "DELETE")).status).toBe(405);
});

test("a folder is served, and nothing outside it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "origin-"));
  try {
    await writeFile(join(folder, "a b.txt"), "hello");
    await using origin = await startOrigin({ files: folder });
    expect((await get(`${origin.url}/a%20b.txt`)).body.toString()).toBe("hello");
    expect((await get(`${origin.url}/a%20b.txt`, { range: "bytes=1-2" })).body.toString()).toBe("el");
    for (const path of ["/", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/etc/passwd", "/%00", "/%zz"]) {
      expect([path, (await get(`${origin.url}${path}`)).status]).toEqual([path, 404]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("requests are logged and fetches under way counted with their peak", async () => {
  await using origin = await startOrigin({ files: FILES, faults: { "data.csv": { kind: "stall", atByte: 10 } } });
  const first = get(`${origin.url}/data.csv`);
  const second = get(`${origin.url}/data.csv`, { range: "bytes=5-", "user-agent": "reader/1" });
  await waitFor("both to stall", () => origin.bytesServed === 15);
  expect([origin.concurrency, origin.concurrencyPeak]).toEqual([2, 2]);
  expect(origin.requests).toHaveLength(2);
  expect(origin.requests.find(({ range }) => range !== null)).toMatchObject({
    method: "GET",
    path: "/data.csv",
    range: "bytes=5-",
    userAgent: "reader/1",
    status: 206,
    sentBytes: 5,
    isOver: false,
  });
  await origin.close();
  expect(await Promise.all([first, second])).toMatchObject([{ wasCut: true }, { wasCut: true }]);
  expect([origin.concurrency, origin.concurrencyPeak]).toEqual([0, 2]);
  expect(origin.requests.every(({ isOver }) => isOver)).toBe(true);
});

test("a reader that reads to the end one after another never makes two fetches", async () => {
  await using origin = await startOrigin({ files: FILES, bytesPerSecond: 20_000 });
  for (let round = 0; round < 5; round++) await get(`${origin.url}/data.csv`);
  expect(origin.concurrencyPeak).toBe(1);
});

test("a throttled answer keeps to its rate", async () => {
  await using origin = await startOrigin({ files: FILES, bytesPerSecond: 4000 });
  const startedMs = performance.now();
  expect((await get(`${origin.url}/data.csv`)).body).toEqual(BYTES);
  expect(performance.now() - startedMs).toBeGreaterThan(240);
});

test("slow: one file keeps to its own rate", async () => {
  await using origin = await withFault({ kind: "slow", bytesPerSecond: 4000 });
  const startedMs = performance.now();
  expect((await get(`${origin.url}/data.csv`)).body).toEqual(BYTES);
  expect(performance.now() - startedMs).toBeGreaterThan(240);
});

test("stall: bytes come up to the place and the connection stays open", async () => {
  await using origin = await withFault({ kind: "stall", atByte: 300 });
  const controller = new AbortController();
  const response = await fetch(`${origin.url}/data.csv`, { signal: controller.signal });
  const reader = response.body?.getReader();
  let receivedBytes = 0;
  while (receivedBytes < 300) receivedBytes += (await reader?.read())?.value?.length ?? 0;
  expect(receivedBytes).toBe(300);
  expect(origin.requests[0]).toMatchObject({ isOver: false, sentBytes: 300 });
  controller.abort();
  await waitFor("the fetch to be over", () => origin.concurrency === 0);
});

test("cut: the connection ends at the place, and a fetch resumed there gets no byte", async () => {
  await using origin = await withFault({ kind: "cut", atByte: 300 });
  const whole = await get(`${origin.url}/data.csv`);
  expect([whole.status, whole.body.length, whole.wasCut]).toEqual([200, 300, true]);
  const resumed = await get(`${origin.url}/data.csv`, { range: "bytes=300-" });
  expect([resumed.status, resumed.body.length, resumed.wasCut]).toEqual([206, 0, true]);
});

test("a fault for one request lets the next one through", async () => {
  await using origin = await withFault({ kind: "cut", atByte: 300, requests: 1 });
  expect((await get(`${origin.url}/data.csv`)).wasCut).toBe(true);
  const resumed = await get(`${origin.url}/data.csv`, { range: "bytes=300-" });
  expect([resumed.status, resumed.body.length, resumed.wasCut]).toEqual([206, 700, false]);
});

test("ignore-range: a range is answered with 200 and the whole file", async () => {
  await using origin = await withFault({ kind: "ignore-range" });
  const { status, body } = await get(`${origin.url}/data.csv`, { range: "bytes=300-" });
  expect([status, body.length]).toEqual([200, 1000]);
});

test("refuse-range: a satisfiable range is answered with 416, the whole file with 200", async () => {
  await using origin = await withFault({ kind: "refuse-range" });
  const refused = await get(`${origin.url}/data.csv`, { range: "bytes=300-" });
  expect([refused.status, refused.headers["content-range"]]).toEqual([416, "bytes */1000"]);
  expect((await get(`${origin.url}/data.csv`)).status).toBe(200);
});

test("status: any status, with its Retry-After", async () => {
  await using origin = await withFault({ kind: "status", status: 429, retryAfter: "7" });
  const throttled = await get(`${origin.url}/data.csv`);
  expect([throttled.status, throttled.headers["retry-after"]]).toEqual([429, "7"]);
  for (const status of [403, 404, 410, 500, 503]) {
    origin.setFault("/data.csv", { kind: "status", status });
    const { headers, ...answer } = await get(`${origin.url}/data.csv`);
    expect([answer.status, headers["retry-after"]]).toEqual([status, undefined]);
  }
  expect(origin.concurrencyPeak).toBe(0);
});

test("wrong-length: the headers declare what is sent, less or more than the file", async () => {
  await using origin = await withFault({ kind: "wrong-length", sizeBytes: 900 });
  const shorter = await get(`${origin.url}/data.csv`);
  expect([shorter.headers["content-length"], shorter.wasCut]).toEqual(["900", false]);
  expect(shorter.body).toEqual(BYTES.subarray(0, 900));
  origin.setFault("data.csv", { kind: "wrong-length", sizeBytes: 1100 });
  const longer = await get(`${origin.url}/data.csv`, { range: "bytes=950-" });
  expect(longer.headers["content-range"]).toBe("bytes 950-1099/1100");
  expect(longer.body).toEqual(Buffer.concat([BYTES.subarray(950), Buffer.alloc(100)]));
});

test("wrong-bytes: as many bytes, the same ETag, every byte another", async () => {
  await using origin = await startOrigin({ files: FILES });
  const right = await get(`${origin.url}/data.csv`);
  origin.setFault("data.csv", { kind: "wrong-bytes" });
  const wrong = await get(`${origin.url}/data.csv`);
  expect(wrong.headers.etag).toBe(right.headers.etag);
  expect(wrong.body.length).toBe(1000);
  expect(wrong.body.every((byte, index) => byte !== BYTES[index])).toBe(true);
});

test("no-length: the file comes in chunks", async () => {
  await using origin = await withFault({ kind: "no-length" });
  const { headers, body } = await get(`${origin.url}/data.csv`);
  expect([headers["content-length"], headers["transfer-encoding"]]).toEqual([undefined, "chunked"]);
  expect(body).toEqual(BYTES);
});

test("changed: from the third request on there is a new version, and If-Range notices", async () => {
  const bytes = Buffer.from("another version");
  await using origin = await withFault({ kind: "changed", bytes, afterRequests: 2 });
  const before = await get(`${origin.url}/data.csv`);
  const again = await get(`${origin.url}/data.csv`);
  expect(again.headers.etag).toBe(before.headers.etag);
  const after = await get(`${origin.url}/data.csv`, { range: "bytes=5-", "if-range": String(before.headers.etag) });
  expect([after.status, after.body]).toEqual([200, bytes]);
  expect(after.headers.etag).not.toBe(before.headers.etag);
  expect(after.headers["last-modified"]).not.toBe(before.headers["last-modified"]);
});

test("redirect: to another place", async () => {
  await using origin = await withFault({ kind: "redirect", location: "/else.csv", status: 301 });
  const { status, headers } = await get(`${origin.url}/data.csv`);
  expect([status, headers.location]).toEqual([301, "/else.csv"]);
});

test("login-page: 200 and a form, whatever was asked", async () => {
  await using origin = await withFault({ kind: "login-page" });
  const { status, headers, body } = await get(`${origin.url}/data.csv`, { range: "bytes=5-" });
  expect([status, headers["content-type"], headers.etag]).toEqual([200, "text/html; charset=utf-8", undefined]);
  expect(body.toString()).toContain('type="password"');
});

test("a taken port is an error", async () => {
  await using origin = await startOrigin({ files: FILES });
  await expect(startOrigin({ files: FILES, port: Number(new URL(origin.url).port) })).rejects.toThrow("EADDRINUSE");
});
