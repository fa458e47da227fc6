import { describe, expect, test } from "vitest";
import type { Measures } from "./measures.ts";
import { DEFAULT_POLICIES, POLICIES, createNamed as create } from "./policies.ts";
import { runPolicy } from "./run.ts";
import { simulate } from "./simulate.ts";
import { aWorld, planned } from "./testing.ts";
import { CORRUPTING, PRETENDING } from "./world/fleet.ts";
import { createWorld } from "./world/world.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const GB = 1_000_000_000;

const by = (name: string, world: Parameters<typeof simulate>[0]): Measures =>
  simulate(world, { createAllocator: (desk) => create(name, world, desk), isChecked: true });

const withPlan = (
  facts: Parameters<typeof aWorld>[0],
  assetsByNode: readonly (readonly number[])[],
  triesAfterThrottle?: number,
): Measures => simulate(aWorld(facts), { createAllocator: (desk) => planned(desk, assetsByNode, triesAfterThrottle) });

describe("a fetch", () => {
  // 15 s until the first round, half a second for the request, and the bytes at the lower rate.
  test("takes half a second and the bytes at the server's rate", () => {
    const { urgentFirstCopyHours } = withPlan({ assets: [{ sizeBytes: 100_000 }] }, [[0]]);
    expect(urgentFirstCopyHours.median * HOUR_MS).toBeCloseTo(15_000 + 500 + 100_000);
  });

  test("or at the node's, where that is lower", () => {
    const facts = { assets: [{ sizeBytes: 100_000 }], nodes: [{ downBytesPerS: 100 }] };
    expect(withPlan(facts, [[0]]).urgentFirstCopyHours.median * HOUR_MS).toBeCloseTo(15_000 + 500 + 1_000_000);
  });

  test("shares an origin with those above its capacity", () => {
    const facts = { assets: [{ sizeBytes: 600_000 }], origins: [{ capacity: 1 }], nodes: [{}, {}] };
    const { originOverload, volume } = withPlan(facts, [[0], [0]]);
    expect(originOverload.peak).toBeGreaterThan(1.5);
    expect(volume.goodCopies).toBe(2);
  });

  test("is refused above the capacity of an origin that throttles, and tried again by a node that may", () => {
    const facts = {
      assets: [{ sizeBytes: 600_000 }],
      origins: [{ capacity: 1, throttles: true }],
      nodes: [{}, {}],
    };
    expect(withPlan(facts, [[0], [0]])).toMatchObject({
      originOverload: { refusedRequests: 1 },
      volume: { goodCopies: 1 },
    });
    // After 5 minutes, and after 10 more the first has come to its end.
    expect(withPlan(facts, [[0], [0]], 5)).toMatchObject({
      originOverload: { refusedRequests: 2 },
      volume: { goodCopies: 2 },
    });
  });

  test("ends with its origin, and what has arrived is wasted", () => {
    const facts = {
      assets: [{ sizeBytes: 1_000_000 }],
      origins: [{ diesAtMs: 515_500 }],
      nodes: [{ offeredBytes: GB }],
    };
    const { wasted, lost, originOverload } = withPlan(facts, [[0]]);
    expect(wasted.abortedBytes / 500_000).toBeCloseTo(1, 2);
    expect(lost.assets).toBe(1);
    expect(originOverload.peak).toBeLessThanOrEqual(0.1);
  });

  test("goes on where it was after an offline spell", () => {
    const nodes = [{ spellsMs: [515_500, 1_515_500] }];
    const { urgentFirstCopyHours, wasted } = withPlan({ assets: [{ sizeBytes: 1_000_000 }], nodes }, [[0]]);
    // Another half second for the second request.
    expect(urgentFirstCopyHours.median * HOUR_MS).toBeCloseTo(15_000 + 500 + 1_000_000 + 1_000_000 + 500, -1);
    expect(wasted.bytes).toBe(0);
  });

  test("is wasted with its node", () => {
    const { wasted } = withPlan({ assets: [{ sizeBytes: 1_000_000 }], nodes: [{ leavesAtMs: 515_500 }] }, [[0]]);
    expect(wasted).toMatchObject({ bytes: 500_000, abortedBytes: 500_000, share: 1 });
  });

  test("does not begin on a full disk", () => {
    expect(withPlan({ nodes: [{ fillsAtMs: 1 }] }, [[0]]).volume).toMatchObject({ goodCopies: 0, downloadedBytes: 0 });
  });

  test("waits for the daily window of its node", () => {
    const { urgentFirstCopyHours } = withPlan({ nodes: [{ window: [600, 720] }] }, [[0]]);
    expect(urgentFirstCopyHours.median).toBeCloseTo(10, 2);
  });
});

test("a copy that a node pretends to have is none", () => {
  const { volume } = withPlan({ nodes: [{ honesty: PRETENDING }] }, [[0]]);
  expect(volume).toMatchObject({ goodCopies: 0, downloadedBytes: 0 });
});

