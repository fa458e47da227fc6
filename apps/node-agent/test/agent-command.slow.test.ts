/** The agent's commands as a volunteer runs them: real processes, a real server on a PostgreSQL of its own. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { joinAgent, runAdmin, runProgram, startAgent, startOrigin, startServer, waitFor } from "@dispatcher/testbed";
import type { ProgramResult, ServerProcess } from "@dispatcher/testbed";
import { expect, test } from "vitest";

/** Short times, and budgets that hold nothing up. */
const ENV = {
  DISPATCHER_SYNC_INTERVAL_MS: "300",
  DISPATCHER_RESTART_MERCY_MS: "0",
  DISPATCHER_RETRY_BASE_MS: "100",
  DISPATCHER_ORIGIN_CONCURRENCY: "20",
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "100000",
};
const SIZE = 400_000;

class Place implements AsyncDisposable {
  readonly folder: string;
  readonly server: ServerProcess;
  readonly #database: { readonly dataDir: string };

  private constructor(folder: string, server: ServerProcess, database: { readonly dataDir: string }) {
    this.folder = folder;
    this.server = server;
    this.#database = database;
  }

  static async make(): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), "agent-command-"));
    const database = { dataDir: join(folder, "data") };
    return new Place(folder, await startServer({ database, env: ENV }), database);
  }

  async token(): Promise<string> {
    const { stdout } = await runAdmin(["token", "create", "--operator", "Library", "-o", "json"], {
      database: this.#database,
    });
    return (JSON.parse(stdout) as { joinToken: string }).joinToken;
  }

  async importFiles(originUrl: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
    const list = [...files].map(([path, bytes]) => ({
      path,
      url: `${originUrl}/${path}`,
      size_bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    }));
    const catalog = join(this.folder, "catalog.json");
    await writeFile(catalog, JSON.stringify(list));
    // The import meets the origin first, and gives it its budget.
    const { exitCode, stderr } = await runAdmin(["import", catalog], { database: this.#database, env: ENV });
    if (exitCode !== 0) throw new Error(stderr);
  }

  async join(name: string): Promise<string> {
    const home = join(this.folder, name);
    await joinAgent({ home, url: this.server.url, joinToken: await this.token(), name, capacity: "100MB" });
    return home;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function agent(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<ProgramResult> {
  return runProgram("agent", { args, env });
}

async function statusOf(
  home: string,
): Promise<{ copies: number; unreported: number; open: { bytesDone: number }[]; live: { pid: number } | null }> {
  const { stdout } = await agent(["status", "--home", home, "--json"]);
  return JSON.parse(stdout) as Awaited<ReturnType<typeof statusOf>>;
}

const randomFiles = (count: number) =>
  new Map(Array.from({ length: count }, (_, index) => [`data-${index}.csv`, randomBytes(SIZE)]));

async function savedFiles(home: string): Promise<ReadonlyMap<string, Buffer>> {
  const saved = new Map<string, Buffer>();
  for (const assetId of await readdir(join(home, "files"))) {
    for (const name of await readdir(join(home, "files", assetId))) {
      saved.set(name, await readFile(join(home, "files", assetId, name)));
    }
  }
  return saved;
}

test("a volunteer joins, runs, looks, and stops", async () => {
  await using place = await Place.make();
  const files = randomFiles(5);
  await using origin = await startOrigin({ files });
  await place.importFiles(origin.url, files);

  const home = join(place.folder, "home");
  const tokenFile = join(place.folder, "token");
  await writeFile(tokenFile, `${await place.token()}\n`);
  const order = ["join", "--url", place.server.url, "--name", "attic", "--capacity", "100MB", "--margin", "1MB"];
  const joined = await agent([...order, "--token-file", tokenFile, "--home", home]);
  expect(joined).toMatchObject({ exitCode: 0, stderr: "" });
  expect(joined.stdout).toContain(`Joined ${place.server.url} as attic (node 1) of Library.`);
  expect((await stat(join(home, "node.json"))).mode & 0o777).toBe(0o600);
  expect((await stat(home)).mode & 0o777).toBe(0o700);
  expect(await statusOf(home)).toMatchObject({ copies: 0, live: null });

  await using running = await startAgent({ home, env: { LOG_LEVEL: "DEBUG" } });
  await waitFor("all copies to be reported", async () => {
    const { copies, unreported } = await statusOf(home);
    return copies === files.size && unreported === 0;
  });
  expect(await statusOf(home)).toMatchObject({ open: [], live: { pid: running.pid } });
  const { stdout } = await agent(["status", "--home", home]);
  expect(stdout).toContain("Node          attic (1) of Library");
  expect(stdout).toMatch(/^Agent {9}running for \d+ s \(process \d+\)$/m);

  expect(await running.stop()).toEqual({ code: 0, signal: null });
  expect(running.events.at(-1)?.event).toBe("agent.stopped");
  expect(running.errors).toEqual([]);
  expect(await savedFiles(home)).toEqual(files);
  const { key } = JSON.parse(await readFile(join(home, "node.json"), "utf8")) as { key: string };
  expect(running.output.join("\n")).not.toContain(key);
  expect(await statusOf(home)).toMatchObject({ copies: files.size, live: null });
});

test("what cannot be joined is refused in one line, with the status that belongs to it", async () => {
  await using place = await Place.make();
  const home = await place.join("joined");
  const token = { DISPATCHER_JOIN_TOKEN: await place.token() };
  const joinAt = (url: string, capacity: string, at: string, env: Readonly<Record<string, string>> = token) =>
    agent(["join", "--url", url, "--name", "cellar", "--capacity", capacity, "--margin", "0", "--home", at], env);
  const { url } = place.server;
  const fresh = join(place.folder, "fresh");

  const refusals = [
    {
      result: await joinAt(url, "1MB", home),
      exitCode: 78,
      says: /^CONFIG_INVALID: .* has joined http.* already, as joined/,
    },
    {
      result: await joinAt(url, "9000PB", fresh),
      exitCode: 78,
      says: /^CONFIG_INVALID: .*--capacity 9000PB: a size such as/,
    },
    {
      result: await joinAt(url, "900TB", fresh),
      exitCode: 78,
      says: /^CONFIG_INVALID: --capacity is 900 TB, and the disk/,
    },
    { result: await joinAt(url, "0", fresh), exitCode: 78, says: /^CONFIG_INVALID: .*more than nothing/ },
    {
      result: await joinAt(url, "1MB", fresh, { DISPATCHER_JOIN_TOKEN: "dsp_join_wrong" }),
      exitCode: 77,
      says: /^JOIN_TOKEN_INVALID: /,
    },
    { result: await joinAt("http://127.0.0.1:9", "1MB", fresh), exitCode: 69, says: /^SERVER_UNREACHABLE: / },
    { result: await joinAt(url, "1MB", "/dev/null/home"), exitCode: 73, says: /^HOME_UNUSABLE: / },
    { result: await agent(["join"]), exitCode: 78, says: /^CONFIG_INVALID: There are faults \(4\)/ },
    { result: await agent(["run", "--home", fresh]), exitCode: 78, says: /^NOT_JOINED: / },
    { result: await agent(["status", "--home", fresh]), exitCode: 78, says: /^NOT_JOINED: / },
    {
      result: await agent(["run", "--home", home, "--concurrency", "9"]),
      exitCode: 78,
      says: /^CONFIG_INVALID: .*1 to 6/,
    },
    { result: await agent(["unheard-of"]), exitCode: 64, says: /^USAGE: unknown command 'unheard-of'\. Run it/ },
    {
      result: await agent(["run", "--hoem", home]),
      exitCode: 64,
      says: /^USAGE: .*\(Did you mean --home\?\)\. Run it/,
    },
  ];
  for (const { result, exitCode, says } of refusals) {
    expect(result).toMatchObject({ exitCode, stdout: "" });
    expect(result.stderr).toMatch(says);
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
  }
  // None of it has spent the token.
  expect((await joinAt(url, "1MB", fresh)).exitCode).toBe(0);
});

test("a second agent in one home is refused, and a killed one leaves nothing in the way", async () => {
  await using place = await Place.make();
  const home = await place.join("attic");
  await using first = await startAgent({ home });
  const second = await agent(["run", "--home", home]);
  expect(second).toMatchObject({ exitCode: 69, stderr: expect.stringMatching(/^HOME_IN_USE: /) as string });
  expect(first.isRunning).toBe(true);
  await first.kill("SIGKILL");
  await using third = await startAgent({ home });
  expect(await statusOf(home)).toMatchObject({ live: { pid: third.pid } });
  expect(await third.stop()).toEqual({ code: 0, signal: null });
});

test("a node that the server does not know any more stops with one clear line", async () => {
  await using place = await Place.make();
  const home = await place.join("attic");
  const file = join(home, "node.json");
  const node = JSON.parse(await readFile(file, "utf8")) as { key: string };
  await writeFile(file, JSON.stringify({ ...node, key: `${node.key.slice(0, -4)}0000` }));
  const { exitCode, stderr } = await agent(["run", "--home", home]);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 77,
    stderr: expect.stringMatching(/^KEY_INVALID: [^\n]*\n$/) as string,
  });
});

test("after kill -9 the next run resumes its partial file under the same lease", async () => {
  await using place = await Place.make();
  const files = randomFiles(1);
  await using origin = await startOrigin({
    files,
    faults: { "data-0.csv": { kind: "stall", atByte: 200_000, requests: 1 } },
  });
  await place.importFiles(origin.url, files);
  const home = await place.join("attic");
  await using killed = await startAgent({ home });
  await waitFor("the stall", async () => ((await statusOf(home)).open[0]?.bytesDone ?? 0) >= 130_000);
  await killed.kill("SIGKILL");
  expect(await statusOf(home)).toMatchObject({ live: null, open: [{ sizeBytes: SIZE }] });

  await using next = await startAgent({ home });
  await next.waitForEvent("asset.stored");
  expect(origin.requests).toHaveLength(2);
  expect(origin.requests[1]?.range).toMatch(/^bytes=1[3-9]\d{4}-$|^bytes=200000-$/);
  expect(await next.stop()).toEqual({ code: 0, signal: null });
  expect(await savedFiles(home)).toEqual(files);
});

test("on SIGTERM what does not finish is given back, and a second signal ends at once", async () => {
  await using place = await Place.make();
  const files = randomFiles(1);
  await using origin = await startOrigin({ files, faults: { "data-0.csv": { kind: "stall", atByte: 200_000 } } });
  await place.importFiles(origin.url, files);
  const home = await place.join("attic");

  await using orderly = await startAgent({ home, args: ["--stop-after", "100ms"] });
  await orderly.waitForEvent("asset.started");
  expect(await orderly.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(orderly.events.map(({ event }) => event).slice(-2)).toEqual(["asset.released", "agent.stopped"]);
  expect(await readdir(join(home, "partial"))).toEqual([]);
  expect(await readdir(join(home, "assignments"))).toEqual([]);

  await using hurried = await startAgent({ home, args: ["--stop-after", "1h"] });
  await hurried.waitForEvent("asset.started");
  void hurried.kill("SIGTERM");
  await hurried.waitForEvent("agent.stopping");
  expect(await hurried.kill("SIGINT")).toEqual({ code: 130, signal: null });
  // It may have been ended in the middle of a write: what was written before is whole, and is what the next start reads.
  expect((await readdir(join(home, "assignments"))).filter((name) => name.endsWith(".json"))).toHaveLength(1);
});

test("an agent finds a server again that was killed, and tells it what it did meanwhile", async () => {
  await using place = await Place.make();
  const files = randomFiles(1);
  await using origin = await startOrigin({ files, bytesPerSecond: 400_000 });
  await place.importFiles(origin.url, files);
  const home = await place.join("attic");
  await using running = await startAgent({ home });
  await running.waitForEvent("asset.started");
  await place.server.kill("SIGKILL");
  await running.waitForEvent("asset.stored");
  await running.waitForEvent("sync.failed");
  expect(await statusOf(home)).toMatchObject({ copies: 1, unreported: 1 });
  await place.server.restart();
  await waitFor("the report to be answered", async () => (await statusOf(home)).unreported === 0);
  expect(await running.stop()).toEqual({ code: 0, signal: null });
});
