/**
 * Builds what is published, `dist/bundle`: one file of code and one of declarations, into which the parts of the workspace and
 * tRPC's client are taken. Why it is made this way: docs/decisions/0015-the-published-client.md.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import type { Plugin } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { writeOutRouter } from "./write-out-router.ts";

const CLIENT = fileURLToPath(new URL("../", import.meta.url));
const BUNDLE = `${CLIENT}dist/bundle/`;

/** The router's types as they are written out, in place of the file that computes them. */
function writtenOutRouter(): Plugin {
  return {
    name: "written-out-router",
    load: { filter: { id: /\/packages\/client\/src\/router\.ts$/ }, handler: () => writeOutRouter(CLIENT) },
  };
}

/** The licences of the packages whose code is in the bundle, which ask to be kept with it. */
async function writeLicences(moduleIds: readonly string[]): Promise<void> {
  const roots = new Map<string, string>();
  for (const id of moduleIds) {
    const [, root, name] = /^(.*\/node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(id) ?? [];
    if (root !== undefined && name !== undefined) roots.set(name, root);
  }
  const texts = [...roots]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(async ([name, root]) => `${name}\n\n${(await readFile(`${root}/LICENSE`, "utf8")).trim()}\n`);
  await writeFile(`${BUNDLE}third-party-licenses.txt`, (await Promise.all(texts)).join("\n\n"));
}

const manifest = JSON.parse(await readFile(`${CLIENT}package.json`, "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

const bundle = await rolldown({
  input: `${CLIENT}src/index.ts`,
  cwd: CLIENT,
  platform: "neutral",
  tsconfig: `${CLIENT}tsconfig.json`,
  // tRPC does not say that its modules do nothing by themselves, so all of its links would come along.
  treeshake: { moduleSideEffects: false },
  external: Object.keys(manifest.dependencies),
  plugins: [writtenOutRouter(), dts({ generator: "oxc", sourcemap: false, tsconfig: `${CLIENT}tsconfig.json` })],
  checks: { bundlerTimings: false },
  experimental: { attachDebugInfo: "none" },
  // Something that is not found would be left as an import of nothing.
  onLog(level, log, report) {
    if (level === "warn") throw new Error(log.message);
    report(level, log);
  },
});
const { output } = await bundle.write({ dir: BUNDLE, format: "esm", cleanDir: true, sourcemap: false });
await bundle.close();
await writeLicences(output.flatMap((part) => (part.type === "chunk" ? part.moduleIds : [])));