test("the load of those online at the end is what they hold of what they offer", () => {
  const nodes = [{ offeredBytes: 1000 }, { offeredBytes: 4000 }, { leavesAtMs: HOUR_MS }];
  // 1 and 0.25: half of the mean difference over the mean.
  expect(withPlan({ nodes }, [[0], [0], [0]]).loadGini).toBeCloseTo(0.75 / 2 / 1.25);
});

describe("Dispatcher in small worlds", () => {
  test("makes the target of copies, each at another operator, and no more", () => {
    const nodes = [0, 0, 1, 2, 3].map((operator) => ({ operator }));
    const { targetShare, volume } = by("rescueFirst", aWorld({ assets: [{}, {}], nodes }));
    expect(targetShare.atEnd).toBe(1);
    expect(volume.goodCopies).toBe(6);
  });

  test("repairs what a node took with it, a day after it fell silent", () => {
    const nodes = [{ leavesAtMs: HOUR_MS }, {}, {}, { joinsAtMs: 2 * HOUR_MS }];
    const { targetShare } = by("rescueFirst", aWorld({ nodes, spanMs: 3 * DAY_MS }));
    expect(targetShare.curve).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  test("and at once when it said goodbye", () => {
    const nodes = [{ leavesAtMs: HOUR_MS, saysGoodbye: true }, {}, {}, { joinsAtMs: 2 * HOUR_MS }];
    expect(by("rescueFirst", aWorld({ nodes })).targetShare.curve[1]).toBe(1);
  });

  test("saves what its origin will remove before all else, where not everything can be saved", () => {
    const origins = [
      { capacity: 1, budget: { concurrencyMax: 1, requestsPerMinute: 600 } },
      { capacity: 1, budget: { concurrencyMax: 1, requestsPerMinute: 600 }, diesAtMs: DAY_MS, removeByMs: DAY_MS },
    ];
    const assets = Array.from({ length: 60 }, (_, at) => ({ origin: at % 2, sizeBytes: 1_000_000 }));
    const world = aWorld({ assets, origins, nodes: [{ downBytesPerS: 1000, offeredBytes: GB }] });
    expect(by("rescueFirst", world).lost.assets).toBe(0);
    expect(by("fifo", world).lost.assets).toBe(0);
    const slower = aWorld({ assets, origins, nodes: [{ downBytesPerS: 400, offeredBytes: GB }] });
    expect(by("rescueFirst", slower).lost.assets).toBe(0);
    expect(by("fifo", slower).lost.assets).toBeGreaterThan(10);
  });

  test("lets the quickest that have room save what takes every node longer than half of the longest lease", () => {
    // Five days at the quickest of them; a rate is known once the small files are there.
    const small = Array.from({ length: 8 }, () => ({ sizeBytes: 100_000, priority: 10 }));
    const assets = [...small, { sizeBytes: 432_000_000, priority: 1 }];
    const nodes = [1000, 500, 500].map((downBytesPerS, operator) => ({ operator, downBytesPerS, offeredBytes: GB }));
    const { volume } = by("rescueFirst", aWorld({ assets, nodes, spanMs: 11 * DAY_MS }));
    expect(volume).toMatchObject({ withAnyCopyAtEnd: 9, goodCopies: 27 });
  });

  test("finds out wrong bytes by the declared digest, and by disagreement where none is declared", () => {
    const nodes = [{ honesty: CORRUPTING }, {}, {}, {}, {}];
    const assets = Array.from({ length: 40 }, (_, at) => ({ hasDigest: at % 2 === 0 }));
    const { targetShare, wasted } = by("rescueFirst", aWorld({ assets, nodes }));
    expect(wasted.corruptBytes).toBeGreaterThan(0);
    expect(targetShare.atEnd).toBe(1);
  });

  test("finds out by audit who pretends", () => {
    const nodes = [{ honesty: PRETENDING }, {}, {}, {}];
    const assets = Array.from({ length: 20 }, () => ({}));
    const { targetShare } = by("rescueFirst", aWorld({ assets, nodes, spanMs: 3 * DAY_MS }));
    expect(targetShare.curve[1]).toBeLessThan(1);
    expect(targetShare.atEnd).toBe(1);
  });
});

describe("for every policy", { timeout: 60_000 }, () => {
  const options = { nodes: 30, assets: 800, days: 4, seed: 3 };

  test.each(Object.keys(POLICIES))(
    "%s: all books balance after every round of a world with every kind of failure",
    (name) => {
      const { volume } = by(name, createWorld(options));
      expect(volume.goodCopies).toBeGreaterThan(800);
    },
  );

  test.each(DEFAULT_POLICIES)("%s: the same options give the same bytes", (name) => {
    expect(JSON.stringify(runPolicy(name, options))).toBe(JSON.stringify(runPolicy(name, options)));
  });
});

test("another seed is another world", () => {
  const options = { nodes: 20, assets: 400, days: 3 };
  expect(runPolicy("fifo", { ...options, seed: 1 })).not.toEqual(runPolicy("fifo", { ...options, seed: 2 }));
});
