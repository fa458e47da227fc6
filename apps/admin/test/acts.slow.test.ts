/** What the admin command does, each act both ways. */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { WAYS, startWorld } from "./support/world.ts";
import type { Way, World } from "./support/world.ts";

const VEGA_DATASETS = fileURLToPath(new URL("../datapackage.json", import.meta.resolve("vega-datasets")));

/** The reasons that the log has kept, newest first. */
async function reasons(world: World, ...kinds: string[]): Promise<unknown[]> {
  const { events } = await world.client.event.list.query({ kinds });
  return events.map(({ detail }) => detail?.["reason"]);
}

/** Run a command that has to end well; answers what it printed. */
async function done(world: World, way: Way, ...words: readonly string[]): Promise<string> {
  const { status, out, err } = await world.admin(way, words);
  expect({ words, status, err: status === 0 ? "" : err }).toEqual({ words, status: 0, err: "" });
  return out;
}

describe.each(WAYS)("%s", (way) => {
  test("a real catalog is taken once, however often it is imported", async () => {
    const world = await startWorld();
    const words = [
      "import",
      VEGA_DATASETS,
      "--base-url",
      "https://data.example.org",
      "--reason",
      "to try",
      "-o",
      "json",
    ];
    const summary = { dataset: "vega-datasets", entries: 73, updated: 0, skipped: 0 };
    expect(JSON.parse(await done(world, way, ...words))).toMatchObject({ ...summary, taken: 73, unchanged: 0 });
    expect(JSON.parse(await done(world, way, ...words))).toMatchObject({ ...summary, taken: 0, unchanged: 73 });
    expect(await reasons(world, "assets.imported")).toContain("to try");
    const { assets } = await world.client.asset.list.query({ limit: 100 });
    expect(assets.find(({ path }) => path === "7zip.png")).toMatchObject({
      url: "https://data.example.org/7zip.png",
      sizeBytes: 3969,
      digest: { algorithm: "sha1", hex: "6586d6c00887cd48850099c174a42bb1677ade0c" },
      mediaType: "image/png",
    });
  });

  test("assets get a priority, are withdrawn and restored, by ids and by filters", async () => {
    const world = await startWorld();
    await world.addAssets(3);
    await world.addAssets(2, "other");
    const priorities = async (): Promise<number[]> =>
      (await world.client.asset.list.query({ order: "id" })).assets.map(({ priority }) => priority);
    expect(await done(world, way, "prioritize", "1", "2", "--priority", "9", "--reason", "why not")).toBe(
      "2 assets, 2 changed.\n",
    );
    expect(await priorities()).toEqual([9, 9, 5, 5, 5]);
    expect(await done(world, way, "prioritize", "--dataset", "noaa", "--priority", "9")).toBe("3 assets, 1 changed.\n");
    expect(await done(world, way, "prioritize", "--dataset", "noaa", "--priority", "dataset")).toBe(
      "3 assets, 3 changed.\n",
    );
    expect(await priorities()).toEqual([5, 5, 5, 5, 5]);
    expect(await reasons(world, "assets.prioritized")).toContain("why not");
    const withdrawn = await done(world, way, "withdraw", "--dataset", "other", "-o", "json");
    expect(JSON.parse(withdrawn)).toEqual({ matched: 2, changed: 2, leasesStopped: 0, copiesLeaving: 0 });
    expect((await world.client.asset.list.query({ state: "withdrawn" })).assets).toHaveLength(2);
    expect(await done(world, way, "restore", "--state", "withdrawn")).toBe("2 assets, 2 changed.\n");
    expect((await world.client.asset.list.query({ state: "withdrawn" })).assets).toHaveLength(0);
  });

  test("copies are deleted only by somebody who says so", async () => {
    const world = await startWorld();
    await world.addAssets(1);
    const attic = await world.join("Ada", "attic");
    await attic.save(1);
    const words = ["withdraw", "1", "--delete-copies"];
    const asked = await world.admin(way, words);
    expect(asked).toMatchObject({ status: 64, out: "" });
    expect(asked.err).toMatch(/^USAGE: .*--yes.*\n$/);
    const refused = await world.admin(way, words, { typed: "no\n" });
    expect(refused).toMatchObject({ status: 130, out: "" });
    expect(refused.err).toContain("Delete every copy of 1 asset, for good?");
    expect(refused.err).toContain("Nothing was changed.");
    expect((await world.client.asset.get.query({ id: "1" })).state).toBe("wanted");
    const agreed = await world.admin(way, words, { typed: "yes\n" });
    expect(agreed).toMatchObject({ status: 0, out: "1 asset, 1 changed. 0 leases to stop, 1 copy to be deleted.\n" });
    expect((await world.client.asset.get.query({ id: "1" })).state).toBe("withdrawn");
  });

  test("what waits for a person is wanted again, after a look without changes", async () => {
    const world = await startWorld();
    await world.addAssets(1);
    const attic = await world.join("Ada", "attic");
    await attic.fail();
    expect((await world.client.asset.get.query({ id: "1" })).state).toBe("review");
    const others = [
      ["--class", "network"],
      ["--older", "1h"],
      ["--node", "99"],
      ["--state", "gone"],
    ];
    for (const filter of others) expect(await done(world, way, "requeue", ...filter, "-o", "json")).toBe("[]\n");
    const dry = await world.admin(way, ["requeue", "--dry-run", "-o", "json"]);
    expect(JSON.parse(dry.out)).toMatchObject([{ id: "1", path: "f0", failureCode: "BAD_URL" }]);
    expect(dry.err).toBe("1 asset would be wanted again; nothing was changed.\n");
    expect((await world.client.asset.get.query({ id: "1" })).state).toBe("review");
    const words = [
      "requeue",
      "--class",
      "asset",
      "--newer",
      "1h",
      "--node",
      attic.id,
      "--dataset",
      "noaa",
      "--limit",
      "5",
    ];
    const again = await world.admin(way, [...words, "--reason", "mended"]);
    expect(again).toMatchObject({ status: 0, err: "1 asset wanted again.\n" });
    expect(again.out).toMatch(/^id {2}path {2}last failure {2}at\n1 {3}f0 {4}BAD_URL/);
    expect((await world.client.asset.get.query({ id: "1" })).state).toBe("wanted");
    expect(await reasons(world, "assets.requeued")).toEqual(["mended"]);
  });

  test("a dataset is changed in what is named alone", async () => {
    const world = await startWorld();
    await world.addAssets(1);
    const updated = await done(
      world,
      way,
      "dataset",
      "update",
      "noaa",
      "--copies",
      "4",
      "--reason",
      "rare",
      "-o",
      "json",
    );
    expect(JSON.parse(updated)).toMatchObject({ priority: 5, copies: { min: 2, target: 4, max: 5 } });
    const again = await done(
      world,
      way,
      "dataset",
      "update",
      "noaa",
      "--priority",
      "8",
      "--copies-max",
      "9",
      "-o",
      "json",
    );
    expect(JSON.parse(again)).toMatchObject({ priority: 8, copies: { min: 2, target: 4, max: 9 } });
    const impossible = await world.admin(way, ["dataset", "update", "noaa", "--copies-min", "7"]);
    expect(impossible).toMatchObject({ status: 65, out: "" });
    expect(impossible.err).toMatch(/^INPUT_INVALID: copies: min <= target <= max/);
    expect(await reasons(world, "dataset.updated")).toContain("rare");
  });

  test("a node drains, is blocked, told something and retired", async () => {
    const world = await startWorld();
    await world.addAssets(1);
    const { id, save } = await world.join("Ada", "attic");
    await save(1);
    expect(await done(world, way, "node", "drain", id)).toBe(`Node ${id} "attic": online, draining.\n`);
    expect(await done(world, way, "node", "drain", id)).toBe(`Node ${id} "attic": online, draining; as before.\n`);
    expect(await done(world, way, "node", "undrain", id)).toBe(`Node ${id} "attic": online, active.\n`);
    expect(await done(world, way, "node", "block", id, "--reason", "it lies")).toContain("blocked");
    expect(await done(world, way, "node", "unblock", id)).toContain("active");
    expect(await done(world, way, "node", "message", id, "Please update.")).toContain('told "Please update."');
    expect(await done(world, way, "node", "message", id, "--clear")).not.toContain("told");
    expect(await world.admin(way, ["node", "retire", id])).toMatchObject({ status: 64, out: "" });
    const refused = await world.admin(way, ["node", "retire", id], { typed: "\n" });
    expect(refused).toMatchObject({ status: 130, out: "" });
    expect(refused.err).toContain(`Retire node ${id} "attic" of Ada for good?`);
    expect(await done(world, way, "node", "retire", id, "--yes")).toContain("retired");
    expect(await reasons(world, "node.blocked")).toEqual(["it lies"]);
    const { life } = await world.client.node.get.query({ id });
    expect(life).toBe("retired");
  });

  test("an origin is paused, goes on, and gets a budget of its own", async () => {
    const world = await startWorld();
    await world.addAssets(1);
    const host = "data.example.org:443";
    const paused = await done(world, way, "origin", "pause", host, "--reason", "they asked", "-o", "json");
    expect(JSON.parse(paused)).toMatchObject({ host, paused: true });
    expect(JSON.parse(await done(world, way, "origin", "resume", host, "-o", "json"))).toMatchObject({ paused: false });
    const set = await done(world, way, "origin", "budget", host, "--concurrency", "7", "-o", "json");
    expect(JSON.parse(set)).toMatchObject({
      budget: { concurrencyMax: 7, requestsPerMinute: 60_000, isDefault: false },
    });
    const reset = await done(world, way, "origin", "budget", host, "--default", "-o", "json");
    expect(JSON.parse(reset)).toMatchObject({ budget: { isDefault: true } });
    expect(await world.admin(way, ["origin", "budget", host])).toMatchObject({ status: 64, out: "" });
    expect(await reasons(world, "origin.paused")).toEqual(["they asked"]);
  });

  test("a key alone is printed when it is made, it is in no list, and opens nothing once it is revoked", async () => {
    const world = await startWorld();
    const made = await world.admin(way, ["key", "create", "--role", "viewer", "--name", "screen", "--life", "90d"]);
    expect(made.out).toMatch(/^dsp_[0-9]+_[\w-]{43}\n$/);
    expect(made.err).toMatch(/^Key [0-9]+ "screen" with the role viewer, for 90 d\. It is shown this once\.\n$/);
    const id = made.out.split("_")[1] ?? "";
    const listed = await world.admin(way, ["keys"]);
    expect(listed.out).toContain("screen");
    expect(listed.out).not.toContain(made.out.trim());
    expect(await done(world, way, "key", "revoke", id, "--reason", "lost")).toBe(`Revoked: ${id}.\n`);
    expect(await done(world, way, "key", "revoke", id)).toBe("It was revoked before.\n");
    expect((await world.admin(way, ["keys"])).out).not.toContain("screen");
    expect((await world.admin(way, ["keys", "--all"])).out).toMatch(/screen.*revoked/);
    const node = await world.join("Ada", "attic");
    await done(world, way, "key", "create", "--role", "node", "--name", "spare", "--node", node.id);
    expect((await world.admin(way, ["keys"])).out).toContain("attic (Ada)");
    expect(await done(world, way, "key", "revoke", "--node", node.id)).toMatch(
      new RegExp(`^The key that node ${node.id} joined with opens nothing any more\\. Revoked: [0-9]+\\.\n$`),
    );
  });

  test("a join token alone is printed when it is made, is listed without its secret, and is revoked", async () => {
    const world = await startWorld();
    const made = await world.admin(way, ["token", "create", "--operator", "Ada", "--uses", "2"]);
    expect(made.out).toMatch(/^dsp_join_[\w-]{43}\n$/);
    expect(made.err).toMatch(/^Join token [0-9]+, good for 2 node\(s\) of Ada, for 7 d\. It is shown this once\.\n$/);
    const [head, row = ""] = (await done(world, way, "tokens")).split("\n");
    expect(head?.split(/ {2,}/)).toEqual(["id", "operator", "state", "uses left", "joined", "ends", "made by"]);
    const [id = "", ...cells] = row.split(/ {2,}/);
    expect(cells.slice(0, 5)).toEqual(["Ada", "valid", "2", "0", "7 d"]);
    expect(row).not.toContain(made.out.trim());
    expect(await done(world, way, "token", "revoke", id)).toBe(`Revoked: ${id}.\n`);
    expect(await done(world, way, "token", "revoke", id)).toBe("It was revoked before.\n");
    expect(await done(world, way, "tokens", "--all", "-o", "csv")).toContain(",Ada,revoked,");
  });
});
