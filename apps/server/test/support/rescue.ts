/** A rescue on this machine for stories: a server, an origin with files, agents; all of them real processes. */
import { randomBytes } from "node:crypto";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { joinAgent, runAdmin, startAgent, startServer, waitFor } from "@dispatcher/testbed";
import type { Child, ServerProcess } from "@dispatcher/testbed";
import type { Sql } from "../../src/db/database.ts";
import { findImbalances } from "./find-imbalances.ts";
import { createTestDatabase } from "./test-database.ts";

/** Short times, so that a story takes seconds; generous budgets, so that only what a story is about holds it up. */
const ENV = {
  LOG_LEVEL: "DEBUG",
  DISPATCHER_SYNC_INTERVAL_MS: "500",
  DISPATCHER_SWEEP_INTERVAL_MS: "200",
  DISPATCHER_RESTART_MERCY_MS: "0",
  DISPATCHER_LEASE_MIN_MS: "60000",
  DISPATCHER_LEASE_GRACE_MS: "0",
  DISPATCHER_RETRY_BASE_MS: "100",
  DISPATCHER_ORIGIN_CONCURRENCY: "20",
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "100000",
  DISPATCHER_COPIES_TARGET: "2",
};

export type StoryAgent = { readonly home: string; readonly name: string; process: Child };

export type AssetRow = {
  readonly path: string;
  readonly state: string;
  readonly copies: number;
  readonly failures: readonly string[];
};

/** Files of random bytes, by path. */
export function randomFiles(sizeByPath: Readonly<Record<string, number>>): ReadonlyMap<string, Buffer> {
  return new Map(Object.entries(sizeByPath).map(([path, size]) => [path, randomBytes(size)]));
}

export class Rescue implements AsyncDisposable {
  readonly server: ServerProcess;
  readonly sql: Sql;
  readonly databaseUrl: string;
  readonly folder: string;
  readonly agents: StoryAgent[] = [];
  readonly #env: Readonly<Record<string, string>>;
  readonly #disposables = new AsyncDisposableStack();

  private constructor(
    server: ServerProcess,
    database: { readonly url: string; readonly sql: Sql },
    folder: string,
    env: Readonly<Record<string, string>>,
  ) {
    this.server = server;
    this.#env = env;
    this.sql = database.sql;
    this.databaseUrl = database.url;
    this.folder = folder;
  }

  static async start(env: Readonly<Record<string, string>> = {}): Promise<Rescue> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "dispatcher-story-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const database = stack.use(await createTestDatabase());
    const settings = { ...ENV, ...env };
    const server = stack.use(await startServer({ database: { databaseUrl: database.url }, env: settings }));
    const rescue = new Rescue(server, database, folder, settings);
    rescue.#disposables.use(stack.move());
    return rescue;
  }

  /** Import files of an origin, with their true sizes and digests, as a coordinator would: by the admin command. */
  async importFiles(originUrl: string, files: ReadonlyMap<string, Buffer>, dataset = "story"): Promise<void> {
    const list = [...files].map(([path, bytes]) => ({
      path,
      url: new URL(path, `${originUrl}/`).href,
      size_bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    }));
    const catalog = join(this.folder, `${dataset}.json`);
    await writeFile(catalog, JSON.stringify(list));
    const { exitCode, stderr } = await runAdmin(["import", catalog, "--dataset", dataset], {
      database: { databaseUrl: this.databaseUrl },
      env: this.#env,
    });
    if (exitCode !== 0) throw new Error(`The import ended with ${exitCode}: ${stderr}`);
  }

  async createJoinToken(operator: string): Promise<string> {
    const made = await runAdmin(["token", "create", "--operator", operator, "-o", "json"], {
      database: { databaseUrl: this.databaseUrl },
    });
    return (JSON.parse(made.stdout) as { joinToken: string }).joinToken;
  }

  /** Join an agent of an operator of its own and start it. */
  async addAgent(name: string, args: readonly string[] = []): Promise<StoryAgent> {
    const joinToken = await this.createJoinToken(name);
    const home = join(this.folder, name);
    await joinAgent({ home, url: this.server.url, joinToken, name, capacity: "100MB" });
    const agent: StoryAgent = { home, name, process: await startAgent({ home, args, env: { LOG_LEVEL: "DEBUG" } }) };
    this.#disposables.defer(() => agent.process[Symbol.asyncDispose]());
    this.agents.push(agent);
    return agent;
  }

  /** Faults in counters and ledgers; empty when everything balances. */
  imbalances(): Promise<readonly string[]> {
    return findImbalances(this.sql, Number(ENV.DISPATCHER_ORIGIN_CONCURRENCY));
  }

  /** Start the agent again after it was killed. */
  async restart(agent: StoryAgent, args: readonly string[] = []): Promise<void> {
    agent.process = await startAgent({ home: agent.home, args, env: { LOG_LEVEL: "DEBUG" } });
  }

  /** How each asset stands, by path. */
  async assets(): Promise<ReadonlyMap<string, AssetRow>> {
    const rows = await this.sql<AssetRow[]>`
      select a.path, s.state, s.independent_copies as copies,
             coalesce(array_to_json((select array_agg(x.failure_code order by x.id) from assignments x
                                      where x.asset_id = a.id and x.state = 'failed')), '[]') as failures
        from assets a join standings s on s.asset_id = a.id`;
    return new Map(rows.map((row) => [row.path, row]));
  }

  /** Wait until `isThere` holds for an asset. */
  async waitForAsset(path: string, what: string, isThere: (asset: AssetRow) => boolean): Promise<AssetRow> {
    return waitFor(
      `${path} to be ${what}`,
      async () => {
        const asset = (await this.assets()).get(path);
        return asset !== undefined && isThere(asset) ? asset : false;
      },
      { timeoutMs: 120_000 },
    );
  }

  /** Wait until every asset has so many copies; a failure tells what became of the others. */
  async waitUntilSaved(copies: number, timeoutMs = 120_000): Promise<void> {
    const missing = async (): Promise<AssetRow[]> =>
      [...(await this.assets()).values()].filter((asset) => asset.copies < copies);
    try {
      await waitFor("every file to be saved", async () => (await missing()).length === 0, { timeoutMs });
    } catch (cause) {
      const open = await this.sql`
        select n.name as node, a.path, x.state, x.bytes_done, x.lease_expires_at
          from assignments x join assets a on a.id = x.asset_id join nodes n on n.id = x.node_id
         where x.lease_expires_at is not null`;
      throw new Error(`Not saved: ${JSON.stringify(await missing())}. Open: ${JSON.stringify(open)}.`, { cause });
    }
  }

  /** The files that the database says are on a node, read from the node's disk. */
  async readCopies(): Promise<readonly { readonly path: string; readonly node: string; readonly bytes: Buffer }[]> {
    const rows = await this.sql<{ path: string; node: string; assetId: string }[]>`
      select a.path, n.name as node, a.id::text as "assetId"
        from replicas r join assets a on a.id = r.asset_id join nodes n on n.id = r.node_id`;
    return Promise.all(
      rows.map(async ({ path, node, assetId }) => {
        const home = this.agents.find((agent) => agent.name === node)?.home ?? "";
        return { path, node, bytes: await readFile(join(home, "files", assetId, path)) };
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposables.disposeAsync();
  }
}
