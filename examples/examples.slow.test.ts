/** The examples do what they say, on a server with a PostgreSQL of its own. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { childEnvironment, startScript, startServer } from "@dispatcher/testbed";
import type { Environment } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";

const ADMIN_KEY = "an-admin-key-for-tests";

async function start() {
  const dataDir = await mkdtemp(join(tmpdir(), "examples-"));
  const server = await startServer({ database: { dataDir }, env: { DISPATCHER_ADMIN_KEY: ADMIN_KEY } });
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true });
  });
  return { dataDir, url: server.url };
}

/** Run a TypeScript example to its end; answers what it printed, line by line. */
async function run(
  example: string,
  { args = [], env }: { readonly args?: readonly string[]; readonly env: Environment },
) {
  const child = startScript(join(import.meta.dirname, example), { args, env });
  const { code } = await child.exited;
  return { code, output: child.output, errors: child.errors };
}

test("on the database: a catalog is taken in once, and what is in danger is told", async () => {
  const { dataDir } = await start();
  const env = { DISPATCHER_DATA_DIR: dataDir };
  const dangers = ["sea-ice.csv: 0 of 3 copies, priority 9", "tides.csv: 0 of 3 copies, priority 9"];
  expect(await run("on-the-database.ts", { env })).toEqual({
    code: 0,
    output: ["2 taken, 0 unchanged", "priority 9, 3 copies wanted", ...dangers],
    errors: [],
  });
  const again = await run("on-the-database.ts", { env });
  expect(again.output).toEqual(["0 taken, 2 unchanged", "priority 9, 3 copies wanted", ...dangers]);
});

test("the typed client: progress, pages, a mutation and its event; a wrong key is an error with a code", async () => {
  const { dataDir, url } = await start();
  await run("on-the-database.ts", { env: { DISPATCHER_DATA_DIR: dataDir } });
  const told = ["2 files, 0 of 6 copies", "to do: example/sea-ice.csv", "to do: example/tides.csv"];
  expect(await run("typed-client.ts", { args: [url], env: {} })).toEqual({ code: 0, output: told, errors: [] });
  const acted = await run("typed-client.ts", { args: [url], env: { DISPATCHER_KEY: ADMIN_KEY } });
  expect(acted).toMatchObject({ code: 0, errors: [] });
  expect(acted.output).toEqual([...told, "heard token.revoked: it was an example"]);
  const refused = await run("typed-client.ts", { args: [url], env: { DISPATCHER_KEY: "wrong" } });
  expect(refused.code).toBe(77);
  expect(refused.errors).toEqual([expect.stringMatching(/^KEY_INVALID: /)]);
});

test("plain curl: health, progress, and with a key an import and a mistake", async () => {
  const { url } = await start();
  const curl = async (env: Environment): Promise<string> => {
    const script = join(import.meta.dirname, "plain-curl.sh");
    const { stdout } = await promisify(execFile)(script, [url], { env: childEnvironment(env) });
    return stdout;
  };
  const read = await curl({});
  expect(read).toContain('{"status":"ok"');
  expect(read).toContain('"assets":{"total":0');
  expect(read).not.toContain("take in one file");
  const acted = await curl({ DISPATCHER_KEY: ADMIN_KEY });
  expect(acted).toContain('{"taken":1,"updated":0,"unchanged":0,"skipped":[]}');
  expect(acted).toContain('"code":"ASSET_UNKNOWN"');
  expect(acted).toMatch(/\(curl: 22\)\n$/);
  expect(await curl({ DISPATCHER_KEY: ADMIN_KEY })).toContain('{"taken":0,"updated":0,"unchanged":1,"skipped":[]}');
});
