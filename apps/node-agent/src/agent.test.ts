/** The loop against a real origin, with the server's side of each sync played by the test. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RouterInputs, RouterOutputs } from "@dispatcher/client";
import { DispatcherError, holdingOf } from "@dispatcher/core";
import type { AssetId, AssignmentId } from "@dispatcher/core";
import { startOrigin, waitFor } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { aCopy, aGrant, aHome, aLog, aNode } from "../test/support/a-home.ts";
import type { LogLine } from "../test/support/a-home.ts";
import { runAgent } from "./agent.ts";
import type { AgentOptions } from "./agent.ts";
import { AssignmentJournal } from "./assignment-journal.ts";
import type { Grant } from "./assignment-journal.ts";
import { partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import { Inventory, hashText } from "./inventory.ts";
import type { InventoryAnswer, InventoryPage } from "./send-inventory.ts";
import { askStatus } from "./status-socket.ts";

type Input = RouterInputs["node"]["sync"];
type Output = RouterOutputs["node"]["sync"];
type Answer = (input: Input) => Partial<Output> | Promise<Partial<Output>>;

const BYTES = randomBytes(300_000);
const QUIET_MS = 60_000;

/** As the server does it where nothing is wrong: every report is accepted, every open lease stands. */
function accept(input: Input): Output {
  const reports = [...input.finished, ...input.failed, ...input.released];
  return {
    nowMs: 0,
    nextSyncMs: QUIET_MS,
    reports: reports.map(({ assignmentId, term }) => ({
      assignmentId: assignmentId as AssignmentId,
      term,
      outcome: "accepted" as const,
    })),
    leases: input.open.map(({ assignmentId, term, wantBytes }) => ({
      assignmentId: assignmentId as AssignmentId,
      term,
      expiresAtMs: 0,
      reservedBytes: wantBytes ?? 2 ** 20,
    })),
    grants: [],
    cancels: [],
    refusal: null,
    inventoryWanted: false,
    deletePermits: [],
    message: null,
  };
}

const granting = (...grants: Grant[]): Partial<Output> => ({
  grants: grants.map((grant) => ({ ...grant, expiresAtMs: 0 })),
});

const away: Answer = () => Promise.reject(new DispatcherError("SERVER_UNREACHABLE", "No answer."));
const wanting: Answer = () => ({ inventoryWanted: true, nextSyncMs: 200 });
const often: Answer = () => ({ nextSyncMs: 200 });
const underTermFive: Answer = (input) => ({ leases: accept(input).leases.map((lease) => ({ ...lease, term: 5 })) });
const reserveNoMore: Answer = (input) => ({
  leases: accept(input).leases.map((lease) => ({ ...lease, reservedBytes: 100_000 })),
});

/** Each sync takes the next of `answers`; after the last, everything is accepted. */
class PlayedServer {
  readonly inputs: Input[] = [];
  readonly times: number[] = [];
  readonly answers: Answer[];
  readonly pages: InventoryPage[] = [];
  /** Each page takes the next of these; after the last, the server has all of it on record. */
  readonly pageAnswers: (Partial<InventoryAnswer> | DispatcherError)[] = [];
  concurrency = 0;
  concurrencyPeak = 0;

  constructor(...answers: Answer[]) {
    this.answers = answers;
  }

  readonly sync = async (input: Input): Promise<Output> => {
    this.times.push(performance.now());
    this.inputs.push(input);
    this.concurrency += 1;
    this.concurrencyPeak = Math.max(this.concurrencyPeak, this.concurrency);
    try {
      return { ...accept(input), ...(await this.answers.shift()?.(input)) };
    } finally {
      this.concurrency -= 1;
    }
  };

  readonly sendPage = async (page: InventoryPage): Promise<InventoryAnswer> => {
    this.pages.push(page);
    const answer = this.pageAnswers.shift();
    if (answer instanceof DispatcherError) throw answer;
    return { adopted: [], dropped: [], notCounted: [], deletePermits: [], ...answer };
  };

