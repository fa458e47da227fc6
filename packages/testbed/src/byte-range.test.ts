import { expect, test } from "vitest";
import { readByteRange } from "./byte-range.ts";

test("a range is cut to the file", () => {
  expect(readByteRange("bytes=2-5", 10)).toEqual({ first: 2, last: 5 });
  expect(readByteRange("bytes=2-", 10)).toEqual({ first: 2, last: 9 });
  expect(readByteRange("bytes=9-99", 10)).toEqual({ first: 9, last: 9 });
  expect(readByteRange("bytes=-3", 10)).toEqual({ first: 7, last: 9 });
  expect(readByteRange("bytes=-99", 10)).toEqual({ first: 0, last: 9 });
});

test("a range that begins at the end of the file is unsatisfiable", () => {
  expect(readByteRange("bytes=10-", 10)).toBe("unsatisfiable");
  expect(readByteRange("bytes=0-", 0)).toBe("unsatisfiable");
  expect(readByteRange("bytes=-0", 10)).toBe("unsatisfiable");
});

test("a missing, malformed or multiple range means the whole file", () => {
  for (const header of [undefined, "", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=0-1,4-5", "lines=0-1"]) {
    expect(readByteRange(header, 10)).toBeNull();
  }
});
