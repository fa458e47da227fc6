import { DispatcherError } from "@dispatcher/core";
import type { FastifyInstance } from "fastify";
import type { Log } from "../log.ts";
import type { Services } from "../services/index.ts";
import { healthShownOutside } from "../shown-outside.ts";

/** The greeting that programs of the rescue system already know; byte for byte. */
const GREETING = JSON.stringify("Hello rescuer 👋");

type ProblemDetails = {
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
};

function problem(status: number, title: string, error: DispatcherError): ProblemDetails {
  return { title, status, detail: error.message, code: error.code };
}

/** The REST door: for programs that do not speak tRPC. Errors are problem details (RFC 9457) with our code. */
export function registerRest(
  http: FastifyInstance,
  { services, log }: { readonly services: Services; readonly log: Log },
): void {
  http.get("/", async (_request, reply) => reply.type("application/json").send(GREETING));

  http.get("/health", async (_request, reply) => {
    const health = healthShownOutside(await services.checkHealth(), log);
    return reply.code(health.status === "ok" ? 200 : 503).send(health);
  });

  http.setNotFoundHandler(async (request, reply) => {
    const error = new DispatcherError(
      "PROCEDURE_UNKNOWN",
      `There is nothing at ${request.method} ${request.url.split("?")[0]}.`,
    );
    return reply
      .code(404)
      .type("application/problem+json")
      .send(problem(404, "Not found", error));
  });

  http.setErrorHandler(async (error: Error & { readonly statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500;
    if (status < 500) {
      const known = new DispatcherError(
        "INPUT_INVALID",
        `The request could not be read: ${error.message.replace(/\.$/, "")}.`,
      );
      return reply
        .code(status)
        .type("application/problem+json")
        .send(problem(status, "Bad request", known));
    }
    log.error({ event: "request.failed", err: error }, "a request failed unexpectedly");
    const known = new DispatcherError("INTERNAL", "Something unexpected happened.");
    return reply
      .code(500)
      .type("application/problem+json")
      .send(problem(500, "Internal error", known));
  });
}
