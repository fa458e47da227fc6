import { describe, expect, test } from "vitest";
import { Observer, gini, quantile } from "./measures.ts";
import { aWorld } from "./testing.ts";

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

test("quantiles are the nearest ranks", () => {
  const sorted = Float64Array.from([1, 2, 3, 4]);
  expect([0, 0.25, 0.5, 0.51, 0.95, 1].map((share) => quantile(sorted, share))).toEqual([1, 1, 2, 3, 4, 4]);
  expect(quantile(new Float64Array(0), 0.5)).toBeNaN();
});

test("the Gini coefficient is 0 for all alike, and one less its share for one that has everything", () => {
  expect(gini([])).toBe(0);
  expect(gini([0, 0])).toBe(0);
  expect(gini([3, 3, 3])).toBeCloseTo(0);
  expect(gini([0, 0, 0, 8])).toBeCloseTo(0.75);
  expect(gini([1, 3])).toBeCloseTo(0.25);
});

test("the most urgent tenth is what counts for the first copy; without one it waits for the whole span", () => {
  const assets = Array.from({ length: 20 }, (_, at) => ({ priority: at < 2 ? 10 : 1 }));
  const observer = new Observer(aWorld({ assets, nodes: [{}, {}] }));
  observer.goodCopy(5, 0, 1 * HOUR_MS);
  observer.goodCopy(0, 0, 6 * HOUR_MS);
  observer.goodCopy(0, 1, 9 * HOUR_MS);
  expect(observer.measures([]).urgentFirstCopyHours).toEqual({ median: 6, p95: 48, never: 1 });
});

test("an asset has its target with three copies at different operators, and loses it with a node", () => {
  const nodes = [{ operator: 0 }, { operator: 0 }, { operator: 1 }, { operator: 2 }];
  const observer = new Observer(aWorld({ assets: [{}, {}], nodes }));
  observer.sample();
  for (const node of [0, 1, 2]) observer.goodCopy(0, node, 1);
  observer.sample();
  observer.goodCopy(0, 3, 2);
  observer.sample();
  observer.nodeLeft(0);
  observer.sample();
  observer.nodeLeft(2);
  observer.sample();
  const { targetShare } = observer.measures([]);
  expect(targetShare).toEqual({ atEnd: 0, area: 0.2, curve: [0, 0, 0.5, 0.5, 0] });
});

test("the sixth copy of five at most is surplus, and goes into the waste with what was aborted and corrupt", () => {
  const observer = new Observer(aWorld({ nodes: Array.from({ length: 7 }, () => ({})) }));
  for (let node = 0; node < 6; node += 1) {
    observer.downloaded(1000);
    observer.goodCopy(0, node, node);
  }
  observer.downloaded(2000);
  observer.wasted("aborted", 300);
  observer.wasted("corrupt", 700);
  const { wasted, volume } = observer.measures([]);
  expect(wasted).toEqual({ bytes: 2000, share: 0.25, abortedBytes: 300, corruptBytes: 700, surplusBytes: 1000 });
  expect(volume).toMatchObject({ downloadedBytes: 8000, fetches: 7, goodCopies: 6, moreThanMax: 1 });
});

function overloadOf(observe: (observer: Observer) => void): unknown {
  const world = aWorld({ origins: [{ capacity: 1 }, { diesAtMs: 5 * MINUTE_MS }], spanMs: 10 * MINUTE_MS });
  const observer = new Observer(world);
  observe(observer);
  return observer.measures([]).originOverload;
}

describe("the load of an origin", () => {
  test("is averaged over the minute: two halves are one, and one and a half is too much for one", () => {
    expect(
      overloadOf((observer) => {
        observer.originFetch(0, 0, MINUTE_MS / 2);
        observer.originFetch(0, MINUTE_MS / 4, (3 * MINUTE_MS) / 4);
      }),
    ).toEqual({ share: 0, peak: 1, refusedRequests: 0 });
    expect(
      overloadOf((observer) => {
        observer.originFetch(0, MINUTE_MS / 2, 3 * MINUTE_MS);
        observer.originFetch(0, MINUTE_MS, 2.5 * MINUTE_MS);
      }),
      // The minutes 1 and 2 are above, of the ten of this origin and the five of the one that dies.
    ).toEqual({ share: 2 / 15, peak: 2, refusedRequests: 0 });
  });

  test("counts each refused request as a fetch of that minute", () => {
    expect(
      overloadOf((observer) => {
        observer.originFetch(0, 0, 3 * MINUTE_MS);
        observer.requestRefused(0, MINUTE_MS);
        observer.requestRefused(0, MINUTE_MS + 1);
      }),
    ).toEqual({ share: 1 / 15, peak: 3, refusedRequests: 2 });
  });
});

test("lost is what has no copy at the end and an origin that is dead; its weight are the priorities", () => {
  const assets = [
    { origin: 1, priority: 9 },
    { origin: 1, priority: 4 },
    { origin: 1, priority: 2 },
    { origin: 0, priority: 8 },
  ];
  const observer = new Observer(aWorld({ assets, origins: [{}, { diesAtMs: HOUR_MS }], nodes: [{}, {}] }));
  observer.goodCopy(1, 0, 1);
  observer.goodCopy(2, 1, 1);
  observer.nodeLeft(0);
  const { lost, volume } = observer.measures([]);
  expect(lost).toEqual({ assets: 2, weight: 13 });
  expect(volume.withAnyCopyAtEnd).toBe(1);
});
