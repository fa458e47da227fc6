import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  ENDED_STATES,
  OPEN_STATES,
  cancelIfNotStarted,
  completeAssignment,
  expireAssignment,
  failAssignment,
  isOpen,
  recordProgress,
  regrantAssignment,
  releaseAssignment,
} from "./assignment.ts";
import type { Assignment, AssignmentState } from "./assignment.ts";
import type { FailureCode } from "./failure.ts";
import { DispatcherError } from "./errors.ts";
import { aHeldLease, anEndedLease, refusalOf } from "./testing.ts";

const STATES: readonly AssignmentState[] = [...OPEN_STATES, ...ENDED_STATES];
const times = { minMs: 100, graceMs: 500, capMs: 10_000 };
/** aHeldLease expires at 1,000; the grace ends at 1,500. */
const OVERDUE_MS = 1500;

function inState(state: AssignmentState): Assignment {
  if (state === "granted" || state === "running") return aHeldLease({ state });
  return anEndedLease({ state, failureCode: state === "failed" ? "STALLED" : null });
}

type Outcome = { readonly assignment: Assignment; readonly timing: string };
const plain = (assignment: Assignment): Outcome => ({ assignment, timing: "on-time" });

const NEW_LEASE = { term: 2, nowMs: 5000, lengthMs: 1000, reservedBytes: 70, bytesDone: 0 };

/** Every event, as it happens to an assignment of term 1. */
const EVENTS: Record<string, (assignment: Assignment, term: number) => Outcome> = {
  progress: (assignment, term) =>
    plain(recordProgress(assignment, { term, bytesDone: 5, isRunning: true, nowMs: 10, lengthMs: 10 }, times)),
  complete: (assignment, term) => completeAssignment(assignment, { term, sizeBytes: 10 }),
  fail: (assignment, term) => failAssignment(assignment, { term, code: "DISK_FULL" }),
  release: (assignment, term) => releaseAssignment(assignment, { term }),
  expire: (assignment) => plain(expireAssignment(assignment, OVERDUE_MS, times)),
  cancel: (assignment) => plain(cancelIfNotStarted(assignment)),
  regrant: (assignment, term) => plain(regrantAssignment(assignment, { ...NEW_LEASE, term: term + 1 })),
};
const REPORTS = ["progress", "complete", "fail", "release"] as const;

/** What an event makes of a state, as the document's table writes it. */
function cell(state: AssignmentState, event: string): string {
  try {
    const outcome = EVENTS[event]?.(inState(state), 1);
    if (outcome === undefined) return "no such event";
    const { assignment, timing } = outcome;
    return timing === "on-time" ? assignment.state : `${assignment.state} (${timing})`;
  } catch (error) {
    if (error instanceof DispatcherError) return error.code;
    throw error;
  }
}

/** The rows of the document's table of transitions: the head, then one row a state, each a list of cells. */
function tableInDocument(): string[][] {
  const text = readFileSync(new URL("../../../docs/lease-states.md", import.meta.url), "utf8");
  return text
    .split("\n")
    .filter((line) => /^\|(?! *-)/.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((content) => content.replaceAll("`", "").trim()),
    );
}

describe("every state against every event", () => {
  const [head = [], ...rows] = tableInDocument();
  const [, ...events] = head;

  test("the document's table has them all, each once", () => {
    expect(events.toSorted()).toEqual(Object.keys(EVENTS).toSorted());
    expect(rows.map(([state]) => state).toSorted()).toEqual(STATES.toSorted());
  });

  test.each(STATES)("%s goes where the document's table says", (state) => {
    const row = rows.find(([name]) => name === state) ?? [];
    expect(row.slice(1)).toEqual(events.map((event) => cell(state, event)));
  });

  test("the document's diagram has the arrows of the table and no others", () => {
    const text = readFileSync(new URL("../../../docs/lease-states.md", import.meta.url), "utf8");
    const drawn = [...text.matchAll(/^ +(\w+) --> (\w+): (\w+)/gm)].map(
      ([, from, to, event]) => `${from} ${event} ${to}`,
    );
    const walked = STATES.flatMap((state) =>
      Object.keys(EVENTS).flatMap((event) => {
        const to = cell(state, event).replace(" (late)", "");
        return /^[a-z]+$/.test(to) && to !== state ? [`${state} ${event} ${to}`] : [];
      }),
    );
    expect(drawn.toSorted()).toEqual(walked.toSorted());
  });
});

