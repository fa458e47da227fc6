import { DispatcherError, describeFailure } from "@dispatcher/core";
import { createApp } from "./app.ts";
import { describeSettings, loadConfig, showConfig } from "./config.ts";
import type { ServerConfig } from "./config.ts";
import { describeListener } from "./listener.ts";
import type { Listener } from "./listener.ts";
import { createLog } from "./log.ts";
import { openStorage } from "./storage.ts";
import { runSweeps } from "./sweeps/sweep.ts";
import { openTracing } from "./telemetry.ts";
import { VERSION } from "./version.ts";

const HELP = `Dispatcher server ${VERSION}: decides which volunteer saves which file.

Usage: pnpm start [--print-config]

It is set up by its environment and by a file ".env" in the working directory; the environment wins. Each setting may be
given as NAME_FILE, the path of a file with the value. DISPATCHER_ENV_FILE names another file of settings, or none.

${[...Map.groupBy(describeSettings(), ({ section }) => section)]
  .map(([section, settings]) =>
    [
      `${section}:`,
      ...settings.map(
        ({ name, fallback, allowed, meaning }) =>
          `  ${name}\n      ${meaning}\n      ${allowed} (default: ${fallback})`,
      ),
    ].join("\n"),
  )
  .join("\n\n")}

Examples:
  pnpm start                                          with a PostgreSQL of its own below ./.dispatcher
  DATABASE_URL=postgres://me@db/dispatcher pnpm start with yours
  pnpm start --print-config                           show every setting and where it comes from, start nothing
`;

/** Calls under way are waited for so long when the server stops: longer than a call takes, shorter than a supervisor waits. */
const STOP_PATIENCE_MS = 8_000;

/** Connections that wait to be taken, as far as the system allows: when thousands of nodes come back at once, they do. */
const BACKLOG = 4_096;

/** Listen, or say who stands in the way. */
async function listen(app: ReturnType<typeof createApp>, config: ServerConfig): Promise<Listener> {
  const { DISPATCHER_HOST: host, DISPATCHER_PORT: port } = config;
  try {
    await app.listen({ host, port, backlog: BACKLOG });
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
  const scheme = config.DISPATCHER_TLS_CERT_FILE === undefined ? "http" : "https";
  return describeListener(
    app.http.addresses().filter((address) => typeof address === "object"),
    scheme,
  );
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
  const { config, warnings } = loadConfig(process.env, process.cwd());
  const log = createLog({
    level: config.LOG_LEVEL,
    isTerminal: process.stdout.isTTY,
    destination: process.stdout,
    secrets: [
      config.DISPATCHER_ADMIN_KEY,
      config.DISPATCHER_METRICS === "public" ? undefined : config.DISPATCHER_METRICS,
    ],
  });
  for (const warning of warnings) log.warn({ event: "config.warning" }, warning);
  const stopped = stopSignal();
  const storage = await openStorage(config, log, "dispatcher server");
  const tracing = await openTracing(config, log);
  const sweeping = new AbortController();
  let app: ReturnType<typeof createApp> | undefined;
  try {
    app = createApp(config, storage.db, log, { tracing });
    app.metrics.collectProcess();
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
    const cutOff = setTimeout(() => app?.closeConnections(), STOP_PATIENCE_MS);
    await app?.http.close();
    clearTimeout(cutOff);
    await tracing?.close();
    await storage.close();
  }
  log.info({ event: "server.stopped" }, "stopped");
}

const [argument, ...more] = process.argv.slice(2);
if (argument === "--help" || argument === "-h") {
  process.stdout.write(HELP);
} else if (argument === "--version") {
  process.stdout.write(`${VERSION}\n`);
} else if (argument !== undefined && (argument !== "--print-config" || more.length > 0)) {
  process.stderr.write(`USAGE: the server takes no argument "${[argument, ...more].join(" ")}". Run it with --help.\n`);
  process.exitCode = 64;
} else {
  try {
    if (argument === undefined) await serve();
    else process.stdout.write(showConfig(loadConfig(process.env, process.cwd())));
  } catch (error) {
    const { text, exitStatus } = describeFailure(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = exitStatus;
  }
}
