import { DispatcherError } from "@dispatcher/core";
import { TRPCError } from "@trpc/server";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ServerConfig } from "../config.ts";
import { refuse } from "../http/answers.ts";
import { unreadable } from "../http/problem.ts";
import type { Log } from "../log.ts";
import { toDispatcherError } from "../router/trpc.ts";
import { healthShownOutside, shownOutside } from "../shown-outside.ts";
import { VERSION } from "../version.ts";
import { registerApi } from "./api.ts";
import type { ApiOptions } from "./api.ts";
import { registerDocs } from "./docs-page.ts";
import { registerMock } from "./mock/index.ts";
import { describeRest } from "./openapi.ts";
import { restProcedures } from "./procedures.ts";
import { UnprocessableBody } from "./read-body.ts";
import { registerRescue } from "./rescue.ts";
import type { RescueOptions } from "./rescue.ts";

/** The greeting that programs of the rescue system already know; byte for byte. */
const GREETING = JSON.stringify("Hello rescuer 👋");

type RestOptions = RescueOptions &
  Pick<ApiOptions, "logRefusal"> & { readonly log: Log; readonly config: ServerConfig };

/** The REST door: for programs that do not speak tRPC. Errors are problem details (RFC 9457) with our code. */
export function registerRest(http: FastifyInstance, options: RestOptions): void {
  const { services, log, config } = options;
  http.get("/", async (_request, reply) => reply.type("application/json").send(GREETING));

  const probe = { config: { callClass: "probe" } } as const;
  /** Whoever balances load asks these two; a service that is degraded works. */
  for (const path of ["/health", "/health/ready"]) {
    http.get(path, probe, async (_request, reply) => {
      const health = healthShownOutside(await services.checkHealth(), log);
      return reply
        .code(health.status === "unavailable" ? 503 : 200)
        .header("cache-control", "no-store")
        .send(health);
    });
  }

  /** Whoever restarts the process asks this: a database that is away is no reason. */
  http.get("/health/live", probe, async (_request, reply) =>
    reply.header("cache-control", "no-store").send({ status: "ok", version: VERSION }),
  );

  const procedures = restProcedures();
  // Within it errors are answered in its own way, whatever is done with those of other doors.
  void http.register(async (scope) => {
    // Text would be read as a body that is no object, and refused for a reason that hides the right one.
    scope.removeContentTypeParser("text/plain");
    scope.setErrorHandler((error: Error, request, reply) => answerError(request, reply, { error, log }));
    registerRescue(scope, options);
    registerApi(scope, { ...options, procedures });
    registerMock(scope, { config, log });
    await registerDocs(scope, describeRest(procedures));
  });
}

/** Expected failures say what to do; a bug is logged with its cause and told without detail. */
function answerError(
  request: FastifyRequest,
  reply: FastifyReply,
  {
    error,
    log,
  }: { readonly error: Error & { readonly statusCode?: number; readonly code?: string }; readonly log: Log },
): FastifyReply {
  if (error instanceof UnprocessableBody) return refuse(request, reply, error, 422);
  const known = error instanceof TRPCError ? toDispatcherError(error) : error;
  if (known instanceof DispatcherError) {
    const shown = shownOutside(known);
    if (shown !== known) log.warn({ event: "request.refused", code: known.code }, known.detail);
    return refuse(request, reply, shown);
  }
  const status = error.statusCode ?? 500;
  if (status === 413) return refuse(request, reply, new DispatcherError("PAYLOAD_TOO_LARGE", "The body is too large."));
  if (status < 500) return refuse(request, reply, unreadable(error), status);
  log.error({ event: "request.failed", requestId: request.id, err: error }, "a request failed unexpectedly");
  return refuse(request, reply, new DispatcherError("INTERNAL", "Something unexpected happened."));
}
