/**
 * Offers requests by the clock, in a process of its own: each is due at its time, whether those before it are answered or
 * not, and what it takes is counted from when it was due. So a server that stalls is not asked less, and its stall is seen
 * (otherwise known as coordinated omission, Gil Tene 2013).
 */
import { setTimeout as pause } from "node:timers/promises";
import { percentile } from "../engine/run.ts";
import { IDLE } from "../engine/fleet.ts";
import { REPORTS, SHARES, addressOfNode, chooser, makeCall, post, seeded } from "./mix.ts";
import type { Cast, KindName } from "./mix.ts";
import { Reporter } from "./reporters.ts";
import type { ReportBook } from "./reporters.ts";
import type { Answer } from "./answer-reader.ts";
import { openRequests } from "./requests.ts";
import type { Hear } from "./requests.ts";

export type Order = {
  readonly url: string;
  readonly cast: Cast;
  readonly rate: number;
  readonly forMs: number;
  /** Before it a tenth of the rate is offered for so long, and not counted: a server at work has compiled what it runs. */
  readonly warmUpMs: number;
  readonly connections: number;
};

/** In ms, from when a request was due. */
export type Times = { readonly count: number; readonly p50: number; readonly p99: number; readonly max: number };

export type KindFound = {
  readonly offered: number;
  readonly accepted: number;
  readonly refused429: number;
  readonly refused503: number;
  /** Told off for what they are: 401, 403, 404 and the like. */
  readonly turnedAway: number;
  /** 5xx but 503. */
  readonly failed: number;
  readonly unanswered: number;
};

export type Found = {
  readonly offered: number;
  /** Over so long; as was asked for, unless the generator itself could not keep up. */
  readonly offeredPerS: number;
  readonly accepted: Times;
  readonly acceptedReports: Times;
  readonly refused429: Times;
  readonly refused503: Times;
  readonly kinds: Readonly<Record<KindName, KindFound>>;
  /** By the second in which they were due. */
  readonly seconds: readonly { readonly accepted: Times; readonly refused: Times }[];
  /** How late requests left this process. */
  readonly generatorLateMs: Times;
  /** Of a core, while requests were offered. */
  readonly generatorCores: number;
  readonly connections: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly reports: {
    readonly sent: readonly string[];
    readonly acknowledged: readonly string[];
    readonly rejected: Readonly<Record<string, string>>;
  };
};

const TICK_MS = 2;
const SECOND_MS = 1_000;
/** After the load every report is brought home, as agents would do it. */
const HOMEWARD_MS = 60_000;
const FAILURES_SHOWN = 5;

/** What became of requests that were due in the same second, in ms. */
type Second = { readonly accepted: number[]; readonly refused: number[] };

type Outcome = "accepted" | "refused429" | "refused503" | "turnedAway" | "failed" | "unanswered";

function outcomeOf(answer: Answer | null): Outcome {
  if (answer === null) return "unanswered";
  if (answer.status < 400) return "accepted";
  if (answer.status === 429) return "refused429";
  if (answer.status === 503) return "refused503";
  return answer.status < 500 ? "turnedAway" : "failed";
}

function timesOf(values: readonly number[]): Times {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1) ?? Number.NaN,
  };
}

/** The next of them that says nothing now. */
function turns<One>(all: readonly One[], isFree: (one: One) => boolean): () => One | null {
  let next = 0;
  return () => {
    for (let looked = 0; looked < all.length; looked += 1) {
      const one = all[(next += 1) % all.length];
      if (one !== undefined && isFree(one)) return one;
    }
    return null;
  };
}

