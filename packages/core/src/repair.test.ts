/* oxlint-disable vitest/no-conditional-expect -- a property asks more of some cases than of others */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CopyRange } from "./asset.ts";
import { compareIds } from "./ids.ts";
import {
  REPAIR_DELAY_BELOW_MIN_MS,
  REPAIR_DELAY_BELOW_TARGET_MS,
  planEvacuation,
  planRepair,
  planTrim,
} from "./repair.ts";
import type { AssetToMove, StoredCopy, TrimReason } from "./repair.ts";
import { TRUST_LEVELS } from "./rescue.ts";
import type { Trust } from "./rescue.ts";
import { aStoredCopy, assetId, nodeId, operatorId, refusalOf } from "./testing.ts";

const HOUR_MS = 3_600_000;
const copies: CopyRange = { min: 3, target: 4, max: 5 };

/** On node `node` of the operator of the same number, unless told otherwise. */
function on(node: number, facts: Partial<StoredCopy> = {}): StoredCopy {
  return aStoredCopy({ nodeId: nodeId(node), operatorId: operatorId(node), ...facts });
}

const anyRange = fc
  .tuple(fc.nat({ max: 4 }), fc.nat({ max: 3 }), fc.nat({ max: 3 }))
  .map(([min, more, most]): CopyRange => ({ min, target: min + more, max: min + more + most }));

const anyStored = fc.uniqueArray(
  fc
    .record({
      node: fc.integer({ min: 1, max: 30 }),
      operator: fc.integer({ min: 1, max: 6 }),
      network: fc.constantFrom(null, "a", "b", "c"),
      trust: fc.constantFrom(...TRUST_LEVELS),
      counts: fc.constantFrom(true, true, true, false),
      isLeaving: fc.constantFrom(false, false, false, true),
      fullness: fc.constantFrom(0, 0.5, 1),
      validInARow: fc.constantFrom(0, 10, 20),
    })
    .map(({ node, operator, ...facts }) => on(node, { operatorId: operatorId(operator), ...facts })),
  { maxLength: 10, selector: (copy) => copy.nodeId },
);

function independent(stored: readonly StoredCopy[]): number {
  return new Set(stored.filter((copy) => copy.counts).map((copy) => copy.operatorId)).size;
}

function verified(stored: readonly StoredCopy[]): number {
  return stored.filter((copy) => copy.counts && copy.trust === "verified").length;
}

describe("repair", () => {
  const facts = { copies, independentCopies: 3, sinceMs: 0, hasBegun: false, nowMs: 0 };

  test("an hour below the minimum, a day below the target", () => {
    expect([REPAIR_DELAY_BELOW_MIN_MS, REPAIR_DELAY_BELOW_TARGET_MS]).toEqual([HOUR_MS, 24 * HOUR_MS]);
  });

  test.each([
    [0, { missing: 4, startAtMs: 0 }],
    [1, { missing: 3, startAtMs: 0 }],
    [2, { missing: 2, startAtMs: HOUR_MS }],
    [3, { missing: 1, startAtMs: 24 * HOUR_MS }],
    [4, null],
    [5, null],
    [9, null],
  ])("with %d copies, of at least 3 and 4 aimed at", (independentCopies, expected) => {
    expect(planRepair({ ...facts, independentCopies })).toEqual(expected);
  });

  test("it never begins in the past", () => {
    expect(planRepair({ ...facts, nowMs: 24 * HOUR_MS - 1 })?.startAtMs).toBe(24 * HOUR_MS);
    expect(planRepair({ ...facts, nowMs: 30 * HOUR_MS })?.startAtMs).toBe(30 * HOUR_MS);
    expect(planRepair({ ...facts, independentCopies: 1, sinceMs: -5, nowMs: 7 })?.startAtMs).toBe(7);
  });

  test("once begun it goes on to the target without a wait, and ends there", () => {
    expect(planRepair({ ...facts, hasBegun: true, nowMs: 7 })).toEqual({ missing: 1, startAtMs: 7 });
    expect(planRepair({ ...facts, hasBegun: true, independentCopies: 4 })).toBeNull();
  });

  test("an asset that aims at one copy is content with it", () => {
    const one = { min: 1, target: 1, max: 1 };
    expect(planRepair({ ...facts, copies: one, independentCopies: 1 })).toBeNull();
    expect(planRepair({ ...facts, copies: one, independentCopies: 0 })).toEqual({ missing: 1, startAtMs: 0 });
  });

  test("fewer copies never wait longer, and none is planned at the target or above", () => {
    const asked = fc.record({
      copies: anyRange,
      independentCopies: fc.nat({ max: 12 }),
      sinceMs: fc.nat({ max: 100 * HOUR_MS }),
      hasBegun: fc.boolean(),
      nowMs: fc.nat({ max: 200 * HOUR_MS }),
    });
    fc.assert(
      fc.property(asked, (one) => {
        const repair = planRepair(one);
        expect(repair === null).toBe(one.independentCopies >= one.copies.target);
        if (repair === null) return;
        expect(repair.missing + one.independentCopies).toBe(one.copies.target);
        expect(repair.startAtMs).toBeGreaterThanOrEqual(one.nowMs);
        if (one.hasBegun || one.independentCopies <= 1) expect(repair.startAtMs).toBe(one.nowMs);
        if (one.independentCopies === 0) return;
        const worse = planRepair({ ...one, independentCopies: one.independentCopies - 1 });
        expect(worse?.startAtMs).toBeLessThanOrEqual(repair.startAtMs);
      }),
      { numRuns: 1000 },
    );
  });
});