  /** All reports of one kind, over all syncs. */
  all<Kind extends "finished" | "failed" | "released">(kind: Kind): readonly Input[Kind][number][] {
    return this.inputs.flatMap<Input[Kind][number]>((input) => [...input[kind]]);
  }
}

type RunningAgent = AsyncDisposable & {
  readonly lines: readonly LogLine[];
  /** Resolves with null, or the error the agent ended with. */
  readonly ended: Promise<unknown>;
  stop(): Promise<unknown>;
};

function start(home: Home, server: PlayedServer, options: Partial<AgentOptions> = {}): RunningAgent {
  const controller = new AbortController();
  const { log, lines } = aLog();
  const ended = runAgent(
    {
      home,
      node: aNode(),
      capacityBytes: 2 ** 30,
      marginBytes: 0,
      concurrency: 2,
      patienceMs: 5000,
      mayFetchPrivate: true,
      stopAfterMs: 10_000,
      pid: 1,
      log,
      sync: server.sync,
      sendPage: server.sendPage,
      random: () => 0.1,
      ...options,
    },
    controller.signal,
  ).then(
    () => null,
    (error: unknown) => error,
  );
  const stop = (): Promise<unknown> => {
    controller.abort();
    return ended;
  };
  return {
    lines,
    ended,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

function grantOf(url: string, index = 1, asset: Partial<Grant["asset"]> = {}): Grant {
  const hex = createHash("sha1").update(BYTES).digest("hex");
  return aGrant({
    assignmentId: String(index) as AssignmentId,
    asset: {
      id: String(index * 10) as AssetId,
      url: `${url}/data-${index}.csv`,
      path: `data-${index}.csv`,
      sizeBytes: BYTES.length,
      digest: { algorithm: "sha1", hex },
      ...asset,
    },
  });
}

const anOrigin = (options: Omit<Parameters<typeof startOrigin>[0], "files"> = {}) =>
  startOrigin({ files: new Map(Array.from({ length: 8 }, (_, index) => [`data-${index}.csv`, BYTES])), ...options });

const eventsOf = (agent: RunningAgent, event: string) => agent.lines.filter((line) => line.event === event);

test("what is granted is fetched, stored and reported once", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const server = new PlayedServer(() => granting(grantOf(origin.url)));
  await using agent = start(place.home, server);
  await waitFor("the report to be sent", () => server.all("finished").length > 0);
  await agent.stop();

  expect(server.inputs[0]).toMatchObject({ agentVersion: "0.1.0", schemes: ["http", "https"], wants: 4, open: [] });
  expect(server.all("finished")).toEqual([
    {
      assignmentId: "1",
      term: 1,
      sizeBytes: BYTES.length,
      sha256: createHash("sha256").update(BYTES).digest("hex"),
      digest: { algorithm: "sha1", hex: createHash("sha1").update(BYTES).digest("hex") },
      etag: expect.any(String) as string,
      lastModified: expect.any(String) as string,
      fetchMs: expect.any(Number) as number,
      fetchedBytes: BYTES.length,
    },
  ]);
  expect(await readFile(join(place.home.filesFolder, "10", "data-1.csv"))).toEqual(BYTES);
  expect(await readdir(place.home.assignmentsFolder)).toEqual([]);
  expect(await readdir(place.home.partialFolder)).toEqual([]);
  expect(JSON.stringify(agent.lines)).not.toContain("secret-key");
});

test("a report is sent again until it is answered, and a server that is away stops no fetch", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const server = new PlayedServer(() => granting(grantOf(origin.url)), away, away, away);
  await using agent = start(place.home, server);
  await waitFor("the fourth attempt", () => server.inputs.length >= 5);
  await agent.stop();
  expect(server.inputs.map(({ finished }) => finished.length)).toEqual([0, 1, 1, 1, 1]);
  expect(eventsOf(agent, "sync.failed").map(({ code }) => code)).toEqual(Array(3).fill("SERVER_UNREACHABLE"));
  expect(await readdir(place.home.assignmentsFolder)).toEqual([]);
});

