import { DEFAULT_VETTING, compareIds, holdingOf } from "@dispatcher/core";
import type { Holding, NodeId } from "@dispatcher/core";
import { expect, onTestFinished } from "vitest";
import type { z } from "zod";
import { readConfig } from "../../src/config.ts";
import type { Sql } from "../../src/db/database.ts";
import { assembleDependencies } from "../../src/services/dependencies.ts";
import type { Dependencies } from "../../src/services/dependencies.ts";
import { hashText } from "../../src/services/hash-text.ts";
import { createServices } from "../../src/services/index.ts";
import type { Services } from "../../src/services/index.ts";
import type { AssetImportInput } from "../../src/wire/asset.ts";
import type { NodeInventoryInput, NodeInventoryOutput, NodeSyncInput, NodeSyncOutput } from "../../src/wire/node.ts";
import { findImbalances } from "./find-imbalances.ts";
import { SecretWatch } from "./secret-watch.ts";
import { createTestDatabase } from "./test-database.ts";
import type { TestDatabase } from "./test-database.ts";
import { ADMIN_COMMAND } from "../../src/services/authenticate.ts";

type SyncInput = z.output<typeof NodeSyncInput>;
type SyncOutput = z.output<typeof NodeSyncOutput>;
export type Grant = SyncOutput["grants"][number];
type InventoryPage = z.output<typeof NodeInventoryInput>;
type InventoryAnswer = z.output<typeof NodeInventoryOutput>;
export type ListedCopy = InventoryPage["copies"][number];
type Entry = z.output<typeof AssetImportInput>["entries"][number];

/** The digest of every file in these tests, unless a test says otherwise. */
export const SHA256 = "ab".repeat(32);

export type TestNode = {
  readonly nodeId: NodeId;
  readonly operator: string;
  /** Sync as a node with nothing to say and no wishes, but for what is given. */
  sync(said?: Partial<SyncInput>): Promise<SyncOutput>;
  /** Ask for work; answers the grants. */
  claim(wants?: number): Promise<readonly Grant[]>;
  /** Tell an inventory of one page, as of now unless told otherwise. */
  list(copies: readonly ListedCopy[], page?: Partial<InventoryPage>): Promise<InventoryAnswer>;
};

/** What a node says of the copy that it made of a grant's asset. */
export function listed({ asset }: Pick<Grant, "asset">, changes: Partial<ListedCopy> = {}): ListedCopy {
  const { id: assetId, sizeBytes } = asset;
  return {
    assetId,
    sizeBytes: sizeBytes ?? 100,
    sha256: SHA256,
    digest: null,
    etag: null,
    lastModified: null,
    ...changes,
  };
}

/** What a node with these copies says of them in a sync. */
export function holdingOfAll(copies: readonly ListedCopy[]): Holding {
  return holdingOf(copies, hashText);
}

/** A report that the asset of a grant is saved. */
export function finished(
  grant: Grant,
  changes: Partial<SyncInput["finished"][number]> = {},
): SyncInput["finished"][number] {
  const { assignmentId, term, asset } = grant;
  const sizeBytes = asset.sizeBytes ?? 100;
  const sent = { etag: null, lastModified: null, fetchMs: 10, fetchedBytes: sizeBytes };
  return { assignmentId, term, sizeBytes, sha256: SHA256, digest: null, ...sent, ...changes };
}

/** A report that it could not be. */
export function failed(grant: Grant, code: SyncInput["failed"][number]["code"]): SyncInput["failed"][number] {
  return { assignmentId: grant.assignmentId, term: grant.term, code, message: `test: ${code}` };
}

/** What a node says of a grant it works on. */
export function open(grant: Grant, bytesDone = 0, wantBytes?: number): SyncInput["open"][number] {
  const { assignmentId, term } = grant;
  const state = bytesDone > 0 ? "running" : "waiting";
  return { assignmentId, term, state, bytesDone, ...(wantBytes === undefined ? {} : { wantBytes }) };
}

export class TestDispatcher implements AsyncDisposable {
  readonly services: Services;
  readonly dependencies: Dependencies;
  /** What is logged, and the secrets that are made: none of these may be in it when the test ends. */
  readonly secrets = new SecretWatch();
  readonly #database: TestDatabase;

  constructor(database: TestDatabase, env: Readonly<Record<string, string>>) {
    this.#database = database;
    const config = readConfig({
      DISPATCHER_ORIGIN_CONCURRENCY: "10",
      DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "60000",
      DISPATCHER_COPIES_TARGET: "2",
      DISPATCHER_RETRY_BASE_MS: "0",
      DISPATCHER_RESTART_MERCY_MS: "0",
      ...env,
    });
    this.dependencies = assembleDependencies({
      db: database.db,
      config,
      log: this.secrets.log,
      vetting: DEFAULT_VETTING,
      random: () => 0.5,
    });
    this.services = this.secrets.watch(createServices(this.dependencies));
  }

