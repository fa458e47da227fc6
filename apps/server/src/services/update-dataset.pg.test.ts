import { expect, test } from "vitest";
import { startBalanced } from "../../test/support/test-dispatcher.ts";
import { renewStandings } from "./renew-standings.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

const admin = ADMIN_COMMAND;

test("wishes of a dataset reach its assets with the sweeps", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2, (index) => (index === 0 ? { priority: 3 } : {}));
  const { services } = dispatcher;
  const copies = { min: 1, target: 4, max: 6 };
  const after = await services.updateDataset({ key: "test", priority: 8, copies, reason: "threatened" }, admin);
  expect(after).toMatchObject({ key: "test", priority: 8, copies });
  expect(await services.getDataset("test")).toEqual(after);
  expect(await renewStandings(dispatcher.dependencies, 10)).toBe(2);
  expect((await services.listAssets({ limit: 9 })).assets).toMatchObject([
    { path: "f1", priority: 8, copiesTarget: 4 },
    { path: "f0", priority: 3, copiesTarget: 4 },
  ]);
  await services.updateDataset({ key: "test", priority: 8, copies }, admin);
  expect(await dispatcher.sql`select detail from events where kind = 'dataset.updated'`).toMatchObject([
    { detail: { dataset: "test", before: { priority: 5 }, after: { priority: 8 }, reason: "threatened" } },
  ]);
  await expect(services.updateDataset({ key: "none", priority: 1 }, admin)).rejects.toMatchObject({
    code: "DATASET_UNKNOWN",
  });
});

test("datasets are listed by key in pages", async () => {
  const dispatcher = await startBalanced();
  for (const key of ["b", "c", "a"]) {
    await dispatcher.services.importAssets({ dataset: { key, title: null, sourceUrl: null }, entries: [] });
  }
  const first = await dispatcher.services.listDatasets({ limit: 2 });
  expect(first.datasets.map(({ key }) => key)).toEqual(["a", "b"]);
  const rest = await dispatcher.services.listDatasets({ limit: 2, after: first.next ?? "" });
  expect(rest).toMatchObject({ datasets: [{ key: "c" }], next: null });
  await expect(dispatcher.services.getDataset("none")).rejects.toMatchObject({ code: "DATASET_UNKNOWN" });
});
