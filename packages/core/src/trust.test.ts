import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { refusalOf } from "./testing.ts";
import {
  AUDIT_OUTCOMES,
  CONTAINED_RETRIES,
  NEW_TRUST,
  SPOT_CHECK_SHARE_MIN,
  SUSPENSION_MS,
  VALID_BEFORE_SPOT_CHECKS,
  isSuspended,
  needsSpotCheck,
  recordAudit,
  recordResult,
} from "./trust.ts";
import type { AuditOutcome, NodeTrust } from "./trust.ts";

const DAY_MS = 86_400_000;

function aTrust(facts: Partial<NodeTrust> = {}): NodeTrust {
  return { ...NEW_TRUST, ...facts };
}

test("ten right results end the time of checking all, a fiftieth stays, three retries, seven days", () => {
  expect([VALID_BEFORE_SPOT_CHECKS, SPOT_CHECK_SHARE_MIN, CONTAINED_RETRIES, SUSPENSION_MS]).toEqual([
    10,
    0.02,
    3,
    7 * DAY_MS,
  ]);
});

describe("spot checks", () => {
  test("below ten right results in a row every one is checked, whatever the chance", () => {
    expect(needsSpotCheck(aTrust({ validInARow: 9 }), 1)).toBe(true);
    expect(needsSpotCheck(aTrust({ validInARow: 10 }), 1)).toBe(false);
  });

  test.each([
    [10, 0.1],
    [20, 0.05],
    [50, 0.02],
    [51, 0.02],
    [100_000, 0.02],
  ])("after %d of them the share is %d, the chance itself not included", (validInARow, share) => {
    expect(needsSpotCheck(aTrust({ validInARow }), share - 1e-9)).toBe(true);
    expect(needsSpotCheck(aTrust({ validInARow }), share)).toBe(false);
  });

  test("a suspended node is always checked, also after the week if no audit has ended well since", () => {
    expect(needsSpotCheck(aTrust({ validInARow: 1000, suspendedUntilMs: 0 }), 1)).toBe(true);
  });

  test("over many results the share that is checked is as said", () => {
    const chances = Array.from({ length: 10_000 }, (_, index) => index / 10_000);
    const checked = chances.filter((chance) => needsSpotCheck(aTrust({ validInARow: 25 }), chance));
    expect(checked).toHaveLength(400);
  });
});

describe("results", () => {
  test("a right one counts, a wrong one takes all back", () => {
    expect(recordResult(aTrust({ validInARow: 4 }), true).validInARow).toBe(5);
    expect(recordResult(aTrust({ validInARow: 400 }), false).validInARow).toBe(0);
  });

  test("neither touches what audits have found", () => {
    const trust = aTrust({ containedInARow: 2, suspendedUntilMs: 7 });
    expect(recordResult(trust, true)).toEqual({ ...trust, validInARow: 1 });
    expect(recordResult(trust, false)).toEqual(trust);
  });
});

/** States that differ in what an outcome may do to them, against every outcome at day 1. */
describe("every state against every outcome", () => {
  const STATES: Record<string, NodeTrust> = {
    new: NEW_TRUST,
    trusted: aTrust({ validInARow: 30 }),
    "contained thrice": aTrust({ validInARow: 30, containedInARow: 3 }),
    suspended: aTrust({ validInARow: 30, suspendedUntilMs: 2 * DAY_MS }),
    "suspended till now": aTrust({ validInARow: 30, suspendedUntilMs: DAY_MS }),
  };
  const told = (trust: NodeTrust): string =>
    `${trust.validInARow} right, ${trust.containedInARow} contained, until day ${(trust.suspendedUntilMs ?? 0) / DAY_MS}`;

  test.each([
    ["new", ["1, 0, 0", "0, 0, 0", "0, 0, 0", "0, 1, 0", "0, 0, 8"]],
    ["trusted", ["31, 0, 0", "0, 0, 0", "30, 0, 0", "30, 1, 0", "30, 0, 8"]],
    ["contained thrice", ["31, 0, 0", "0, 0, 0", "30, 3, 0", "0, 0, 0", "30, 3, 8"]],
    ["suspended", ["31, 0, 0", "0, 0, 2", "30, 0, 2", "30, 1, 2", "30, 0, 2"]],
    ["suspended till now", ["31, 0, 0", "0, 0, 1", "30, 0, 1", "30, 1, 1", "30, 0, 8"]],
  ])("%s", (name, expected) => {
    const state = Object.freeze(STATES[name] ?? NEW_TRUST);
    const after = AUDIT_OUTCOMES.map((outcome) => told(recordAudit(state, outcome, DAY_MS)));
    const inWords = expected.map((cell) => {
      const [right, contained, day] = cell.split(", ");
      return `${right} right, ${contained} contained, until day ${day}`;
    });
    expect(after).toEqual(inWords);
  });
});

