/** Disks that really fill: under an agent in the middle of a file, and under PostgreSQL in the middle of the work. */
import { userInfo } from "node:os";
import { join } from "node:path";
import { joinAgent, runAdmin, startAgent, startOrigin, startServer, waitFor } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { openDatabase } from "../src/db/database.ts";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";
import { findImbalances } from "./support/find-imbalances.ts";
import { Rescue, randomFiles } from "./support/rescue.ts";
import { mountSmallDisk } from "./support/small-disk.ts";
import { silentLog } from "./support/test-database.ts";

/** A disk of one's own has to be mounted. */
const isRoot = userInfo().uid === 0;
const MB = 2 ** 20;

test.runIf(isRoot)(
  "an agent whose disk fills in the middle of a file says so, and saves it when there is room again",
  async () => {
    await using disk = await mountSmallDisk(16 * MB);
    await using rescue = await Rescue.start({ DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_TARGET: "1" });
    const files = randomFiles({ "large.bin": 6 * MB });
    await using origin = await startOrigin({ files, bytesPerSecond: 2 * MB });
    await rescue.importFiles(origin.url, files);
    const home = join(disk.path, "ada");
    const joinToken = await rescue.createJoinToken("ada");
    await joinAgent({ home, url: rescue.server.url, joinToken, name: "ada", capacity: "10MB" });
    await using agent = await startAgent({ home });
    await waitFor("some of the file to be there", () => Promise.resolve(origin.bytesServed > MB));
    await disk.fill();
    const { failures } = await rescue.waitForAsset(
      "large.bin",
      "refused by the disk",
      (asset) => asset.failures.length > 0,
    );
    expect(failures).toEqual(["DISK_FULL"]);
    expect(agent.isRunning).toBe(true);
    await disk.empty();
    await rescue.waitUntilSaved(1);
    expect(await rescue.imbalances()).toEqual([]);
  },
);

/** A call over tRPC; answers what it said, or the code it was refused with. */
async function call(
  url: string,
  path: string,
  input: unknown,
  key: string,
): Promise<{ readonly data?: unknown; readonly code?: string }> {
  const response = await fetch(`${url}/trpc/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ json: input }),
  });
  const body = (await response.json()) as {
    result?: { data: { json: unknown } };
    error?: { json: { data: { dispatcher: { code: string } } } };
    code?: string;
  };
  if (body.result !== undefined) return { data: body.result.data.json };
  return { code: body.error?.json.data.dispatcher.code ?? body.code ?? "none" };
}

/** A thousand of a catalog. */
const entries = (from: number) =>
  Array.from({ length: 1000 }, (_, index) => ({
    place: String(index),
    path: `f${from + index}`,
    url: `https://origin.example/${"x".repeat(400)}/${from + index}`,
    sizeBytes: 100,
    digest: null,
    mediaType: null,
    priority: null,
    removeByMs: null,
  }));

type Grant = { readonly assignmentId: string; readonly term: number };

test.runIf(isRoot)(
  "a PostgreSQL whose disk fills refuses what it cannot keep, loses nothing, and goes on when there is room again",
  async () => {
    await using disk = await mountSmallDisk(320 * MB);
    const dataDir = join(disk.path, "data");
    const adminKey = "an-admin-key-of-this-test";
    await using server = await startServer({
      database: { dataDir },
      env: {
        DISPATCHER_ADMIN_KEY: adminKey,
        DISPATCHER_ORIGIN_CONCURRENCY: "1000",
        DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "1000000",
        DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
        DISPATCHER_QUOTA_MAX: "1000",
      },
    });
    const importFrom = (from: number) =>
      call(
        server.url,
        "asset.import",
        { dataset: { key: "d", title: null, sourceUrl: null }, entries: entries(from) },
        adminKey,
      );
    expect(await importFrom(0)).toMatchObject({ data: { taken: 1000 } });
    const { stdout } = await runAdmin(["token", "create", "--operator", "ada", "-o", "json"], {
      database: { dataDir },
    });
    const { joinToken } = JSON.parse(stdout) as { joinToken: string };
    const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1e9 };
    const joined = await call(server.url, "node.join", { joinToken, name: "one", ...facts }, adminKey);
    const { key } = joined.data as { key: string };

    const refusals: (string | undefined)[] = [];
    let finished: unknown[] = [];
    let accepted = 0;
    /** One sync of a node that finishes all it gets; false where it was refused, and then it says the same again. */
    const sync = async (): Promise<boolean> => {
      const report = { open: [], failed: [], released: [], finished, wants: 50, freeBytes: 1e9 };
      const answer = await call(server.url, "node.sync", { ...facts, ...report }, key);
      if (answer.data === undefined) {
        refusals.push(answer.code);
        return false;
      }
      const { reports, grants } = answer.data as { reports: { outcome: string }[]; grants: Grant[] };
      expect(reports.filter(({ outcome }) => outcome === "rejected")).toEqual([]);
      // Said anew where no answer came: it is `repeated` where it was heard all the same.
      accepted += reports.length;
      const copy = { sizeBytes: 100, sha256: "ab".repeat(32), digest: null, etag: null, lastModified: null };
      finished = grants.map(({ assignmentId, term }) => ({
        assignmentId,
        term,
        ...copy,
        fetchMs: 1,
        fetchedBytes: 100,
      }));
      return true;
    };
    for (let turn = 0; turn < 5; turn += 1) expect(await sync()).toBe(true);

    await disk.fill();
    let imported = 1000;
    await waitFor("PostgreSQL to run out of room", async () => {
      const answer = await importFrom(imported);
      if (answer.data === undefined) {
        refusals.push(answer.code);
      } else imported += 1000;
      await sync();
      return refusals.length >= 3;
    });
    expect(server.isRunning).toBe(true);
    expect(new Set(refusals)).toEqual(new Set(["DATABASE_UNAVAILABLE"]));

    await disk.empty();
    await waitFor("the node to be heard again", sync, { timeoutMs: 90_000, everyMs: 500 });
    for (let turn = 0; turn < 5; turn += 1) expect(await sync()).toBe(true);
    await using postgres = await startEmbeddedPostgres({ dataDir, log: silentLog });
    await using db = openDatabase({ url: postgres.url, applicationName: "test", poolSize: 2, log: silentLog });
    const [counts] = await db.sql<[{ copies: number; assets: number }]>`
    select (select count(*) from replicas) as copies, (select count(*) from assets) as assets`;
    expect(counts.copies).toBe(accepted);
    expect(counts.assets).toBeGreaterThanOrEqual(imported);
    expect(await findImbalances(db.sql, 1000)).toEqual([]);
  },
);
