import { DispatcherError, describeFailure } from "@dispatcher/core";
import { createApp } from "./app.ts";
import { describeSettings, readConfig } from "./config.ts";
import type { ServerConfig } from "./config.ts";
import { describeListener } from "./listener.ts";
import type { Listener } from "./listener.ts";
import { createLog } from "./log.ts";
import { openStorage } from "./storage.ts";
import { runSweeps } from "./sweeps/sweep.ts";
import { VERSION } from "./version.ts";

const HELP = `Dispatcher server ${VERSION}: decides which volunteer saves which file.

Usage: pnpm start

It is set up by the environment alone; each variable may be given as NAME_FILE, the path of a file with the value.

${describeSettings()
  .map(({ name, fallback, meaning }) => `  ${name}\n      ${meaning} (default: ${fallback})`)
  .join("\n")}

Examples:
  pnpm start                                          with a PostgreSQL of its own below ./.dispatcher
  DATABASE_URL=postgres://me@db/dispatcher pnpm start with yours
`;

/** Calls under way are waited for so long when the server stops: longer than a call takes, shorter than a supervisor waits. */
const STOP_PATIENCE_MS = 8_000;

/** Listen, or say who stands in the way. */
async function listen(app: ReturnType<typeof createApp>, config: ServerConfig): Promise<Listener> {
  const { DISPATCHER_HOST: host, DISPATCHER_PORT: port } = config;
  try {
    await app.http.listen({ host, port });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "EADDRINUSE") {
      throw new DispatcherError("PORT_TAKEN", `Port ${port} on ${host} is in use.`, { cause, details: { host, port } });
    }
    if (code === "EACCES" || code === "EADDRNOTAVAIL" || code === "ENOTFOUND") {
      throw new DispatcherError("CONFIG_INVALID", `Cannot listen on ${host}:${port} (${code}).`, { cause });
    }
    throw cause;
  }
  return describeListener(app.http.addresses().filter((address) => typeof address === "object"));
}

/** For the person who starts a server for the first time; never shown again. */
function describeFirstKey(key: string): string {
  return (
    `Admin key, shown this once: ${key}\n` +
    "Another one: pnpm admin key create --role admin --name NAME. The list of all: pnpm admin keys.\n"
  );
}

/** Resolves with the first of the signals that ask for an orderly stop. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, resolve);
  });
}

async function serve(): Promise<void> {
  // Whoever read the log has gone: the service goes on, unheard. Any other fault of standard output is one of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  const config = readConfig(process.env);
  const log = createLog({ level: config.LOG_LEVEL, isTerminal: process.stdout.isTTY, destination: process.stdout });
  const stopped = stopSignal();
  const storage = await openStorage(config, log, "dispatcher server");
  const app = createApp(config, storage.db, log);
  const sweeping = new AbortController();
  try {
    await app.services.checkIssuer();
    const { url, addresses, text } = await listen(app, config);
    // By itself and beside the log, which others may collect and keep.
    const adminKey = await app.services.makeFirstAdminKey();
    if (adminKey !== null) process.stderr.write(describeFirstKey(adminKey));
    const sweeps = runSweeps(app.dependencies, sweeping.signal);
    log.info({ event: "server.listening", url, addresses, version: VERSION, pid: process.pid }, text);
    const signal = await stopped;
    log.info({ event: "server.stopping", signal }, "stopping: calls under way are answered first");
    sweeping.abort();
    await sweeps;
  } finally {
    // Whoever is still not answered then never will be.
    const cutOff = setTimeout(() => app.http.server.closeAllConnections(), STOP_PATIENCE_MS);
    await app.http.close();
    clearTimeout(cutOff);
    await storage.close();
  }
  log.info({ event: "server.stopped" }, "stopped");
}

const [argument, ...more] = process.argv.slice(2);
if (argument === "--help" || argument === "-h") {
  process.stdout.write(HELP);
} else if (argument === "--version") {
  process.stdout.write(`${VERSION}\n`);
} else if (argument !== undefined) {
  process.stderr.write(`USAGE: the server takes no argument "${[argument, ...more].join(" ")}". Run it with --help.\n`);
  process.exitCode = 64;
} else {
  try {
    await serve();
  } catch (error) {
    const { text, exitStatus } = describeFailure(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = exitStatus;
  }
}
