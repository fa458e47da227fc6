import { DIGEST_ALGORITHMS, formatDigest } from "@dispatcher/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readDigest, readMediaType, readPriority, readRemoveBy, readSize } from "./fields.ts";

const ABSENT = [undefined, null, "", "  "];

describe("readSize", () => {
  test.for(ABSENT)("%j says nothing", (value) => {
    expect(readSize(value)).toBeNull();
  });

  test.for([
    [0, 0],
    [-0, 0],
    [1e3, 1000],
    ["12", 12],
    [" 007 ", 7],
    [2 ** 53 - 1, 2 ** 53 - 1],
    ["9007199254740991", 2 ** 53 - 1],
  ] as const)("%j is %d bytes", ([value, size]) => {
    expect(readSize(value)).toBe(size);
  });

  test.for([
    -1,
    1.5,
    2 ** 53,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    "9007199254740992",
    "-1",
    "1.5",
    "1e3",
    "0x10",
    "1,234",
    "12 MB",
    true,
    [],
    {},
  ])("%j is refused", (value) => {
    expect(() => readSize(value)).toThrow(expect.objectContaining({ code: "BAD_SIZE" }));
  });

  test("every exact whole number is read back, as a number and as text", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (size) => {
        expect(readSize(size)).toBe(size);
        expect(readSize(String(size))).toBe(size);
      }),
    );
  });

  test("no value at all gives a size that is not exact", () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.string(), fc.bigInt().map(String), fc.jsonValue()), (value) => {
        let size: number | null = null;
        try {
          size = readSize(value);
        } catch {
          return;
        }
        expect(size === null || (Number.isSafeInteger(size) && size >= 0 && !Object.is(size, -0))).toBe(true);
      }),
    );
  });
});

describe("readDigest", () => {
  test("every digest is read back, in either case", () => {
    const hexLength = { sha256: 64, sha512: 128, sha1: 40, md5: 32 };
    const digest = fc.constantFrom(...DIGEST_ALGORITHMS).chain((algorithm) => {
      const bytes = hexLength[algorithm] / 2;
      return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => {
        return { algorithm, hex: Buffer.from(value).toString("hex") };
      });
    });
    fc.assert(
      fc.property(digest, (one) => {
        expect(readDigest(formatDigest(one))).toEqual(one);
        expect(readDigest(one.hex.toUpperCase())).toEqual(one);
        expect(readDigest(one.hex, one.algorithm)).toEqual(one);
      }),
    );
  });

  test.for(ABSENT)("%j says nothing", (value) => {
    expect(readDigest(value)).toBeNull();
  });

  test.for(["sha1:abc", "crc32:00000000", "x".repeat(32), "a".repeat(33), `sha256:${"a".repeat(40)}`, 7, {}])(
    "%j is refused",
    (value) => {
      expect(() => readDigest(value)).toThrow(expect.objectContaining({ code: "BAD_DIGEST" }));
    },
  );

  test("a digest of another algorithm than its column is refused", () => {
    expect(() => readDigest("a".repeat(40), "sha256")).toThrow(/not sha256/);
  });
});

describe("readPriority", () => {
  test("1 and 10 are its ends", () => {
    expect([readPriority(1), readPriority("10"), readPriority(null)]).toEqual([1, 10, null]);
  });

  test.for([0, 11, 1.5, "high", "-1", true])("%j is refused", (value) => {
    expect(() => readPriority(value)).toThrow(expect.objectContaining({ code: "BAD_PRIORITY" }));
  });
});

describe("readRemoveBy", () => {
  test.for([
    ["2030-12-31", Date.UTC(2030, 11, 31)],
    ["2030-12-31T12:00:00", Date.UTC(2030, 11, 31, 12)],
    ["2030-12-31T12:00:00Z", Date.UTC(2030, 11, 31, 12)],
    ["2030-12-31T12:00:00+02:00", Date.UTC(2030, 11, 31, 10)],
    ["", null],
  ] as const)("%s is read as UTC wherever the reader stands", ([text, atMs]) => {
    expect(readRemoveBy(text)).toBe(atMs);
  });

  test.for(["2030-02-30", "31.12.2030", "soon", "1969-12-31", 1_924_905_600_000, true])("%j is refused", (value) => {
    expect(() => readRemoveBy(value)).toThrow(expect.objectContaining({ code: "BAD_REMOVE_BY" }));
  });
});

describe("readMediaType", () => {
  test("what cannot be a media type is none", () => {
    expect(readMediaType(" text/csv ")).toBe("text/csv");
    expect([7, "", "a\nb", "x".repeat(256)].map(readMediaType)).toEqual([null, null, null, null]);
  });
});
