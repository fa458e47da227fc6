import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { aHome } from "../test/support/a-home.ts";
import { lockHome } from "./lock-home.ts";

async function codeOf(locking: Promise<unknown>): Promise<string> {
  const error: unknown = await locking.catch((reason: unknown) => reason);
  if (error instanceof DispatcherError) return error.code;
  throw new Error("It was locked, or failed in another way.", { cause: error });
}

test("a home is locked once, until it is released", async () => {
  await using place = await aHome();
  const lock = await lockHome(place.home);
  expect(await codeOf(lockHome(place.home))).toBe("HOME_IN_USE");
  lock.release();
  (await lockHome(place.home)).release();
});

test("two homes do not lock each other", async () => {
  await using one = await aHome();
  await using other = await aHome();
  const locks = [await lockHome(one.home), await lockHome(other.home)];
  expect(await codeOf(lockHome(one.home))).toBe("HOME_IN_USE");
  expect(await codeOf(lockHome(other.home))).toBe("HOME_IN_USE");
  for (const lock of locks) lock.release();
});

test("the lock of another process holds, and goes with it by kill -9", async () => {
  await using place = await aHome();
  const script = `
    const { lockHome } = await import(${JSON.stringify(new URL("lock-home.ts", import.meta.url).href)});
    await lockHome(${JSON.stringify(place.home)});
    process.stdout.write("locked");
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(owner.stdout, "data");
    expect(await codeOf(lockHome(place.home))).toBe("HOME_IN_USE");
  } finally {
    owner.kill("SIGKILL");
    await once(owner, "exit");
  }
  (await lockHome(place.home)).release();
});

test("a home that is gone cannot be locked", async () => {
  await using place = await aHome();
  await rm(place.home.path, { recursive: true });
  expect(await codeOf(lockHome(place.home))).toBe("HOME_UNUSABLE");
});
