/** A dispatcher of a test's own: a database, a server process on it, and the admin command both ways. */
import { deepEqual, equal } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createDispatcherClient } from "@dispatcher/client";
import type { DispatcherClient, RouterInputs, RouterOutputs } from "@dispatcher/client";
import type { NodeId } from "@dispatcher/core";
import { startServer } from "@dispatcher/testbed";
import type { ServerProcess } from "@dispatcher/testbed";
import postgres from "postgres";
import { inject, onTestFinished } from "vitest";
import { runInProcess } from "./run-in-process.ts";
import type { Ran, RunOptions } from "./run-in-process.ts";

export const WAYS = ["on the database", "over the network"] as const;
export type Way = (typeof WAYS)[number];

const ADMIN_KEY = "an-admin-key-for-tests";
/** The digest of every file in these tests. */
const SHA256 = "ab".repeat(32);

type SyncInput = RouterInputs["node"]["sync"];
type Grant = RouterOutputs["node"]["sync"]["grants"][number];

/** Of the server, and of the command on its database: what both reckon with has to be the same. */
const SETTINGS = {
  DISPATCHER_ORIGIN_CONCURRENCY: "10",
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "60000",
  DISPATCHER_COPIES_TARGET: "2",
} as const;

export type TestNode = {
  readonly id: NodeId;
  readonly sync: (said?: Partial<SyncInput>) => Promise<RouterOutputs["node"]["sync"]>;
  /** Get work, and report all of it as saved. */
  readonly save: (count: number) => Promise<void>;
  /** Get one asset, and report that it failed by a fault of its own, which needs a person. */
  readonly fail: () => Promise<void>;
};

export class World {
  readonly databaseUrl: string;
  readonly server: ServerProcess;
  /** With an admin key. */
  readonly client: DispatcherClient;

  constructor(databaseUrl: string, server: ServerProcess) {
    this.databaseUrl = databaseUrl;
    this.server = server;
    this.client = createDispatcherClient({ url: server.url, key: ADMIN_KEY });
  }

  admin(way: Way, words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return way === "on the database"
      ? runInProcess(words, { ...options, env: { ...SETTINGS, DATABASE_URL: this.databaseUrl, ...options.env } })
      : runInProcess(["--url", this.server.url, ...words], {
          ...options,
          env: { DISPATCHER_KEY: ADMIN_KEY, ...options.env },
        });
  }

  /** A command that reads, both ways: what it says has to be the same. */
  async both(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const [local, remote] = [
      await this.admin("on the database", words, options),
      await this.admin("over the network", words, options),
    ];
    deepEqual({ ...remote, out: withoutClock(remote.out) }, { ...local, out: withoutClock(local.out) });
    return local;
  }

  /** Import files `f0`, `f1`, ... of 100 bytes. */
  async addAssets(count: number, dataset = "noaa"): Promise<void> {
    const entries = Array.from({ length: count }, (_, index) => ({
      place: `[${index}]`,
      path: `f${index}`,
      url: `https://data.example.org/${dataset}/f${index}`,
      sizeBytes: 100,
      digest: { algorithm: "sha256" as const, hex: SHA256 },
      mediaType: null,
      priority: null,
      removeByMs: null,
    }));
    await this.client.asset.import.mutate({ dataset: { key: dataset, title: null, sourceUrl: null }, entries });
  }

  async join(operator: string, name: string): Promise<TestNode> {
    const facts = { agentVersion: "1.0.0", schemes: ["http", "https"], marginBytes: 0, offeredBytes: 100_000 };
    const { joinToken } = await this.client.token.create.mutate({ operator });
    const anyone = createDispatcherClient({ url: this.server.url });
    const { nodeId, key } = await anyone.node.join.mutate({ joinToken, name, ...facts });
    const node = createDispatcherClient({ url: this.server.url, key });
    const nothing = { wants: 0, open: [], finished: [], failed: [], released: [] };
    const sync: TestNode["sync"] = (said = {}) =>
      node.node.sync.mutate({ ...facts, freeBytes: 1e9, ...nothing, ...said });
    const claim = async (wants: number): Promise<readonly Grant[]> => {
      const { grants } = await sync({ wants });
      equal(grants.length, wants);
      return grants;
    };
    return {
      id: nodeId,
      sync,
      save: async (count) => {
        const grants = await claim(count);
        const sent = { digest: null, etag: null, lastModified: null, fetchMs: 10, fetchedBytes: 100 };
        const finished = grants.map(({ assignmentId, term }) => ({
          assignmentId,
          term,
          sizeBytes: 100,
          sha256: SHA256,
          ...sent,
        }));
        await sync({ finished });
      },
      fail: async () => {
        const [grant] = await claim(1);
        if (grant === undefined) throw new Error("There is no asset to fail with.");
        const { assignmentId, term } = grant;
        await sync({ failed: [{ assignmentId, term, code: "BAD_URL", message: "no such scheme" }] });
      },
    };
  }
}

/** Between two commands time goes on: ages, the moment of an answer, and urgencies, which grow with waiting. */
function withoutClock(text: string): string {
  return text
    .replaceAll(/\b1\d{12}\b/g, "then")
    .replaceAll(/\d+ s ago/g, "lately")
    .replaceAll(/\d+\.\d+/g, "about")
    .replaceAll(/"ageMs":\d+/g, "age")
    .replaceAll(/ {2,}/g, "  ");
}

/** Gone when the test ends. */
export async function startWorld(): Promise<World> {
  const databaseUrl = await createDatabase();
  const server = await startServer({
    database: { databaseUrl },
    env: {
      ...SETTINGS,
      DISPATCHER_ADMIN_KEY: ADMIN_KEY,
      DISPATCHER_SWEEP_INTERVAL_MS: "200",
    },
  });
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]();
  });
  return new World(databaseUrl, server);
}

/** An empty database of its own. */
export async function createDatabase(): Promise<string> {
  const name = `admin_${randomBytes(8).toString("hex")}`;
  await administer((sql) => sql.unsafe(`create database ${name} template template0`));
  onTestFinished(() => administer((sql) => sql.unsafe(`drop database ${name} with (force)`)));
  const url = new URL(inject("postgresUrl"));
  url.pathname = `/${name}`;
  return url.href;
}

async function administer(work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(inject("postgresUrl"), { max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
