import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DIGEST_ALGORITHMS } from "@dispatcher/core";
import type { DigestAlgorithm } from "@dispatcher/core";
import { startOrigin, waitFor } from "@dispatcher/testbed";
import type { OriginFault } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { AssetFailure } from "./asset-failure.ts";
import { createOriginDispatcher, fetchAsset } from "./fetch-asset.ts";
import type { FetchOrder, FetchTools, Fetched } from "./fetch-asset.ts";
import type { Version } from "./response-headers.ts";

const BYTES = randomBytes(200_000);
const OTHER_BYTES = randomBytes(150_000);
const PATIENCE_MS = 300;
const FAR_BYTES = 2 ** 50;

const digestOf = (bytes: Buffer, algorithm: DigestAlgorithm = "sha256") => ({
  algorithm,
  hex: createHash(algorithm).update(bytes).digest("hex"),
});
const DECLARED = { sizeBytes: BYTES.length, digest: digestOf(BYTES) };
const UNDECLARED = { sizeBytes: null, digest: null };

type Bench = AsyncDisposable & {
  readonly partialPath: string;
  readonly versions: Version[];
  readonly progress: number[];
  fetch(order: Partial<FetchOrder> & { readonly url: string }, tools?: Partial<FetchTools>): Promise<Fetched>;
  /** The failure's code. */
  fail(order: Partial<FetchOrder> & { readonly url: string }, tools?: Partial<FetchTools>): Promise<AssetFailure>;
};

async function aBench(): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "fetch-asset-"));
  const dispatcher = createOriginDispatcher({ patienceMs: PATIENCE_MS, mayBePrivate: true });
  const partialPath = join(folder, "1.part");
  const versions: Version[] = [];
  const progress: number[] = [];
  const fetch: Bench["fetch"] = (order, tools) =>
    fetchAsset(
      { path: "data.csv", declared: DECLARED, partialPath, version: null, ...order },
      {
        dispatcher,
        signal: new AbortController().signal,
        onVersion: (version) => Promise.resolve(void versions.push(version)),
        onProgress: (bytes) => void progress.push(bytes),
        ensureRoom: () => Promise.resolve(FAR_BYTES),
        ...tools,
      },
    );
  return {
    partialPath,
    versions,
    progress,
    fetch,
    async fail(order, tools) {
      const error = await fetch(order, tools).then(
        () => null,
        (reason: unknown) => reason,
      );
      if (!(error instanceof AssetFailure)) throw new Error("It did not fail as an asset does.", { cause: error });
      return error;
    },
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy();
      await rm(folder, { recursive: true });
    },
  };
}

function anOrigin(fault?: OriginFault, files: Record<string, Buffer> = {}) {
  return startOrigin({
    files: new Map(Object.entries({ "data.csv": BYTES, ...files })),
    faults: fault === undefined ? {} : { "data.csv": fault },
  });
}

/** An origin whose every answer the test writes itself. */
async function aScriptedOrigin(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** Fetch the first `bytes` of the file and be cut off, as a kill would leave it. */
async function leavePartial(bench: Bench, bytes: number): Promise<Version> {
  await using origin = await anOrigin();
  await bench.fetch({ url: `${origin.url}/data.csv` });
  const version = bench.versions.at(-1);
  if (version === undefined) throw new Error("no version");
  await writeFile(bench.partialPath, BYTES.subarray(0, bytes));
  bench.versions.length = 0;
  bench.progress.length = 0;
  return version;
}

test("a file is fetched whole, counted and hashed", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin();
  const fetched = await bench.fetch({ url: `${origin.url}/data.csv` });
  expect(fetched).toMatchObject({
    sizeBytes: BYTES.length,
    sha256: DECLARED.digest.hex,
    digest: null,
    fetchedBytes: BYTES.length,
    etag: expect.stringMatching(/^".+"$/) as string,
  });
  expect(await readFile(bench.partialPath)).toEqual(BYTES);
  expect(bench.progress.at(-1)).toBe(BYTES.length);
  expect(origin.requests[0]).toMatchObject({
    range: null,
    userAgent: expect.stringMatching(/^dispatcher-node-agent\/\d/) as string,
  });
});

