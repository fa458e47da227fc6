import { describe, expect, test } from "vitest";
import { Random, chanceOf, zipf } from "./random.ts";

describe("the generator", () => {
  test("gives the published sequence of xoshiro128** for the state 1, 2, 3, 4", () => {
    const random = new Random([1, 2, 3, 4]);
    expect(Array.from({ length: 10 }, () => random.next())).toEqual([
      11520, 0, 5_927_040, 70_819_200, 2_031_721_883, 1_637_235_492, 1_287_239_034, 3_734_860_849, 3_729_100_597,
      4_258_142_804,
    ]);
  });

  test("gives the same again for the same seed and stream, and something else for another", () => {
    const first = [1, 2, 0].map((seed) => Random.fromSeed(seed, "fleet").next());
    expect(first[0]).toBe(Random.fromSeed(1, "fleet").next());
    expect(new Set([...first, Random.fromSeed(1, "catalog").next()]).size).toBe(4);
  });
});

function draws(draw: () => number): number[] {
  return Array.from({ length: 20_000 }, draw).toSorted((a, b) => a - b);
}

describe("distributions", () => {
  test("uniform draws lie in 0 to below 1, half of them below one half", () => {
    const random = Random.fromSeed(1, "test");
    const sorted = draws(() => random.uniform());
    expect(sorted[0]).toBeGreaterThanOrEqual(0);
    expect(sorted.at(-1)).toBeLessThan(1);
    expect(sorted[10_000]).toBeCloseTo(0.5, 1);
  });

  test("half of the lognormal draws are below the median", () => {
    const random = Random.fromSeed(1, "test");
    const median = draws(() => random.logNormal(100, 2))[10_000] ?? 0;
    expect(median / 100).toBeCloseTo(1, 0);
  });

  test("Pareto draws keep their bounds, and a tenth as many are above ten times the lower one", () => {
    const random = Random.fromSeed(1, "test");
    const sorted = draws(() => random.pareto({ low: 1, high: 1000, alpha: 1 }));
    expect(sorted[0]).toBeGreaterThanOrEqual(1);
    expect(sorted.at(-1)).toBeLessThanOrEqual(1000);
    expect(sorted.filter((one) => one > 10).length / 20_000).toBeCloseTo(0.1, 1);
  });

  test("of a Zipf draw the first is twice as frequent as the second", () => {
    const draw = zipf(Random.fromSeed(1, "test"), 50);
    const drawn = draws(draw);
    const count = (number: number): number => drawn.filter((one) => one === number).length;
    expect(count(0) / count(1)).toBeCloseTo(2, 0);
    expect(Math.max(...drawn)).toBeLessThan(50);
  });
});

test("a chance depends on its arguments alone, and on each of them", () => {
  const chance = chanceOf(1, 2, 3, 4);
  expect(chance).toBe(chanceOf(1, 2, 3, 4));
  const others = [
    chanceOf(2, 2, 3, 4),
    chanceOf(1, 3, 3, 4),
    chanceOf(1, 2, 4, 4),
    chanceOf(1, 2, 3, 5),
    chanceOf(1, 2, 4, 3),
  ];
  expect(new Set([chance, ...others]).size).toBe(6);
  for (const one of [chance, ...others]) expect(one >= 0 && one < 1).toBe(true);
});
