/** What a coordinator does at one server holds at the other, over HTTP, with processes of their own. */
import { startServer } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { mutate } from "./support/mutate.ts";
import { SimulatedNode } from "./support/simulated-node.ts";
import { createTestDatabase } from "./support/test-database.ts";

const key = "an-admin-key-for-tests";
const host = "origin.example:443";

test("a pause and a priority at one server decide what a node gets from the other", async () => {
  const database = await createTestDatabase();
  const options = { database: { databaseUrl: database.url }, env: { DISPATCHER_ADMIN_KEY: key } };
  const here = await startServer(options);
  const there = await startServer(options);
  onTestFinished(async () => {
    await Promise.all([here, there].map((server) => server[Symbol.asyncDispose]()));
    await database[Symbol.asyncDispose]();
  });
  const act = <Output>(path: string, input: unknown) => mutate<Output>(here.url, path, input, { key });
  const entries = Array.from({ length: 300 }, (_, index) => ({
    place: `[${index}]`,
    path: `f${index}`,
    url: `https://${host}/f${index}`,
    sizeBytes: 100,
    digest: null,
    mediaType: null,
    priority: null,
    removeByMs: null,
  }));
  await act("asset.import", { dataset: { key: "test", title: null, sourceUrl: null }, entries });
  const { joinToken } = await act<{ joinToken: string }>("token.create", { operator: "ada" });
  const node = await SimulatedNode.join(there.url, "attic", joinToken);
  const first = await node.sync(1);
  expect(first.grants.map(({ asset }) => asset.path)).toEqual(["f0"]);
  node.finishAll();

  await act("origin.pause", { host, reason: "a test" });
  const paused = await node.sync(2);
  expect(paused).toMatchObject({ grants: [], refusal: { reason: "ORIGIN_SATURATED" } });
  await act("asset.prioritize", { filter: { startsWith: "f234" }, priority: 10 });
  // Who goes away with nothing makes the server look at the log at once.
  expect((await node.sync(2)).grants).toEqual([]);
  await act("origin.resume", { host });
  const second = await node.sync(1);
  expect(second.grants.map(({ asset }) => asset.path)).toEqual(["f234"]);
  node.finishAll();

  await act("node.drain", { id: node.nodeId });
  expect(await node.sync(5)).toMatchObject({ grants: [], refusal: { reason: "NODE_PAUSED" } });
  expect(node.rejected).toEqual([]);
});
