// Usage: node docker/apply-publish-config.mjs <folder made by `pnpm deploy`>
//
// In the workspace a package's `exports` point to its TypeScript; `publishConfig` points to the built JavaScript. pnpm
// puts `publishConfig` in force when it packs a package, yet not when it deploys one (pnpm/pnpm#6693), and Node refuses
// TypeScript below node_modules. So this does to the workspace packages of a deployed folder what packing would do.
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("Name the folder that `pnpm deploy` made.");

const paths = globSync("node_modules/.pnpm/@dispatcher+*/node_modules/@dispatcher/*/package.json", { cwd: folder });
if (paths.length === 0) throw new Error(`No workspace package below ${folder}: has pnpm changed its layout?`);

for (const path of paths.map((found) => join(folder, found))) {
  const { publishConfig, ...manifest } = JSON.parse(readFileSync(path, "utf8"));
  // Removed first, because pnpm may have hard-linked it: writing in place would change the workspace's own file.
  rmSync(path);
  writeFileSync(path, `${JSON.stringify({ ...manifest, ...publishConfig }, null, 2)}\n`);
}
