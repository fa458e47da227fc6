/**
 * The promise of one set of types from the schema to the caller: a field that is renamed on the server breaks the compilation of
 * whoever reads it, in the workspace and outside. It is done here, to a copy of the sources.
 */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ROOT, createOutsideProject, mustRun, typeCheck } from "./support/outside-project.ts";

const COPIED = ["apps", "packages", "tsconfig.base.json", "tsconfig.json", "tsconfig.test.json", "package.json"];

function isSource(path: string): boolean {
  return !/\/(dist|\.turbo|\.dispatcher)$/.test(path);
}

/** The sources, with the links between them; packages from the registry are those of the workspace. */
async function copySources(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-renamed-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const name of COPIED) {
    await cp(join(ROOT, name), join(folder, name), { recursive: true, verbatimSymlinks: true, filter: isSource });
  }
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  // The consumers alone: what the server's own parts and tests make of the change is not the question.
  const folders = ["packages/client", "apps/node-agent", "apps/demo"];
  const consumers = { extends: "./tsconfig.test.json", include: folders.map((name) => `${name}/src/**/*.ts`) };
  await writeFile(join(folder, "tsconfig.consumers.json"), JSON.stringify(consumers));
  return folder;
}

async function rename(file: string, from: RegExp, to: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const renamed = text.replace(from, to);
  if (renamed === text) throw new Error(`There is nothing like ${from} in ${file} any more.`);
  await writeFile(file, renamed);
}

/** The files outside the server that do not compile, each with what the compiler says. */
async function faultsOfConsumers(sources: string): Promise<readonly string[]> {
  const said = await typeCheck(sources, "tsconfig.consumers.json");
  return said
    .split("\n")
    .filter((line) => /^[^\s(]+\(\d+,\d+\): error /.test(line) && !line.startsWith("apps/server/"));
}

test("a field renamed in the server's schema breaks whoever reads it, and nobody before", async () => {
  const sources = await copySources();
  await using outside = await createOutsideProject();
  await cp(join(ROOT, "packages/client/test/outside/every-part.ts"), join(outside.folder, "every-part.ts"));
  expect(await faultsOfConsumers(sources)).toEqual([]);
  expect(await typeCheck(outside.folder)).toBe("");

  const wire = (name: string): string => join(sources, "apps/server/src/wire", name);
  await rename(wire("node.ts"), /(export const NodeSyncOutput = [^]*?)\bnextSyncMs:/, "$1nextCallMs:");
  await rename(wire("stats.ts"), /(export const StatsOverviewOutput = [^]*?)\breassigned:/, "$1movedOn:");

  const faults = await faultsOfConsumers(sources);
  const broken = (start: string, field: string): readonly string[] =>
    faults.filter((line) => line.startsWith(start) && line.includes(`'${field}'`));
  expect(broken("apps/node-agent/src/", "nextSyncMs")).not.toEqual([]);
  expect(broken("apps/demo/src/", "reassigned")).not.toEqual([]);
  // The client itself hands through what it is told.
  expect(faults.filter((line) => line.startsWith("packages/client/"))).toEqual([]);

  await mustRun([process.execPath, "build/bundle.ts"], { cwd: join(sources, "packages/client") });
  await cp(join(sources, "packages/client/dist/bundle"), join(outside.client, "dist/bundle"), { recursive: true });
  const outsideFaults = await typeCheck(outside.folder);
  expect(outsideFaults).toMatch(/^every-part\.ts\(\d+,\d+\): error .*'nextSyncMs'/m);
  expect(outsideFaults).toMatch(/^every-part\.ts\(\d+,\d+\): error .*'reassigned'/m);
});
