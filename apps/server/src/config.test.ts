import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { describeSettings, readConfig } from "./config.ts";

function faultOf(env: Record<string, string>): DispatcherError {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof DispatcherError) return error;
  }
  throw new Error("No fault was found.");
}

test("an empty environment is a server of the defaults", () => {
  expect(readConfig({})).toMatchObject({
    DISPATCHER_HOST: "0.0.0.0",
    DISPATCHER_PORT: 8001,
    DISPATCHER_DATA_DIR: "./.dispatcher",
    DISPATCHER_COPIES_TARGET: 3,
  });
  expect(readConfig({ DISPATCHER_PORT: "" }).DISPATCHER_PORT).toBe(8001);
});

test("every fault is told at once, with what was given", () => {
  const error = faultOf({ DISPATCHER_PORT: "70000", LOG_LEVEL: "loud", DISPATCHER_COPIES_MIN: "4" });
  expect(error.code).toBe("CONFIG_INVALID");
  expect(error.message).toContain("DISPATCHER_PORT=70000");
  expect(error.message).toContain("LOG_LEVEL=loud");
});

test("settings that contradict each other are a fault", () => {
  expect(faultOf({ DISPATCHER_COPIES_MIN: "4" }).message).toContain(
    "DISPATCHER_COPIES_TARGET=(default): has to be at least DISPATCHER_COPIES_MIN (4)",
  );
});

test("a secret is not shown, not even a wrong one", () => {
  const error = faultOf({ DISPATCHER_ADMIN_KEY: "tooshort", DATABASE_URL: "mysql://me:pw@host/db" });
  expect(error.message).not.toContain("tooshort");
  expect(error.message).not.toContain("pw@");
});

test("NAME_FILE gives the value of a file, without its last line break", async () => {
  const file = join(await mkdtemp(join(tmpdir(), "dispatcher-config-")), "key");
  await writeFile(file, "a-key-from-a-file\n");
  expect(readConfig({ DISPATCHER_ADMIN_KEY_FILE: file }).DISPATCHER_ADMIN_KEY).toBe("a-key-from-a-file");
  expect(faultOf({ DISPATCHER_ADMIN_KEY_FILE: `${file}.none` }).message).toContain("ENOENT");
  expect(faultOf({ DISPATCHER_ADMIN_KEY_FILE: file, DISPATCHER_ADMIN_KEY: "another-key-as-well" }).message).toContain(
    "keep one",
  );
});

test("every setting has a meaning", () => {
  for (const { name, meaning } of describeSettings()) expect(meaning, name).not.toBe("");
});
