import * as fc from "fast-check";
import { expect, test } from "vitest";
import { formatByteSize, parseByteSize } from "./byte-size.ts";

test("a size is read with its unit, of 1024 each", () => {
  expect(parseByteSize("0")).toBe(0);
  expect(parseByteSize("4096")).toBe(4096);
  expect(parseByteSize("12B")).toBe(12);
  expect(parseByteSize("1KB")).toBe(1024);
  expect(parseByteSize("1 GB")).toBe(1024 ** 3);
  expect(parseByteSize("500gb")).toBe(500 * 1024 ** 3);
  expect(parseByteSize("200MiB")).toBe(200 * 1024 ** 2);
  expect(parseByteSize(" 1.5TB ")).toBe(1.5 * 1024 ** 4);
});

test("what is not quite a size is refused", () => {
  const faulty = [
    "",
    "GB",
    "-1GB",
    "1e3",
    "1,5GB",
    "1.GB",
    ".5GB",
    "1  GB",
    "1GBs",
    "0x10",
    "1.5",
    "1.5B",
    "NaN",
    "9PBB",
  ];
  for (const text of faulty) expect(parseByteSize(text), text).toBeNull();
});

test("a size past what a number holds exactly is refused", () => {
  expect(parseByteSize("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
  expect(parseByteSize("9007199254740992")).toBeNull();
  expect(parseByteSize("8192PB")).toBeNull();
});

test("a size is shown in the largest unit that fits", () => {
  expect([0, 1, 1023, 1024, 1536, 1024 ** 3, 2.25 * 1024 ** 4].map(formatByteSize)).toEqual([
    "0 B",
    "1 B",
    "1023 B",
    "1 KB",
    "1.5 KB",
    "1 GB",
    "2.3 TB",
  ]);
});

test("any size that is shown can be read back, to a twentieth of its unit", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 50 }), (bytes) => {
      const back = parseByteSize(formatByteSize(bytes));
      expect(back).not.toBeNull();
      expect(Math.abs((back ?? 0) - bytes)).toBeLessThanOrEqual(bytes * 0.051);
    }),
  );
});
