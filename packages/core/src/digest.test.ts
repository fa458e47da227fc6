import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DIGEST_ALGORITHMS, formatDigest, parseDigest } from "./digest.ts";

const HEX_LENGTH = { md5: 32, sha1: 40, sha256: 64, sha512: 128 };

test.each(DIGEST_ALGORITHMS)("%s is read with its name, and without it by its length", (algorithm) => {
  const hex = "0a".repeat(HEX_LENGTH[algorithm] / 2);
  expect(parseDigest(`${algorithm}:${hex}`)).toEqual({ algorithm, hex });
  expect(parseDigest(hex)).toEqual({ algorithm, hex });
});

test.each(DIGEST_ALGORITHMS)("a %s one digit too short or too long is none", (algorithm) => {
  for (const length of [HEX_LENGTH[algorithm] - 1, HEX_LENGTH[algorithm] + 1]) {
    expect(parseDigest(`${algorithm}:${"a".repeat(length)}`)).toBeNull();
    expect(parseDigest("a".repeat(length))).toBeNull();
  }
});

test("the name decides, not the length: 64 digits named sha1 are none", () => {
  expect(parseDigest(`sha1:${"a".repeat(64)}`)).toBeNull();
});

test("upper case, a dash in the name and blanks around it are accepted, and come out in one form", () => {
  expect(parseDigest(` SHA-256:${"AB".repeat(32)}\n`)).toEqual({ algorithm: "sha256", hex: "ab".repeat(32) });
});

test.each([
  ["nothing", ""],
  ["blanks", "  "],
  ["a name alone", "sha256:"],
  ["no name before the colon", `:${"a".repeat(64)}`],
  ["an unknown name", `crc32:${"a".repeat(8)}`],
  ["a letter that is no hex digit", `sha1:${"g".repeat(40)}`],
  ["base64", "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],
  ["two lines", `${"a".repeat(32)}\n${"a".repeat(32)}`],
  ["a name of Object.prototype", `constructor:${"a".repeat(40)}`],
])("%s is no digest", (_what, text) => {
  expect(parseDigest(text)).toBeNull();
});

test("what formatDigest writes, parseDigest reads back", () => {
  const digests = fc.constantFrom(...DIGEST_ALGORITHMS).chain((algorithm) =>
    fc
      .array(fc.constantFrom(..."0123456789abcdef".split("")), {
        minLength: HEX_LENGTH[algorithm],
        maxLength: HEX_LENGTH[algorithm],
      })
      .map((digits) => ({ algorithm, hex: digits.join("") })),
  );
  fc.assert(
    fc.property(digests, (digest) => {
      expect(parseDigest(formatDigest(digest))).toEqual(digest);
    }),
    { numRuns: 1000 },
  );
});
