import { DispatcherError } from "@dispatcher/core";
import { DEFAULT_VETTING } from "@dispatcher/core";
import { TRPCError } from "@trpc/server";
import type { inferRouterInputs } from "@trpc/server";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { createCaller } from "../router/index.ts";
import type { AppRouter } from "../router/index.ts";
import { toDispatcherError } from "../router/trpc.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";
import { assembleDependencies } from "../services/dependencies.ts";
import { createServices } from "../services/index.ts";
import type { Storage } from "../storage.ts";

/** The router's procedures, called from inside the process as an administrator: no HTTP, no key. */
export type Caller = ReturnType<typeof createCaller>;
export type RouterInputs = inferRouterInputs<AppRouter>;

export function createAdminCaller(config: ServerConfig, { db }: Storage, log: Log): Caller {
  const services = createServices(
    assembleDependencies({ db, config, log, vetting: DEFAULT_VETTING, random: Math.random }),
  );
  return createCaller({ services, log, actor: ADMIN_COMMAND, network: null });
}

/** The expected failure inside what a caller throws; anything else as it is. */
export function fromCaller(error: unknown): unknown {
  if (error instanceof DispatcherError || !(error instanceof TRPCError)) return error;
  return toDispatcherError(error) ?? error;
}
