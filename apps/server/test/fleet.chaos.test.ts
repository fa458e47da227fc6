/**
 * Four servers, a PostgreSQL and two thousand nodes, of which each is killed again and again while a coordinator brings in
 * ever more files. Then the killing ends, everything is saved, and the nodes' own logs are held against the database.
 *
 * CHAOS_SECONDS and CHAOS_SEED make it shorter and play it again; CHAOS_NODES makes it smaller.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import { ProgramFailure, startServer, waitFor } from "@dispatcher/testbed";
import type { ServerProcess } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../src/db/database.ts";
import type { Database } from "../src/db/database.ts";
import { checkFleet } from "./support/check-fleet.ts";
import { findImbalances } from "./support/find-imbalances.ts";
import { COPIES_IN_THE_MEAN, catalogBatches } from "./support/fleet-catalog.ts";
import type { OriginPlan } from "./support/fleet-catalog.ts";
import { findBackend, findOverfull, describeUndone, readBacklog, setBudgets } from "./support/fleet-rows.ts";
import { mutate } from "./support/mutate.ts";
import { startOwnPostgres } from "./support/own-postgres.ts";
import type { OwnPostgres } from "./support/own-postgres.ts";
import { between, pick, randomFrom } from "./support/random.ts";
import { createJoinTokens, startFleet } from "./support/start-fleet.ts";
import type { Fleet } from "./support/start-fleet.ts";
import { silentLog } from "./support/test-database.ts";

const CHAOS_MS = Number(process.env["CHAOS_SECONDS"] ?? 180) * 1000;
const NODES = Number(process.env["CHAOS_NODES"] ?? 2_000);
const SERVERS = 4;
const FLEETS = 2;
const OPERATORS = 100;
/** How long all may take to save what is left once nobody is killed any more. */
const DRAIN_MS = 120_000;
/** The coordinator sees to it that there is work for about so long, so that it neither runs out nor takes long to drain. */
const WORK_MS = 20_000;
/** Too little, and most nodes find nothing to do; too much, and a slow machine takes long to drain it. */
const WORK_MIN = 400;

const ADMIN_KEY = "admin-key-for-this-story";
const ENV = {
  DISPATCHER_ADMIN_KEY: ADMIN_KEY,
  // A whole fleet joins from one address.
  DISPATCHER_RATE_JOINS_PER_MINUTE: "0",
  DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
  DISPATCHER_SYNC_INTERVAL_MS: "60000",
  DISPATCHER_SWEEP_INTERVAL_MS: "500",
  DISPATCHER_RESTART_MERCY_MS: "1000",
  DISPATCHER_LEASE_MIN_MS: "10000",
  DISPATCHER_LEASE_GRACE_MS: "1000",
  DISPATCHER_RETRY_BASE_MS: "100",
  DISPATCHER_QUOTA_MAX: "8",
  DISPATCHER_UNKNOWN_SIZE_BYTES: "1000000",
};

/** Small budgets of all kinds: some origins are held back by the fetches at once, some by those begun in a minute. */
const ORIGINS: readonly OriginPlan[] = [
  { count: 8, concurrencyMax: 1, requestsPerMinute: 6_000 },
  { count: 16, concurrencyMax: 2, requestsPerMinute: 300 },
  { count: 8, concurrencyMax: 3, requestsPerMinute: 90 },
  { count: 4, concurrencyMax: 8, requestsPerMinute: 1_200 },
].flatMap(({ count, ...budget }, kind) =>
  Array.from({ length: count }, (_, index) => ({ host: `origin-${kind}-${index}.example:443`, ...budget })),
);

/** How much of the work an origin can take: fetches at once, or as many as may begin. */
function shareOf({ concurrencyMax, requestsPerMinute }: OriginPlan): number {
  return Math.min(concurrencyMax, requestsPerMinute / 60);
}
const SHARES = ORIGINS.reduce((sum, origin) => sum + shareOf(origin), 0);

/** A program that did not start, or a call that failed, as one does while PostgreSQL is away: to be tried again. */
function isAway(error: unknown): boolean {
  return error instanceof ProgramFailure || (error instanceof DispatcherError && error.code === "DATABASE_UNAVAILABLE");
}

function nullIfAway(error: unknown): null {
  if (isAway(error)) return null;
  throw error;
}

/** Not beyond the end of the chaos. */
async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}

/** Servers that are killed one by one, now and then all at once, and started again as a supervisor does. */
class Servers {
  readonly servers: readonly ServerProcess[];
  kills = 0;
  /** What they logged about faults of their own, each once. */
  readonly faults = new Set<string>();

  constructor(servers: readonly ServerProcess[]) {
    this.servers = servers;
  }

