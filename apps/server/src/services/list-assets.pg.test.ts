import { expect, test } from "vitest";
import { finished, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher } from "../../test/support/test-dispatcher.ts";
import { findLastLookedAt, isWithinDepth, searchAssets, textAfter } from "../db/queries/asset-search.ts";

type Input = Parameters<TestDispatcher["services"]["listAssets"]>[0];

/** Every path of a list, page by page. */
async function walk(dispatcher: TestDispatcher, input: Omit<Input, "after">): Promise<string[]> {
  const paths: string[] = [];
  for (let after: string | null | undefined; after !== null;) {
    const page = await dispatcher.services.listAssets({ ...input, ...(after === undefined ? {} : { after }) });
    paths.push(...page.assets.map(({ path }) => path));
    after = page.next;
  }
  return paths;
}

test("every filter and order brings each asset that is meant once, over pages", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(12, (index) => ({
    path: `${index % 3 === 0 ? "maps/ä" : "logs/"}${String(index).padStart(2, "0")}`,
    url: `https://${index % 2 === 0 ? "even" : "odd"}.example/${index}`,
  }));
  await dispatcher.services.importAssets({ dataset: { key: "empty", title: null, sourceUrl: null }, entries: [] });
  const maps = ["maps/ä00", "maps/ä03", "maps/ä06", "maps/ä09"];
  expect(await walk(dispatcher, { limit: 3, startsWith: "maps/" })).toEqual(maps);
  expect(await walk(dispatcher, { limit: 1, startsWith: "maps/ä0" })).toEqual(maps);
  expect(await walk(dispatcher, { limit: 3, startsWith: "https://odd" })).toHaveLength(6);
  expect(await walk(dispatcher, { limit: 3, startsWith: "Maps/" })).toEqual([]);
  expect(await walk(dispatcher, { limit: 3, startsWith: "maps/", origin: "odd.example:443" })).toEqual([
    "maps/ä03",
    "maps/ä09",
  ]);
  expect(await walk(dispatcher, { limit: 5, order: "id", dataset: "test" })).toHaveLength(12);
  expect(await walk(dispatcher, { limit: 4, order: "id", origin: "even.example:443" })).toHaveLength(6);
  expect(await walk(dispatcher, { limit: 4, origin: "even.example:443", dataset: "empty" })).toEqual([]);
  expect(new Set(await walk(dispatcher, { limit: 5 })).size).toBe(12);

  const ada = await dispatcher.join("ada");
  const [grant] = await ada.claim(1);
  if (grant === undefined) throw new Error("Nothing was granted.");
  await ada.sync({ finished: [finished(grant)] });
  expect(await walk(dispatcher, { limit: 5, belowMin: true })).toHaveLength(12);
  await dispatcher.services.importAssets({
    dataset: { key: "test", title: null, sourceUrl: null, copies: { min: 1, target: 1, max: 2 } },
    entries: [],
  });
  for (const filter of [{ belowMin: true }, { incomplete: true }, { incomplete: true, order: "id" as const }]) {
    expect(await walk(dispatcher, { limit: 5, ...filter })).toHaveLength(11);
  }
});

test("a dataset, an origin and a cursor that are not known are refused by name", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(3);
  const list = (input: Partial<Input>) => dispatcher.services.listAssets({ limit: 1, ...input });
  await expect(list({ dataset: "none" })).rejects.toMatchObject({
    code: "DATASET_UNKNOWN",
    details: { dataset: "none" },
  });
  await expect(list({ origin: "no.example:1" })).rejects.toMatchObject({ code: "ORIGIN_UNKNOWN" });
  const { next } = await list({});
  expect(next).not.toBeNull();
  await expect(list({ order: "id", after: next ?? "" })).rejects.toMatchObject({ code: "INPUT_INVALID" });
});

test("a page looks at so many assets at most, and the next one goes on behind them", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(10, (index) => ({ url: `https://${index < 8 ? "a" : "b"}.example/${index}` }));
  const [origin] = await dispatcher.sql<
    [{ id: never }]
  >`select id::text as id from origins where host = 'b.example:443'`;
  const filter = {
    datasetId: null,
    originId: origin.id,
    state: null,
    incomplete: false,
    belowMin: false,
    startsWith: null,
  };
  const search = { filter, order: "urgency", depth: 5, after: null } as const;
  expect(await searchAssets(dispatcher.sql, { ...search, limit: 10 })).toEqual([]);
  const place = await findLastLookedAt(dispatcher.sql, search);
  const found = await searchAssets(dispatcher.sql, { ...search, after: place, limit: 10 });
  expect(found.map(({ path }) => path)).toEqual(["f8", "f9"]);
  // Where the filter names so few that all of them can be looked at, they are found at once.
  const few = await searchAssets(dispatcher.sql, { ...search, isOfFew: true, limit: 10 });
  expect(few.map(({ path }) => path)).toEqual(["f8", "f9"]);
  expect(await isWithinDepth(dispatcher.sql, filter, 2)).toBe(true);
  expect(await isWithinDepth(dispatcher.sql, filter, 1)).toBe(false);
  expect(await findLastLookedAt(dispatcher.sql, { ...search, depth: 6, after: place })).toBeNull();
});

test("the first text behind all that begin alike", () => {
  expect(textAfter("ab")).toBe("ac");
  expect(textAfter("a\u{10FFFF}")).toBe("b");
  expect(textAfter("\u{10FFFF}")).toBeNull();
  expect(textAfter("\uD7FF")).toBe("\uE000");
});
