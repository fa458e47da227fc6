import { expect, test } from "vitest";
import { FingerprintSet } from "./fingerprint-set.ts";

test("it knows what was added, and nothing else, however much it grows", () => {
  const seen = new FingerprintSet();
  for (let index = 0; index < 20_000; index += 1) {
    expect(seen.has(`file-${index}`)).toBe(false);
    seen.add(`file-${index}`);
    seen.add(`file-${index}`);
  }
  for (let index = 0; index < 20_000; index += 1) expect(seen.has(`file-${index}`)).toBe(true);
  expect(seen.has("file-20000")).toBe(false);
});