test("reports of one moment go together, and syncs neither overlap nor crowd", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const grants = [1, 2, 3, 4, 5, 6].map((index) => grantOf(origin.url, index));
  const server = new PlayedServer(
    () => granting(...grants),
    // Longer than the fetches take: their reports come up while a sync is under way.
    async (input) => {
      await waitFor("the other files", async () => (await readdir(place.home.inventoryFolder)).length === 6);
      return accept(input);
    },
  );
  await using agent = start(place.home, server);
  await waitFor("all reports", () => server.all("finished").length === 6);
  await agent.stop();
  expect(server.inputs.length).toBeLessThanOrEqual(3);
  expect(server.concurrencyPeak).toBe(1);
  const pauses = server.times.slice(1).map((time, index) => time - (server.times[index] ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThan(195);
});

test("no more fetches at once than told, and no more leases asked for than twice as many", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ bytesPerSecond: 3_000_000 });
  const grants = [1, 2, 3].map((index) => grantOf(origin.url, index));
  const server = new PlayedServer(
    () => granting(...grants),
    () => ({ nextSyncMs: 200 }),
  );
  await using agent = start(place.home, server, { concurrency: 1 });
  await waitFor("all reports", () => server.all("finished").length === 3);
  expect(server.inputs[0]?.wants).toBe(2);
  expect(server.inputs.filter(({ open }) => open.length >= 2).every(({ wants }) => wants === 0)).toBe(true);
  expect(origin.concurrencyPeak).toBe(1);
  await agent.stop();
});

test("open assignments are listed with their progress", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000 } } });
  const server = new PlayedServer(
    () => ({ ...granting(grantOf(origin.url, 1), grantOf(origin.url, 2)), nextSyncMs: 200 }),
    ...Array<Answer>(20).fill(often),
  );
  await using agent = start(place.home, server, { concurrency: 1, stopAfterMs: 0 });
  await waitFor("the progress", () => server.inputs.at(-1)?.open[0]?.bytesDone === 100_000);
  expect(server.inputs.at(-1)?.open).toEqual([
    { assignmentId: "1", term: 1, state: "running", bytesDone: 100_000 },
    { assignmentId: "2", term: 1, state: "waiting", bytesDone: 0 },
  ]);
  const status = await askStatus(place.home.socket);
  expect(status?.open).toMatchObject([
    { path: "data-1.csv", isRunning: true, bytesDone: 100_000 },
    { isRunning: false },
  ]);
  await agent.stop();
});

test("a failure is reported with its class and its file is gone", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({
    faults: {
      "data-1.csv": { kind: "wrong-bytes" },
      "data-2.csv": { kind: "status", status: 503, retryAfter: "9" },
      "data-3.csv": { kind: "status", status: 404 },
    },
  });
  const server = new PlayedServer(() => granting(...[1, 2, 3].map((index) => grantOf(origin.url, index))));
  await using agent = start(place.home, server);
  await waitFor("the reports", () => server.all("failed").length === 3);
  await agent.stop();
  expect(server.all("failed").toSorted((a, b) => a.assignmentId.localeCompare(b.assignmentId))).toMatchObject([
    { assignmentId: "1", code: "BAD_DIGEST" },
    { assignmentId: "2", code: "THROTTLED", retryAfterMs: 9000 },
    { assignmentId: "3", code: "NOT_FOUND" },
  ]);
  expect(await readdir(place.home.partialFolder)).toEqual([]);
  expect(await readdir(place.home.filesFolder)).toEqual([]);
});

