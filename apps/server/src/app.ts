import { DispatcherError, DEFAULT_VETTING } from "@dispatcher/core";
import { fastifyTRPCPlugin } from "@trpc/server/adapters/fastify";
import type { FastifyTRPCPluginOptions } from "@trpc/server/adapters/fastify";
import type { FastifyRequest } from "fastify";
import type { ServerConfig } from "./config.ts";
import type { Database } from "./db/database.ts";
import type { Log } from "./log.ts";
import { TRPC_PREFIX } from "./http/calls.ts";
import { noteFailure, registerCallCount } from "./http/count-calls.ts";
import { createHttp } from "./http/create-http.ts";
import type { Load } from "./http/load.ts";
import type { HttpServer } from "./http/server.ts";
import { createMetrics } from "./metrics.ts";
import type { Metrics } from "./metrics.ts";
import { networkOf } from "./network.ts";
import { registerRest } from "./rest/index.ts";
import { bearerOf } from "./router/bearer.ts";
import { directCalls } from "./router/direct-calls.ts";
import type { LogRefusal } from "./router/call-procedure.ts";
import { registerMetrics } from "./rest/metrics.ts";
import { appRouter } from "./router/index.ts";
import type { AppRouter } from "./router/index.ts";
import { toDispatcherError, toTrpcError } from "./router/trpc.ts";
import type { Context } from "./router/trpc.ts";
import type { Actor } from "./services/authenticate.ts";
import { assembleDependencies } from "./services/dependencies.ts";
import type { Dependencies } from "./services/dependencies.ts";
import { createServices } from "./services/index.ts";
import type { Services } from "./services/index.ts";
import { shownOutside } from "./shown-outside.ts";
import { withTraces } from "./telemetry.ts";
import type { Tracing } from "./telemetry.ts";

export type App = HttpServer & {
  readonly services: Services;
  readonly dependencies: Dependencies;
  readonly load: Load;
  readonly metrics: Metrics;
};

/** Join the parts: services on a database, and the doors over them. Listens nowhere yet; no globals. */
export function createApp(
  config: ServerConfig,
  db: Database,
  log: Log,
  { random = Math.random, tracing = null }: { readonly random?: () => number; readonly tracing?: Tracing | null } = {},
): App {
  const counted = createMetrics();
  const metrics = tracing === null ? counted : withTraces(counted, tracing);
  const dependencies = assembleDependencies({ db, config, log, vetting: DEFAULT_VETTING, random, metrics });
  const services = createServices(dependencies);
  const shell = createHttp(config, log, random);
  const { http, limits, load } = shell;
  registerCallCount(http, metrics, tracing);

  // Streams have no end of their own: without this a server that stops would wait for them.
  http.addHook("preClose", () => Promise.resolve(services.closeFeed()));

  const createContext = async ({ req }: { readonly req: FastifyRequest }): Promise<Context> => {
    // Read at once: a caller that hangs up meanwhile takes its address along.
    const network = networkOf(req.ip);
    const { caller } = req;
    let actor: Actor;
    try {
      actor = await services.authenticate(bearerOf(req.headers.authorization));
    } catch (error) {
      if (error instanceof DispatcherError && error.code === "KEY_INVALID") limits.blame(caller, performance.now());
      if (error instanceof DispatcherError) throw toTrpcError(error);
      throw error;
    }
    limits.know(caller);
    req.actor = actor;
    return { services, log: log.child({ requestId: req.id }), actor, network };
  };

  /** Failures inside procedures are logged where they are told apart; this is for what is not shown, or never reached one. */
  const logRefusal: LogRefusal = (error, { request, path, context }) => {
    const known = toDispatcherError(error);
    noteFailure(request, path, known?.code ?? "INTERNAL");
    if (known !== null && shownOutside(known) !== known) {
      log.warn({ event: "request.refused", procedure: path, code: known.code }, known.detail);
      return;
    }
    if (context !== undefined) return;
    if (known === null) {
      const err = error.cause ?? error;
      log.error({ event: "request.failed", procedure: path, err }, "a request failed unexpectedly");
    } else {
      log.warn({ event: "request.refused", procedure: path, code: known.code }, "a request was refused");
    }
  };

  void http.register(fastifyTRPCPlugin, {
    prefix: TRPC_PREFIX,
    trpcOptions: {
      router: appRouter,
      createContext,
      onError: ({ error, path, ctx, req }) => logRefusal(error, { request: req, path, context: ctx }),
    } satisfies FastifyTRPCPluginOptions<AppRouter>["trpcOptions"],
  });
  void http.register(directCalls, { prefix: TRPC_PREFIX, createContext, logRefusal });
  registerRest(http, { services, log, config, createContext, logRefusal });
  registerMetrics(http, { config, services, metrics, shell });
  const { connections, listen, closeConnections } = shell;
  return { http, connections, listen, closeConnections, services, dependencies, load, metrics };
}