  async harass(random: () => number, chaos: AbortSignal): Promise<void> {
    const { servers } = this;
    while (!chaos.aborted) {
      await rest(between(random, 2_000, 9_000), chaos);
      if (chaos.aborted) return;
      const victims = random() < 0.05 ? servers : [pick(random, servers)];
      await Promise.all(victims.map((server) => this.#killAndRestart(server)));
    }
  }

  async #killAndRestart(server: ServerProcess): Promise<void> {
    if (!server.isRunning) this.faults.add(`a server ended by itself: ${server.errors.slice(-10).join("\n")}`);
    await server.kill();
    this.kills += 1;
    this.collectFaults(server);
    let reason: unknown = null;
    const isBack = (): Promise<boolean> =>
      server.restart().then(
        () => true,
        (error: unknown) => {
          if (!isAway(error)) throw error;
          reason = error;
          return false;
        },
      );
    await waitFor("a server to be back", isBack, { timeoutMs: 90_000 }).catch((error: unknown) => {
      throw new Error(String(error), { cause: reason });
    });
  }

  /** A fault that is logged with its cause is none that anybody expected. */
  collectFaults(server: ServerProcess): void {
    for (const event of server.events) if ("err" in event) this.faults.add(JSON.stringify([event.event, event["err"]]));
  }
}

/** Stopped in haste, killed, and hurt at a single process, which makes it end all others and recover. */
async function harassPostgres(
  { postgres, db }: { readonly postgres: OwnPostgres; readonly db: Database },
  random: () => number,
  chaos: AbortSignal,
): Promise<number> {
  for (let outages = 0; ; outages += 1) {
    await rest(between(random, 8_000, 20_000), chaos);
    if (chaos.aborted) return outages;
    const how = pick(random, ["stop", "kill", "backend"]);
    if (how === "backend") {
      // None while it still recovers from the last time.
      const pid = await findBackend(db.sql, "dispatcher server").catch(nullIfAway);
      if (pid !== null) process.kill(pid, "SIGKILL");
      continue;
    }
    await (how === "stop" ? postgres.stop("immediate") : postgres.kill());
    await rest(between(random, 0, 2_000), chaos);
    await postgres.start();
  }
}

async function harassFleets(fleets: readonly Fleet[], random: () => number, chaos: AbortSignal): Promise<number> {
  for (let kills = 0; ; kills += 1) {
    await rest(between(random, CHAOS_MS / 6, CHAOS_MS / 3), chaos);
    if (chaos.aborted) return kills;
    const fleet = pick(random, fleets);
    await fleet.kill();
    await rest(between(random, 0, 5_000), chaos);
    await fleet.restart();
  }
}

/** A late copy may stand beside a lease that has become surplus by it, until that is taken back or its copy refused. */
const MAY_PASS = /^asset \d+ has \d+ copies and leases, above \d+$/;

/** Brings in files while there is little left to do, and looks at the books all the while. */
class Coordinator {
  readonly #db: Database;
  readonly #urls: readonly string[];
  readonly #random: () => number;
  looks = 0;
  idleLooks = 0;
  files = 0;
  readonly imbalances = new Set<string>();

  constructor(db: Database, urls: readonly string[], random: () => number) {
    this.#db = db;
    this.#urls = urls;
    this.#random = random;
  }