/** `node reason`, in order. */
function trimmed(stored: readonly StoredCopy[], range: CopyRange = { min: 1, target: 2, max: 2 }): string[] {
  return planTrim(stored, range).map((drop) => `${drop.nodeId} ${drop.reason}`);
}

describe("trim", () => {
  test("nothing up to the maximum, also above the target", () => {
    expect(trimmed([], copies)).toEqual([]);
    expect(
      trimmed(
        [1, 2, 3, 4, 5].map((node) => on(node)),
        copies,
      ),
    ).toEqual([]);
    expect(trimmed([on(1, { counts: false }), on(2), on(3)], { min: 1, target: 2, max: 3 })).toEqual([]);
  });

  test("one above the maximum: one goes", () => {
    expect(
      trimmed(
        [1, 2, 3, 4, 5, 6].map((node) => on(node)),
        copies,
      ),
    ).toEqual(["1 SURPLUS"]);
  });

  test.each([
    ["those that disagree", { counts: false }, "DISAGREES"],
    ["doubles of an operator", { operatorId: operatorId(1) }, "SAME_OPERATOR"],
    ["doubles of a network", { network: "a" }, "SAME_NETWORK"],
    ["those on a node that is leaving", { isLeaving: true }, "LEAVING"],
    ["those on the fullest node", { fullness: 0.6 }, "FULLEST"],
    ["those on the least trusted node", { validInARow: 9 }, "LEAST_TRUSTED"],
  ] as const)("%s go before others", (_case, facts, reason) => {
    const rest = { validInARow: 10 };
    const stored = [on(1, { network: "a", validInARow: 11 }), on(2, rest), on(3, { ...rest, ...facts })];
    // Of two doubles the one on the less trusted node.
    expect(trimmed(stored)).toEqual([`3 ${reason}`]);
  });

  test("in the order of the reasons, and each seen anew when others have gone", () => {
    const stored = [
      on(1, { network: "a" }),
      on(2, { network: "a", fullness: 0.6 }),
      on(3, { counts: false }),
      on(4, { operatorId: operatorId(1), fullness: 0.9 }),
      on(5, { isLeaving: true }),
      on(6, { fullness: 0.7 }),
      on(7, { validInARow: 3 }),
    ];
    expect(trimmed(stored, { min: 0, target: 0, max: 0 })).toEqual([
      "3 DISAGREES",
      "4 SAME_OPERATOR",
      "2 SAME_NETWORK",
      "5 LEAVING",
      "6 FULLEST",
      "1 LEAST_TRUSTED",
    ]);
  });

  test("unknown networks are not the same one", () => {
    expect(trimmed([on(1), on(2), on(3, { network: "a" })])).toEqual(["1 SURPLUS"]);
  });

  test("a copy that disagrees makes no double of another, and its network none either", () => {
    const other = { counts: false, operatorId: operatorId(2), network: "a" };
    expect(trimmed([on(1), on(2, { network: "a" }), on(3), on(4, other)])).toEqual(["4 DISAGREES", "1 SURPLUS"]);
    const range = { min: 1, target: 1, max: 3 };
    expect(trimmed([on(1, other), on(2), on(3), on(4)], range)).toEqual(["1 DISAGREES"]);
  });

  test("a lower target than the maximum: doubles may go, an operator's only copy may not if the target needs it", () => {
    const double = { operatorId: operatorId(1) };
    expect(trimmed([on(1), on(2, double), on(3)])).toEqual(["1 SAME_OPERATOR"]);
    expect(trimmed([on(1), on(2, double), on(3, double), on(4, double)])).toEqual([
      "1 SAME_OPERATOR",
      "2 SAME_OPERATOR",
    ]);
    expect(trimmed([on(1), on(2), on(3)], { min: 3, target: 3, max: 3 })).toEqual([]);
  });

  test("the last verified copy stays, even on the worst node", () => {
    const claimed = { trust: "claimed" } as const;
    expect(trimmed([on(1, { isLeaving: true, fullness: 1 }), on(2, claimed), on(3, claimed)])).toEqual(["2 SURPLUS"]);
  });

  test("a verified copy that does not count is no verified copy", () => {
    expect(trimmed([on(1, { counts: false }), on(2, { trust: "claimed" }), on(3)])).toEqual(["1 DISAGREES"]);
  });

  test("every promise, for any copies and any wishes", () => {
    const shuffled = anyStored.chain((stored) =>
      fc.record({
        stored: fc.constant(stored),
        other: fc.shuffledSubarray(stored, { minLength: stored.length, maxLength: stored.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, anyRange, ({ stored, other }, range) => {
        const drops = planTrim(stored, range);
        expect(planTrim(other, range)).toEqual(drops);
        expect(drops.length).toBeLessThanOrEqual(Math.max(0, stored.length - range.max));
        const gone = new Set(drops.map((drop) => drop.nodeId));
        expect(gone.size).toBe(drops.length);
        const kept = stored.filter((copy) => !gone.has(copy.nodeId));
        expect(independent(kept)).toBeGreaterThanOrEqual(Math.min(range.target, independent(stored)));
        if (independent(stored) > 0) expect(independent(kept)).toBeGreaterThan(0);
        if (verified(stored) > 0) expect(verified(kept)).toBeGreaterThan(0);
        // Those that disagree go first; nothing that could go is kept for less than a promise.
        const places = drops.map((drop) => drop.reason);
        expect(places.lastIndexOf("DISAGREES")).toBe(places.filter((reason) => reason === "DISAGREES").length - 1);
        if (kept.length > range.max) {
          for (const copy of kept) {
            const rest = kept.filter((one) => one !== copy);
            const isNeeded =
              independent(rest) < Math.min(Math.max(1, range.target), independent(stored)) ||
              (verified(kept) > 0 && verified(rest) === 0);
            expect(isNeeded).toBe(true);
          }
        }
        // Each reason holds at its turn.
        let left = [...stored];
        for (const { nodeId: node, reason } of drops) {
          const copy = left.find((one) => one.nodeId === node);
          left = left.filter((one) => one.nodeId !== node);
          const others = left.filter((one) => one.counts);
          const holds: Record<TrimReason, boolean> = {
            DISAGREES: copy?.counts === false,
            SAME_OPERATOR: others.some((one) => one.operatorId === copy?.operatorId),
            SAME_NETWORK: others.some((one) => one.network === copy?.network),
            LEAVING: copy?.isLeaving === true,
            FULLEST: others.some((one) => one.fullness < (copy?.fullness ?? 0)),
            LEAST_TRUSTED: others.some((one) => one.validInARow > (copy?.validInARow ?? 0)),
            SURPLUS: true,
          };
          expect(holds[reason]).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

/** Asset `id` of 10 bytes: a copy on node 1, which is evacuated, and those on `others`. */
function move(id: number, others: readonly StoredCopy[], facts: Partial<AssetToMove> = {}): AssetToMove {
  const stored = [on(1), ...others];
  return {
    assetId: assetId(id),
    sizeBytes: 10,
    copies: { min: 2, target: 3, max: 5 },
    stored,
    independentAtStart: independent(stored),
    ...facts,
  };
}

function plan(assets: readonly AssetToMove[], bytesToFree: number | null = null) {
  const { replacementsNeeded, permitsReady, freedBytes } = evacuate(assets, bytesToFree);
  return {
    needed: replacementsNeeded.map(({ assetId: id, missing }) => `${id} lacks ${missing}`),
    ready: [...permitsReady],
    freedBytes,
  };
}

describe("evacuation of a node that drains", () => {
  test("a node without copies may go at once", () => {
    expect(plan([])).toEqual({ needed: [], ready: [], freedBytes: 0 });
  });

  test("with the target elsewhere a copy may go, with one less it needs a replacement", () => {
    expect(plan([move(7, [on(2), on(3), on(4)])])).toEqual({ needed: [], ready: ["7"], freedBytes: 10 });
    expect(plan([move(7, [on(2), on(3)])])).toEqual({ needed: ["7 lacks 1"], ready: [], freedBytes: 10 });
  });

  test("it leaves an asset below its target no worse, and repairs no more than that", () => {
    expect(plan([move(7, [on(2)])]).needed).toEqual(["7 lacks 1"]);
    expect(plan([move(7, [on(2), on(3)], { independentAtStart: 2 })]).ready).toEqual(["7"]);
  });

  test("the only copy waits for another, whatever the wishes say", () => {
    expect(plan([move(7, [])]).needed).toEqual(["7 lacks 1"]);
    expect(plan([move(7, [], { copies: { min: 0, target: 0, max: 0 } })]).needed).toEqual(["7 lacks 1"]);
    expect(plan([move(7, [], { stored: [on(1, { counts: false })], independentAtStart: 0 })]).ready).toEqual([]);
  });

  test("a double of an operator that has another may go", () => {
    expect(plan([move(7, [on(2, { operatorId: operatorId(1) })])]).ready).toEqual(["7"]);
  });

  test("copies that are leaving, or disagree, are no safety", () => {
    const others = [on(2), on(3, { isLeaving: true }), on(4, { counts: false })];
    expect(plan([move(7, others)]).needed).toEqual(["7 lacks 2"]);
  });

  test("two nodes that drain do not count on each other", () => {
    const shared = [on(1, { isLeaving: true }), on(2, { isLeaving: true })];
    const asset = move(7, [], { stored: shared, independentAtStart: 2 });
    for (const node of [1, 2]) {
      const { replacementsNeeded } = planEvacuation({ nodeId: nodeId(node), assets: [asset], bytesToFree: null });
      expect(replacementsNeeded).toEqual([{ assetId: assetId(7), missing: 2 }]);
    }
  });

  test("the last verified copy waits for another verified one", () => {
    const claimed = [2, 3, 4].map((node) => on(node, { trust: "claimed" }));
    expect(plan([move(7, claimed)]).needed).toEqual(["7 lacks 1"]);
    expect(plan([move(7, [...claimed, on(5)])]).ready).toEqual(["7"]);
  });

  test("replacements: the most endangered asset first; permits: the safest first", () => {
    const assets = [
      move(1, [on(2), on(3), on(4)]),
      move(2, [on(2), on(3), on(4), on(5)]),
      move(3, [on(2)]),
      move(4, []),
      move(5, [on(2)], { sizeBytes: 9 }),
      move(6, [on(2), on(3)]),
    ];
    expect(plan(assets)).toEqual({
      needed: ["4 lacks 1", "5 lacks 1", "3 lacks 1", "6 lacks 1"],
      ready: ["2", "1"],
      freedBytes: 59,
    });
  });
});

describe("evacuation of a node that gives bytes back", () => {
  const safe = [on(2), on(3), on(4)];

  test("nothing asked for, nothing moved", () => {
    expect(plan([move(1, safe)], 0)).toEqual({ needed: [], ready: [], freedBytes: 0 });
  });

  test("the fewest copies, and of those as little as is enough", () => {
    const assets = [100, 60, 50, 30, 20].map((sizeBytes, index) => move(index + 1, safe, { sizeBytes }));
    expect(plan(assets, 100)).toMatchObject({ ready: ["1"], freedBytes: 100 });
    expect(plan(assets, 101)).toMatchObject({ freedBytes: 120 });
    expect(plan(assets, 50)).toMatchObject({ ready: ["3"], freedBytes: 50 });
    expect(plan(assets, 25)).toMatchObject({ ready: ["4"], freedBytes: 30 });
    expect(plan(assets, 160)).toMatchObject({ freedBytes: 160 });
    expect(plan(assets, 161)).toMatchObject({ freedBytes: 180 });
  });

  test("copies that may go now before those that need a replacement, however small", () => {
    const assets = [
      move(1, [on(2)], { sizeBytes: 100 }),
      move(2, safe, { sizeBytes: 50 }),
      move(3, safe, { sizeBytes: 50 }),
    ];
    expect(plan(assets, 100)).toEqual({ needed: [], ready: ["3", "2"], freedBytes: 100 });
  });

  test("of equal size the safer one", () => {
    const safer = [...safe, on(5)];
    expect(plan([move(1, safe), move(2, safer)], 10).ready).toEqual(["2"]);
    expect(plan([move(1, safer), move(2, safe)], 10).ready).toEqual(["1"]);
    expect(plan([move(1, safe), move(2, safe)], 10).ready).toEqual(["1"]);
    expect(plan([move(1, safer), move(2, safe), move(3, safe)], 11).ready).toEqual(["1", "2"]);
  });

  test("enough is enough: one that may go now is not spared for one that needs a replacement", () => {
    const ready = move(1, [on(2), on(3)], { independentAtStart: 2 });
    const needy = move(2, safe, { copies: { min: 2, target: 4, max: 5 } });
    expect(plan([ready, needy], 10)).toEqual({ needed: [], ready: ["1"], freedBytes: 10 });
  });

  test("where one that needs a replacement is large enough alone, the others are left in peace", () => {
    const assets = [
      move(1, [on(2)], { sizeBytes: 100 }),
      move(2, safe, { sizeBytes: 50 }),
      move(3, safe, { sizeBytes: 49 }),
    ];
    expect(plan(assets, 100)).toEqual({ needed: ["1 lacks 1"], ready: [], freedBytes: 100 });
  });

  test("all of them where they do not suffice", () => {
    const assets = [move(1, safe), move(2, [])];
    expect(plan(assets, 20).freedBytes).toBe(20);
    expect(plan(assets, 21)).toEqual({ needed: ["2 lacks 1"], ready: ["1"], freedBytes: 20 });
  });
});

/** What others may rely on once node 99 has gone. */
function stayingOf(asset: AssetToMove | undefined): StoredCopy[] {
  return (asset?.stored ?? []).filter((copy) => copy.nodeId !== nodeId(99) && !copy.isLeaving);
}

describe("any evacuation", () => {
  const anyAssets = fc
    .array(
      fc.record({
        stored: anyStored,
        own: fc.record({
          trust: fc.constantFrom<Trust>(...TRUST_LEVELS),
          counts: fc.constantFrom(true, true, false),
          operator: fc.integer({ min: 1, max: 6 }),
        }),
        sizeBytes: fc.nat({ max: 100 }),
        copies: anyRange,
        had: fc.nat({ max: 6 }),
      }),
      { maxLength: 8 },
    )
    .map((assets) =>
      assets.map(({ stored, own, had, ...facts }, index): AssetToMove => ({
        ...facts,
        assetId: assetId(index + 1),
        stored: [on(99, { trust: own.trust, counts: own.counts, operatorId: operatorId(own.operator) }), ...stored],
        independentAtStart: had,
      })),
    );
  const goals = fc.option(fc.nat({ max: 500 }), { nil: null });

  test("permits and replacements keep every promise, in any order of the assets", () => {
    const shuffled = anyAssets.chain((assets) =>
      fc.record({
        assets: fc.constant(assets),
        other: fc.shuffledSubarray(assets, { minLength: assets.length, maxLength: assets.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, goals, ({ assets, other }, bytesToFree) => {
        const ask = { nodeId: nodeId(99), bytesToFree };
        const { replacementsNeeded, permitsReady, freedBytes } = planEvacuation({ ...ask, assets });
        expect(planEvacuation({ ...ask, assets: other })).toEqual({ replacementsNeeded, permitsReady, freedBytes });
        const byId = new Map(assets.map((asset) => [asset.assetId, asset]));

        for (const id of permitsReady) {
          const asset = byId.get(id);
          const staying = stayingOf(asset);
          const needed = Math.min(asset?.copies.target ?? 0, asset?.independentAtStart ?? 0);
          expect(independent(staying)).toBeGreaterThanOrEqual(Math.max(1, needed));
          const [own] = asset?.stored ?? [];
          if (own?.counts && own.trust === "verified") expect(verified(staying)).toBeGreaterThan(0);
        }
        for (const { assetId: id, missing } of replacementsNeeded) {
          expect(missing).toBeGreaterThan(0);
          // As many copies more, on operators of their own and verified, and the permit is there.
          const asset = byId.get(id);
          if (asset === undefined) throw new Error(`Asset ${id} was not asked about.`);
          const made = Array.from({ length: missing }, (_, index) => on(200 + index));
          const after = { ...asset, stored: [...asset.stored, ...made] };
          expect(planEvacuation({ ...ask, assets: [after], bytesToFree: null }).permitsReady).toEqual([id]);
          const short = { ...asset, stored: [...asset.stored, ...made.slice(1)] };
          expect(planEvacuation({ ...ask, assets: [short], bytesToFree: null }).permitsReady).toEqual([]);
        }
        const staying = replacementsNeeded.map(({ assetId: id }) => independent(stayingOf(byId.get(id))));
        expect(staying).toEqual(staying.toSorted((a, b) => a - b));
        const released = permitsReady.map((id) => independent(stayingOf(byId.get(id))));
        expect(released).toEqual(released.toSorted((a, b) => b - a));

        const chosen = [...permitsReady, ...replacementsNeeded.map((one) => one.assetId)];
        expect(new Set(chosen).size).toBe(chosen.length);
        const sizes = chosen.map((id) => byId.get(id)?.sizeBytes ?? 0);
        expect(freedBytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
        const allBytes = assets.reduce((sum, asset) => sum + asset.sizeBytes, 0);
        if (bytesToFree === null) {
          expect(chosen.toSorted(compareIds)).toEqual([...byId.keys()].toSorted(compareIds));
        } else if (allBytes < bytesToFree) {
          expect(freedBytes).toBe(allBytes);
        } else {
          expect(freedBytes).toBeGreaterThanOrEqual(bytesToFree);
          // None of them is needless.
          for (const size of sizes) expect(freedBytes - size).toBeLessThan(bytesToFree);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("where all may go, a give-back takes as few copies as any choice could", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sizes, fc.nat({ max: 120 }), (all, bytesToFree) => {
        const assets = all.map((sizeBytes, index) => move(index + 1, [on(2), on(3), on(4)], { sizeBytes }));
        const { ready } = plan(assets, bytesToFree);
        const choices = Array.from({ length: 2 ** all.length }, (_, bits) =>
          all.filter((_size, at) => (bits >> at) & 1),
        );
        const enough = choices.filter((choice) => choice.reduce((sum, size) => sum + size, 0) >= bytesToFree);
        const fewest = Math.min(all.length, ...enough.map((choice) => choice.length));
        expect(ready).toHaveLength(fewest);
      }),
      { numRuns: 1000 },
    );
  });
});

function evacuate(assets: readonly AssetToMove[], bytesToFree: number | null = null) {
  return planEvacuation({ nodeId: nodeId(1), assets, bytesToFree });
}

test("numbers and words that are none, and what is named twice, are refused by the name of the field", () => {
  const facts = { copies, independentCopies: 3, sinceMs: 0, hasBegun: false, nowMs: 0 };
  const attempts: [string, () => unknown][] = [
    ["copies.min", () => planRepair({ ...facts, copies: { ...copies, min: -1 } })],
    ["copies.target", () => planRepair({ ...facts, copies: { ...copies, target: 2.5 } })],
    ["copies.target", () => planRepair({ ...facts, copies: { ...copies, target: 2 } })],
    ["copies.max", () => planRepair({ ...facts, copies: { ...copies, max: 3 } })],
    ["copies.max", () => planRepair({ ...facts, copies: { ...copies, max: Infinity } })],
    ["independentCopies", () => planRepair({ ...facts, independentCopies: -1 })],
    ["sinceMs", () => planRepair({ ...facts, sinceMs: Number.NaN })],
    ["nowMs", () => planRepair({ ...facts, nowMs: Number.NaN })],
    ["copies.max", () => planTrim([], { ...copies, max: -1 })],
    ["fullness", () => planTrim([on(1, { fullness: 1.1 })], copies)],
    ["validInARow", () => planTrim([on(1, { validInARow: -1 })], copies)],
    ["trust", () => planTrim([on(1, { trust: "sure" as Trust })], copies)],
    ["nodeId", () => planTrim([on(1), on(1)], copies)],
    ["bytesToFree", () => evacuate([], -1)],
    ["sizeBytes", () => evacuate([move(1, [], { sizeBytes: 0.5 })])],
    ["independentAtStart", () => evacuate([move(1, [], { independentAtStart: Number.NaN })])],
    ["copies.max", () => evacuate([move(1, [], { copies: { ...copies, max: 0 } })])],
    ["trust", () => evacuate([move(1, [on(2, { trust: "sure" as Trust })])])],
    ["assets", () => evacuate([move(1, []), move(1, [])])],
    ["assets", () => evacuate([move(1, [], { stored: [on(2)] })])],
  ];
  for (const [field, attempt] of attempts) {
    const refusal = refusalOf(attempt);
    expect([refusal.code, refusal.details["field"]]).toEqual(["INPUT_INVALID", field]);
  }
});
