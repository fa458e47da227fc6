/* oxlint-disable vitest/no-conditional-expect -- a property asks more of some cases than of others */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DEFAULT_VETTING,
  NODE_LIVES,
  QUOTA_START,
  SYNCS_TO_COME_BACK,
  countsAsHolder,
  defaultLifeThresholds,
  independentCopies,
  isPresent,
  isVetted,
  lifeAfterSilence,
  lifeAfterSync,
  loweredQuota,
  measuredRate,
  placesLeft,
  raisedQuota,
} from "./node.ts";
import type { Holder, NodeLife, NodeStanding } from "./node.ts";
import { aHolder, nodeId, operatorId, refusalOf } from "./testing.ts";

function holder(node: number, operator: number, counts = true): Holder {
  return aHolder({ nodeId: nodeId(node), operatorId: operatorId(operator), counts });
}

describe("the life of a node", () => {
  const thresholds = defaultLifeThresholds(60_000);

  test("three missed syncs, an hour, a day, a month", () => {
    expect(thresholds).toEqual({
      suspectMs: 180_000,
      offlineMs: 3_600_000,
      lostMs: 86_400_000,
      retiredMs: 2_592_000_000,
    });
  });

  test.each([
    [0, "online"],
    [179_999, "online"],
    [180_000, "suspect"],
    [3_599_999, "suspect"],
    [3_600_000, "offline"],
    [86_399_999, "offline"],
    [86_400_000, "lost"],
    [2_591_999_999, "lost"],
    [2_592_000_000, "retired"],
  ] as const)("%d ms of silence: %s", (silentMs, life) => {
    expect(lifeAfterSilence("online", silentMs, thresholds)).toBe(life);
  });

  test("a silence makes no life better", () => {
    expect(NODE_LIVES.map((life) => lifeAfterSilence(life, 0, thresholds))).toEqual(NODE_LIVES);
    expect(lifeAfterSilence("lost", 180_000, thresholds)).toBe("lost");
  });

  test("where thresholds cross, the longer silence decides", () => {
    expect(lifeAfterSilence("online", 3_600_000, defaultLifeThresholds(3_600_000))).toBe("offline");
  });

  test("an unknown life, or a silence that is no time, is refused", () => {
    const asleep: NodeStanding = { life: "asleep" as NodeLife, syncsMissing: 0, inventoryWanted: false };
    const sync = { silentMs: 0, hasInventory: false };
    const attempts: [string, () => unknown][] = [
      ["life", () => lifeAfterSilence("asleep" as NodeLife, 0, thresholds)],
      ["life", () => lifeAfterSync(asleep, sync, thresholds)],
      ["life", () => countsAsHolder("asleep" as NodeLife)],
      ["silentMs", () => lifeAfterSilence("online", Number.NaN, thresholds)],
      ["silentMs", () => lifeAfterSync({ ...asleep, life: "online" }, { ...sync, silentMs: Infinity }, thresholds)],
      ["syncsMissing", () => lifeAfterSync({ ...asleep, life: "online", syncsMissing: 0.5 }, sync, thresholds)],
    ];
    for (const [field, attempt] of attempts) {
      const refusal = refusalOf(attempt);
      expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
    }
  });

  test("the copies of the lost and the retired do not count", () => {
    expect(NODE_LIVES.filter(countsAsHolder)).toEqual(["online", "suspect", "offline"]);
  });
});

function standing(life: NodeLife, facts: Partial<NodeStanding> = {}): NodeStanding {
  return { life, syncsMissing: 0, inventoryWanted: false, ...facts };
}

/** 0 for the best life. */
const rankOf = ({ life }: NodeStanding): number => NODE_LIVES.indexOf(life);

