import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { NodeId } from "@dispatcher/core";
import { onTestFinished } from "vitest";
import type { z } from "zod";
import { createApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { ADMIN_COMMAND } from "../../src/services/authenticate.ts";
import type { AssetImportInput } from "../../src/wire/asset.ts";
import { findImbalances } from "./find-imbalances.ts";
import { SecretWatch } from "./secret-watch.ts";
import { createTestDatabase } from "./test-database.ts";
import type { TestDatabase } from "./test-database.ts";

type Entry = z.output<typeof AssetImportInput>["entries"][number];

export const ADMIN_KEY = "an-admin-key-for-tests";

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The text, read as JSON. */
  readonly body: Record<string, unknown>;
};

export type RestApp = {
  readonly url: string;
  readonly app: App;
  readonly database: TestDatabase;
  readonly secrets: SecretWatch;
  /** POST JSON, or a text as it is. */
  post(path: string, body: unknown, key?: string, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  get(path: string, key?: string): Promise<Answer>;
  joinToken(operator?: string, uses?: number): Promise<string>;
  /** Import assets `f0`, `f1`, ... of 1 MB without a digest; `change` alters each. */
  addAssets(count: number, change?: (index: number) => Partial<Entry>): Promise<void>;
  /** Faults in counters and ledgers; empty when everything balances. */
  imbalances(): Promise<readonly string[]>;
};

function withKey(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

/** The server's doors over a database of their own, on a port of 127.0.0.1; closed when the test ends. */
export async function startRestApp(env: Readonly<Record<string, string>> = {}): Promise<RestApp> {
  const database = await createTestDatabase();
  const secrets = new SecretWatch();
  const config = readConfig({
    // The fuzz calls thousands of times from one address.
    DISPATCHER_RATE_READS_PER_MINUTE: "0",
    DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
    DISPATCHER_RATE_JOINS_PER_MINUTE: "0",
    DISPATCHER_LOOP_DELAY_MAX_MS: "0",
    DISPATCHER_ADMIN_KEY: ADMIN_KEY,
    DISPATCHER_ORIGIN_CONCURRENCY: "10",
    DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "60000",
    DISPATCHER_RETRY_BASE_MS: "0",
    ...env,
  });
  const app = createApp(config, database.db, secrets.log);
  secrets.watch(app.services);
  onTestFinished(async () => {
    app.http.server.closeAllConnections();
    await app.http.close();
    await database[Symbol.asyncDispose]();
  });
  const url = await app.http.listen({ host: "127.0.0.1", port: 0 });
  const call = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    const body = isJson && text !== "" ? (JSON.parse(text) as Answer["body"]) : {};
    return { status: response.status, headers: response.headers, text, body };
  };
  return {
    url,
    app,
    database,
    secrets,
    post: (path, body, key, headers = {}) =>
      call(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...withKey(key), ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    get: (path, key) => call(path, { headers: withKey(key) }),
    joinToken: async (operator = "ada", uses = 1) =>
      (await app.services.createJoinToken({ operator, uses, lifeMs: 60_000 }, ADMIN_COMMAND)).joinToken,
    addAssets: async (count, change = () => ({})) => {
      const entries = Array.from({ length: count }, (_, index): Entry => {
        const path = `data/f${index}.csv`;
        return {
          place: `[${index}]`,
          path,
          url: `https://origin.example/${path}`,
          sizeBytes: 2 ** 20,
          digest: null,
          mediaType: null,
          priority: null,
          removeByMs: null,
          ...change(index),
        };
      });
      await app.services.importAssets({ dataset: { key: "climate", title: null, sourceUrl: null }, entries });
    },
    imbalances: () => findImbalances(database.sql, config.DISPATCHER_ORIGIN_CONCURRENCY),
  };
}

/** A node that joined over REST, with its key. */
export async function joinOverRest(
  rest: RestApp,
  { name = "attic", freeGb = 1, operator = "ada" }: { name?: string; freeGb?: number; operator?: string } = {},
): Promise<{ readonly nodeId: NodeId; readonly key: string; readonly answer: Answer }> {
  const token = await rest.joinToken(operator);
  const answer = await rest.post("/dispatch", { name, description: "test", free_space_gb: freeGb }, token);
  const key = answer.headers.get("dispatcher-node-key") ?? "";
  rest.secrets.add(key);
  return { nodeId: (answer.headers.get("dispatcher-node-id") ?? "") as NodeId, key, answer };
}

const run = promisify(execFile);

/** What the real curl prints, with the status behind it on a line of its own. */
export async function curl(...args: readonly string[]): Promise<{ readonly status: number; readonly text: string }> {
  const { stdout } = await run("curl", ["--silent", "--show-error", "--write-out", "\n%{http_code}", ...args]);
  const end = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(end + 1)), text: stdout.slice(0, end) };
}
