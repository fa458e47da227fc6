import { chmod, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { aHome } from "../test/support/a-home.ts";
import { readState, readStates, removeDurably, sweepTemporaries, writeDurably } from "./write-durably.ts";

const Shape = z.object({ a: z.number() });

test("a written file is read back, for this user alone", async () => {
  await using place = await aHome();
  const path = join(place.home.path, "a.json");
  expect(await readState(path, Shape)).toBeNull();
  await writeDurably(path, '{"a":1}');
  await writeDurably(path, '{"a":2}');
  expect(await readState(path, Shape)).toEqual({ a: 2 });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await removeDurably(path);
  await removeDurably(path);
  expect(await readState(path, Shape)).toBeNull();
});

test("a write that fails leaves no trace", async () => {
  await using place = await aHome();
  const path = join(place.home.path, "a.json");
  await mkdir(join(path, "in-the-way"), { recursive: true });
  await expect(writeDurably(path, "{}")).rejects.toThrow("EISDIR");
  expect(await readdir(place.home.path)).not.toContain("a.json.tmp");
});

test("state that is not what was written once is told by its path", async () => {
  await using place = await aHome();
  const path = join(place.home.path, "a.json");
  for (const text of ["", '{"a":', '{"a":"1"}', "[]"]) {
    await writeFile(path, text);
    const error: unknown = await readState(path, Shape).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DispatcherError);
    expect(error).toMatchObject({ code: "STATE_UNREADABLE", detail: `The state file ${path} cannot be read.` });
  }
});

/** Modes do not bind root, so root does it as nobody. */
async function asOrdinaryUser<Result>(work: () => Promise<Result>): Promise<Result> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

test("state that this user may not read is a fault of the home, not of the state", async () => {
  await using place = await aHome();
  const path = join(place.home.path, "a.json");
  await writeFile(path, '{"a":1}');
  await chmod(path, 0o000);
  expect(await asOrdinaryUser(() => readState(path, Shape).catch((reason: unknown) => reason))).toMatchObject({
    code: "HOME_UNUSABLE",
    detail: `This user may not read ${path} (EACCES).`,
  });
});

test("what a death in the middle of a write has left is not read, and swept", async () => {
  await using place = await aHome();
  const folder = place.home.assignmentsFolder;
  await writeDurably(join(folder, "1.json"), '{"a":1}');
  await writeFile(join(folder, "1.json.tmp"), '{"a":');
  expect(await readStates(folder, Shape)).toEqual([{ a: 1 }]);
  await sweepTemporaries(folder);
  expect(await readdir(folder)).toEqual(["1.json"]);
  expect(await readFile(join(folder, "1.json"), "utf8")).toBe('{"a":1}');
});