describe.each(STATES)("%s", (state) => {
  test.each(REPORTS)("a %s report of another term is stale, whatever the state", (event) => {
    for (const term of [0, 2]) {
      const refusal = refusalOf(() => EVENTS[event]?.(inState(state), term));
      expect(refusal.code).toBe("LEASE_TERM_STALE");
      expect(refusal.details).toEqual({ term, current: 1 });
    }
  });

  test("no event changes the assignment it is given, and only a regrant changes term and time of grant", () => {
    for (const [event, apply] of Object.entries(EVENTS)) {
      const before = Object.freeze(inState(state));
      const isRefused = !STATES.some((to) => cell(state, event).startsWith(to));
      const { term, grantedAtMs } = isRefused ? before : apply(before, 1).assignment;
      const isNewLease = event === "regrant" && !isRefused;
      expect({ term, grantedAtMs }).toEqual(isNewLease ? { term: 2, grantedAtMs: 5000 } : { term: 1, grantedAtMs: 0 });
      expect(before).toEqual(inState(state));
    }
  });

  test("only an open assignment has a deadline and a reservation", () => {
    for (const event of Object.keys(EVENTS)) {
      if (!STATES.some((to) => cell(state, event).startsWith(to))) continue;
      const after = EVENTS[event]?.(inState(state), 1).assignment;
      if (after === undefined) continue;
      expect("expiresAtMs" in after).toBe(isOpen(after));
      expect("reservedBytes" in after).toBe(isOpen(after));
    }
  });
});

test("a refusal to an ended assignment names its state", () => {
  expect(refusalOf(() => cancelIfNotStarted(anEndedLease({ state: "expired" }))).details).toEqual({ state: "expired" });
});

describe("progress", () => {
  const report = { term: 1, bytesDone: 5, isRunning: true, nowMs: 500, lengthMs: 2000 };

  test("more bytes renew the lease", () => {
    expect(recordProgress(aHeldLease(), report, times)).toEqual(
      aHeldLease({ state: "running", bytesDone: 5, expiresAtMs: 2500 }),
    );
  });

  test("the same bytes do not, however alive the node is", () => {
    const lease = aHeldLease({ state: "running", bytesDone: 5 });
    expect(recordProgress(lease, report, times)).toEqual(lease);
  });

  test("fewer bytes, a file begun anew, neither renew nor forget how far it was", () => {
    const lease = aHeldLease({ state: "running", bytesDone: 6 });
    expect(recordProgress(lease, report, times)).toEqual(lease);
  });

  test("waiting in the node's queue changes nothing", () => {
    expect(recordProgress(aHeldLease(), { ...report, bytesDone: 0, isRunning: false }, times)).toEqual(aHeldLease());
  });

  test("it runs once the node says so, or once bytes have come", () => {
    expect(recordProgress(aHeldLease(), { ...report, bytesDone: 0 }, times).state).toBe("running");
    expect(recordProgress(aHeldLease(), { ...report, isRunning: false }, times).state).toBe("running");
  });

  test("what runs does not go back to waiting", () => {
    const lease = aHeldLease({ state: "running" });
    expect(recordProgress(lease, { ...report, bytesDone: 0, isRunning: false }, times)).toEqual(lease);
  });

  test("the renewed deadline keeps to the cap", () => {
    const lease = recordProgress(aHeldLease({ expiresAtMs: 9000 }), { ...report, nowMs: 9000 }, times);
    expect(lease.expiresAtMs).toBe(10_000);
  });

  test.each([
    ["nowMs", Number.NaN],
    ["lengthMs", -1],
  ])("%s of %d is refused", (field, value) => {
    const refusal = refusalOf(() => recordProgress(aHeldLease(), { ...report, [field]: value }, times));
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  });

  test.each([-1, 0.5, Number.NaN])("%d bytes are refused", (bytesDone) => {
    expect(refusalOf(() => recordProgress(aHeldLease(), { ...report, bytesDone }, times)).code).toBe("INPUT_INVALID");
  });
});

describe("completing", () => {
  test("the bytes are those of the copy", () => {
    const { assignment } = completeAssignment(aHeldLease({ bytesDone: 3 }), { term: 1, sizeBytes: 10 });
    expect(assignment).toEqual(anEndedLease({ state: "stored", bytesDone: 10 }));
  });

  test("late work has them too", () => {
    const { assignment } = completeAssignment(anEndedLease({ state: "expired", bytesDone: 3 }), {
      term: 1,
      sizeBytes: 10,
    });
    expect(assignment).toEqual(anEndedLease({ state: "stored", bytesDone: 10 }));
  });

  test("told again, nothing changes", () => {
    const stored = anEndedLease({ state: "stored", bytesDone: 10 });
    expect(completeAssignment(stored, { term: 1, sizeBytes: 10 })).toEqual({ assignment: stored, timing: "repeated" });
  });

  test("an empty file is a copy, a file of -1 bytes is not", () => {
    expect(completeAssignment(aHeldLease(), { term: 1, sizeBytes: 0 }).assignment.state).toBe("stored");
    expect(refusalOf(() => completeAssignment(aHeldLease(), { term: 1, sizeBytes: -1 })).code).toBe("INPUT_INVALID");
  });
});

