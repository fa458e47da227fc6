import { access, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { AssetFailure, diskFailure } from "./asset-failure.ts";

const hasFullDevice = await access("/dev/full").then(
  () => true,
  () => false,
);

// A device that every write finds full; Linux has it.
test.runIf(hasFullDevice)("a full disk is told as such", async () => {
  const error: unknown = await writeFile("/dev/full", "x").catch((reason: unknown) => reason);
  expect(diskFailure(error).code).toBe("DISK_FULL");
});

const failing = (code: string) => diskFailure(Object.assign(new Error("disk"), { code })).code;

test("a used up quota is a full disk, and everything else a failing one", () => {
  expect(failing("EDQUOT")).toBe("DISK_FULL");
  expect(failing("EIO")).toBe("DISK_ERROR");
  expect(failing("EROFS")).toBe("DISK_ERROR");
  expect(diskFailure("odd").code).toBe("DISK_ERROR");
});

test("a message is cut to what a report takes", () => {
  expect(new AssetFailure("BAD_URL", "x".repeat(501)).message).toHaveLength(500);
});