async function offer({ url, cast, rate, forMs, warmUpMs, connections }: Order): Promise<Found> {
  using requests = openRequests(url, connections);
  const random = seeded(1);
  const choose = chooser(random);
  const book: ReportBook = { sent: new Set(), acknowledged: new Set(), rejected: new Map() };
  const reporters = cast.workingKeys.map((key, index) => new Reporter(key, index, book));
  const nextReporter = turns(reporters, (reporter) => !reporter.isBusy);
  const idleBody = post("/trpc/node.sync", IDLE, "");
  const idle = cast.idleKeys.map((key, index) => ({ ...idleBody, key, address: addressOfNode(20_000 + index) }));

  const counts = Object.fromEntries(
    Object.keys(SHARES).map((kind) => [
      kind,
      { offered: 0, accepted: 0, refused429: 0, refused503: 0, turnedAway: 0, failed: 0, unanswered: 0 },
    ]),
  ) as Record<KindName, Record<Outcome | "offered", number>>;
  const times: Record<Outcome | "acceptedReports" | "late", number[]> = {
    accepted: [],
    acceptedReports: [],
    refused429: [],
    refused503: [],
    turnedAway: [],
    failed: [],
    unanswered: [],
    late: [],
  };
  const failures: string[] = [];

  const issue = (kind: KindName, number: number, hear: Hear): void => {
    if (kind === "sync, finishes and claims") {
      const reporter = nextReporter();
      if (reporter !== null) return reporter.sync(requests, hear);
    }
    if (!REPORTS.has(kind)) return requests.send(makeCall(kind, { cast, random, number }), hear);
    const call = idle[number % idle.length];
    if (call === undefined) throw new Error("There are no nodes.");
    return requests.send(call, hear);
  };

  const seconds: Second[] = Array.from({ length: Math.ceil(forMs / SECOND_MS) }, () => ({ accepted: [], refused: [] }));
  let underWay = 0;
  const allAnswered = Promise.withResolvers<void>();
  let isOver = false;
  let begunAtMs = performance.now();
  const note = (kind: KindName, answer: Answer | null, dueMs: number): void => {
    const ms = performance.now() - dueMs;
    const outcome = outcomeOf(answer);
    counts[kind][outcome] += 1;
    times[outcome].push(ms);
    if (outcome === "accepted" && REPORTS.has(kind)) times.acceptedReports.push(ms);
    const second = seconds[Math.floor((dueMs - begunAtMs) / SECOND_MS)];
    if (outcome === "accepted") second?.accepted.push(ms);
    if (outcome === "refused429" || outcome === "refused503") second?.refused.push(ms);
    if (outcome === "failed" && failures.length < FAILURES_SHOWN) {
      failures.push(`${kind}: ${answer?.status} ${answer?.text.slice(0, 200)}`);
    }
  };
  const one = (dueMs: number, number: number, isCounted: boolean): void => {
    const kind = choose();
    if (isCounted) {
      counts[kind].offered += 1;
      times.late.push(performance.now() - dueMs);
    }
    underWay += 1;
    issue(kind, number, (answer) => {
      if (isCounted) note(kind, answer, dueMs);
      underWay -= 1;
      if (isOver && underWay === 0) allAnswered.resolve();
    });
  };
  let offered = 0;
  const offerByTheClock = async (perS: number, untilMs: number, isCounted: boolean): Promise<number> => {
    const before = offered;
    begunAtMs = performance.now();
    for (;;) {
      const elapsedMs = Math.min(untilMs, performance.now() - begunAtMs);
      for (const due = before + Math.floor((elapsedMs * perS) / 1000); offered < due; offered += 1) {
        one(begunAtMs + ((offered - before) / perS) * 1000, offered, isCounted);
      }
      if (elapsedMs >= untilMs) return offered - before;
      await pause(TICK_MS);
    }
  };

  await offerByTheClock(rate / 10, warmUpMs, false);
  const cpuBefore = process.cpuUsage();
  const counted = await offerByTheClock(rate, forMs, true);
  const offeredPerS = (counted / (performance.now() - begunAtMs)) * 1000;
  const cpu = process.cpuUsage(cpuBefore);
  isOver = true;
  if (underWay > 0) await allAnswered.promise;

  const untilMs = performance.now() + HOMEWARD_MS;
  const bringHome = async (reporter: Reporter): Promise<void> => {
    while (!reporter.isDone && performance.now() < untilMs) {
      const heard = Promise.withResolvers<Answer | null>();
      reporter.sync(requests, heard.resolve, 0);
      const answer = await heard.promise;
      if (answer?.status !== 200) await pause(200);
    }
  };
  for (const chunk of Map.groupBy(reporters, (_, index) => Math.floor(index / 50)).values()) {
    await Promise.all(chunk.map(bringHome));
  }
  return {
    offered: counted,
    offeredPerS,
    accepted: timesOf(times.accepted),
    acceptedReports: timesOf(times.acceptedReports),
    refused429: timesOf(times.refused429),
    refused503: timesOf(times.refused503),
    kinds: counts,
    seconds: seconds.map(({ accepted, refused }) => ({ accepted: timesOf(accepted), refused: timesOf(refused) })),
    generatorLateMs: timesOf(times.late),
    generatorCores: (cpu.user + cpu.system) / 1000 / forMs,
    connections: requests.connections,
    faults: Object.fromEntries(requests.faults),
    failures,
    reports: {
      sent: [...book.sent],
      acknowledged: [...book.acknowledged],
      rejected: Object.fromEntries(book.rejected),
    },
  };
}

process.once("message", (order: Order) => {
  offer(order).then(
    (found) => process.send?.(found, () => process.exit()),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.once("disconnect", () => process.exit());
