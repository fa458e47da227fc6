import { expect, test } from "vitest";
import { describeOverview } from "./status.ts";

function copiesLine(counting: number, wanted: number): string | undefined {
  const text = describeOverview({
    ageMs: 0,
    nowMs: 0,
    assets: { total: 0, belowMin: 0, complete: 0, withoutCopy: 0, open: 0, gone: 0, review: 0, withdrawn: 0 },
    bytes: { catalog: 0, copied: 0 },
    copies: { counting, wanted },
    nodes: { online: 0, suspect: 0, offline: 0, lost: 0, retired: 0 },
    leases: { open: 0, granted: 0, stored: 0, failed: 0, released: 0, expired: 0, cancelled: 0, reassigned: 0 },
  });
  return text.split("\n").find((line) => line.startsWith("copies"));
}

test("copies are told with their share, which is 100 % only when there are all", () => {
  expect(copiesLine(0, 3)).toMatch(/ 0 of 3 \(0 %\)$/);
  expect(copiesLine(999, 1000)).toMatch(/ 999 of 1000 \(99 %\)$/);
  expect(copiesLine(3, 3)).toMatch(/ 3 of 3 \(100 %\)$/);
});

test("where nothing is wanted there is no share", () => {
  expect(copiesLine(0, 0)).toMatch(/ 0 of 0$/);
});
