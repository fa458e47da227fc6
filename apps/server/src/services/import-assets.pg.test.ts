import type { AssetId } from "@dispatcher/core";
import { expect, test } from "vitest";
import { finished, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../test/support/test-dispatcher.ts";
import { renewStandings } from "./renew-standings.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

type ImportInput = Parameters<TestDispatcher["services"]["importAssets"]>[0];

function entry(path: string, changes: Partial<ImportInput["entries"][number]> = {}): ImportInput["entries"][number] {
  const facts = { sizeBytes: 10, digest: null, mediaType: null, priority: null, removeByMs: null };
  return { place: path, path, url: `https://origin.example/${path}`, ...facts, ...changes };
}

function catalog(entries: ImportInput["entries"], dataset: Partial<ImportInput["dataset"]> = {}): ImportInput {
  return { dataset: { key: "noaa", title: "NOAA", sourceUrl: null, ...dataset }, entries };
}

test("importing the same again changes nothing", async () => {
  const { services } = await startBalanced();
  const input = catalog([entry("a"), entry("b")]);
  expect(await services.importAssets(input)).toEqual({ taken: 2, updated: 0, unchanged: 0, skipped: [] });
  expect(await services.importAssets(input)).toEqual({ taken: 0, updated: 0, unchanged: 2, skipped: [] });
});

test("changed facts are updated while nobody holds the asset", async () => {
  const { services } = await startBalanced();
  await services.importAssets(catalog([entry("a"), entry("b")]));
  const changed = catalog([
    entry("a", { sizeBytes: 11 }),
    entry("b", { url: "https://mirror.example/b", priority: 9 }),
  ]);
  expect(await services.importAssets(changed)).toMatchObject({ taken: 0, updated: 2, skipped: [] });
  const { assets } = await services.listAssets({ limit: 10 });
  expect(assets).toMatchObject([
    { path: "b", url: "https://mirror.example/b", priority: 9 },
    { path: "a", sizeBytes: 11, priority: 5 },
  ]);
});

test("other content is not taken over while somebody holds the asset", async () => {
  const dispatcher = await startBalanced();
  const { services } = dispatcher;
  await services.importAssets(catalog([entry("a")]));
  const node = await dispatcher.join("ada");
  const [grant] = await node.claim();
  if (grant === undefined) throw new Error("a grant");
  await node.sync({ finished: [finished(grant)] });
  const outcome = await services.importAssets(catalog([entry("a", { sizeBytes: 11 })]));
  expect(outcome).toMatchObject({ updated: 0, skipped: [{ place: "a", code: "CONTENT_CHANGED" }] });
  expect(await services.importAssets(catalog([entry("a", { mediaType: "text/csv" })]))).toMatchObject({ updated: 1 });
});

test("a broken entry is told with its place and does not stop the rest", async () => {
  const { services } = await startBalanced();
  await services.importAssets(catalog([entry("other")], { key: "usgs" }));
  const outcome = await services.importAssets(
    catalog([
      entry("a", { url: "not a url" }),
      entry("b", { url: "gopher://origin.example/b" }),
      entry("c", { url: "https://me:secret@origin.example/c" }),
      entry("d"),
      entry("d2", { url: "https://origin.example/d#part" }),
      entry("d", { place: "again", url: "https://origin.example/e" }),
      entry("f", { url: "https://origin.example/other" }),
      entry("g"),
    ]),
  );
  expect(outcome.taken).toBe(2);
  expect(outcome.skipped.map(({ place, code }) => [place, code])).toEqual([
    ["a", "BAD_URL"],
    ["b", "SCHEME_UNSUPPORTED"],
    ["c", "CREDENTIALS_IN_URL"],
    ["d2", "DUPLICATE_URL"],
    ["again", "DUPLICATE_PATH"],
    ["f", "URL_KNOWN"],
  ]);
  expect(JSON.stringify(outcome.skipped)).not.toContain("secret");
});

test("a priority that a catalog does not name stays as people have set it", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.services.importAssets(catalog([entry("a"), entry("b")]));
  const [asset] = await dispatcher.sql<[{ id: AssetId }]>`select id::text as id from assets where path = 'a'`;
  await dispatcher.services.prioritizeAssets({ ids: [asset.id], priority: 9, limit: 1 }, ADMIN_COMMAND);
  const again = [entry("a", { mediaType: "text/csv" }), entry("b", { priority: 2 })];
  expect(await dispatcher.services.importAssets(catalog(again))).toMatchObject({ updated: 2 });
  expect(await dispatcher.services.importAssets(catalog([entry("a", { mediaType: "text/csv" })]))).toMatchObject({
    unchanged: 1,
  });
  expect(await dispatcher.sql`select path, priority from assets order by path`).toEqual([
    { path: "a", priority: 9 },
    { path: "b", priority: 2 },
  ]);
});

test("two imports of one catalog at once take each entry once", async () => {
  const { services } = await startBalanced();
  const input = catalog(Array.from({ length: 200 }, (_, index) => entry(`f${index}`)));
  const outcomes = await Promise.all([services.importAssets(input), services.importAssets(input)]);
  expect(outcomes.map(({ taken }) => taken).reduce((sum, taken) => sum + taken)).toBe(200);
  expect(outcomes.every(({ skipped }) => skipped.length === 0)).toBe(true);
});

