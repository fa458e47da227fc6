/** A project of somebody who has nothing of this workspace but the packed client. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Of the workspace. */
export const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const CLIENT = join(ROOT, "packages/client");
/** Without a way to the registry, npm would go on trying for minutes. */
const INSTALL_PATIENCE_MS = 180_000;

export type Run = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

/** Run a program to its end, however that is. `env` comes on top of this process's. */
export function run(
  [program, ...args]: readonly [string, ...string[]],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>>; readonly timeoutMs?: number },
): Promise<Run> {
  const { cwd, env, timeoutMs = 120_000 } = options;
  const settings = { cwd, env: { ...process.env, NODE_OPTIONS: "", ...env }, timeout: timeoutMs, maxBuffer: 2 ** 26 };
  return new Promise((resolve) => {
    execFile(program, args, settings, (fault, stdout, stderr) => {
      const failed = typeof fault?.code === "number" ? fault.code : -1;
      resolve({ exitCode: fault === null ? 0 : failed, stdout, stderr: `${stderr}${fault?.message ?? ""}` });
    });
  });
}

/** @throws Error with all that was printed, when it does not end well */
export async function mustRun(...[command, options]: Parameters<typeof run>): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, options);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stdout}${stderr}`);
  return stdout;
}

/** What the workspace's own compiler says of a project: nothing, when all is well. */
export async function typeCheck(folder: string, config = "tsconfig.json"): Promise<string> {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { exitCode, stdout, stderr } = await run([process.execPath, tsc, "--noEmit", "-p", config], { cwd: folder });
  return exitCode === 0 ? "" : `${stdout}${stderr}`;
}

export class OutsideProject implements AsyncDisposable {
  readonly folder: string;
  readonly tarball: string;

  constructor(folder: string, tarball: string) {
    this.folder = folder;
    this.tarball = tarball;
  }

  /** Where the installed client is. */
  get client(): string {
    return join(this.folder, "node_modules/@dispatcher/client");
  }

  write(name: string, text: string): Promise<void> {
    return writeFile(join(this.folder, name), text);
  }

  run(name: string, env: Readonly<Record<string, string>>): Promise<Run> {
    return run([process.execPath, name], { cwd: this.folder, env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Pack the client and install it, with the types of Node and nothing else, into a new project with every check on. */
export async function createOutsideProject(): Promise<OutsideProject> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-outside-"));
  const pnpm = join(ROOT, "node_modules/pnpm/bin/pnpm.mjs");
  await mustRun([process.execPath, pnpm, "pack", "--pack-destination", folder], { cwd: CLIENT });
  const filename = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  if (filename === undefined) throw new Error("Packing the client has made no tarball.");
  const project = new OutsideProject(folder, join(folder, filename));
  const workspace = await readFile(join(ROOT, "pnpm-workspace.yaml"), "utf8");
  const nodeTypes = /^ {2}"@types\/node": (\S+)$/m.exec(workspace)?.[1];
  if (nodeTypes === undefined) throw new Error("The workspace's catalog has no @types/node.");
  const dependencies = { "@dispatcher/client": `file:./${filename}`, "@types/node": nodeTypes };
  await project.write("package.json", JSON.stringify({ name: "outside", private: true, type: "module", dependencies }));
  const compilerOptions = {
    target: "ES2022",
    module: "NodeNext",
    types: ["node"],
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
  };
  await project.write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const npm = [
    "npm",
    "install",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--prefer-offline",
    "--loglevel=error",
  ] as const;
  await mustRun(npm, { cwd: folder, timeoutMs: INSTALL_PATIENCE_MS });
  return project;
}
