/**
 * The machine of the primary PostgreSQL goes, its synchronous standby takes its place, and nobody touches the servers: they
 * find the new primary by themselves. What they acknowledged before is there, and when the old primary comes back, as a
 * supervisor may bring it back by mistake, nobody writes to it any more.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer, waitFor } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../src/db/database.ts";
import type { Database } from "../src/db/database.ts";
import { checkFleet } from "./support/check-fleet.ts";
import { catalogBatches } from "./support/fleet-catalog.ts";
import {
  countSessions,
  describeUndone,
  hasSynchronousStandby,
  readNextTransaction,
  setBudgets,
} from "./support/fleet-rows.ts";
import { mutate } from "./support/mutate.ts";
import { startOwnPostgres } from "./support/own-postgres.ts";
import type { OwnPostgres } from "./support/own-postgres.ts";
import { pick, randomFrom } from "./support/random.ts";
import { createJoinTokens, startFleet } from "./support/start-fleet.ts";
import { silentLog } from "./support/test-database.ts";

const SERVERS = 3;
const NODES = 150;
const FILES = 1_000;
const FILES_PER_CALL = 500;
/** After the promotion of the standby service is back within this time. */
const BACK_WITHIN_MS = 30_000;
/** Reports that are answered before the primary goes, and again while the old one is back. */
const REPORTS = 300;

const ADMIN_KEY = "admin-key-for-this-story";
const ENV = {
  DISPATCHER_ADMIN_KEY: ADMIN_KEY,
  // A whole fleet joins from one address.
  DISPATCHER_RATE_JOINS_PER_MINUTE: "0",
  DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
  DISPATCHER_SYNC_INTERVAL_MS: "3000",
  DISPATCHER_SWEEP_INTERVAL_MS: "500",
  DISPATCHER_RESTART_MERCY_MS: "1000",
  DISPATCHER_LEASE_MIN_MS: "30000",
  DISPATCHER_RETRY_BASE_MS: "100",
  DISPATCHER_QUOTA_MAX: "4",
  DISPATCHER_UNKNOWN_SIZE_BYTES: "1000000",
};
/** Every commit waits until the standby has it on disk. */
const SYNCHRONOUS = { synchronous_standby_names: "standby" };
const ORIGINS = Array.from({ length: 10 }, (_, index) => ({
  host: `origin-${index}.example:443`,
  concurrencyMax: 8,
  requestsPerMinute: 6_000,
}));

type Pair = {
  readonly primary: OwnPostgres;
  readonly standby: OwnPostgres;
  /** A session with the primary, and with the standby. */
  readonly before: Database;
  readonly after: Database;
  /** Names both. */
  readonly databaseUrl: string;
};

/** A primary and its synchronous standby. */
async function startPair(stack: AsyncDisposableStack): Promise<Pair> {
  const open = ({ url }: OwnPostgres): Database =>
    stack.use(openDatabase({ url, applicationName: "test", poolSize: 2, log: silentLog }));
  const primary = stack.use(await startOwnPostgres());
  await primary.stop("fast");
  const standby = stack.use(await primary.startStandby({ follows: true }));
  await primary.start(SYNCHRONOUS);
  const before = open(primary);
  await waitFor("the standby to follow", () => hasSynchronousStandby(before.sql));
  const { username, password, pathname } = new URL(primary.url);
  const hosts = `127.0.0.1:${primary.port},127.0.0.1:${standby.port}`;
  const databaseUrl = `postgresql://${username}:${password}@${hosts}${pathname}`;
  return { primary, standby, before, after: open(standby), databaseUrl };
}

test("a standby takes over, and nothing acknowledged is lost", { timeout: 280_000 }, async () => {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "failover-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const { primary, standby, before, after, databaseUrl } = await startPair(stack);
  const servers = await Promise.all(
    Array.from({ length: SERVERS }, async () => stack.use(await startServer({ database: { databaseUrl }, env: ENV }))),
  );
  const urls = servers.map((server) => server.url);
  await setBudgets(before.sql, ORIGINS);
  for (let start = 0; start < FILES; start += FILES_PER_CALL) {
    const files = Array.from({ length: FILES_PER_CALL }, (_, index) => ({
      index: start + index,
      origin: pick(randomFrom(start + index), ORIGINS),
    }));
    for (const batch of catalogBatches(files, randomFrom(start))) {
      await mutate(urls[0] ?? "", "asset.import", batch, { key: ADMIN_KEY });
    }
  }
  const joinTokens = await createJoinTokens(urls[0] ?? "", { adminKey: ADMIN_KEY, operators: 30, uses: NODES });
  const plan = { name: "fleet", seed: 1, servers: urls, nodes: NODES, joinTokens, deathEveryMs: 0 };
  const fleet = stack.use(await startFleet(folder, plan));

  /** Reports that were accepted since then; by one server, or by all together. */
  const accepted = (sinceMs: number, server?: string): number =>
    fleet
      .entries()
      .filter((entry) => entry.event === "answered" && entry.outcome === "accepted" && entry.atMs > sinceMs)
      .filter((entry) => server === undefined || ("server" in entry && entry.server === server)).length;
  await waitFor("nodes to be at work", () => accepted(0) >= REPORTS, { timeoutMs: 60_000, everyMs: 100 });

  await primary.kill();
  await standby.promote();
  const promotedMs = Date.now();
  for (const url of urls) {
    await waitFor(`${url} to accept reports again`, () => accepted(promotedMs, url) > 0, {
      timeoutMs: Math.max(0, promotedMs + BACK_WITHIN_MS - Date.now()),
      everyMs: 100,
    });
  }
  process.stderr.write(`failover: all servers accepted reports ${Date.now() - promotedMs} ms after the promotion\n`);

  // The old one comes back and takes writes, as far as it knows.
  await primary.start(SYNCHRONOUS);
  const next = await readNextTransaction(before.sql);
  const returnedMs = Date.now();
  await waitFor("nodes to go on", () => accepted(returnedMs) >= REPORTS, { timeoutMs: 60_000, everyMs: 100 });
  expect(await countSessions(before.sql, "dispatcher server")).toBe(0);

  await waitFor("every asset to be done", async () => (await describeUndone(after.sql, 1)).length === 0, {
    timeoutMs: 120_000,
    everyMs: 250,
  });
  await fleet.leave(30_000);
  expect(await readNextTransaction(before.sql)).toBe(next);
  expect(await checkFleet(after.sql, fleet.entries())).toEqual([]);
});

test("a server that starts while the old primary is back uses the new one", async () => {
  await using stack = new AsyncDisposableStack();
  const { primary, standby, before, after, databaseUrl } = await startPair(stack);
  // Makes the schema, and goes with the primary.
  const former = stack.use(await startServer({ database: { databaseUrl }, env: ENV }));
  await former.kill();
  await primary.kill();
  await standby.promote();
  await primary.start(SYNCHRONOUS);
  const next = await readNextTransaction(before.sql);

  const server = stack.use(await startServer({ database: { databaseUrl }, env: ENV }));
  expect(await countSessions(before.sql, "dispatcher server")).toBe(0);
  const [joinToken] = await createJoinTokens(server.url, { adminKey: ADMIN_KEY, operators: 1, uses: 1 });
  expect(joinToken).toBeDefined();
  expect(await countSessions(after.sql, "dispatcher server")).toBeGreaterThan(0);
  expect(await readNextTransaction(before.sql)).toBe(next);
});
