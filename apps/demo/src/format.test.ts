import { expect, test } from "vitest";
import { countOf, formatBytes, formatSeconds } from "./format.ts";

test("bytes are shown in the largest unit that leaves a whole digit", () => {
  expect([0, 1, 1023, 1024, 1536, 1024 ** 2 - 1, 42_614_250, 150 * 1024 ** 2, 2 ** 50].map(formatBytes)).toEqual([
    "0 B",
    "1 B",
    "1023 B",
    "1.0 KB",
    "1.5 KB",
    "1024 KB",
    "40.6 MB",
    "150 MB",
    "1024 TB",
  ]);
});

test("times and counts read as people write them", () => {
  expect([formatSeconds(1234), countOf(1, "copy", "copies"), countOf(2, "copy", "copies"), countOf(0, "file")]).toEqual(
    ["1.2 s", "1 copy", "2 copies", "0 files"],
  );
});
