import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startTestDispatcher } from "../../../test/support/test-dispatcher.ts";
import { runImport } from "./import.ts";

const VEGA_DATASETS = fileURLToPath(new URL("../datapackage.json", import.meta.resolve("vega-datasets")));

test("a real catalog is taken once, however often it is imported", async () => {
  await using dispatcher = await startTestDispatcher();
  const { services } = dispatcher;
  const importAgain = async (): Promise<unknown> => {
    let out = "";
    const exitStatus = await runImport({
      source: VEGA_DATASETS,
      options: { baseUrl: "https://data.example.org", output: "json" },
      importBatch: services.importAssets,
      out: { write: (text) => (out += text) },
      err: { write: () => {} },
      isTerminal: false,
      signal: new AbortController().signal,
    });
    expect(exitStatus).toBe(0);
    return JSON.parse(out);
  };
  const summary = { dataset: "vega-datasets", entries: 73, updated: 0, skipped: 0 };
  expect(await importAgain()).toMatchObject({ ...summary, taken: 73, unchanged: 0 });
  expect(await importAgain()).toMatchObject({ ...summary, taken: 0, unchanged: 73 });
  const { assets } = await services.listAssets({ limit: 100 });
  expect(assets).toHaveLength(73);
  expect(assets.find(({ path }) => path === "7zip.png")).toMatchObject({
    url: "https://data.example.org/7zip.png",
    sizeBytes: 3969,
    digest: { algorithm: "sha1", hex: "6586d6c00887cd48850099c174a42bb1677ade0c" },
    mediaType: "image/png",
  });
});