test("a cancelled fetch stops and drops its bytes", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000 } } });
  const server = new PlayedServer(
    () => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }),
    async () => {
      await waitFor("some bytes", async () => (await stat(partialPath(place.home, "1" as AssignmentId))).size > 0);
      return { leases: [], cancels: [{ assignmentId: "1" as AssignmentId, reason: "enough copies" }], nextSyncMs: 200 };
    },
  );
  await using agent = start(place.home, server);
  await waitFor("the sync after the cancel", () => server.inputs.length === 3);
  expect(server.inputs[2]).toMatchObject({ open: [], released: [], failed: [] });
  expect(await readdir(place.home.partialFolder)).toEqual([]);
  expect(await readdir(place.home.assignmentsFolder)).toEqual([]);
  expect(eventsOf(agent, "asset.cancelled")).toMatchObject([{ reason: "enough copies" }]);
  await waitFor("the connection to end", () => origin.concurrency === 0);
});

test("a fetch without a lease is paused with its bytes, and goes on from them when its lease is back", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000, requests: 1 } } });
  const requests: number[] = [];
  const server = new PlayedServer(
    () => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }),
    async () => {
      const partial = partialPath(place.home, "1" as AssignmentId);
      await waitFor("some bytes", async () => (await stat(partial)).size >= 60_000);
      return { leases: [], nextSyncMs: 200 };
    },
    async () => {
      await waitFor("the connection to end", () => origin.concurrency === 0);
      return { leases: [], nextSyncMs: 200 };
    },
    (input) => {
      requests.push(origin.requests.length);
      return underTermFive(input);
    },
  );
  await using agent = start(place.home, server);
  await waitFor("the report", () => server.all("finished").length === 1);
  await agent.stop();

  const bytesDone = server.inputs[2]?.open[0]?.bytesDone;
  expect(bytesDone).toBeGreaterThanOrEqual(60_000);
  const paused = [{ assignmentId: "1", term: 1, state: "waiting", bytesDone }];
  expect(server.inputs.slice(2, 4).map(({ open }) => open)).toEqual([paused, paused]);
  expect(requests).toEqual([1]);
  expect(origin.requests[1]).toMatchObject({ range: `bytes=${bytesDone}-`, status: 206 });
  expect(server.all("finished")).toMatchObject([{ term: 5 }]);
  expect([...server.all("failed"), ...server.all("released")]).toEqual([]);
  expect(eventsOf(agent, "asset.paused")).toMatchObject([{ assignmentId: "1", bytesDone }]);
});

test("a stop keeps what is paused for the next start", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000 } } });
  const server = new PlayedServer(
    () => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }),
    () => ({ leases: [] }),
  );
  await using agent = start(place.home, server);
  await waitFor("the pause", () => eventsOf(agent, "asset.paused").length === 1);
  await agent.stop();
  expect(server.all("released")).toEqual([]);
  expect((await AssignmentJournal.open(place.home)).listIn("open")).toHaveLength(1);
});

test("a file of unknown size takes more room only when the server reserves it", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "no-length" } } });
  const unknown = { ...grantOf(origin.url, 1, { sizeBytes: null, digest: null }), reservedBytes: 100_000 };
  const sizes: number[] = [];
  const server = new PlayedServer(
    () => granting(unknown),
    async (input) => {
      sizes.push((await stat(partialPath(place.home, unknown.assignmentId))).size);
      return accept(input);
    },
  );
  await using agent = start(place.home, server);
  await waitFor("the report", () => server.all("finished").length === 1);
  await agent.stop();
  expect(server.inputs[1]?.open[0]?.wantBytes).toBe(200_000);
  expect(sizes[0]).toBeLessThanOrEqual(100_000);
});

test("a file whose origin tells a size that is not reserved is given back, without a byte of it", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const unknown = { ...grantOf(origin.url, 1, { sizeBytes: null, digest: null }), reservedBytes: 100_000 };
  const server = new PlayedServer(() => granting(unknown), reserveNoMore);
  await using agent = start(place.home, server);
  await waitFor("the release", () => server.all("released").length === 1);
  await agent.stop();
  expect(server.inputs[1]?.open).toMatchObject([{ wantBytes: BYTES.length, bytesDone: 0 }]);
  expect(server.all("released")[0]?.reason).toBe(`It needs ${BYTES.length} bytes; 100000 are reserved.`);
  expect(await readdir(place.home.partialFolder)).toEqual([]);
});

