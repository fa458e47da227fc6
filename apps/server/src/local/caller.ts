import { DEFAULT_VETTING, DispatcherError } from "@dispatcher/core";
import { TRPCError } from "@trpc/server";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { createCaller } from "../router/index.ts";
import { toDispatcherError } from "../router/trpc.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";
import { assembleDependencies } from "../services/dependencies.ts";
import { createServices } from "../services/index.ts";
import type { Storage } from "../storage.ts";

/** The router's procedures, called from inside the process as an administrator: no HTTP, no key. */
export type Caller = ReturnType<typeof createCaller>;

/**
 * Callers that share their services. A signal ends the subscriptions of its caller, which a loop that waits for the next message
 * could not leave else. What they throw is tRPC's: `fromCaller` finds the failure inside.
 */
export function createAdminCallers(config: ServerConfig, { db }: Storage, log: Log): (signal?: AbortSignal) => Caller {
  const services = createServices(
    assembleDependencies({ db, config, log, vetting: DEFAULT_VETTING, random: Math.random }),
  );
  return (signal) =>
    createCaller({ services, log, actor: ADMIN_COMMAND, network: null }, signal === undefined ? {} : { signal });
}

/** One caller, for a script. */
export function createAdminCaller(config: ServerConfig, storage: Storage, log: Log): Caller {
  return createAdminCallers(config, storage, log)();
}

/** The expected failure inside what a caller throws; anything else as it is. */
export function fromCaller(error: unknown): unknown {
  if (error instanceof DispatcherError || !(error instanceof TRPCError)) return error;
  return toDispatcherError(error) ?? error;
}