test.each(DIGEST_ALGORITHMS)("a declared %s is computed and compared", async (algorithm) => {
  await using bench = await aBench();
  await using origin = await anOrigin();
  const declared = { sizeBytes: null, digest: digestOf(BYTES, algorithm) };
  const fetched = await bench.fetch({ url: `${origin.url}/data.csv`, declared });
  expect(fetched.digest).toEqual(algorithm === "sha256" ? null : declared.digest);
  const wrong = { sizeBytes: null, digest: digestOf(OTHER_BYTES, algorithm) };
  expect((await bench.fail({ url: `${origin.url}/data.csv`, declared: wrong })).code).toBe("BAD_DIGEST");
});

test("git's id of a file passes for a declared SHA-1, and is reported as what it is", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin();
  const hex = createHash("sha1").update(`blob ${BYTES.length}\0`).update(BYTES).digest("hex");
  const url = `${origin.url}/data.csv`;
  const fetched = await bench.fetch({ url, declared: { sizeBytes: null, digest: { algorithm: "sha1", hex } } });
  expect(fetched.digest).toEqual({ algorithm: "git-sha1", hex });
});

test("an empty file is fetched", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin(undefined, { "empty.csv": Buffer.alloc(0) });
  const url = `${origin.url}/empty.csv`;
  const declared = { sizeBytes: 0, digest: digestOf(Buffer.alloc(0)) };
  expect(await bench.fetch({ url, declared })).toMatchObject({ sizeBytes: 0, fetchedBytes: 0 });
  expect(origin.requests).toHaveLength(1);
});

test("a file of unknown length comes in chunks", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "no-length" });
  const asked: (number | null)[] = [];
  const fetched = await bench.fetch(
    { url: `${origin.url}/data.csv`, declared: UNDECLARED },
    {
      ensureRoom: ({ bytes, totalBytes }) => {
        asked.push(totalBytes);
        return Promise.resolve(bytes + 50_000);
      },
    },
  );
  expect(fetched.sizeBytes).toBe(BYTES.length);
  expect(asked.length).toBeGreaterThan(1);
  expect(new Set(asked)).toEqual(new Set([null]));
  expect(bench.versions).toMatchObject([{ sizeBytes: null }]);
});

test("no byte is written beyond the room there is", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "no-length" });
  const refusal = new Error("no room");
  const fetching = bench.fetch(
    { url: `${origin.url}/data.csv`, declared: UNDECLARED },
    { ensureRoom: ({ bytes }) => (bytes > 100_000 ? Promise.reject(refusal) : Promise.resolve(bytes)) },
  );
  await expect(fetching).rejects.toBe(refusal);
  expect((await stat(bench.partialPath)).size).toBeLessThanOrEqual(100_000);
});

test("room for a known size is asked for before its first byte", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin();
  const refusal = new Error("no room");
  const ensureRoom = ({ totalBytes }: { totalBytes: number | null }): Promise<number> => {
    expect(totalBytes).toBe(BYTES.length);
    return Promise.reject(refusal);
  };
  await expect(bench.fetch({ url: `${origin.url}/data.csv`, declared: UNDECLARED }, { ensureRoom })).rejects.toBe(
    refusal,
  );
  expect((await stat(bench.partialPath)).size).toBe(0);
});

test("a cut connection is resumed at once from the last byte", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "cut", atByte: 70_000, requests: 1 });
  const fetched = await bench.fetch({ url: `${origin.url}/data.csv` });
  expect(fetched).toMatchObject({ sizeBytes: BYTES.length, fetchedBytes: BYTES.length });
  expect(origin.requests).toHaveLength(2);
  expect(origin.requests[1]).toMatchObject({ status: 206, ifRange: bench.versions[0]?.etag });
  // The last bytes before a cut may not have been read when it is noticed.
  expect(Number(/\d+/.exec(origin.requests[1]?.range ?? "")?.[0])).toBeGreaterThan(0);
});

test("a connection cut again and again at one byte is given up after three resumes", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "cut", atByte: 0 });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("CONNECTION_CUT");
  expect(origin.requests).toHaveLength(4);
  expect((await stat(bench.partialPath)).size).toBe(0);
});

