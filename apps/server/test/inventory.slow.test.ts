/** What a node holds and what is on record part ways, and come together again by themselves. */
import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { startOrigin, waitFor } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { Rescue, randomFiles } from "./support/rescue.ts";
import type { StoryAgent } from "./support/rescue.ts";

type CopyRow = { readonly node: string; readonly path: string; readonly assetId: string };

async function readRows({ sql }: Rescue): Promise<readonly CopyRow[]> {
  return sql<CopyRow[]>`
    select n.name as node, a.path, a.id::text as "assetId"
      from replicas r join nodes n on n.id = r.node_id join assets a on a.id = r.asset_id order by n.id, a.id`;
}

/** What the agents have on disk, in the form of the rows. */
async function readDisks(agents: readonly StoryAgent[]): Promise<readonly string[]> {
  const held = agents.map(async ({ name, home }) => (await readdir(join(home, "files"))).map((id) => `${name} ${id}`));
  return (await Promise.all(held)).flat().toSorted();
}

const inForm = (rows: readonly CopyRow[]): readonly string[] =>
  rows.map(({ node, assetId }) => `${node} ${assetId}`).toSorted();

test("a file that is deleted by hand is missed at the next start, and made anew by another node", async () => {
  const files = randomFiles({ "a.csv": 20_000, "b.csv": 30_000, "c.csv": 0 });
  await using origin = await startOrigin({ files });
  await using rescue = await Rescue.start();
  await rescue.importFiles(origin.url, files);
  const ada = await rescue.addAgent("ada");
  const ben = await rescue.addAgent("ben");
  await rescue.waitUntilSaved(2);
  const lost = (await readRows(rescue)).find(({ node, path }) => node === "ada" && path === "a.csv");
  await ada.process.stop();
  await rm(join(ada.home, "files", lost?.assetId ?? "", "a.csv"));
  await rescue.addAgent("cleo");
  await rescue.restart(ada);

  await ada.process.waitForEvent("copies.missing");
  const sent = await ada.process.waitForEvent("inventory.sent");
  expect(sent).toMatchObject({ copies: 2, dropped: 1, adopted: 0, deleted: 0, notCounted: 0 });
  await waitFor("the copy to be made anew", async () => (await readRows(rescue)).length === 6);
  await rescue.waitUntilSaved(2);
  const copies = await rescue.readCopies();
  for (const { path, bytes } of copies) expect(bytes).toEqual(files.get(path));
  expect(copies.filter(({ path }) => path === "a.csv").map(({ node }) => node)).toContain("ben");
  await ben.process.stop();
  expect(await rescue.imbalances()).toEqual([]);
});

test("copies that an older database knows nothing of are adopted without being fetched again", async () => {
  const files = randomFiles({ "a.csv": 20_000, "b.csv": 30_000 });
  await using origin = await startOrigin({ files });
  await using rescue = await Rescue.start({ DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MIN: "1" });
  await rescue.importFiles(origin.url, files);
  const ada = await rescue.addAgent("ada");
  await rescue.waitUntilSaved(1);
  await ada.process.stop();
  const before = await readRows(rescue);
  const fetched = origin.requests.length;

  // The database is one from before these copies were granted.
  await rescue.sql`delete from assignments`;
  await rescue.sql`update nodes set held_bytes = 0, held_copies = 0, held_digest = decode(repeat('00', 32), 'hex')`;
  await rescue.sql`update standings set due_at = now()`;
  await rescue.waitForAsset("a.csv", "without a copy", ({ copies }) => copies === 0);
  await rescue.restart(ada, ["--concurrency", "1"]);
  await rescue.waitUntilSaved(1);
  await waitFor("the two to agree", async () => (await readRows(rescue)).length === 2);

  expect(await readRows(rescue)).toEqual(before);
  expect(origin.requests).toHaveLength(fetched);
  expect(inForm(await readRows(rescue))).toEqual(await readDisks(rescue.agents));
  const copies = await rescue.readCopies();
  for (const { path, bytes } of copies) expect(bytes).toEqual(files.get(path));
  expect(await rescue.imbalances()).toEqual([]);
});

test("copies that are too many are deleted, and an agent killed on the way does it at its next start", async () => {
  const files = randomFiles(Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`f${index}.csv`, 1000])));
  await using origin = await startOrigin({ files });
  const one = { DISPATCHER_COPIES_MIN: "1", DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MAX: "1" };
  await using rescue = await Rescue.start(one);
  await rescue.importFiles(origin.url, files);
  const ada = await rescue.addAgent("ada", ["--concurrency", "6"]);
  await rescue.waitUntilSaved(1);
  await ada.process.stop();
  const digests = [...files.values()].map((bytes) => createHash("sha256").update(bytes).digest("hex"));
  expect(new Set(digests).size).toBe(40);

  // While ada was away the database was set back, and ben has made the copies.
  await rescue.sql`delete from assignments`;
  await rescue.sql`update nodes set held_bytes = 0, held_copies = 0, held_digest = decode(repeat('00', 32), 'hex')`;
  await rescue.sql`update standings set due_at = now()`;
  await rescue.waitForAsset("f0.csv", "without a copy", ({ copies }) => copies === 0);
  await rescue.addAgent("ben", ["--concurrency", "6"]);
  await rescue.waitUntilSaved(1);

  await rescue.restart(ada);
  await ada.process.waitForEvent("copy.deleted");
  await ada.process.kill();
  await rescue.restart(ada);
  await waitFor("ada to have nothing left", async () => (await readdir(join(ada.home, "files"))).length === 0);
  expect(inForm(await readRows(rescue))).toEqual(await readDisks(rescue.agents));
  expect(await rescue.imbalances()).toEqual([]);
});
