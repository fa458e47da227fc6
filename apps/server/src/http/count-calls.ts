/** Each call of each request, counted when it is answered: how many, with what end, how long. */
import type { ErrorCode } from "@dispatcher/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Metrics } from "../metrics.ts";
import type { Tracing } from "../telemetry.ts";
import { UNKNOWN_CALL } from "./calls.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Codes of procedures that failed, by name. */
    failures: Map<string, ErrorCode> | null;
  }
}

/** A procedure of this request has failed. */
export function noteFailure(request: FastifyRequest, name: string | undefined, code: ErrorCode): void {
  if (name === undefined) request.refusedWith = code;
  else (request.failures ??= new Map()).set(name, code);
}

export function registerCallCount(http: FastifyInstance, metrics: Metrics, tracing: Tracing | null): void {
  http.decorateRequest("failures", null);
  http.addHook("onResponse", (request, reply, done) => {
    done();
    const seconds = reply.elapsedTime / 1000;
    for (const { name } of request.calls) metrics.callEnded(name, codeOf(request, name, reply.statusCode), seconds);
    if (tracing !== null) trace(tracing, request, reply);
  });
}

function trace(tracing: Tracing, request: FastifyRequest, reply: FastifyReply): void {
  const [first] = request.calls;
  const name = first?.name ?? UNKNOWN_CALL;
  const { traceparent } = request.headers;
  tracing.requestEnded({
    name: request.calls.length > 1 ? "batch" : name,
    method: request.method,
    status: reply.statusCode,
    code: codeOf(request, name, reply.statusCode),
    requestId: request.id,
    traceparent: typeof traceparent === "string" ? traceparent : undefined,
    ms: reply.elapsedTime,
  });
}

function codeOf(request: FastifyRequest, name: string, status: number): ErrorCode | "OK" {
  const failed = request.refusedWith ?? request.failures?.get(name);
  if (failed !== undefined) return failed;
  if (name === UNKNOWN_CALL) return "PROCEDURE_UNKNOWN";
  return status < 500 ? "OK" : "INTERNAL";
}