test("a file bigger than the disk has to give beside the margin is a full disk", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const server = new PlayedServer(() => granting(grantOf(origin.url)));
  await using agent = start(place.home, server, { marginBytes: 2 ** 52, capacityBytes: 2 ** 53 - 1 });
  await waitFor("the failure", () => server.all("failed").length === 1);
  expect(server.all("failed")).toMatchObject([{ code: "DISK_FULL" }]);
  // Offered is what the disk really has, whatever was promised.
  expect(server.inputs[0]?.offeredBytes).toBe(server.inputs[0]?.freeBytes);
  await agent.stop();
});

test("a newer term is used from then on", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ bytesPerSecond: 600_000 });
  const server = new PlayedServer(() => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }), underTermFive);
  await using agent = start(place.home, server);
  await waitFor("the report", () => server.all("finished").length === 1);
  expect(server.all("finished")).toMatchObject([{ assignmentId: "1", term: 5 }]);
  await agent.stop();
});

test("a stop lets fetches finish in their time and gives back what has not begun", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ bytesPerSecond: 600_000 });
  const server = new PlayedServer(() => granting(grantOf(origin.url, 1), grantOf(origin.url, 2)));
  await using agent = start(place.home, server, { concurrency: 1 });
  await waitFor("the fetch", () => origin.requests.length === 1);
  expect(await agent.stop()).toBeNull();
  expect(server.all("finished")).toMatchObject([{ assignmentId: "1" }]);
  expect(server.all("released")).toMatchObject([{ assignmentId: "2", reason: "The node stops." }]);
  expect(server.inputs.slice(1).every(({ wants }) => wants === 0)).toBe(true);
  expect(origin.requests).toHaveLength(1);
  expect(await readdir(place.home.assignmentsFolder)).toEqual([]);
});

test("a stop gives back what does not finish in its time, with one last sync", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000 } } });
  const server = new PlayedServer(() => granting(grantOf(origin.url)));
  await using agent = start(place.home, server, { stopAfterMs: 50 });
  await waitFor(
    "some bytes",
    async () => (await stat(partialPath(place.home, "1" as AssignmentId)).catch(() => null))?.size,
  );
  expect(await agent.stop()).toBeNull();
  expect(server.inputs).toHaveLength(2);
  expect(server.inputs[1]).toMatchObject({ open: [], released: [{ assignmentId: "1" }], wants: 0 });
  expect(await readdir(place.home.partialFolder)).toEqual([]);
  expect(eventsOf(agent, "agent.stopped")).toHaveLength(1);
});

test("a stop while the server is away ends all the same, and the next start reports", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000 } } });
  const first = new PlayedServer(() => granting(grantOf(origin.url)), ...Array<Answer>(20).fill(away));
  await using agent = start(place.home, first, { stopAfterMs: 0 });
  await waitFor("the fetch", () => origin.requests.length === 1);
  expect(await agent.stop()).toBeNull();
  const second = new PlayedServer();
  await using next = start(place.home, second);
  await waitFor("the release", () => second.all("released").length === 1);
  await next.stop();
});

test("a stop during a sync that hangs waits for it only so long", { timeout: 15_000 }, async () => {
  await using place = await aHome();
  const server = new PlayedServer();
  const hanging = Promise.withResolvers<Output>();
  await using agent = start(place.home, server, {
    sync: (input, signal) => {
      void server.sync(input);
      signal.addEventListener("abort", () => hanging.reject(signal.reason as Error));
      return hanging.promise;
    },
  });
  await waitFor("the sync", () => server.inputs.length === 1);
  expect(await agent.stop()).toBeNull();
});

