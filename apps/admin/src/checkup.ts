/** What `doctor` makes of what it sees. Pure: facts in, findings out. */
import { DUE_COUNTED_MAX } from "@dispatcher/server/local";
import type { DatabaseFacts, ServerConfig, ServiceFacts } from "@dispatcher/server/local";
import { counted, showBytes, showCount, showDuration } from "./format.ts";

export type Verdict = "ok" | "warn" | "fail";
export type Finding = {
  readonly check: string;
  readonly verdict: Verdict;
  /** What was found. */
  readonly found: string;
  /** What to do; null where nothing has to be done. */
  readonly advice: string | null;
};

/** Keys and tokens end by the server's clock, and people compare logs: more than this confuses both. */
const CLOCK_WARN_MS = 2_000;
const CLOCK_FAIL_MS = 60_000;
/** A sweep a minute late is a busy database; ten minutes late, leases of the dead are not reclaimed. */
const SWEEP_WARN_MS = 60_000;
const SWEEP_FAIL_MS = 10 * 60_000;
/** The sweeps renew 500 at a time without a pause: what waits longer waits for somebody. */
const DUE_WARN_MS = 60_000;
const DUE_FAIL_MS = 30 * 60_000;
const DISK_WARN = { bytes: 5 * 1024 ** 3, share: 0.1 } as const;
const DISK_FAIL = { bytes: 512 * 1024 ** 2, share: 0.02 } as const;
/** Connections that PostgreSQL keeps for its superuser, and a few for people. */
const CONNECTIONS_SPARE = 10;

export function ok(check: string, found: string): Finding {
  return { check, verdict: "ok", found, advice: null };
}

function judge(check: string, verdict: Verdict, found: string, advice: string): Finding {
  return { check, verdict, found, advice: verdict === "ok" ? null : advice };
}

/** By two thresholds, both of which count as past. */
function grade(value: number, warnAt: number, failAt: number): Verdict {
  if (value >= failAt) return "fail";
  return value >= warnAt ? "warn" : "ok";
}

export function judgeClock(where: string, { aheadMs, uncertainMs }: DatabaseFacts["clock"]): Finding {
  // What the question took is not held against the clock.
  const differenceMs = Math.max(0, Math.abs(aheadMs) - uncertainMs);
  const verdict = grade(differenceMs, CLOCK_WARN_MS, CLOCK_FAIL_MS);
  const found =
    differenceMs < CLOCK_WARN_MS
      ? `that of ${where} and this machine's agree`
      : `that of ${where} is ${showDuration(differenceMs)} ${aheadMs > 0 ? "ahead of" : "behind"} this machine's`;
  return judge(
    "clock",
    verdict,
    found,
    "Let both machines take the time from NTP; leases are judged by the database's.",
  );
}

export function judgeDisk(
  path: string,
  { freeBytes, totalBytes }: { readonly freeBytes: number; readonly totalBytes: number },
): Finding {
  const share = totalBytes === 0 ? 0 : freeBytes / totalBytes;
  const isBelow = (limit: { readonly bytes: number; readonly share: number }): boolean =>
    freeBytes < limit.bytes && share < limit.share;
  const verdict = isBelow(DISK_FAIL) ? "fail" : isBelow(DISK_WARN) ? "warn" : "ok";
  const found = `${showBytes(freeBytes)} of ${showBytes(totalBytes)} free where ${path} is`;
  return judge(
    "disk",
    verdict,
    found,
    "Make room, or move DISPATCHER_DATA_DIR: PostgreSQL stops when its disk is full.",
  );
}

export function judgePostgres(postgres: DatabaseFacts["postgres"], config: ServerConfig): readonly Finding[] {
  const { version, isStandby, maxConnections, sizeBytes } = postgres;
  const off = [
    ["fsync", postgres.fsync],
    ["full_page_writes", postgres.fullPageWrites],
  ].filter(([, value]) => value !== "on");
  const lost = "a power cut may destroy the database";
  const commit = postgres.synchronousCommit;
  const spare = maxConnections - config.DISPATCHER_DATABASE_POOL - CONNECTIONS_SPARE;
  return [
    judge(
      "database",
      isStandby ? "fail" : "ok",
      `PostgreSQL ${version}, ${showBytes(sizeBytes)}${isStandby ? ", a standby" : ""}`,
      "It takes no writes: name the primary in DATABASE_URL.",
    ),
    off.length === 0
      ? ok("durability", "fsync and full_page_writes are on")
      : judge(
          "durability",
          "fail",
          `${off.map(([name, value]) => `${name} is ${value}`).join(", ")}: ${lost}`,
          `Set ${off.map(([name]) => `${name} = on`).join(", ")} in PostgreSQL.`,
        ),
    judge(
      "commit",
      commit === "off" ? "fail" : "ok",
      commit === "off"
        ? "synchronous_commit is off: a crash loses what was acknowledged"
        : `synchronous_commit is ${commit}`,
      "Set synchronous_commit = on in PostgreSQL.",
    ),
    judge(
      "connections",
      spare < 0 ? "warn" : "ok",
      `${maxConnections} at most; each server opens up to ${config.DISPATCHER_DATABASE_POOL}`,
      "Raise max_connections in PostgreSQL, or lower DISPATCHER_DATABASE_POOL.",
    ),
  ];
}

