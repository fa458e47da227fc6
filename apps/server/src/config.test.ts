import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { describeSettings, readConfig } from "./config.ts";

function findFault(env: Record<string, string>): DispatcherError | null {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof DispatcherError) return error;
    throw error;
  }
  return null;
}

function faultOf(env: Record<string, string>): DispatcherError {
  const fault = findFault(env);
  if (fault === null) throw new Error("No fault was found.");
  return fault;
}

async function aFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "dispatcher-config-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
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
  expect(error.detail).toBe(
    "The environment has 2 fault(s): DISPATCHER_PORT=70000: has to be a whole number from 0 to 65535; " +
      "LOG_LEVEL=loud: has to be DEBUG, INFO, WARNING or ERROR.",
  );
});

test("a number is written in digits, within its bounds", () => {
  expect(readConfig({ DISPATCHER_QUOTA_MAX: "1" }).DISPATCHER_QUOTA_MAX).toBe(1);
  expect(readConfig({ DISPATCHER_QUOTA_MAX: "1000" }).DISPATCHER_QUOTA_MAX).toBe(1000);
  for (const text of ["0", "1001", "-1", "1.5", "1e2", "0x10", " ", "abc"]) {
    expect(faultOf({ DISPATCHER_QUOTA_MAX: text }).detail).toContain(
      `DISPATCHER_QUOTA_MAX=${text}: has to be a whole number from 1 to 1000`,
    );
  }
});

test.each(describeSettings())("what is wrong with $name is said in words of ours", async ({ name }) => {
  await using folder = await aFolder();
  const file = join(folder.path, "value");
  const said: string[] = [];
  // From a file, as an empty variable counts as not given.
  for (const garbage of ["", "\t", "-1", "1.5", "x".repeat(300)]) {
    await writeFile(file, garbage);
    const fault = findFault({ [`${name}_FILE`]: file });
    if (fault !== null) said.push(fault.detail.replace(`${name}=${garbage}: `, `${name}=(not shown): `));
  }
  // Any word may name a host or a folder; an empty one is no value anywhere.
  expect(said.length).toBeGreaterThanOrEqual(1);
  for (const detail of said) {
    expect(detail).toMatch(
      new RegExp(`^The environment has 1 fault\\(s\\): ${name}=\\(not shown\\): has to be(gin)? `),
    );
    expect(detail).not.toMatch(/invalid|expected|received|too (small|big)/i);
  }
});

test("settings that contradict each other are a fault, beside others too", () => {
  expect(faultOf({ DISPATCHER_COPIES_MIN: "4", DISPATCHER_PORT: "none" }).detail).toContain("has 2 fault(s)");
  expect(faultOf({ DISPATCHER_COPIES_MIN: "4" }).message).toContain(
    "DISPATCHER_COPIES_TARGET=(default): has to be at least DISPATCHER_COPIES_MIN (4)",
  );
});

test("a token issuer is set with its audience and its keys, or not at all", () => {
  const issuer = {
    DISPATCHER_JWT_ISSUER: "https://login.example",
    DISPATCHER_JWT_AUDIENCE: "dispatcher",
    DISPATCHER_JWT_JWKS: "https://login.example/jwks.json",
  };
  expect(readConfig(issuer)).toMatchObject(issuer);
  expect(readConfig({ ...issuer, DISPATCHER_JWT_JWKS: "./jwks.json" }).DISPATCHER_JWT_JWKS).toBe("./jwks.json");
  expect(faultOf({ ...issuer, DISPATCHER_JWT_JWKS: "ftp://login.example/jwks.json" }).detail).toContain(
    "DISPATCHER_JWT_JWKS=ftp://login.example/jwks.json: has to be an https or http URL",
  );
  expect(faultOf({ DISPATCHER_JWT_ISSUER: "https://login.example" }).detail).toContain(
    "has to be set together with DISPATCHER_JWT_AUDIENCE and DISPATCHER_JWT_JWKS",
  );
});

test("a secret is not shown, not even a wrong one", () => {
  const error = faultOf({ DISPATCHER_ADMIN_KEY: "tooshort", DATABASE_URL: "mysql://me:pw@host/db" });
  expect(error.message).not.toContain("tooshort");
  expect(error.message).not.toContain("pw@");
});

test("NAME_FILE gives the value of a file, without its last line break", async () => {
  await using folder = await aFolder();
  const file = join(folder.path, "key");
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