  async work(chaos: AbortSignal): Promise<void> {
    const looks: { readonly atMs: number; readonly made: number }[] = [];
    while (!chaos.aborted) {
      const atMs = performance.now();
      try {
        const { made, missingByOrigin } = await readBacklog(this.#db.sql);
        looks.push({ atMs, made });
        const before = looks.at(-6) ?? { atMs: 0, made };
        const perMs = (made - before.made) / Math.max(1, atMs - before.atMs);
        await this.#import(Math.max(WORK_MIN, perMs * WORK_MS), missingByOrigin);
        const faults = [...(await findImbalances(this.#db.sql, 0)), ...(await findOverfull(this.#db.sql))];
        for (const fault of faults) if (!MAY_PASS.test(fault)) this.imbalances.add(fault);
        this.looks += 1;
        if (this.looks > 1 && [...missingByOrigin.values()].every((missing) => missing === 0)) this.idleLooks += 1;
      } catch (error) {
        if (!isAway(error)) throw error;
      }
      await rest(1_000, chaos);
    }
  }

  /** Let about so many copies be missing in all, at each origin as many as it can take. */
  async #import(wantedCopies: number, missingByOrigin: ReadonlyMap<string, number>): Promise<void> {
    const added = ORIGINS.flatMap((origin) => {
      const share = (wantedCopies * shareOf(origin)) / SHARES;
      const missing = missingByOrigin.get(origin.host) ?? 0;
      // Half empty, it is filled: many small calls would be no other test.
      const files = missing > share / 2 ? 0 : Math.ceil((share - missing) / COPIES_IN_THE_MEAN);
      return Array.from({ length: files }, () => origin);
    });
    const files = added.map((origin, index) => ({ index: this.files + index, origin }));
    this.files += files.length;
    for (const batch of catalogBatches(files, this.#random)) {
      // What was not answered may have been taken in: the same again is harmless.
      await waitFor(
        "an import to be answered",
        () =>
          mutate(pick(this.#random, this.#urls), "asset.import", batch, { key: ADMIN_KEY }).then(
            () => true,
            () => false,
          ),
        { timeoutMs: 60_000, everyMs: 200 },
      );
    }
  }
}

test("nothing acknowledged is lost, doubled or miscounted, whatever is killed", { timeout: 400_000 }, async () => {
  const seed = Number(process.env["CHAOS_SEED"] ?? Date.now() % 1_000_000);
  const beganMs = performance.now();
  const told: string[] = [];
  const tell = (what: string): void =>
    void told.push(`${((performance.now() - beganMs) / 1000).toFixed(1)} s: ${what}\n`);
  const stack = new AsyncDisposableStack();
  const ending = new AbortController();
  let harassing: Promise<unknown> = Promise.resolve();
  // Even when the time is over and the test is given up: what is being restarted is there before all is taken down.
  onTestFinished(async ({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(`fleet-chaos: CHAOS_SEED=${seed}\n${told.join("")}`);
    ending.abort();
    await harassing;
    await stack.disposeAsync();
  });
  const folder = await mkdtemp(join(tmpdir(), "fleet-chaos-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const postgres = stack.use(await startOwnPostgres());
  const db = stack.use(openDatabase({ url: postgres.url, applicationName: "test", poolSize: 3, log: silentLog }));
  const servers = new Servers(
    await Promise.all(
      Array.from({ length: SERVERS }, async () =>
        stack.use(await startServer({ database: { databaseUrl: postgres.url }, env: ENV })),
      ),
    ),
  );
  const urls = servers.servers.map((server) => server.url);
  await setBudgets(db.sql, ORIGINS);
  const joinTokens = await createJoinTokens(urls[0] ?? "", { adminKey: ADMIN_KEY, operators: OPERATORS, uses: NODES });
  const fleets = await Promise.all(
    Array.from({ length: FLEETS }, async (_, index) =>
      stack.use(
        await startFleet(folder, {
          name: `fleet-${index}`,
          seed: seed + index,
          servers: urls,
          nodes: NODES / FLEETS,
          joinTokens,
          deathEveryMs: 400,
        }),
      ),
    ),
  );
  tell(`${SERVERS} servers, ${NODES} nodes`);

  const chaos = AbortSignal.any([ending.signal, AbortSignal.timeout(CHAOS_MS)]);
  const coordinator = new Coordinator(db, urls, randomFrom(seed + 100));
  const works = [
    harassPostgres({ postgres, db }, randomFrom(seed + 101), chaos),
    harassFleets(fleets, randomFrom(seed + 102), chaos),
    servers.harass(randomFrom(seed + 103), chaos),
    coordinator.work(chaos),
  ] as const;
  harassing = Promise.allSettled(works);
  const [outages, fleetKills] = await Promise.all(works);
  tell(
    `${servers.kills} kills of servers, ${outages} of PostgreSQL, ${fleetKills} of fleets; ${coordinator.files} files`,
  );

  for (const fleet of fleets) fleet.calm();
  const drain = { timeoutMs: DRAIN_MS, everyMs: 250 };
  const countMissing = async (): Promise<number> =>
    [...(await readBacklog(db.sql)).missingByOrigin.values()].reduce((sum, copies) => sum + copies, 0);
  const left = await waitFor("PostgreSQL to be back", () => countMissing().catch(nullIfAway), drain);
  tell(`${left} copies are still to be made`);
  const isDone = async (): Promise<boolean> => (await countMissing()) === 0;
  await waitFor("every asset to be done", isDone, drain).catch(async (error: unknown) => {
    tell(`${await countMissing()} copies are missing:\n${(await describeUndone(db.sql, 20)).join("\n")}`);
    throw error;
  });
  tell("every asset is done");
  await Promise.all(fleets.map((fleet) => fleet.leave(60_000)));
  const entries = fleets.flatMap((fleet) => fleet.entries()).toSorted((a, b) => a.atMs - b.atMs);
  const deaths = entries.filter((entry) => entry.event === "died").length;
  const copies = entries.filter((entry) => entry.event === "answered" && entry.outcome === "accepted").length;
  tell(
    `everything is said: ${deaths} deaths of nodes, ${copies} reports accepted, ${coordinator.looks} looks at the books`,
  );
  process.stderr.write(`fleet-chaos:\n${told.join("")}`);

  expect(await checkFleet(db.sql, entries)).toEqual([]);
  expect([...coordinator.imbalances]).toEqual([]);
  for (const server of servers.servers) servers.collectFaults(server);
  expect([...servers.faults]).toEqual([]);
  // It was what it was meant to be: there was work all the time, and everything was killed.
  expect(coordinator.idleLooks).toBe(0);
  expect(Math.min(servers.kills, outages, fleetKills, deaths)).toBeGreaterThan(0);
});