test("cuts that still bring the file further do not add up", async () => {
  await using bench = await aBench();
  let answers = 0;
  await using origin = await aScriptedOrigin((request, response) => {
    const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    answers += 1;
    response.writeHead(first === 0 ? 200 : 206, {
      etag: '"1"',
      "content-length": BYTES.length - first,
      ...(first === 0 ? {} : { "content-range": `bytes ${first}-${BYTES.length - 1}/${BYTES.length}` }),
    });
    response.write(BYTES.subarray(first, first + 40_000), () => response.socket?.end());
  });
  expect(await bench.fetch({ url: origin.url })).toMatchObject({ sizeBytes: BYTES.length });
  expect(answers).toBe(5);
});

// Four stalls, each noticed to the second.
test("an origin that sends nothing for the patience has stalled", { timeout: 20_000 }, async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "stall", atByte: 70_000 });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("STALLED");
  expect(origin.requests).toHaveLength(4);
});

test("a stall that passes is resumed", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "stall", atByte: 70_000, requests: 1 });
  expect(await bench.fetch({ url: `${origin.url}/data.csv` })).toMatchObject({ sizeBytes: BYTES.length });
});

test("a slow origin is no stall", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "slow", bytesPerSecond: 300_000 });
  expect((await bench.fetch({ url: `${origin.url}/data.csv` })).fetchMs).toBeGreaterThan(PATIENCE_MS);
  expect(origin.requests).toHaveLength(1);
});

test("what was on disk before is hashed and not fetched again", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await using origin = await anOrigin();
  const fetched = await bench.fetch({ url: `${origin.url}/data.csv`, version });
  expect(fetched).toMatchObject({ sha256: DECLARED.digest.hex, fetchedBytes: BYTES.length - 120_000 });
  expect(bench.progress[0]).toBe(120_000);
  expect(origin.requests).toMatchObject([{ range: "bytes=120000-", ifRange: version.etag, status: 206 }]);
});

test("a partial file of which nobody knows the version is dropped", async () => {
  await using bench = await aBench();
  await writeFile(bench.partialPath, OTHER_BYTES);
  await using origin = await anOrigin();
  expect(await bench.fetch({ url: `${origin.url}/data.csv` })).toMatchObject({ fetchedBytes: BYTES.length });
  expect(origin.requests).toMatchObject([{ range: null }]);
});

test("a partial file that is whole already needs no request", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, BYTES.length);
  await using origin = await anOrigin();
  expect(await bench.fetch({ url: `${origin.url}/data.csv`, version })).toMatchObject({ fetchedBytes: 0 });
  expect(origin.requests).toHaveLength(0);
});

test("a partial file longer than the whole is dropped", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 10);
  await writeFile(bench.partialPath, Buffer.concat([BYTES, BYTES]));
  await using origin = await anOrigin();
  expect(await bench.fetch({ url: `${origin.url}/data.csv`, version })).toMatchObject({ fetchedBytes: BYTES.length });
});

test("a 200 to a Range request starts from zero", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await using origin = await anOrigin({ kind: "ignore-range" });
  expect(await bench.fetch({ url: `${origin.url}/data.csv`, version })).toMatchObject({ fetchedBytes: BYTES.length });
  expect(origin.requests).toMatchObject([{ range: "bytes=120000-", status: 200 }]);
});

test("a 416 with the whole partial file there ends as fetched", async () => {
  await using bench = await aBench();
  const version = { ...(await leavePartial(bench, BYTES.length)), sizeBytes: null };
  await using origin = await anOrigin();
  const declared = { sizeBytes: null, digest: DECLARED.digest };
  const fetched = await bench.fetch({ url: `${origin.url}/data.csv`, version, declared });
  expect(fetched).toMatchObject({ sizeBytes: BYTES.length, fetchedBytes: 0 });
  expect(origin.requests).toMatchObject([{ status: 416 }]);
});

