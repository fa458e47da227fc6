import { describe, expect, test } from "vitest";
import type { Measures } from "./measures.ts";
import { losses } from "./report.ts";
import { runPolicy } from "./run.ts";

/** A small fleet that has to work for two weeks: enough for the differences to show, and a second to simulate. */
const WORLD = { nodes: 120, assets: 6000, days: 14 };

/** A run takes a second of an idle core, and many times that beside others. */
const TIMEOUT_MS = 120_000;

describe.each([1, 2, 3])("with seed %i", { timeout: TIMEOUT_MS }, (seed) => {
  const results = new Map<string, Measures>();
  const of = (policy: string): Measures => {
    const known = results.get(policy) ?? runPolicy(policy, { ...WORLD, seed });
    results.set(policy, known);
    return known;
  };

  // Not fifo: in a world this small one giant that is not finished decides who wastes more.
  test.each(["random", "sameList"])(
    "Dispatcher is as good as %s or better in all measures but one at most",
    (other) => {
      expect(losses(of("rescueFirst"), of(other), WORLD.assets).length).toBeLessThanOrEqual(1);
    },
  );

  test("against first come first served it has the urgent sooner", () => {
    const { urgentFirstCopyHours } = of("rescueFirst");
    expect(urgentFirstCopyHours.median).toBeLessThan(of("fifo").urgentFirstCopyHours.median);
    expect(urgentFirstCopyHours.p95).toBeLessThan(of("fifo").urgentFirstCopyHours.p95);
  });
});