describe("coming back", () => {
  const thresholds = defaultLifeThresholds(60_000);
  const sync = (before: NodeStanding, said: { silentMs?: number; hasInventory?: boolean } = {}): NodeStanding =>
    lifeAfterSync(before, { silentMs: 60_000, hasInventory: false, ...said }, thresholds);

  test("three syncs in a row are needed", () => {
    expect(SYNCS_TO_COME_BACK).toBe(3);
  });

  test("every life, after one sync", () => {
    expect(NODE_LIVES.map((life) => sync(standing(life)))).toEqual([
      standing("online"),
      standing("online"),
      standing("suspect", { syncsMissing: 2 }),
      standing("suspect", { syncsMissing: 2, inventoryWanted: true }),
      standing("retired"),
    ]);
  });

  test.each(["offline", "lost"] as const)(
    "a node that was %s is suspect for two syncs and online with the third",
    (life) => {
      const first = sync(standing(life), { silentMs: 90_000_000 });
      const second = sync(first);
      expect([first.life, second.life, sync(second).life]).toEqual(["suspect", "suspect", "online"]);
      expect(sync(second).syncsMissing).toBe(0);
    },
  );

  test("three missed syncs break the row, a little less does not", () => {
    const second = sync(sync(standing("offline")));
    expect(sync(second, { silentMs: 179_999 })).toEqual(standing("online"));
    expect(sync(second, { silentMs: 180_000 })).toEqual(standing("suspect", { syncsMissing: 2 }));
  });

  test("an online node that was silent while nobody judged it stays online", () => {
    expect(sync(standing("online"), { silentMs: 90_000_000 })).toEqual(standing("online"));
    expect(sync(standing("suspect"), { silentMs: 90_000_000 })).toEqual(standing("online"));
  });

  test("the copies of a lost node count once it has told what it holds, also when it is online before", () => {
    const first = sync(standing("lost"));
    const online = sync(sync(first));
    expect([isPresent(first), online.life, isPresent(online)]).toEqual([false, "online", false]);
    expect(isPresent(sync(online, { hasInventory: true }))).toBe(true);
    expect(isPresent(sync(standing("lost"), { hasInventory: true }))).toBe(true);
    expect(isPresent(sync(standing("offline")))).toBe(true);
    expect(isPresent(standing("lost"))).toBe(false);
  });

  test("a retired node stays retired, whatever it says", () => {
    const retired = standing("retired", { inventoryWanted: true });
    expect(sync(retired, { hasInventory: true })).toBe(retired);
  });

  const event = fc.oneof(
    fc.record({
      kind: fc.constant("sync" as const),
      silentMs: fc.constantFrom(0, 60_000, 179_999, 180_000, 3_600_000, 90_000_000),
      hasInventory: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant("silence" as const),
      silentMs: fc.constantFrom(0, 60_000, 180_000, 180_000, 3_600_000, 86_400_000, 2_592_000_000),
    }),
  );

  test("whatever it lives through: no sync makes it worse, no silence better, and none is online at once", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (history) => {
        let now = standing("online");
        let syncsSinceAway = Infinity;
        let isUnlisted = false;
        for (const one of history) {
          const before = now;
          if (one.kind === "silence") {
            const { syncsMissing, inventoryWanted } = now;
            now = { life: lifeAfterSilence(now.life, one.silentMs, thresholds), syncsMissing, inventoryWanted };
            expect(rankOf(now)).toBeGreaterThanOrEqual(rankOf(before));
          } else {
            now = lifeAfterSync(now, one, thresholds);
            expect(rankOf(now)).toBeLessThanOrEqual(rankOf(before));
            if (before.life === "retired") expect(now).toBe(before);
            const isBroken = before.life === "suspect" && one.silentMs >= 180_000 && syncsSinceAway < 3;
            syncsSinceAway = isBroken ? 1 : syncsSinceAway + 1;
            isUnlisted &&= !one.hasInventory;
          }
          if (["offline", "lost"].includes(now.life)) syncsSinceAway = 0;
          if (now.life === "lost") isUnlisted = true;
          if (now.life === "retired") return;
          if (now.life === "online") expect(syncsSinceAway).toBeGreaterThanOrEqual(3);
          expect(["lost", "offline"].includes(before.life) && now.life === "online").toBe(false);
          expect(isPresent(now)).toBe(now.life !== "lost" && !isUnlisted);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("the quota", () => {
  test("it doubles with each copy up to the node's maximum", () => {
    const steps = [QUOTA_START];
    for (let copies = 0; copies < 4; copies++) steps.push(raisedQuota(steps.at(-1) ?? 0, 9));
    expect(steps).toEqual([2, 4, 8, 9, 9]);
  });

  test("a maximum lowered below it takes it down with the next copy, not below 1", () => {
    expect(raisedQuota(8, 3)).toBe(3);
    expect(raisedQuota(8, 0)).toBe(1);
  });

  test("it halves with each fault, rounded down, and never falls below 1", () => {
    expect([9, 8, 3, 2, 1].map(loweredQuota)).toEqual([4, 4, 1, 1, 1]);
  });
});

test("numbers that are none are refused, by the name of the field", () => {
  const attempts: [string, () => unknown][] = [
    ["quota", () => raisedQuota(-1, 2)],
    ["quotaMax", () => raisedQuota(1, 0.5)],
    ["quota", () => loweredQuota(Number.NaN)],
    ["fetchedBytes", () => measuredRate(null, { fetchedBytes: -1, fetchMs: 1 })],
    ["fetchMs", () => measuredRate(null, { fetchedBytes: 1, fetchMs: Number.NaN })],
    ["verifiedCopies", () => isVetted({ verifiedCopies: -1, ageMs: 1 })],
    ["ageMs", () => isVetted({ verifiedCopies: 1, ageMs: Number.NaN })],
  ];
  for (const [field, attempt] of attempts) {
    const refusal = refusalOf(attempt);
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  }
});

describe("independent copies", () => {
  test("an asset with no holder has none", () => {
    expect(independentCopies([])).toBe(0);
  });

  test("two nodes of one operator count as one, two operators as two", () => {
    expect(independentCopies([holder(1, 1), holder(2, 1)])).toBe(1);
    expect(independentCopies([holder(1, 1), holder(2, 1), holder(3, 2)])).toBe(2);
  });

  test("a copy that does not count gives no safety", () => {
    expect(independentCopies([holder(1, 1, false)])).toBe(0);
  });
});

describe("places left", () => {
  const copies = { min: 1, target: 2, max: 3 };
  test("as many as independent copies are missing to the target", () => {
    expect(placesLeft([], copies)).toBe(2);
    expect(placesLeft([holder(1, 1)], copies)).toBe(1);
    expect(placesLeft([holder(1, 1), holder(2, 1)], copies)).toBe(1);
    expect(placesLeft([holder(1, 1), holder(2, 2)], copies)).toBe(0);
  });

  test("no more than places are left below the maximum, which copies that do not count take too", () => {
    expect(placesLeft([holder(1, 1, false), holder(2, 2, false)], copies)).toBe(1);
    expect(placesLeft([holder(1, 1, false), holder(2, 2, false), holder(3, 3)], copies)).toBe(0);
  });

  test("never below 0, with more copies than the wishes since lowered", () => {
    expect(placesLeft([holder(1, 1), holder(2, 2), holder(3, 3), holder(4, 4)], copies)).toBe(0);
  });
});

describe("the measured rate", () => {
  test("the first file sets it", () => {
    expect(measuredRate(null, { fetchedBytes: 1000, fetchMs: 500 })).toBe(2000);
  });

  test("each further file moves it by three tenths of the way", () => {
    expect(measuredRate(1000, { fetchedBytes: 2000, fetchMs: 1000 })).toBe(1300);
    expect(measuredRate(1000, { fetchedBytes: 0.5e3, fetchMs: 1000 })).toBe(850);
  });

  test("a file too quick to measure, or empty, leaves it as it is", () => {
    expect(measuredRate(1000, { fetchedBytes: 2000, fetchMs: 0 })).toBe(1000);
    expect(measuredRate(1000, { fetchedBytes: 0, fetchMs: 1000 })).toBe(1000);
    expect(measuredRate(null, { fetchedBytes: 0, fetchMs: 1000 })).toBeNull();
    expect(measuredRate(null, { fetchedBytes: 1, fetchMs: 1 })).toBe(1000);
  });

  test("it stays between the slowest and the fastest file", () => {
    const file = fc.record({
      fetchedBytes: fc.integer({ min: 1, max: 1e9 }),
      fetchMs: fc.integer({ min: 1, max: 1e6 }),
    });
    fc.assert(
      fc.property(fc.array(file, { minLength: 1 }), (files) => {
        const rates = files.map(({ fetchedBytes, fetchMs }) => (fetchedBytes / fetchMs) * 1000);
        const rate = files.reduce<number | null>(measuredRate, null);
        expect(rate).toBeGreaterThanOrEqual(Math.min(...rates) * (1 - 1e-9));
        expect(rate).toBeLessThanOrEqual(Math.max(...rates) * (1 + 1e-9));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("vetting", () => {
  const { verifiedCopies, ageMs } = DEFAULT_VETTING;

  test("ten copies and a week make a node vetted, in a fleet of 20 or more", () => {
    expect(DEFAULT_VETTING).toEqual({ verifiedCopies: 10, ageMs: 604_800_000, fleetMin: 20 });
    expect(isVetted({ verifiedCopies, ageMs })).toBe(true);
  });

  test("one copy or one millisecond less does not", () => {
    expect(isVetted({ verifiedCopies: verifiedCopies - 1, ageMs })).toBe(false);
    expect(isVetted({ verifiedCopies, ageMs: ageMs - 1 })).toBe(false);
  });

  test("an operator of the service may set another rule", () => {
    expect(isVetted({ verifiedCopies: 0, ageMs: 0 }, { verifiedCopies: 0, ageMs: 0, fleetMin: 0 })).toBe(true);
  });
});