test.each(["KEY_EXPIRED", "KEY_INVALID", "KEY_MISSING", "KEY_REVOKED", "NODE_RETIRED"] as const)(
  "%s ends the agent and keeps its work",
  async (code) => {
    await using place = await aHome();
    await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000 } } });
    const server = new PlayedServer(
      () => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }),
      async () => {
        await waitFor("some bytes", async () => (await stat(partialPath(place.home, "1" as AssignmentId))).size > 0);
        throw new DispatcherError(code, "Not you.");
      },
    );
    await using agent = start(place.home, server);
    expect(await agent.ended).toMatchObject({ code });
    expect((await stat(partialPath(place.home, "1" as AssignmentId))).size).toBeGreaterThan(0);
    expect((await AssignmentJournal.open(place.home)).listIn("open")).toHaveLength(1);
  },
);

test("a start goes on with the open assignments and the bytes it finds", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 100_000, requests: 1 } } });
  const refuse: Answer = async () => {
    await waitFor("some bytes", async () => (await stat(partialPath(place.home, "1" as AssignmentId))).size >= 60_000);
    throw new DispatcherError("KEY_INVALID", "Not now.");
  };
  const first = new PlayedServer(() => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }), refuse);
  await using killed = start(place.home, first);
  await killed.ended;

  const second = new PlayedServer();
  await using agent = start(place.home, second);
  await waitFor("the report", () => second.all("finished").length === 1);
  await agent.stop();
  expect(second.inputs[0]?.open).toMatchObject([{ assignmentId: "1", term: 1 }]);
  expect(second.inputs[0]?.open[0]?.bytesDone).toBeGreaterThanOrEqual(60_000);
  expect(origin.requests.at(-1)).toMatchObject({ status: 206 });
  expect(second.all("finished")[0]?.fetchedBytes).toBeLessThan(BYTES.length);
});

test("an asset that is held already is reported and not fetched again", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const digest = { algorithm: "sha1", hex: createHash("sha1").update(BYTES).digest("hex") } as const;
  const copy = aCopy(BYTES, { assetId: "10" as AssetId, name: "data-1.csv", digest });
  await mkdir(join(place.home.filesFolder, "10"));
  await writeFile(join(place.home.filesFolder, "10", "data-1.csv"), BYTES);
  await (await Inventory.open(place.home)).add(copy);
  const server = new PlayedServer(() => ({ ...granting(grantOf(origin.url)), nextSyncMs: 200 }));
  await using agent = start(place.home, server);
  await waitFor("the report", () => server.all("finished").length === 1);
  await agent.stop();
  expect(server.all("finished")).toMatchObject([{ assignmentId: "1", sha256: copy.sha256, fetchedBytes: 0 }]);
  expect(origin.requests).toHaveLength(0);
});

test.each([
  ["DIGEST_MISMATCH", 0],
  ["SIZE_MISMATCH", 0],
  ["COPIES_FULL", 1],
  ["LEASE_TERM_STALE", 1],
] as const)("a finished copy rejected with %s leaves %i file", async (code, files) => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const reject: Answer = (input) => ({
    reports: accept(input).reports.map((report) => ({ ...report, outcome: "rejected" as const, code, message: "No." })),
    nextSyncMs: 200,
  });
  const server = new PlayedServer(() => granting(grantOf(origin.url)), reject);
  await using agent = start(place.home, server);
  await waitFor("the sync after the rejection", () => server.inputs.length === 3);
  expect(server.inputs[2]?.finished).toEqual([]);
  expect(await readdir(place.home.filesFolder)).toHaveLength(files);
  expect(await readdir(place.home.inventoryFolder)).toHaveLength(files);
  expect(eventsOf(agent, "report.rejected")).toMatchObject([{ code }]);
  await agent.stop();
});

/** Copies of `BYTES`, of which `kept` bytes are on disk; null for no file. */
async function storeCopies(home: Home, keptById: Readonly<Record<string, number | null>>): Promise<void> {
  const inventory = await Inventory.open(home);
  for (const [id, kept] of Object.entries(keptById)) {
    await inventory.add(aCopy(BYTES, { assetId: id as AssetId }));
    await mkdir(join(home.filesFolder, id));
    if (kept !== null) await writeFile(join(home.filesFolder, id, "data.csv"), BYTES.subarray(0, kept));
  }
}