describe("containment", () => {
  test("three retries are waited for; the fourth audit in a row without the copy is a failure", () => {
    let trust = aTrust({ validInARow: 30 });
    for (const expected of [30, 30, 30, 0]) {
      trust = recordAudit(trust, "contained", 0);
      expect(trust.validInARow).toBe(expected);
    }
    expect(trust).toEqual(NEW_TRUST);
  });

  test("a node that is offline in between is not let off", () => {
    const outcomes: AuditOutcome[] = ["contained", "offline", "contained", "offline", "contained", "contained"];
    expect(outcomes.reduce((trust, one) => recordAudit(trust, one, 0), aTrust({ validInARow: 30 })).validInARow).toBe(
      0,
    );
  });
});

describe("suspension", () => {
  test("it is over at its last moment", () => {
    const trust = recordAudit(NEW_TRUST, "unknown", 0);
    expect(isSuspended(trust, 7 * DAY_MS - 1)).toBe(true);
    expect(isSuspended(trust, 7 * DAY_MS)).toBe(false);
    expect(isSuspended(NEW_TRUST, 0)).toBe(false);
  });
});

test("numbers and words that are none are refused before anything is recorded", () => {
  const attempts: [string, () => unknown][] = [
    ["random", () => needsSpotCheck(NEW_TRUST, 1.5)],
    ["random", () => needsSpotCheck(NEW_TRUST, Number.NaN)],
    ["validInARow", () => needsSpotCheck(aTrust({ validInARow: -1 }), 0)],
    ["validInARow", () => recordResult(aTrust({ validInARow: 0.5 }), true)],
    ["containedInARow", () => recordAudit(aTrust({ containedInARow: Number.NaN }), "ok", 0)],
    ["suspendedUntilMs", () => recordAudit(aTrust({ suspendedUntilMs: Number.NaN }), "ok", 0)],
    ["outcome", () => recordAudit(NEW_TRUST, "banned" as AuditOutcome, 0)],
    ["nowMs", () => recordAudit(NEW_TRUST, "ok", Number.NaN)],
    ["nowMs", () => isSuspended(NEW_TRUST, Infinity)],
  ];
  for (const [field, attempt] of attempts) {
    const refusal = refusalOf(attempt);
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  }
});

test("whatever the audits find, no node is banned: a week later it is free, and ten right ones earn its trust anew", () => {
  const history = fc.array(
    fc.record({ outcome: fc.constantFrom(...AUDIT_OUTCOMES), afterMs: fc.nat({ max: 3 * DAY_MS }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(history, (audits) => {
      let nowMs = 0;
      let trust = NEW_TRUST;
      let lastFault = -1;
      let contained = 0;
      for (const [at, { outcome, afterMs }] of audits.entries()) {
        nowMs += afterMs;
        trust = recordAudit(trust, outcome, nowMs);
        if (outcome === "contained") contained += 1;
        if (outcome === "failed" || contained === 4) lastFault = at;
        if (outcome === "ok" || outcome === "failed" || contained === 4) contained = 0;
        const earned = audits.slice(lastFault + 1, at + 1).filter((audit) => audit.outcome === "ok").length;
        expect(trust.validInARow).toBe(earned);
        expect(trust.containedInARow).toBe(contained);
        expect(isSuspended(trust, nowMs + SUSPENSION_MS)).toBe(false);
      }
      for (let right = 0; right < 10; right++) trust = recordAudit(trust, "ok", nowMs);
      expect(needsSpotCheck(trust, 0.5)).toBe(false);
    }),
    { numRuns: 1000 },
  );
});
