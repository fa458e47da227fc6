/** The published client as people outside the workspace meet it: packed, installed, compiled, run. */
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "@dispatcher/testbed";
import type { ServerProcess } from "@dispatcher/testbed";
import { afterAll, beforeAll, expect, test } from "vitest";
import { proceduresOf, writeOutRouter } from "../build/write-out-router.ts";
import { ROOT, createOutsideProject, mustRun, run, typeCheck } from "./support/outside-project.ts";
import type { OutsideProject } from "./support/outside-project.ts";

const CLIENT = join(ROOT, "packages/client/");
const ADMIN_KEY = "an-admin-key-for-tests";

let project: OutsideProject;
beforeAll(async () => {
  project = await createOutsideProject();
});
afterAll(() => project[Symbol.asyncDispose]());

const bin = (name: string): string => join(CLIENT, "node_modules/.bin", name);

/** Code that compiles if two types are the same, and if the comparison notices where they are not. */
const same = (name: string): string =>
  `export const ${name}: Same<Written.${name}, Computed.${name}> = true;\n` +
  `// @ts-expect-error What is not the same is noticed.\n` +
  `export const other${name}: Same<Written.${name}, Computed.${name} & { x: 1 }> = true;\n`;

async function withServer<Result>(use: (server: ServerProcess) => Promise<Result>): Promise<Result> {
  const dataDir = await mkdtemp(join(tmpdir(), "client-package-"));
  try {
    await using server = await startServer({ database: { dataDir }, env: { DISPATCHER_ADMIN_KEY: ADMIN_KEY } });
    return await use(server);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

test("the tarball has code, declarations and what people read, and asks for nothing of the workspace", async () => {
  const files = await readdir(project.client, { recursive: true, withFileTypes: true });
  const names = files.filter((file) => file.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  expect(names.map((name) => name.slice(project.client.length + 1)).toSorted()).toEqual([
    "LICENSE",
    "README.md",
    "dist/bundle/index.d.ts",
    "dist/bundle/index.js",
    "dist/bundle/third-party-licenses.txt",
    "package.json",
  ]);
  const manifest = JSON.parse(await readFile(join(project.client, "package.json"), "utf8")) as object;
  expect(manifest).toMatchObject({ dependencies: { eventsource: "5.1.5", superjson: "2.2.6" } });
  expect(manifest).not.toHaveProperty("scripts.postinstall");
  const installed = await readdir(join(project.folder, "node_modules/@dispatcher"));
  expect(installed).toEqual(["client"]);
  for (const name of ["index.d.ts", "index.js"]) {
    const text = await readFile(join(project.client, "dist/bundle", name), "utf8");
    const imported = [...text.matchAll(/^(?:import|export)\b[^\n]*?"([^"\n]+)";$/gm)].map(([, from]) => from);
    expect(imported.filter((from) => from !== "eventsource" && from !== "superjson")).toEqual([]);
  }
});

test("publint and Are The Types Wrong have nothing to say", async () => {
  const publint = await run([bin("publint"), "--strict", project.tarball], { cwd: project.folder });
  expect(publint.stdout + publint.stderr).toContain("All good");
  // It is an ES module alone, which CommonJS of every Node that it runs on can require.
  const attw = await run([bin("attw"), "--profile", "esm-only", "--no-color", project.tarball], {
    cwd: project.folder,
  });
  expect({ exitCode: attw.exitCode, says: attw.stdout + attw.stderr }).toMatchObject({ exitCode: 0 });
});

test("the types are written out as they are, for every procedure and every field", async () => {
  // Below the client, so that its imports mean the same there.
  const folder = join(CLIENT, "dist/written-out");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const text = writeOutRouter(CLIENT).replace('"./procedures.ts"', '"../../src/procedures.ts"');
  await writeFile(join(folder, "router.ts"), text);
  await writeFile(
    join(folder, "same.ts"),
    `import type * as Computed from "../../src/router.ts";\nimport type * as Written from "./router.ts";\n` +
      `type Flat<T> = T extends (...a: never[]) => unknown ? T : T extends object ? { [K in keyof T]: Flat<T[K]> } : T;\n` +
      `type Same<A, B> = (<T>() => T extends Flat<A> ? 1 : 2) extends <T>() => T extends Flat<B> ? 1 : 2 ? true : false;\n` +
      ["RouterInputs", "RouterOutputs", "DispatcherClient"].map(same).join(""),
  );
  const options = { composite: false, declaration: false, declarationMap: false, noEmit: true };
  const config = { extends: "../../../../tsconfig.base.json", compilerOptions: options, include: ["*.ts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
  expect(await typeCheck(folder)).toBe("");
  await rm(folder, { recursive: true });
});

test("each procedure has the docstring of the router on hover", async () => {
  await project.write("hover.ts", `export type { DispatcherClient } from "@dispatcher/client";\n`);
  const workspace = proceduresOf(join(CLIENT, "tsconfig.json"), join(CLIENT, "src/router.ts"));
  const outside = proceduresOf(join(project.folder, "tsconfig.json"), join(project.folder, "hover.ts"));
  expect(outside.size).toBeGreaterThan(40);
  expect([...outside].filter(([, doc]) => doc === "")).toEqual([]);
  expect(outside).toEqual(workspace);
  expect(outside.get("asset.get")).toMatch(/^One asset with its copies/);
});

test("a program outside compiles with every check, and every part does what it promises", async () => {
  await cp(join(CLIENT, "test/outside/every-part.ts"), join(project.folder, "every-part.ts"));
  expect(await typeCheck(project.folder)).toBe("");
  await withServer(async (server) => {
    const env = { DISPATCHER_URL: server.url, DISPATCHER_KEY: ADMIN_KEY };
    const { exitCode, stdout, stderr } = await project.run("every-part.ts", env);
    expect({ exitCode, stdout, stderr }).toMatchObject({ exitCode: 0, stdout: "every part is as promised\n" });
  });
});

test("a CommonJS program requires it, with types", async () => {
  const text = `import client = require("@dispatcher/client");\nconst made: client.DispatcherClient = client.createDispatcherClient({ url: "http://127.0.0.1" });\nif (typeof made.stats.overview.query !== "function") throw new Error("no function");\n`;
  await project.write("required.cts", text.replace("import client = require", "const client = require"));
  await project.write("typed.cts", text);
  const compilerOptions = { module: "NodeNext", target: "ES2022", types: ["node"], strict: true, noEmit: true };
  await project.write("tsconfig.cjs.json", JSON.stringify({ compilerOptions, files: ["typed.cts"] }));
  expect(await typeCheck(project.folder, "tsconfig.cjs.json")).toBe("");
  const plain = `const { createDispatcherClient } = require("@dispatcher/client");\nconsole.log(typeof createDispatcherClient);\n`;
  await project.write("required.cjs", plain);
  expect(await mustRun([process.execPath, "required.cjs"], { cwd: project.folder })).toBe("function\n");
});

test("the examples of the READMEs compile and run", async () => {
  const texts = ["packages/client/README.md", "README.md"].map((name) => readFile(join(ROOT, name), "utf8"));
  const blocks = (await Promise.all(texts)).flatMap((text) => [...text.matchAll(/^```ts\n([^]*?)^```$/gm)]);
  const examples = blocks.map(([, code = ""]) => code).filter((code) => code.includes('from "@dispatcher/client"'));
  expect(examples.length).toBeGreaterThan(5);
  await withServer(async (server) => {
    for (const [index, code] of examples.entries()) {
      await project.write(`example-${index}.ts`, code.replaceAll("http://127.0.0.1:8001", server.url));
    }
    expect(await typeCheck(project.folder)).toBe("");
    for (const [index, code] of examples.entries()) {
      const env = { DISPATCHER_KEY: ADMIN_KEY };
      const { exitCode, stdout, stderr } = await project.run(`example-${index}.ts`, env);
      expect({ code, exitCode, stdout, stderr }).toMatchObject({ exitCode: 0, stderr: "" });
    }
  });
});
