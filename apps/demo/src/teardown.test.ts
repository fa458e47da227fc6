import { expect, test } from "vitest";
import { Teardown } from "./teardown.ts";

test("the last begun ends first, one that fails stops none, and nothing ends twice", async () => {
  const ended: string[] = [];
  const teardown = new Teardown();
  teardown.add(async () => ended.push("first"));
  teardown.add(() => Promise.reject(new Error("stuck")));
  teardown.add(async () => ended.push("last"));
  await expect(teardown.run()).rejects.toThrow("stuck");
  expect(ended).toEqual(["last", "first"]);
  await teardown.run();
  expect(ended).toHaveLength(2);
});
