import { createHash } from "node:crypto";
import { access, constants, mkdir, readdir, stat, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import type { AssetId, AssignmentId } from "@dispatcher/core";

/** Where an agent keeps everything it owns. Nothing outside is ever written, but for the socket of a very long path. */
export type Home = {
  readonly path: string;
  readonly nodeFile: string;
  readonly lockFile: string;
  readonly socket: string;
  readonly assignmentsFolder: string;
  readonly partialFolder: string;
  readonly filesFolder: string;
  readonly inventoryFolder: string;
};

/** The least a Unix socket's path may be long: 103 bytes and a zero on macOS, 107 on Linux. */
const SOCKET_PATH_BYTES_MAX = 103;

export function homeAt(path: string): Home {
  const home = resolve(path);
  return {
    path: home,
    nodeFile: join(home, "node.json"),
    lockFile: join(home, "agent.lock"),
    socket: socketPath(home),
    assignmentsFolder: join(home, "assignments"),
    partialFolder: join(home, "partial"),
    filesFolder: join(home, "files"),
    inventoryFolder: join(home, "inventory"),
  };
}

/** In the home, or where that is too long, under a name made from it in the system's folder for such things. */
function socketPath(home: string): string {
  const path = join(home, "agent.sock");
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  return join(tmpdir(), `dispatcher-agent-${createHash("sha256").update(home).digest("hex").slice(0, 24)}.sock`);
}

export function assignmentPath(home: Home, id: AssignmentId): string {
  return join(home.assignmentsFolder, `${id}.json`);
}

export function partialPath(home: Home, id: AssignmentId): string {
  return join(home.partialFolder, `${id}.part`);
}

export function copyFolder(home: Home, assetId: AssetId): string {
  return join(home.filesFolder, assetId);
}

export function inventoryPath(home: Home, assetId: AssetId): string {
  return join(home.inventoryFolder, `${assetId}.json`);
}

/** Make what is missing; only the user may look inside. @throws DispatcherError HOME_UNUSABLE */
export async function prepareHome(home: Home): Promise<void> {
  try {
    for (const folder of [
      home.path,
      home.assignmentsFolder,
      home.partialFolder,
      home.filesFolder,
      home.inventoryFolder,
    ]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    }
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new DispatcherError("HOME_UNUSABLE", `The folder ${home.path} cannot be used (${reason}).`, { cause });
  }
}

/** What the home's disk has free for this user, now. */
export async function freeBytesOf(home: Home): Promise<number> {
  const { bavail, bsize } = await statfs(home.path);
  return Math.min(bavail * bsize, Number.MAX_SAFE_INTEGER);
}

/** Null when there is no such file. */
export async function fileSize(path: string): Promise<number | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : null;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return null;
    throw error;
  }
}

/** Ids of the partial files there are. */
export async function listPartials(home: Home): Promise<readonly AssignmentId[]> {
  const names = await readdir(home.partialFolder);
  return names.filter((name) => name.endsWith(".part")).map((name) => name.slice(0, -".part".length) as AssignmentId);
}
