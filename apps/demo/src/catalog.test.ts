import { join } from "node:path";
import { expect, test } from "vitest";
import { gitBlobId, openCatalog, readFiles } from "./catalog.ts";

test("every file of the real catalog is there with the size and the id it declares", async () => {
  const catalog = await openCatalog();
  expect(catalog.files).toHaveLength(73);
  expect(catalog.bytes).toBe(42_614_250);
  for (const { path, sizeBytes, gitBlobId: declared } of catalog.files) {
    expect([path, await gitBlobId(join(catalog.folder, path), sizeBytes)]).toEqual([path, declared]);
  }
});

test("a catalog that cannot be checked against is refused with the place", () => {
  expect(() => readFiles({})).toThrow("no list of resources");
  const whole = { path: "a.csv", bytes: 1, hash: `sha1:${"0".repeat(40)}` };
  for (const broken of [{ path: undefined }, { bytes: "1" }, { hash: "md5:00" }]) {
    expect(() => readFiles({ resources: [whole, { ...whole, ...broken }] })).toThrow("resources[1]");
  }
});
