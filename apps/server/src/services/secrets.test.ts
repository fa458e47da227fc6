import { expect, test } from "vitest";
import {
  formatKey,
  hasHash,
  hashSecret,
  isNodeKey,
  isSameSecret,
  newPrefixedSecret,
  newSecret,
  parseKey,
} from "./secrets.ts";

test("a key is read back into its id and its secret, whatever letters that has", () => {
  for (const secret of [newSecret(), "_".repeat(43), "-".repeat(43)]) {
    expect(parseKey(formatKey("9223372036854775807" as never, secret))).toEqual({ id: "9223372036854775807", secret });
  }
});

test.each([
  "",
  "dsp_1",
  `dsp__${"x".repeat(43)}`,
  `dsp_1_${"x".repeat(42)}`,
  `dsp_1_${"x".repeat(44)}`,
  `dsp_1_${"x".repeat(42)}=`,
  `dsp_-1_${"x".repeat(43)}`,
  `dsp_9223372036854775808_${"x".repeat(43)}`,
  `dsp_node_${"x".repeat(43)}`,
  ` dsp_1_${"x".repeat(43)}`,
  `dsp_1_${"x".repeat(43)}\n`,
])("%j is no key", (text) => {
  expect(parseKey(text)).toBeNull();
});

test("the key of a node's join is told from others by its form", () => {
  expect(isNodeKey(newPrefixedSecret("dsp_node"))).toBe(true);
  expect(isNodeKey(newPrefixedSecret("dsp_join"))).toBe(false);
  expect(isNodeKey(`dsp_node_${"x".repeat(44)}`)).toBe(false);
});

test("a secret has its hash alone, and no two are the same", () => {
  const secret = newSecret();
  expect(hasHash(secret, hashSecret(secret))).toBe(true);
  expect(hasHash(secret, hashSecret(newSecret()))).toBe(false);
  expect(isSameSecret(secret, secret)).toBe(true);
  expect(isSameSecret(secret, `${secret}x`)).toBe(false);
});