  get sql(): Sql {
    return this.#database.sql;
  }

  /** Of its database, for processes started by the test. */
  get url(): string {
    return this.#database.url;
  }

  /** Import `count` assets `f0`, `f1`, ... of 100 bytes with a declared digest; `change` alters each. */
  async addAssets(count: number, change: (index: number) => Partial<Entry> = () => ({})): Promise<void> {
    const entries = Array.from({ length: count }, (_, index): Entry => {
      const path = `f${index}`;
      return {
        place: `[${index}]`,
        path,
        url: `https://origin.example/${path}`,
        sizeBytes: 100,
        digest: { algorithm: "sha256", hex: SHA256 },
        mediaType: null,
        priority: null,
        removeByMs: null,
        ...change(index),
      };
    });
    await this.services.importAssets({ dataset: { key: "test", title: null, sourceUrl: null }, entries });
  }

  /** A node of an operator, which offers 10,000 bytes and calls the first server unless told otherwise. */
  async join(
    operator: string,
    offer: { readonly offeredBytes?: number; readonly name?: string; readonly services?: Services } = {},
  ): Promise<TestNode> {
    const { offeredBytes = 10_000, name = `${operator}-1`, services = this.services } = offer;
    const { joinToken } = await this.services.createJoinToken({ operator, uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
    const facts = { agentVersion: "1.0.0", schemes: ["http", "https"], marginBytes: 0, offeredBytes };
    const { nodeId } = await this.services.joinNode({ joinToken, name, ...facts }, null);
    const sync: TestNode["sync"] = (said = {}) =>
      services.syncNode({
        nodeId,
        network: null,
        input: { ...facts, freeBytes: 1e9, wants: 0, open: [], finished: [], failed: [], released: [], ...said },
      });
    const list: TestNode["list"] = (copies, page = {}) =>
      services.reconcileInventory({
        nodeId,
        page: {
          page: 1,
          pages: 1,
          asOfMs: Date.now() + 3_600_000,
          afterId: null,
          upToId: null,
          copies: copies.toSorted((a, b) => compareIds(a.assetId, b.assetId)),
          ...page,
        },
      });
    return { nodeId, operator, sync, claim: async (wants = 1) => (await sync({ wants })).grants, list };
  }

  /** Another server on the same database. */
  another(): { readonly services: Services; hearLog(): Promise<void> } {
    const { db, config, log, vetting, random } = this.dependencies;
    const dependencies = assembleDependencies({ db, config, log, vetting, random });
    return { services: createServices(dependencies), hearLog: () => dependencies.feeder.prepare(0, { isFresh: true }) };
  }

  /** Let the server read the log of events now, as it does at the latest when what it knows is half a second old. */
  hearLog(): Promise<void> {
    return this.dependencies.feeder.prepare(0, { isFresh: true });
  }

  /** Faults in counters and ledgers; empty when everything balances. */
  imbalances(): Promise<readonly string[]> {
    return findImbalances(this.sql, this.dependencies.config.DISPATCHER_ORIGIN_CONCURRENCY);
  }

  /** Let every open lease end now, as if its time had passed. */
  async endLeases(): Promise<void> {
    await this.sql`
      with leases as (
        update assignments set lease_expires_at = now() - interval '1 day' where lease_expires_at is not null)
      update nodes set lease_due_at = now() - interval '1 day' where lease_due_at is not null`;
  }

  /** Let a node have been silent for so long. */
  async silence(nodeId: NodeId, ms: number): Promise<void> {
    await this.sql`update nodes set last_sync_at = now() - ${ms} * interval '1 millisecond' where id = ${nodeId}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
    const [leak] = this.secrets.leaks();
    if (leak !== undefined) throw new Error(`A secret is in the log: ${leak}`);
  }
}

/** A dispatcher of its own: a fresh database and the services over it. */
export async function startTestDispatcher(env: Readonly<Record<string, string>> = {}): Promise<TestDispatcher> {
  return new TestDispatcher(await createTestDatabase(), env);
}

/** The same, whose ledgers and counters have to balance when the test ends. */
export async function startBalanced(env: Readonly<Record<string, string>> = {}): Promise<TestDispatcher> {
  const dispatcher = await startTestDispatcher(env);
  onTestFinished(async () => {
    const faults = await dispatcher.imbalances();
    await dispatcher[Symbol.asyncDispose]();
    expect(faults).toEqual([]);
  });
  return dispatcher;
}
