import { execFile } from "node:child_process";
import { link, readFile, rename, rm } from "node:fs/promises";
import { platform } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const runFile = promisify(execFile);

/** The server process of a cluster, as its file `postmaster.pid` tells. */
export type Postmaster = {
  readonly pid: number;
  readonly port: number | null;
  /** `starting`, `ready`, `stopping`. */
  readonly status: string;
  /** False when it was killed, and its file left behind; the number may be another program's by now. */
  readonly isAlive: boolean;
};

/** Null when there is no such file; `unreadable` when it holds something else, as half-written files do. */
export async function readPostmaster(clusterDir: string): Promise<Postmaster | "unreadable" | null> {
  const text = await readFile(pidFile(clusterDir), "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return null;
  const lines = text.split("\n").map((line) => line.trim());
  // A cluster opened by hand for repair has its number with a minus.
  const pid = Math.abs(Number(lines[0]));
  if (!Number.isSafeInteger(pid) || pid === 0) return "unreadable";
  const port = Number(lines[3]);
  return {
    pid,
    port: port > 0 ? port : null,
    status: lines[7] || "starting",
    isAlive: await isPostgresOf(clusterDir, pid),
  };
}

/** Take an unreadable `postmaster.pid` away; one that somebody has written meanwhile is put back. */
export async function removeUnreadable(clusterDir: string): Promise<void> {
  const aside = `${pidFile(clusterDir)}.unreadable`;
  await rename(pidFile(clusterDir), aside);
  const isWritten = Number.parseInt(await readFile(aside, "utf8"), 10) > 0;
  if (isWritten) await link(aside, pidFile(clusterDir));
  await rm(aside);
}

function pidFile(clusterDir: string): string {
  return join(clusterDir, "postmaster.pid");
}

/** Whether the process is a PostgreSQL that was started for this folder: its command line begins with it. */
async function isPostgresOf(clusterDir: string, pid: number): Promise<boolean> {
  const { text, separator } = await commandLine(pid);
  return text.includes(["postgres", "-D", clusterDir, ""].join(separator));
}

/** Empty for a process that does not exist, or has ended and waits to be noticed. */
async function commandLine(pid: number): Promise<{ readonly text: string; readonly separator: string }> {
  if (platform() === "linux") {
    return { text: await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""), separator: "\0" };
  }
  const { stdout } = await runFile("ps", ["-ww", "-o", "args=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
  return { text: stdout, separator: " " };
}