test("a 416 to a partial file starts from zero, without ranges", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await using origin = await anOrigin({ kind: "refuse-range" });
  expect(await bench.fetch({ url: `${origin.url}/data.csv`, version })).toMatchObject({ fetchedBytes: BYTES.length });
  expect(origin.requests).toMatchObject([{ status: 416 }, { range: null, status: 200 }]);
});

test("a new version met while resuming is fetched from its beginning", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await using origin = await anOrigin({ kind: "changed", bytes: OTHER_BYTES });
  const fetched = await bench.fetch({ url: `${origin.url}/data.csv`, version, declared: UNDECLARED });
  expect(fetched).toMatchObject({ sizeBytes: OTHER_BYTES.length, sha256: digestOf(OTHER_BYTES).hex });
  expect(bench.versions).toHaveLength(1);
  expect(bench.versions[0]?.etag).not.toBe(version.etag);
});

test("a new version served as a range of the old one is noticed by its tag", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  const ranges: (string | undefined)[] = [];
  await using origin = await aScriptedOrigin((request, response) => {
    ranges.push(request.headers.range);
    const first = request.headers.range === undefined ? 0 : 120_000;
    response.writeHead(first === 0 ? 200 : 206, {
      etag: '"new"',
      "content-length": BYTES.length - first,
      ...(first === 0 ? {} : { "content-range": `bytes ${first}-${BYTES.length - 1}/${BYTES.length}` }),
    });
    response.end(Buffer.alloc(BYTES.length - first));
  });
  const fetched = await bench.fetch({ url: origin.url, version, declared: UNDECLARED });
  expect(fetched).toMatchObject({ sha256: digestOf(Buffer.alloc(BYTES.length)).hex, etag: '"new"' });
  expect(ranges).toEqual(["bytes=120000-", undefined]);
});

test("a range that begins elsewhere than asked is not used", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await using origin = await aScriptedOrigin((request, response) => {
    const isRange = request.headers.range !== undefined;
    response.writeHead(
      isRange ? 206 : 200,
      isRange ? { "content-range": `bytes 0-${BYTES.length - 1}/${BYTES.length}` } : {},
    );
    response.end(BYTES);
  });
  expect(await bench.fetch({ url: origin.url, version })).toMatchObject({ sha256: DECLARED.digest.hex });
});

test("pieces that do not fit together are fetched once more as a whole before the copy is called bad", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await writeFile(bench.partialPath, Buffer.alloc(120_000));
  await using origin = await anOrigin();
  expect(await bench.fetch({ url: `${origin.url}/data.csv`, version })).toMatchObject({ sha256: DECLARED.digest.hex });
  expect(origin.requests).toMatchObject([{ status: 206 }, { range: null, status: 200 }]);
});

test("without a version and without a digest a cut file begins again", async () => {
  await using bench = await aBench();
  let answers = 0;
  await using origin = await aScriptedOrigin((request, response) => {
    expect(request.headers.range).toBeUndefined();
    answers += 1;
    response.writeHead(200, { "content-length": BYTES.length });
    if (answers === 1) response.write(BYTES.subarray(0, 1000), () => response.socket?.end());
    else response.end(BYTES);
  });
  expect(await bench.fetch({ url: origin.url, declared: UNDECLARED })).toMatchObject({ sizeBytes: BYTES.length });
});

test("wrong bytes of the right length are a bad digest", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "wrong-bytes" });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("BAD_DIGEST");
  expect(origin.requests).toHaveLength(1);
});

test("a longer file is too large before a byte of it is written", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "wrong-length", sizeBytes: BYTES.length + 1 });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("TOO_LARGE");
  expect((await stat(bench.partialPath)).size).toBe(0);
});

test("a file in chunks is too large as soon as it has more bytes than declared", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "no-length" });
  const declared = { sizeBytes: BYTES.length - 1, digest: null };
  expect((await bench.fail({ url: `${origin.url}/data.csv`, declared })).code).toBe("TOO_LARGE");
  expect((await stat(bench.partialPath)).size).toBeLessThan(BYTES.length);
});

