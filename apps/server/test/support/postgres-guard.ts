import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import type { Writable } from "node:stream";

const GUARD = `read -r _
pid=$(head -n 1 "$0/postgres/postmaster.pid") && kill -QUIT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
rm -rf "$0"`;

/**
 * Ends the PostgreSQL of a data directory, and takes its files away, when this process is gone without having done so: its
 * end closes the guard's input.
 */
export function startGuard(dataDir: string): ChildProcessByStdio<Writable, null, null> {
  const guard = spawn("sh", ["-c", GUARD, dataDir], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.unref();
  return guard;
}
