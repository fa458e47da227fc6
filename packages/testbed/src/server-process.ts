import { startChild } from "./child.ts";
import type { Child, Environment, Exit, LoggedEvent } from "./child.ts";
import type { WaitOptions } from "./wait-for.ts";

/** A database of its own below a folder, or one that is there. */
export type DatabaseChoice = { readonly dataDir: string } | { readonly databaseUrl: string };

export type ServerOptions = {
  readonly database: DatabaseChoice;
  /** Any free one by default. A restart keeps the one it got. */
  readonly port?: number;
  readonly env?: Environment;
  readonly signal?: AbortSignal;
};

/** A server, over all its restarts. What is not said otherwise is of the process that runs now, or ran last. */
export type ServerProcess = AsyncDisposable & {
  readonly url: string;
  readonly pid: number;
  readonly output: readonly string[];
  readonly errors: readonly string[];
  readonly events: readonly LoggedEvent[];
  readonly exited: Promise<Exit>;
  readonly isRunning: boolean;
  kill(signal?: NodeJS.Signals): Promise<Exit>;
  stop(): Promise<Exit>;
  waitForEvent(event: string, options?: WaitOptions): Promise<LoggedEvent>;
  /** Stop the process if it still runs, and start another on the same address and database. */
  restart(): Promise<void>;
};

/** A new PostgreSQL cluster on a slow, busy machine, and then some. */
const START_PATIENCE_MS = 90_000;

export function databaseSettings(database: DatabaseChoice): Environment {
  return "dataDir" in database ? { DISPATCHER_DATA_DIR: database.dataDir } : { DATABASE_URL: database.databaseUrl };
}

/** Start a server on 127.0.0.1 and wait until it listens. @throws ProgramFailure when it does not */
export async function startServer({ database, port = 0, env = {}, signal }: ServerOptions): Promise<ServerProcess> {
  const start = async (onPort: number): Promise<{ child: Child; url: string }> => {
    const child = startChild("server", {
      env: { ...databaseSettings(database), DISPATCHER_HOST: "127.0.0.1", DISPATCHER_PORT: String(onPort), ...env },
    });
    try {
      const waiting = { timeoutMs: START_PATIENCE_MS, ...(signal === undefined ? {} : { signal }) };
      const { url } = await child.waitForEvent("server.listening", waiting);
      if (typeof url !== "string") throw new Error("The event server.listening has no url.");
      return { child, url };
    } catch (cause) {
      await child.stop();
      throw cause;
    }
  };

  let current = await start(port);
  return {
    url: current.url,
    get pid() {
      return current.child.pid;
    },
    get output() {
      return current.child.output;
    },
    get errors() {
      return current.child.errors;
    },
    get events() {
      return current.child.events;
    },
    get exited() {
      return current.child.exited;
    },
    get isRunning() {
      return current.child.isRunning;
    },
    kill: (how) => current.child.kill(how),
    stop: () => current.child.stop(),
    waitForEvent: (...args) => current.child.waitForEvent(...args),
    async restart() {
      await current.child.stop();
      current = await start(Number(new URL(current.url).port));
    },
    async [Symbol.asyncDispose]() {
      await current.child.stop();
    },
  };
}
