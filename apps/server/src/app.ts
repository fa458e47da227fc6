import { DispatcherError, DEFAULT_VETTING } from "@dispatcher/core";
import type { TRPCError } from "@trpc/server";
import { fastifyTRPCPlugin } from "@trpc/server/adapters/fastify";
import type { FastifyTRPCPluginOptions } from "@trpc/server/adapters/fastify";
import Fastify from "fastify";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ServerConfig } from "./config.ts";
import type { Database } from "./db/database.ts";
import type { Log } from "./log.ts";
import { networkOf } from "./network.ts";
import { registerRest } from "./rest/index.ts";
import { bearerOf } from "./router/bearer.ts";
import { directCalls, directUrlOf } from "./router/direct-calls.ts";
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

/** A page of an inventory and three thousand reports fit; much more is no honest node. */
const BODY_MAX_BYTES = 16 * 2 ** 20;

export type App = {
  readonly http: FastifyInstance;
  readonly services: Services;
  readonly dependencies: Dependencies;
};

/** Join the parts: services on a database, and the doors over them. Listens nowhere yet; no globals. */
export function createApp(config: ServerConfig, db: Database, log: Log, random: () => number = Math.random): App {
  const dependencies = assembleDependencies({ db, config, log, vetting: DEFAULT_VETTING, random });
  const services = createServices(dependencies);
  const http = Fastify({
    bodyLimit: BODY_MAX_BYTES,
    // A caller that sends its request more slowly than this is cut off, so that slow callers cannot fill the server.
    requestTimeout: 60_000,
    routerOptions: { maxParamLength: 5000 },
    logger: false,
    rewriteUrl: (request) => directUrlOf(request) ?? request.url ?? "/",
  });

  // Streams have no end of their own: without this a server that stops would wait for them.
  http.addHook("preClose", () => Promise.resolve(services.closeFeed()));

  const createContext = async ({ req }: { readonly req: FastifyRequest }): Promise<Context> => {
    // Read at once: a caller that hangs up meanwhile takes its address along.
    const network = networkOf(req.ip);
    let actor: Actor;
    try {
      actor = await services.authenticate(bearerOf(req.headers.authorization));
    } catch (error) {
      if (error instanceof DispatcherError) throw toTrpcError(error);
      throw error;
    }
    return { services, log, actor, network };
  };

  /** Failures inside procedures are logged where they are told apart; this is for what is not shown, or never reached one. */
  const logRefusal = (error: TRPCError, path: string | undefined, context: Context | undefined): void => {
    const known = toDispatcherError(error);
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
    prefix: "/trpc",
    trpcOptions: {
      router: appRouter,
      createContext,
      onError: ({ error, path, ctx }) => logRefusal(error, path, ctx),
    } satisfies FastifyTRPCPluginOptions<AppRouter>["trpcOptions"],
  });
  void http.register(directCalls, { createContext, logRefusal });
  registerRest(http, { services, log });
  return { http, services, dependencies };
}