test("a shorter file has changed, with and without a length told", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "wrong-length", sizeBytes: BYTES.length - 1 });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("CHANGED");
  origin.setFault("data.csv", { kind: "no-length" });
  const declared = { sizeBytes: BYTES.length + 1, digest: null };
  expect((await bench.fail({ url: `${origin.url}/data.csv`, declared })).code).toBe("CHANGED");
});

test("an answer that ends with its connection, too early, is resumed", async () => {
  await using bench = await aBench();
  await using origin = await aScriptedOrigin((request, response) => {
    const first = request.headers.range === undefined ? 0 : 1000;
    response.removeHeader("transfer-encoding");
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
    response.writeHead(first === 0 ? 200 : 206, {
      etag: '"1"',
      connection: "close",
      ...(first === 0 ? {} : { "content-range": `bytes 1000-${BYTES.length - 1}/${BYTES.length}` }),
    });
    response.end(first === 0 ? BYTES.subarray(0, 1000) : BYTES.subarray(1000));
  });
  expect(await bench.fetch({ url: origin.url })).toMatchObject({ sizeBytes: BYTES.length });
});

test.each([
  [404, "NOT_FOUND"],
  [410, "GONE"],
  [401, "FORBIDDEN"],
  [403, "FORBIDDEN"],
  [451, "FORBIDDEN"],
  [408, "ORIGIN_ERROR"],
  [400, "BAD_URL"],
  [405, "BAD_URL"],
  [416, "BAD_URL"],
  [500, "ORIGIN_ERROR"],
  [502, "ORIGIN_ERROR"],
  [204, "ORIGIN_ERROR"],
  [304, "ORIGIN_ERROR"],
] as const)("a %i is %s, asked for once", async (status, code) => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "status", status });
  expect(await bench.fail({ url: `${origin.url}/data.csv` })).toMatchObject({ code, retryAfterMs: null });
  expect(origin.requests).toHaveLength(1);
});

test.each([429, 503])("a %i is a throttle, with its Retry-After passed on", async (status) => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "status", status, retryAfter: "7" });
  expect(await bench.fail({ url: `${origin.url}/data.csv` })).toMatchObject({ code: "THROTTLED", retryAfterMs: 7000 });
  const inAMinute = new Date(Date.now() + 60_000).toUTCString();
  origin.setFault("data.csv", { kind: "status", status, retryAfter: inAMinute });
  const { retryAfterMs } = await bench.fail({ url: `${origin.url}/data.csv` });
  expect(retryAfterMs).toBeGreaterThan(30_000);
  expect(retryAfterMs).toBeLessThanOrEqual(60_000);
  origin.setFault("data.csv", { kind: "status", status });
  expect(await bench.fail({ url: `${origin.url}/data.csv` })).toMatchObject({ code: "THROTTLED", retryAfterMs: null });
});

test("redirects are followed five times, over hosts, with the range", async () => {
  await using bench = await aBench();
  const version = await leavePartial(bench, 120_000);
  await using target = await anOrigin();
  let hops = 0;
  await using origin = await aScriptedOrigin((_request, response) => {
    hops += 1;
    response.writeHead(302, { location: hops < 5 ? `/hop-${hops}` : `${target.url}/data.csv` }).end("moved");
  });
  expect(await bench.fetch({ url: origin.url, version })).toMatchObject({ sha256: DECLARED.digest.hex });
  expect(target.requests).toMatchObject([{ range: "bytes=120000-" }]);
  expect(hops).toBe(5);
});

test("an origin that redirects in a circle is given up", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "redirect", location: "/data.csv" });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("ORIGIN_ERROR");
  expect(origin.requests).toHaveLength(6);
});

test("what is no http URL is a bad URL, also as the target of a redirect", async () => {
  await using bench = await aBench();
  for (const url of ["", "data.csv", "ftp://127.0.0.1/data.csv", "file:///etc/passwd", "http://"]) {
    expect((await bench.fail({ url })).code, url).toBe("BAD_URL");
  }
  await using origin = await anOrigin({ kind: "redirect", location: "file:///etc/passwd" });
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("BAD_URL");
});

