/**
 * Loaded into every child before its program (`node --import`). The parent holds the other end of stdin and never
 * writes: when it closes, the parent is gone, by SIGKILL too, and the child stops as on SIGTERM.
 */
/** Longer than any orderly stop; a child that hangs then is worse than one cut short. */
const STOP_PATIENCE_MS = 20_000;

process.stdin.once("close", () => {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), STOP_PATIENCE_MS).unref();
  process.kill(process.pid, "SIGTERM");
});
process.stdin.resume();
// Waiting for the parent's end is no reason to stay alive. A pipe or a socket has unref; the type knows a terminal only.
if ("unref" in process.stdin) process.stdin.unref();

// With the parent gone nobody reads the output: a last line that cannot be written must not end an orderly stop.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
