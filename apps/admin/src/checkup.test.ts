import { readConfig } from "@dispatcher/server/local";
import type { DatabaseFacts, ServiceFacts } from "@dispatcher/server/local";
import { describe, expect, test } from "vitest";
import { judgeClock, judgeDisk, judgePostgres, judgeSchema, judgeService } from "./checkup.ts";
import type { Finding } from "./checkup.ts";

const CONFIG = readConfig({});
const MINUTE_MS = 60_000;
const GIB = 1024 ** 3;

const POSTGRES: DatabaseFacts["postgres"] = {
  version: "18.4",
  fsync: "on",
  synchronousCommit: "on",
  fullPageWrites: "on",
  maxConnections: 100,
  isStandby: false,
  sizeBytes: 1,
};

function aService(changes: Partial<ServiceFacts> = {}): ServiceFacts {
  return {
    sweeping: { sweptMsAgo: 1_000, isHeld: true },
    silence: { present: 2, latestMsAgo: 1_000, oldestMsAgo: 30_000, oldestId: null },
    standings: { due: 0, oldestMs: null },
    eventDaysAhead: 7,
    hasStrayEvents: false,
    ledgers: { compared: 2, faults: [] },
    ...changes,
  };
}

function verdictOf(check: string, findings: readonly Finding[]): string | undefined {
  return findings.find((finding) => finding.check === check)?.verdict;
}

const judged = (check: string, changes: Partial<ServiceFacts>): string | undefined =>
  verdictOf(check, judgeService(aService(changes), CONFIG));

const ofClock = (aheadMs: number, uncertainMs = 0): string => judgeClock("it", { aheadMs, uncertainMs }).verdict;
const ofDisk = (freeBytes: number, totalBytes: number): string => judgeDisk("d", { freeBytes, totalBytes }).verdict;

test("what is well needs no advice, and what is not has some", () => {
  const well = [...judgePostgres(POSTGRES, CONFIG), ...judgeService(aService(), CONFIG)];
  for (const finding of well) expect(finding).toMatchObject({ verdict: "ok", advice: null });
  const ill = [
    ...judgePostgres(
      { ...POSTGRES, fsync: "off", synchronousCommit: "off", isStandby: true, maxConnections: 10 },
      CONFIG,
    ),
    ...judgeService(
      aService({
        sweeping: { sweptMsAgo: 3_600_000, isHeld: false },
        silence: { present: 1, latestMsAgo: 3_600_000, oldestMsAgo: 3_600_000, oldestId: null },
        standings: { due: 100_000, oldestMs: 3_600_000 },
        eventDaysAhead: 0,
      }),
      CONFIG,
    ),
  ].filter(({ verdict }) => verdict !== "ok");
  expect(ill).toHaveLength(8);
  for (const { advice } of ill) expect(advice).not.toBeNull();
});

describe("both sides of each edge", () => {
  test("the clock, less what the question took", () => {
    expect([ofClock(1_999), ofClock(2_000), ofClock(-2_000), ofClock(59_999), ofClock(60_000)]).toEqual([
      "ok",
      "warn",
      "warn",
      "warn",
      "fail",
    ]);
    expect([ofClock(2_499, 500), ofClock(2_500, 500), ofClock(100, 500)]).toEqual(["ok", "warn", "ok"]);
    expect(judgeClock("the server", { aheadMs: -120_000, uncertainMs: 0 }).found).toBe(
      "that of the server is 2 min behind this machine's",
    );
  });

  test("the disk, by bytes and by share, so that neither a small nor a large one cries wolf", () => {
    expect(ofDisk(5 * GIB, 1000 * GIB)).toBe("ok");
    expect(ofDisk(5 * GIB - 1, 1000 * GIB)).toBe("warn");
    expect(ofDisk(4 * GIB, 40 * GIB)).toBe("ok");
    expect(ofDisk(GIB / 2, 1000 * GIB)).toBe("warn");
    expect(ofDisk(GIB / 2 - 1, 1000 * GIB)).toBe("fail");
  });

  test("sweeps, late by more than their own interval", () => {
    const intervalMs = CONFIG.DISPATCHER_SWEEP_INTERVAL_MS;
    const sweeping = (lateMs: number, isHeld = true) =>
      judged("sweeps", { sweeping: { sweptMsAgo: intervalMs + lateMs, isHeld } });
    expect([
      sweeping(MINUTE_MS - 1),
      sweeping(MINUTE_MS),
      sweeping(10 * MINUTE_MS - 1),
      sweeping(10 * MINUTE_MS),
    ]).toEqual(["ok", "warn", "warn", "fail"]);
    expect(sweeping(0, false)).toBe("warn");
  });

  test("nodes that are all silent, and one that should be offline", () => {
    const silence = (latestMsAgo: number, oldestMsAgo: number) =>
      judged("nodes", { silence: { present: 2, latestMsAgo, oldestMsAgo, oldestId: null } });
    const allMissMs = 5 * CONFIG.DISPATCHER_SYNC_INTERVAL_MS;
    expect([silence(allMissMs - 1, allMissMs), silence(allMissMs, allMissMs)]).toEqual(["ok", "warn"]);
    const overdueMs = CONFIG.DISPATCHER_NODE_OFFLINE_MS + 10 * MINUTE_MS;
    expect([silence(0, overdueMs - 1), silence(0, overdueMs)]).toEqual(["ok", "warn"]);
    const nobody = { present: 0, latestMsAgo: null, oldestMsAgo: null, oldestId: null };
    expect(judged("nodes", { silence: nobody })).toBe("ok");
  });

  test("standings that wait, days made ahead, events that strayed, migrations that are missing", () => {
    const standings = (oldestMs: number) => judged("standings", { standings: { due: 1, oldestMs } });
    expect([standings(MINUTE_MS - 1), standings(MINUTE_MS), standings(30 * MINUTE_MS)]).toEqual(["ok", "warn", "fail"]);
    const days = (eventDaysAhead: number) => judged("events", { eventDaysAhead });
    expect([days(3), days(2), days(1), days(0)]).toEqual(["ok", "warn", "warn", "fail"]);
    expect(judged("events", { hasStrayEvents: true })).toBe("warn");
    expect(judgeSchema({ schema: "0002_b", missing: [] }).verdict).toBe("ok");
    expect(judgeSchema({ schema: "0001_a", missing: ["0002_b"] }).verdict).toBe("warn");
  });

  test("settings of PostgreSQL that a commit's safety hangs on", () => {
    const verdict = (check: string, changes: Partial<DatabaseFacts["postgres"]>) =>
      verdictOf(check, judgePostgres({ ...POSTGRES, ...changes }, CONFIG));
    expect(verdict("durability", { fsync: "off" })).toBe("fail");
    expect(verdict("durability", { fullPageWrites: "off" })).toBe("fail");
    expect(verdict("commit", { synchronousCommit: "off" })).toBe("fail");
    expect(verdict("commit", { synchronousCommit: "remote_apply" })).toBe("ok");
    expect(verdict("database", { isStandby: true })).toBe("fail");
    const needed = CONFIG.DISPATCHER_DATABASE_POOL + 10;
    expect(verdict("connections", { maxConnections: needed })).toBe("ok");
    expect(verdict("connections", { maxConnections: needed - 1 })).toBe("warn");
  });
});