test("a port that refuses and a name that is not known are failures to connect", async () => {
  await using bench = await aBench();
  const origin = await anOrigin();
  await origin.close();
  expect((await bench.fail({ url: `${origin.url}/data.csv` })).code).toBe("CONNECT_FAILED");
  expect((await bench.fail({ url: "http://origin.invalid/data.csv" })).code).toBe("CONNECT_FAILED");
});

test("something that is not HTTP is an error of the origin", async () => {
  await using bench = await aBench();
  await using origin = await aScriptedOrigin((_request, response) => response.socket?.end("SSH-2.0-x\r\n\r\n"));
  expect((await bench.fail({ url: origin.url })).code).toBe("ORIGIN_ERROR");
});

test("a page in place of a declared file is a login wall", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "login-page" });
  const url = `${origin.url}/data.csv`;
  expect((await bench.fail({ url })).code).toBe("LOGIN_WALL");
  expect((await bench.fail({ url, declared: { sizeBytes: null, digest: DECLARED.digest } })).code).toBe("LOGIN_WALL");
  expect((await bench.fail({ url, declared: { sizeBytes: 10, digest: null } })).code).toBe("LOGIN_WALL");
  expect((await bench.fail({ url, declared: UNDECLARED })).code).toBe("LOGIN_WALL");
});

test("a page that was asked for is a file like others", async () => {
  await using bench = await aBench();
  const page = Buffer.from("<html></html>");
  await using origin = await anOrigin(undefined, { "page.html": page, landing: page });
  const url = `${origin.url}/page.html`;
  const declared = { sizeBytes: null, digest: digestOf(page) };
  expect(await bench.fetch({ url, path: "page.html", declared: UNDECLARED })).toMatchObject({ sizeBytes: page.length });
  expect(await bench.fetch({ url, path: "landing", declared: UNDECLARED })).toMatchObject({ sizeBytes: page.length });
  expect(await bench.fetch({ url, path: "odd.csv", declared })).toMatchObject({ sizeBytes: page.length });
  const other = { sizeBytes: null, digest: DECLARED.digest };
  expect((await bench.fail({ url, path: "page.html", declared: other })).code).toBe("BAD_DIGEST");
});

test("an abort ends the fetch at once, whatever it waits for, and keeps the bytes", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin({ kind: "stall", atByte: 70_000 });
  const controller = new AbortController();
  const reason = new Error("cancelled");
  const fetching = bench.fetch({ url: `${origin.url}/data.csv` }, { signal: controller.signal });
  const outcome = fetching.catch((error: unknown) => error);
  await waitFor("the bytes before the stall", () => bench.progress.at(-1) === 70_000);
  controller.abort(reason);
  expect(await outcome).toBe(reason);
  expect((await stat(bench.partialPath)).size).toBe(70_000);
  await waitFor("the connection to end", () => origin.concurrency === 0);
});

test("a folder that is gone is a failure of the disk", async () => {
  await using bench = await aBench();
  await using origin = await anOrigin();
  const partialPath = join(bench.partialPath, "missing", "1.part");
  expect((await bench.fail({ url: `${origin.url}/data.csv`, partialPath })).code).toBe("DISK_ERROR");
});

test("an origin at a private address is refused unless that is allowed, by its address or its name", async () => {
  await using origin = await startOrigin({ files: new Map([["data.csv", Buffer.from("abc")]]) });
  await using bench = await aBench();
  const publicOnly = createOriginDispatcher({ patienceMs: PATIENCE_MS, mayBePrivate: false });
  try {
    const tools = { dispatcher: publicOnly };
    const failure = await bench.fail({ url: `${origin.url}/data.csv` }, tools);
    expect([failure.code, failure.message]).toEqual([
      "BAD_URL",
      "127.0.0.1 is a private address. This agent fetches from the internet alone.",
    ]);
    const named = new URL("/data.csv", origin.url);
    named.hostname = "localhost";
    expect((await bench.fail({ url: named.href }, tools)).code).toBe("CONNECT_FAILED");
    expect((await bench.fail({ url: `http://[::ffff:127.0.0.1]:${named.port}/data.csv` }, tools)).code).toBe("BAD_URL");
  } finally {
    await publicOnly.destroy();
  }
  expect(origin.requests).toEqual([]);
});
