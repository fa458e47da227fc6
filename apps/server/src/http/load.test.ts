import { expect, test } from "vitest";
import { readConfig } from "../config.ts";
import type { Call } from "./calls.ts";
import { Load, watchLateness } from "./load.ts";

const READ: Call = { name: "asset.list", callClass: "read" };
const REPORT: Call = { name: "node.sync", callClass: "report" };
const PROBE: Call = { name: "GET /health", callClass: "probe" };

type Given = { readonly load: Load; late: (ms: number) => void; pass: (ms: number) => void };

function aLoad(env: Readonly<Record<string, string>>): Given {
  let latenessMs = 0;
  let nowMs = 0;
  const load = new Load(readConfig(env), { latenessMs: () => latenessMs, random: () => 0, nowMs: () => nowMs });
  return { load, late: (ms) => (latenessMs = ms), pass: (ms) => (nowMs += ms) };
}

test("from half of the requests on only reports are taken, from all of them on none", () => {
  const { load } = aLoad({ DISPATCHER_REQUESTS_MAX: "4" });
  const taken = [1, 2, 3, 4, 5].map((requests) => {
    load.requests = requests;
    return [[READ], [REPORT], [REPORT, READ], [PROBE]].map((calls) => load.refusalMs(calls) === 0);
  });
  expect(taken).toEqual([
    [true, true, true, true],
    [true, true, true, true],
    [false, true, false, true],
    [false, true, false, true],
    [false, false, false, true],
  ]);
});

test("a process that is late takes reports alone, and none when it is four times as late", () => {
  const { load, late } = aLoad({ DISPATCHER_LOOP_DELAY_MAX_MS: "100" });
  const taken = [100, 101, 400, 401].map((ms) => {
    late(ms);
    return [[READ], [REPORT], [PROBE]].map((calls) => load.refusalMs(calls) === 0);
  });
  expect(taken).toEqual([
    [true, true, true],
    [false, true, true],
    [false, true, true],
    [false, false, true],
  ]);
});

test("what would wait for too long is refused, unless it is a report", () => {
  const { load, pass } = aLoad({});
  const takes = (atWork: number): boolean[] => {
    load.requests = atWork;
    load.atWork = atWork;
    return [[READ], [REPORT], [PROBE]].map((calls) => load.refusalMs(calls) === 0);
  };
  const all = [true, true, true];
  const notReads = [false, true, true];
  const halfSecond = (answered: number): void => {
    for (let count = 0; count < answered; count += 1) load.answered();
    pass(500);
  };
  // What came in a time without a queue says nothing of how much could be done: one each millisecond is believed.
  expect([takes(60), takes(61)]).toEqual([all, notReads]);
  load.atWork = 1;
  halfSecond(1);
  expect([takes(60), takes(61)]).toEqual([all, notReads]);
  // Two are answered each millisecond, so 120 in the time that is allowed.
  halfSecond(1_000);
  expect([takes(120), takes(121)]).toEqual([all, notReads]);
  // The better one of two half seconds counts.
  halfSecond(0);
  expect([takes(120), takes(121)]).toEqual([all, notReads]);
  // A few are no queue, however long they take.
  halfSecond(0);
  expect([takes(50), takes(51)]).toEqual([all, notReads]);
  // After a quiet time it is found out anew.
  load.atWork = 1;
  halfSecond(0);
  load.refusalMs([READ]);
  halfSecond(0);
  expect([takes(60), takes(61)]).toEqual([all, notReads]);
});

test("requests that are still being sent keep nobody waiting", () => {
  const { load } = aLoad({ DISPATCHER_REQUESTS_MAX: "2000" });
  load.requests = 1_000;
  expect(load.refusalMs([READ])).toBe(0);
  load.atWork = 1_000;
  expect(load.refusalMs([READ])).toBeGreaterThan(0);
});

test("lateness may count for nothing", () => {
  const { load, late } = aLoad({ DISPATCHER_LOOP_DELAY_MAX_MS: "0" });
  late(60_000);
  expect(load.refusalMs([READ])).toBe(0);
});

test("a process that did nothing else for a second was late", async () => {
  const lateness = watchLateness();
  try {
    await expect
      .poll(
        () => {
          const until = performance.now() + 1_000;
          while (performance.now() < until);
          return lateness.read();
        },
        { timeout: 30_000, interval: 1 },
      )
      .toBeGreaterThan(100);
  } finally {
    lateness.close();
  }
});