const { sha256: SHA256 } = aCopy(BYTES);
const entryOf = (id: string) => ({ assetId: id as AssetId, sizeBytes: BYTES.length, sha256: SHA256 });
const holdingOfIds = (...ids: string[]) => holdingOf(ids.map(entryOf), hashText);

test("files that are missing or cut short are left out of the holding and of the inventory", async () => {
  await using place = await aHome();
  await storeCopies(place.home, { 10: BYTES.length, 20: 5, 30: null });
  const server = new PlayedServer(() => ({ nowMs: 1234, inventoryWanted: true }));
  await using agent = start(place.home, server);
  await waitFor("the sync after the inventory", () => server.inputs.length === 2);
  const status = await askStatus(place.home.socket);
  await agent.stop();
  expect(server.inputs.map(({ holding }) => holding)).toEqual([holdingOfIds("10"), holdingOfIds("10")]);
  const validators = { digest: null, etag: null, lastModified: null };
  expect(server.pages).toEqual([
    { page: 1, pages: 1, asOfMs: 1234, afterId: null, upToId: null, copies: [{ ...entryOf("10"), ...validators }] },
  ]);
  expect(status).toMatchObject({ copies: 1, missing: 2, notCounted: 0 });
  expect(eventsOf(agent, "copies.missing")).toMatchObject([{ copies: 2 }]);
});

test("what the server does not count leaves the holding, and what it permits to delete leaves the disk", async () => {
  await using place = await aHome();
  await storeCopies(place.home, { 10: BYTES.length, 20: BYTES.length, 30: BYTES.length });
  const server = new PlayedServer(() => ({ inventoryWanted: true }));
  server.pageAnswers.push({
    notCounted: [{ assetId: "20" as AssetId, reason: "COPIES_FULL" }],
    // Of these the second was never listed: nothing is done about it.
    deletePermits: ["30", "40"].map((id) => ({ assetId: id as AssetId, reason: "SURPLUS" })),
  });
  await mkdir(join(place.home.filesFolder, "40"));
  await using agent = start(place.home, server);
  await waitFor("the sync after the inventory", () => server.inputs.length === 2);
  const status = await askStatus(place.home.socket);
  await agent.stop();
  expect(server.inputs[1]?.holding).toEqual(holdingOfIds("10"));
  expect((await readdir(place.home.filesFolder)).toSorted()).toEqual(["10", "20", "40"]);
  expect((await readdir(place.home.inventoryFolder)).toSorted()).toEqual(["10.json", "20.json"]);
  expect(status).toMatchObject({ copies: 2, notCounted: 1 });
  expect(eventsOf(agent, "copy.deleted")).toMatchObject([{ assetId: "30", reason: "SURPLUS" }]);

  // The next start asks again, as the reason may be gone.
  const later = new PlayedServer();
  await using second = start(place.home, later);
  await waitFor("its first sync", () => later.inputs.length === 1);
  await second.stop();
  expect(later.inputs[0]?.holding).toEqual(holdingOfIds("10", "20"));
});

test("a copy that an assignment is about is not deleted", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "stall", atByte: 1000 } } });
  await storeCopies(place.home, { 10: BYTES.length });
  const grant = grantOf(origin.url, 1, { digest: null });
  const server = new PlayedServer(
    () => ({ ...granting(grant), nextSyncMs: 200 }),
    () => ({ inventoryWanted: true }),
  );
  server.pageAnswers.push({ deletePermits: [{ assetId: "10" as AssetId, reason: "SURPLUS" }] });
  await using agent = start(place.home, server, { stopAfterMs: 0 });
  await waitFor("the inventory", () => eventsOf(agent, "inventory.sent").length === 1);
  await agent.stop();
  expect(eventsOf(agent, "inventory.sent")).toMatchObject([{ copies: 1, deleted: 0 }]);
  expect(await readdir(place.home.filesFolder)).toEqual(["10"]);
});

