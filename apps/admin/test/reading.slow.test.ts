/** What the admin command tells, in every format; on the database and over the network the same. */
import { waitFor } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { startWorld } from "./support/world.ts";
import type { World } from "./support/world.ts";

/** Three files, one of which has a copy; two operators, three keys and tokens, an event of each kind of act. */
async function startFurnished(): Promise<World> {
  const world = await startWorld();
  await world.addAssets(3);
  const attic = await world.join("Ada", "attic");
  await world.join("Bashir", "=basement, left");
  await attic.save(1);
  await world.client.asset.prioritize.mutate({ ids: ["3"], priority: 10, reason: "soon gone" });
  await world.client.key.create.mutate({ role: "viewer", name: "screen" });
  await world.client.token.create.mutate({ operator: "Carmen", uses: 2 });
  await world.client.origin.pause.mutate({ host: "data.example.org:443" });
  return world;
}

test("every list and every single thing is told the same both ways, in every format", async () => {
  const world = await startFurnished();
  const listings = [
    ["assets"],
    ["assets", "--incomplete", "--below-min", "--dataset", "noaa", "--state", "wanted", "--order", "id"],
    ["assets", "--starts-with", "https://data.example.org/noaa/f1"],
    ["assets", "--origin", "data.example.org:443"],
    ["datasets"],
    ["nodes"],
    ["nodes", "--life", "online"],
    ["origins"],
    ["origins", "--paused"],
    ["keys"],
    ["tokens", "--all"],
    ["events", "--kind", "assets.prioritized", "--kind", "origin.paused"],
    ["events", "--asset", "3"],
    ["stats", "leaderboard"],
    ["stats", "at-risk"],
    ["stats", "copies"],
  ];
  for (const words of listings) {
    const json = await world.both([...words, "-o", "json"]);
    const rows = JSON.parse(json.out) as unknown[];
    expect({ words, status: json.status, isEmpty: rows.length === 0 }).toEqual({ words, status: 0, isEmpty: false });
    const ndjson = await world.both([...words, "-o", "ndjson"]);
    expect(
      ndjson.out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(rows);
    const csv = await world.both([...words, "-o", "csv"]);
    expect(csv.out.trimEnd().split("\n")).toHaveLength(rows.length + 1);
    const table = await world.both(words);
    expect(table.out.trimEnd().split("\n")).toHaveLength(rows.length + 1);
  }
  const single = [
    ["status"],
    ["asset", "get", "1"],
    ["asset", "explain", "2"],
    ["asset", "explain", "2", "--node", "1"],
    ["dataset", "get", "noaa"],
    ["node", "get", "1"],
    ["origin", "get", "data.example.org:443"],
  ];
  for (const words of single) {
    for (const format of ["table", "json", "ndjson", "csv"]) {
      const told = await world.both([...words, "-o", format]);
      expect({ words, format, status: told.status, err: told.err }).toEqual({ words, format, status: 0, err: "" });
      expect(told.out).not.toBe("");
    }
  }
});

test("assets as a table, as lines, as JSON and as CSV", async () => {
  const world = await startFurnished();
  const { assets } = await world.client.asset.list.query({ order: "id" });
  const facts = assets.map(({ id, urgency, copies }) => ({ id, urgency, copies }));
  const table = await world.both(["assets", "--order", "id"]);
  const row = (index: number, priority: number): string =>
    `${index + 1}   noaa     f${index}    100 B  ${facts[index]?.copies}/2     0       wanted  ${priority}`;
  expect(table.out.split("\n")).toEqual([
    "id  dataset  path  size   copies  leases  state   priority",
    row(0, 5),
    row(1, 5),
    row(2, 10),
    "",
  ]);
  const csv = await world.both(["assets", "--order", "id", "--limit", "1", "-o", "csv"]);
  expect(csv.out).toBe(
    "id,dataset,path,url,sizeBytes,digestAlgorithm,digest,mediaType,copies,copiesMin,copiesTarget,openLeases,state," +
      "priority,urgency,removeByMs\n" +
      `1,noaa,f0,https://data.example.org/noaa/f0,100,sha256,${"ab".repeat(32)},,${facts[0]?.copies},2,2,0,wanted,5,` +
      `${facts[0]?.urgency},\n`,
  );
  expect(csv.err).toMatch(/^There are more: a greater --limit, or --after \S+\n$/);
  const json = await world.both(["assets", "--order", "id", "-o", "json"]);
  expect(JSON.parse(json.out)).toEqual(assets);
  const ndjson = await world.both(["assets", "--order", "id", "-o", "ndjson"]);
  expect(ndjson.out).toBe(assets.map((asset) => `${JSON.stringify(asset)}\n`).join(""));
});

test("a list of more than one page goes on by itself, up to its limit, and behind where one ended", async () => {
  const world = await startWorld();
  await world.client.dataset.list.query();
  for (const dataset of ["a", "b", "c"]) await world.addAssets(500, dataset);
  const all = await world.both(["assets", "--limit", "2000", "-o", "ndjson"]);
  expect(all.out.trimEnd().split("\n")).toHaveLength(1500);
  expect(all.err).toBe("");
  const some = await world.both(["assets", "--limit", "1200", "--order", "id", "-o", "csv"]);
  expect(some.out.trimEnd().split("\n")).toHaveLength(1201);
  const after = /--after (\S+)/.exec(some.err)?.[1] ?? "";
  const rest = await world.both(["assets", "--limit", "1200", "--order", "id", "--after", after, "-o", "csv"]);
  expect(rest.out.trimEnd().split("\n")).toHaveLength(301);
  expect(rest.err).toBe("");
});

test("nothing is told as nothing, with a word on standard error", async () => {
  const world = await startWorld();
  const nothing = [
    [["assets"], "No asset matches.\n"],
    [["datasets"], "There is no dataset. Import one: pnpm admin import SOURCE\n"],
    [["nodes"], "No node has joined yet. Make a join token: pnpm admin token create --operator NAME\n"],
    [["nodes", "--life", "lost"], "No node is lost.\n"],
    [["tokens"], "There is no join token. Make one: pnpm admin token create --operator NAME\n"],
    [["requeue", "--dry-run"], "No asset waits that matches.\n"],
    [["stats", "at-risk"], "No asset is in danger.\n"],
  ] as const;
  for (const [words, err] of nothing) {
    expect(await world.both([...words])).toEqual({ status: 0, out: "", err });
    expect(await world.both([...words, "-o", "json"])).toEqual({ status: 0, out: "[]\n", err: "" });
  }
});

test("hours and days are told, those in which nothing happened too", async () => {
  const world = await startFurnished();
  await waitFor("the sweeps to count the copy", async () => {
    const { buckets } = await world.client.stats.throughput.query({ by: "day" });
    return buckets.at(-1)?.stored === 1 ? true : undefined;
  });
  const { out } = await world.both(["stats", "throughput", "--by", "day", "--last", "3", "-o", "csv"]);
  const [head, ...days] = out.trimEnd().split("\n");
  expect(head).toBe("startMs,stored,storedBytes,granted,failed,released,expired,cancelled,adopted,dropped");
  expect(days).toEqual([
    expect.stringMatching(/^\d+,0,0,0,0,0,0,0,0,0$/),
    expect.stringMatching(/^\d+,0,0,0,0,0,0,0,0,0$/),
    expect.stringMatching(/^\d+,1,100,1,0,0,0,0,0,0$/),
  ]);
});

test("what a caller did wrong is said in the same words and with the same exit status both ways", async () => {
  const world = await startWorld();
  const faults = [
    [["asset", "get", "99"], 65, /^ASSET_UNKNOWN: /],
    [["asset", "get", "x"], 65, /^INPUT_INVALID: id: an id is a decimal number/],
    [["dataset", "get", "none"], 65, /^DATASET_UNKNOWN: /],
    [["assets", "--dataset", "none"], 65, /^DATASET_UNKNOWN: /],
    [["assets", "--origin", "nowhere:443"], 65, /^ORIGIN_UNKNOWN: /],
    [["node", "drain", "99"], 65, /^NODE_UNKNOWN: /],
    [["origin", "pause", "nowhere:443"], 65, /^ORIGIN_UNKNOWN: /],
    [["key", "revoke", "99"], 65, /^KEY_UNKNOWN: /],
    [["key", "revoke"], 65, /^INPUT_INVALID: id: /],
    [["token", "revoke", "99"], 65, /^TOKEN_UNKNOWN: /],
    [["events", "--follow", "--since", "99999"], 65, /^EVENT_UNKNOWN: /],
    [["prioritize", "99", "--priority", "9"], 65, /^ASSET_UNKNOWN: /],
    [["import", "/nowhere.json"], 66, /^CATALOG_UNREADABLE: /],
  ] as const;
  for (const [words, status, err] of faults) {
    const told = await world.both([...words]);
    expect({ words, status: told.status, out: told.out }).toEqual({ words, status, out: "" });
    expect(told.err).toMatch(err);
    expect(told.err.trimEnd().split("\n")).toHaveLength(1);
  }
});
