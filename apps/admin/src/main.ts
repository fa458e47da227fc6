/** The admin command. Nothing else in it touches `process`. */
import { EXIT_INTERRUPTED, Stopped } from "./io.ts";
import { runAdmin } from "./run-admin.ts";

const stopping = new AbortController();
// A second Ctrl-C ends it at once.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => stopping.abort(new Stopped(EXIT_INTERRUPTED)));
}
// Each write hears of its own fault; without a listener the stream's event would end the process.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const { env, stdin, stdout, stderr } = process;
process.exitCode = await runAdmin(process.argv.slice(2), {
  env,
  folder: process.cwd(),
  stdin,
  stdout,
  stderr,
  signal: stopping.signal,
});
