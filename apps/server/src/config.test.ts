import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { describeSettings, loadConfig, readConfig, showConfig } from "./config.ts";

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

function proxies(value: string): readonly string[] {
  return readConfig({ DISPATCHER_TRUSTED_PROXIES: value }).DISPATCHER_TRUSTED_PROXIES;
}

function origins(value: string): readonly string[] {
  return readConfig({ DISPATCHER_CORS_ORIGINS: value }).DISPATCHER_CORS_ORIGINS;
}

/** A table without what a formatter does to its columns. */
function plain(table: string): string {
  return table
    .replaceAll(/[ -]{2,}/g, " ")
    .replaceAll(/ -? ?\|/g, " |")
    .replaceAll("\\*", "*")
    .trim();
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
    "The environment has 3 fault(s): DISPATCHER_PORT=70000: has to be a whole number from 0 to 65535; " +
      "LOG_LEVEL=loud: has to be DEBUG, INFO, WARNING or ERROR; " +
      "DISPATCHER_COPIES_TARGET=(default): has to be at least DISPATCHER_COPIES_MIN (4).",
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

test.each(describeSettings())("what is wrong with $name is said in words of ours", async ({ name, allowed }) => {
  await using folder = await aFolder();
  const file = join(folder.path, "value");
  const said: string[] = [];
  // From a file, as an empty variable counts as not given.
  for (const garbage of ["", "\t", "-1", "1.5", "x".repeat(300)]) {
    await writeFile(file, garbage);
    const fault = findFault(name.endsWith("_FILE") ? { [name]: garbage } : { [`${name}_FILE`]: file });
    if (fault !== null) said.push(fault.detail.replace(`${name}=${garbage}: `, `${name}=(not shown): `));
  }
  // Any word may name a host or a folder; an empty one is no value anywhere.
  expect(said.length).toBeGreaterThanOrEqual(1);
  for (const detail of said) {
    // Half a pair of settings is a fault of the other half, and so is one of three.
    if (/_FILE=\(default\): has to be set as well/.test(detail) || /has to be set together with/.test(detail)) continue;
    expect(detail).toBe(`The environment has 1 fault(s): ${name}=(not shown): has to be ${allowed}.`);
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

test("lists are separated by commas, and each entry is looked at", () => {
  expect(readConfig({}).DISPATCHER_TRUSTED_PROXIES).toEqual([]);
  expect(proxies("loopback, 10.0.0.0/8,fd00::/8 ,192.0.2.1")).toEqual([
    "loopback",
    "10.0.0.0/8",
    "fd00::/8",
    "192.0.2.1",
  ]);
  expect(proxies("0.0.0.0/32")).toEqual(["0.0.0.0/32"]);
  for (const wrong of [
    "10.0.0.0/33",
    "::1/129",
    "10.0.0/8",
    "proxy.example.org",
    "true",
    "1",
    "10.0.0.1,",
    "::1/64/2",
  ]) {
    expect(faultOf({ DISPATCHER_TRUSTED_PROXIES: wrong }).detail, wrong).toContain("has to be addresses, networks");
  }
  expect(origins("*")).toEqual(["*"]);
  expect(origins("https://a.example, http://localhost:3000")).toEqual(["https://a.example", "http://localhost:3000"]);
  for (const wrong of ["https://a.example/", "https://a.example:443", "a.example", "null", "https://*.example,"]) {
    expect(faultOf({ DISPATCHER_CORS_ORIGINS: wrong }).detail, wrong).toContain("has to be * or web origins");
  }
});

test("DEBUG makes the log tell everything, unless its level is set", () => {
  expect(readConfig({}).LOG_LEVEL).toBe("INFO");
  for (const yes of ["true", "1", "yes", "on", "TRUE"]) expect(readConfig({ DEBUG: yes }).LOG_LEVEL).toBe("DEBUG");
  for (const no of ["false", "0", "no", "off", "False"]) expect(readConfig({ DEBUG: no }).LOG_LEVEL).toBe("INFO");
  expect(readConfig({ DEBUG: "1", LOG_LEVEL: "ERROR" }).LOG_LEVEL).toBe("ERROR");
  expect(faultOf({ DEBUG: "express:*" }).detail).toContain("DEBUG=express:*: has to be true or false");
});

test("a certificate without its key is a fault, and so is a key without its certificate", () => {
  expect(faultOf({ DISPATCHER_TLS_CERT_FILE: "c.pem" }).detail).toContain(
    "DISPATCHER_TLS_KEY_FILE=(default): has to be set as well, as DISPATCHER_TLS_CERT_FILE is",
  );
  expect(faultOf({ DISPATCHER_TLS_KEY_FILE: "k.pem" }).detail).toContain("DISPATCHER_TLS_CERT_FILE=(default)");
});

test("a file .env says what the environment does not, in either form of a name", async () => {
  await using folder = await aFolder();
  const key = join(folder.path, "key");
  await writeFile(key, "a-key-from-a-file\n");
  await writeFile(
    join(folder.path, ".env"),
    [
      "DISPATCHER_PORT=1234",
      "DISPATCHER_HOST='127.0.0.1' # here",
      "DISPATCHER_QUOTA_MAX=7",
      `DATABASE_URL=postgres://a@b/c`,
    ].join("\n"),
  );
  const { config, sources } = loadConfig(
    { DISPATCHER_PORT: "4321", DISPATCHER_QUOTA_MAX: "", DISPATCHER_ADMIN_KEY_FILE: key },
    folder.path,
  );
  expect(config).toMatchObject({
    DISPATCHER_PORT: 4321,
    DISPATCHER_HOST: "127.0.0.1",
    DISPATCHER_QUOTA_MAX: 32,
    DATABASE_URL: "postgres://a@b/c",
    DISPATCHER_ADMIN_KEY: "a-key-from-a-file",
  });
  expect(Object.fromEntries(sources)).toEqual({
    DISPATCHER_PORT: "environment",
    DISPATCHER_HOST: ".env",
    DATABASE_URL: ".env",
    DISPATCHER_ADMIN_KEY: key,
  });
  // The environment's NAME_FILE is not in conflict with the file's NAME: it wins.
  await writeFile(key, "postgres://other@b/c");
  expect(loadConfig({ DATABASE_URL_FILE: key }, folder.path).config.DATABASE_URL).toBe("postgres://other@b/c");
  expect(loadConfig({ DISPATCHER_ENV_FILE: "none" }, folder.path).config.DISPATCHER_PORT).toBe(8001);
});

test("a file of settings that is named has to be there, and .env may be missing but not unreadable", async () => {
  await using folder = await aFolder();
  const load = (env: Record<string, string>) => () => loadConfig(env, folder.path);
  expect(load({})().sources.size).toBe(0);
  expect(load({ DISPATCHER_ENV_FILE: "prod.env" })).toThrow("DISPATCHER_ENV_FILE=prod.env: cannot be read (ENOENT)");
  await mkdir(join(folder.path, ".env"));
  expect(load({})).toThrow("DISPATCHER_ENV_FILE=.env: cannot be read (EISDIR)");
  await writeFile(join(folder.path, "prod.env"), "DISPATCHER_PORT=99999");
  expect(load({ DISPATCHER_ENV_FILE: "prod.env" })).toThrow("DISPATCHER_PORT=99999: has to be a whole number");
});

test("a name that is no setting is told with the one that was meant, and other programs' names are not", async () => {
  await using folder = await aFolder();
  await writeFile(join(folder.path, ".env"), "DISPATCHER_LEASE_MIN=5\nPOSTGRES_PASSWORD=x\n");
  const { warnings } = loadConfig(
    {
      DISPATCHER_PROT: "1",
      DISPATCHER_COMPLETELY_DIFFERENT_NAME_FOR_NOTHING: "1",
      DISPATCHER_PORT_FILE: "",
      DISPATCHER_AGENT_HOME: "x",
      DISPATCHER_JOIN_TOKEN_FILE: "x",
      DISPATCHER_URL: "x",
      DISPATCHER_PORT_8001_TCP_ADDR: "10.0.0.1",
      DISPATCHER_SERVICE_HOST: "10.0.0.1",
    },
    folder.path,
  );
  expect(warnings).toEqual([
    "DISPATCHER_COMPLETELY_DIFFERENT_NAME_FOR_NOTHING is no setting of the server and was ignored.",
    "DISPATCHER_LEASE_MIN is no setting of the server and was ignored: DISPATCHER_LEASE_MIN_MS is one.",
    "DISPATCHER_PROT is no setting of the server and was ignored: DISPATCHER_PORT is one.",
  ]);
});

test("the settings can be shown, each with its source, no secret among them, and read again", async () => {
  await using folder = await aFolder();
  const given = {
    DISPATCHER_ADMIN_KEY: "an-admin-key-to-hide",
    DATABASE_URL: "postgres://me:pw@h/d",
    DISPATCHER_METRICS: "public",
  };
  await writeFile(
    join(folder.path, ".env"),
    'DISPATCHER_DATA_DIR="a folder # of mine"\nDISPATCHER_CORS_ORIGINS=https://a.example,https://b.example\n',
  );
  const text = showConfig(loadConfig(given, folder.path));
  expect(text).not.toMatch(/an-admin-key|pw@|postgres:/);
  expect(text).toContain("# DISPATCHER_ADMIN_KEY is not shown  # environment\n");
  expect(text).toContain("DISPATCHER_METRICS=public  # environment\n");
  expect(text).toContain("DISPATCHER_PORT=8001  # default\n");
  const again = parseEnv(text);
  const shown = describeSettings()
    .map(({ name }) => name)
    .filter((name) => !/^(DATABASE_URL|DISPATCHER_ADMIN_KEY)$/.test(name));
  expect(Object.keys(again).toSorted()).toEqual(shown.toSorted());
  expect(again["DISPATCHER_DATA_DIR"]).toBe("a folder # of mine");
  expect(again["DISPATCHER_CORS_ORIGINS"]).toBe("https://a.example,https://b.example");
  expect(readConfig(again)).toEqual(
    readConfig({
      DISPATCHER_DATA_DIR: "a folder # of mine",
      DISPATCHER_METRICS: "public",
      DISPATCHER_CORS_ORIGINS: "https://a.example,https://b.example",
    }),
  );
});

/** `UPDATE_DOCS=1` writes it instead; `pnpm format` then sets the columns. */
test("docs/configuration.md has every setting as it is", async () => {
  const path = join(import.meta.dirname, "../../../docs/configuration.md");
  const page = await readFile(path, "utf8");
  const [begin, end] = ["<!-- settings: generated -->", "<!-- settings: end -->"];
  const [before = "", rest = ""] = page.split(begin);
  const [table = "", after = ""] = rest.split(end);
  const made = [...Map.groupBy(describeSettings(), ({ section }) => section)]
    .map(([section, settings]) =>
      [
        `### ${section}`,
        "",
        "| setting | default | what it is for | allowed |",
        "| --- | --- | --- | --- |",
        ...settings.map((one) => `| \`${one.name}\` | ${one.fallback} | ${one.meaning} | ${one.allowed} |`),
      ].join("\n"),
    )
    .join("\n\n");
  if (process.env["UPDATE_DOCS"] === "1") {
    await writeFile(path, `${before}${begin}\n\n${made}\n\n${end}${after}`);
    return;
  }
  expect(plain(table)).toBe(plain(made));
});

test("every setting has a meaning", () => {
  for (const { name, meaning } of describeSettings()) expect(meaning, name).not.toBe("");
});