test("an inventory that settles nothing is not told over and over", async () => {
  await using place = await aHome();
  await storeCopies(place.home, { 10: BYTES.length });
  const server = new PlayedServer(...Array.from({ length: 6 }, () => wanting));
  await using agent = start(place.home, server);
  await waitFor("six syncs", () => server.inputs.length === 6);
  await agent.stop();
  expect(server.pages).toHaveLength(2);
});

test("pages that are not answered are told again when a sync still asks", async () => {
  await using place = await aHome();
  await storeCopies(place.home, { 10: BYTES.length });
  const server = new PlayedServer(wanting, wanting);
  server.pageAnswers.push(new DispatcherError("SERVER_UNREACHABLE", "No answer."));
  await using agent = start(place.home, server);
  await waitFor("the second page", () => server.pages.length === 2);
  await waitFor("the sync after it", () => server.inputs.length === 3);
  await agent.stop();
  expect(eventsOf(agent, "inventory.failed")).toMatchObject([{ code: "SERVER_UNREACHABLE" }]);
  expect(server.inputs[2]?.holding).toEqual(holdingOfIds("10"));
});

test("a node with room asks again when its refusal says, and tells why it has no work", async () => {
  await using place = await aHome();
  const server = new PlayedServer(() => ({
    refusal: { reason: "NODE_FULL", missingBytes: 2048, retryAfterMs: 300 },
    message: "Thank you for your help.",
  }));
  await using agent = start(place.home, server);
  await waitFor("the second sync", () => server.inputs.length === 2);
  expect(eventsOf(agent, "work.refused")).toMatchObject([{ reason: "NODE_FULL", missingBytes: 2048 }]);
  expect(eventsOf(agent, "server.message")).toMatchObject([{ msg: "Thank you for your help." }]);
  await agent.stop();
});

test("a grant that could lead out of the home is left alone", async () => {
  await using place = await aHome();
  await using origin = await anOrigin();
  const evil = grantOf(origin.url, 1, { id: "../../evil" as AssetId });
  const server = new PlayedServer(() => ({
    ...granting(evil, grantOf(origin.url, 2, { path: "../../../etc/passwd" })),
  }));
  await using agent = start(place.home, server);
  await waitFor("the report", () => server.all("finished").length === 1);
  await agent.stop();
  expect(eventsOf(agent, "grant.unreadable")).toHaveLength(1);
  expect(await readFile(join(place.home.filesFolder, "20", "passwd"))).toEqual(BYTES);
});

test("a second agent in the same home is refused, and the first goes on", async () => {
  await using place = await aHome();
  await using first = start(place.home, new PlayedServer());
  await waitFor("the first", () => eventsOf(first, "agent.started").length === 1);
  await using second = start(place.home, new PlayedServer());
  expect(await second.ended).toMatchObject({ code: "HOME_IN_USE" });
  expect(await askStatus(place.home.socket)).toMatchObject({ live: { pid: 1, isStopping: false } });
  expect(await first.stop()).toBeNull();
});

test("a copy that cannot be entered in the inventory is a failure of this node, and its bytes go", async () => {
  await using place = await aHome();
  await using origin = await anOrigin({ faults: { "data-1.csv": { kind: "status", status: 404 } } });
  const server = new PlayedServer(async (input) => {
    await rm(place.home.inventoryFolder, { recursive: true });
    return { ...accept(input), ...granting(grantOf(origin.url, 1), grantOf(origin.url, 2)) };
  });
  await using agent = start(place.home, server);
  await waitFor("both reports", () => server.all("failed").length === 2);
  await agent.stop();
  expect(new Set(server.all("failed").map(({ code }) => code))).toEqual(new Set(["NOT_FOUND", "DISK_ERROR"]));
  expect(await readdir(place.home.filesFolder)).toEqual([]);
});