export function judgeSchema({ schema, missing }: DatabaseFacts["schema"]): Finding {
  if (missing.length === 0) return ok("migrations", `all applied, the last is ${schema}`);
  const found = `${counted(missing.length, "migration")} missing, the first is ${missing[0]}`;
  return judge("migrations", "warn", found, "The next start of a server of this release applies them.");
}

export function judgeService(facts: ServiceFacts, config: ServerConfig): readonly Finding[] {
  return [
    judgeSweeping(facts.sweeping, config),
    judgeSilence(facts.silence, config),
    judgeStandings(facts.standings),
    judgeEvents(facts),
    judgeLedgers(facts.ledgers),
  ];
}

function judgeSweeping({ sweptMsAgo, isHeld }: ServiceFacts["sweeping"], config: ServerConfig): Finding {
  // Rounds of a long interval are not late.
  const lateMs = Math.max(0, sweptMsAgo - config.DISPATCHER_SWEEP_INTERVAL_MS);
  const found = `${isHeld ? "a server sweeps" : "no server sweeps"}, the last time ${showDuration(sweptMsAgo)} ago`;
  const graded = grade(lateMs, SWEEP_WARN_MS, SWEEP_FAIL_MS);
  const advice = "Start a server; if one runs, its log says what keeps it (sweep.failed).";
  return judge("sweeps", graded === "ok" && !isHeld ? "warn" : graded, found, advice);
}

function judgeSilence(
  { present, latestMsAgo, oldestMsAgo, oldestId }: ServiceFacts["silence"],
  config: ServerConfig,
): Finding {
  if (present === 0 || latestMsAgo === null || oldestMsAgo === null) return ok("nodes", "no node is there");
  const found = `${counted(present, "node")} there; the last sync ${showDuration(latestMsAgo)} ago, the oldest ${showDuration(oldestMsAgo)} ago (node ${oldestId})`;
  // Three missed syncs make a node suspect; when all of them have missed so many, it is not the nodes.
  const allMissMs = 5 * config.DISPATCHER_SYNC_INTERVAL_MS;
  if (latestMsAgo >= allMissMs) {
    return judge("nodes", "warn", found, "None has synced lately: check that nodes can reach the server's address.");
  }
  const overdue = oldestMsAgo >= config.DISPATCHER_NODE_OFFLINE_MS + SWEEP_FAIL_MS;
  return judge("nodes", overdue ? "warn" : "ok", found, "It should be offline by now: the sweeps do not get that far.");
}

function judgeStandings({ due, oldestMs }: ServiceFacts["standings"]): Finding {
  const most = due >= DUE_COUNTED_MAX ? "at least " : "";
  const found =
    oldestMs === null
      ? "nothing waits"
      : `${most}${counted(due, "asset")} to be reckoned anew, the first for ${showDuration(oldestMs)}`;
  return judge(
    "standings",
    grade(oldestMs ?? 0, DUE_WARN_MS, DUE_FAIL_MS),
    found,
    "After a large change wait for the sweeps; else see why they do not work.",
  );
}

function judgeEvents({ eventDaysAhead, hasStrayEvents }: ServiceFacts): Finding {
  const stray = hasStrayEvents ? ", and some events are in the table for the rest" : "";
  const found = `tables are made for ${counted(eventDaysAhead, "day")} ahead${stray}`;
  const verdict = eventDaysAhead === 0 ? "fail" : eventDaysAhead < 3 || hasStrayEvents ? "warn" : "ok";
  return judge("events", verdict, found, "A server that sweeps makes a week of them, and moves what has strayed.");
}

function judgeLedgers({ compared, faults }: ServiceFacts["ledgers"]): Finding {
  const [first] = faults;
  if (first === undefined) return ok("ledgers", `${counted(compared, "node")} compared with their rows, all balance`);
  const { nodeId, ledger, says, rows } = first;
  const found = `${counted(faults.length, "fault")} among ${counted(compared, "node")}; node ${nodeId} says ${showCount(says)} ${ledger}, its rows ${showCount(rows)}`;
  return judge(
    "ledgers",
    "fail",
    found,
    "Rows were changed by hand, or this is a bug: report it, with an export if you can.",
  );
}