test("two ports of one host are two origins, and a scheme's own port is one with it", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.services.importAssets(
    catalog([
      entry("a", { url: "http://origin.example/a" }),
      entry("b", { url: "http://origin.example:80/b" }),
      entry("c", { url: "http://origin.example:8080/c" }),
      entry("d", { url: "https://origin.example/d" }),
    ]),
  );
  const origins = await dispatcher.sql<{ host: string }[]>`select host from origins order by host`;
  expect(origins.map(({ host }) => host)).toEqual(["origin.example:443", "origin.example:80", "origin.example:8080"]);
});

test("a dataset's new target makes its assets wanted again", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.services.importAssets(catalog([entry("a")], { copies: { min: 1, target: 1, max: 2 } }));
  const node = await dispatcher.join("ada");
  const [grant] = await node.claim();
  if (grant === undefined) throw new Error("a grant");
  await node.sync({ finished: [finished(grant, { sizeBytes: 10 })] });
  const other = await dispatcher.join("ben");
  expect(await other.claim()).toEqual([]);
  await dispatcher.services.importAssets(catalog([], { copies: { min: 2, target: 2, max: 2 } }));
  expect(await renewStandings(dispatcher.dependencies, 10)).toBe(1);
  expect(await other.claim()).toHaveLength(1);
});

test("a threat that comes nearer raises the urgency when its time has come", async () => {
  const dispatcher = await startBalanced();
  const dayMs = 86_400_000;
  await dispatcher.services.importAssets(
    catalog([entry("a", { removeByMs: Date.now() + 10 * dayMs }), entry("b", { priority: 10 })]),
  );
  expect((await dispatcher.services.listAssets({ limit: 1 })).assets[0]?.path).toBe("a");
  expect(await renewStandings(dispatcher.dependencies, 10)).toBe(0);
  const before = (await dispatcher.services.listAssets({ limit: 1 })).assets[0]?.urgency ?? 0;
  // Nine days pass: the date is nine days nearer.
  await dispatcher.sql`update assets set remove_by = remove_by - interval '9.5 days'`;
  await dispatcher.sql`update standings set due_at = due_at - interval '9.5 days'`;
  expect(await renewStandings(dispatcher.dependencies, 10)).toBe(1);
  expect((await dispatcher.services.listAssets({ limit: 1 })).assets[0]?.urgency).toBeGreaterThan(before + 9_000);
});

test("pages of the list hold every asset once, in order of urgency", async () => {
  const { services } = await startBalanced();
  await services.importAssets(
    catalog(Array.from({ length: 25 }, (_, index) => entry(`f${index}`, { priority: (index % 3) + 1 }))),
  );
  const seen: string[] = [];
  let after: string | null | undefined;
  for (let page = 0; page < 10 && after !== null; page += 1) {
    const { assets, next } = await services.listAssets({ limit: 4, ...(after === undefined ? {} : { after }) });
    seen.push(...assets.map((asset) => `${asset.priority}:${asset.path}`));
    after = next;
  }
  expect(seen).toHaveLength(25);
  expect(new Set(seen).size).toBe(25);
  expect(seen.map((line) => line[0])).toEqual(Array.from("3".repeat(8) + "2".repeat(8) + "1".repeat(9)));
  await expect(services.listAssets({ limit: 4, after: "bm9uc2Vuc2U" })).rejects.toMatchObject({
    code: "INPUT_INVALID",
  });
});

test("an asset that is not there is said so", async () => {
  const { services } = await startBalanced();
  await expect(services.getAsset({ id: "999" as never, withNames: true })).rejects.toMatchObject({
    code: "ASSET_UNKNOWN",
  });
});

test("a file that moves to another path leaves its old one to another file", async () => {
  const { services } = await startBalanced();
  await services.importAssets(catalog([entry("data.csv", { url: "https://origin.example/v1" })]));
  const moved = catalog([
    entry("data.csv", { url: "https://origin.example/v2" }),
    entry("archive/data.csv", { url: "https://origin.example/v1" }),
  ]);
  expect(await services.importAssets(moved)).toEqual({ taken: 1, updated: 1, unchanged: 0, skipped: [] });
  expect(await services.importAssets(moved)).toEqual({ taken: 0, updated: 0, unchanged: 2, skipped: [] });
});

test("a path with control characters is refused by itself", async () => {
  const { services } = await startBalanced();
  const outcome = await services.importAssets(
    catalog([entry("a\0b", { url: "https://origin.example/a" }), entry("c")]),
  );
  expect(outcome).toMatchObject({ taken: 1, skipped: [{ code: "BAD_NAME" }] });
});

test("an import does not hold up reports on its origins", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const node = await dispatcher.join("ada");
  const [grant] = await node.claim();
  if (grant === undefined) throw new Error("a grant");
  await dispatcher.dependencies.db.transaction(async (sql) => {
    // As an import does: rows that refer to the origin, not committed yet.
    await sql`insert into assets (dataset_id, path, url, scheme, origin_id)
              select 1, 'new', 'https://origin.example/new', 'https', id from origins`;
    await sql`insert into standings (asset_id, origin_id, size_class, places_left, urgency)
              select id, origin_id, -1, 0, 1 from assets where path = 'new'`;
    const reply = await node.sync({ finished: [finished(grant)] });
    expect(reply.reports).toMatchObject([{ outcome: "accepted" }]);
  });
});