describe("failing", () => {
  test("the code is kept, with how far it came", () => {
    const { assignment } = failAssignment(aHeldLease({ bytesDone: 3 }), { term: 1, code: "STALLED" });
    expect(assignment).toEqual(anEndedLease({ state: "failed", failureCode: "STALLED", bytesDone: 3 }));
  });

  test("a code that nobody knows is refused, whatever the state", () => {
    for (const state of STATES) {
      const refusal = refusalOf(() => failAssignment(inState(state), { term: 1, code: "TIRED" as FailureCode }));
      expect(refusal.code).toBe("INPUT_INVALID");
      expect(refusal.details).toEqual({ field: "code", value: "TIRED" });
    }
  });

  test("told again, the first code stands", () => {
    const failed = anEndedLease({ state: "failed", failureCode: "STALLED" });
    expect(failAssignment(failed, { term: 1, code: "DISK_FULL" })).toEqual({ assignment: failed, timing: "repeated" });
  });
});

test("a lease is reclaimed when deadline and grace are over, and not a millisecond before", () => {
  const lease = aHeldLease();
  expect(expireAssignment(lease, OVERDUE_MS - 1, times)).toBe(lease);
  expect(expireAssignment(lease, OVERDUE_MS, times)).toEqual(anEndedLease({ state: "expired" }));
});

test("while there is mercy no lease is reclaimed, and at its end the overdue are", () => {
  const lease = aHeldLease();
  expect(expireAssignment(lease, OVERDUE_MS, times, { mercyUntilMs: OVERDUE_MS + 1 })).toBe(lease);
  expect(expireAssignment(lease, OVERDUE_MS, times, { mercyUntilMs: OVERDUE_MS }).state).toBe("expired");
});

test("cancelling leaves work that has begun as it is", () => {
  const running = aHeldLease({ state: "running" });
  expect(cancelIfNotStarted(running)).toBe(running);
});

describe("granting an expired lease anew", () => {
  const expired = anEndedLease({ state: "expired", bytesDone: 50 });

  test("gives a new term, deadline and reservation", () => {
    expect(regrantAssignment(expired, NEW_LEASE)).toEqual(
      aHeldLease({ term: 2, grantedAtMs: 5000, expiresAtMs: 6000, reservedBytes: 70, bytesDone: 0 }),
    );
  });

  test("begins with the bytes of the partial file, and runs if there are any", () => {
    expect(regrantAssignment(expired, { ...NEW_LEASE, bytesDone: 1 })).toMatchObject({
      state: "running",
      bytesDone: 1,
    });
  });

  test.each([0, 1])("term %d does not follow term 1", (term) => {
    const refusal = refusalOf(() => regrantAssignment(expired, { ...NEW_LEASE, term }));
    expect(refusal.code).toBe("LEASE_TERM_STALE");
    expect(refusal.details).toEqual({ term, current: 1 });
  });

  test("the old term is stale from then on, its late copy too", () => {
    const anew = regrantAssignment(expired, NEW_LEASE);
    expect(refusalOf(() => completeAssignment(anew, { term: 1, sizeBytes: 10 })).code).toBe("LEASE_TERM_STALE");
  });

  test("what is still open, or ended in another way, is not granted anew, and the refusal names its state", () => {
    const refusal = refusalOf(() => regrantAssignment(aHeldLease(), NEW_LEASE));
    expect(refusal.code).toBe("LEASE_ENDED");
    expect(refusal.details).toEqual({ state: "granted" });
  });

  test.each(["nowMs", "lengthMs", "term"] as const)("a %s that is no number is refused", (field) => {
    const refusal = refusalOf(() => regrantAssignment(expired, { ...NEW_LEASE, [field]: Number.NaN }));
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  });

  test.each(["reservedBytes", "bytesDone"] as const)("a negative %s is refused", (field) => {
    expect(refusalOf(() => regrantAssignment(expired, { ...NEW_LEASE, [field]: -1 })).code).toBe("INPUT_INVALID");
  });
});
