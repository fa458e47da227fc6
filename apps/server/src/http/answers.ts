/**
 * How a request is answered that never reached a procedure or a route: in the shape its caller reads. Below `/trpc` that is
 * tRPC's own error with our code; everywhere else problem details (RFC 9457).
 */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { DispatcherError } from "@dispatcher/core";
import { getHTTPStatusCodeFromError } from "@trpc/server/http";
import { getErrorShape } from "@trpc/server/shared";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Log } from "../log.ts";
import { toTrpcError } from "../router/trpc.ts";
import { ROUTER_CONFIG, isTrpc } from "./calls.ts";
import { PROBLEM_TYPE, problemOf, unreadable } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The code that the request was refused with as a whole. */
    refusedWith: DispatcherError["code"] | null;
  }
}

/** Faults of Fastify's own that are not simply a malformed request. */
type HttpFault = Error & { readonly statusCode?: number; readonly code?: string };

export function registerAnswers(http: FastifyInstance, log: Log): void {
  http.decorateRequest("refusedWith", null);

  http.setNotFoundHandler(async (request, reply) => {
    const { method, url } = request;
    const path = url.split("?")[0] ?? url;
    const error = new DispatcherError("PROCEDURE_UNKNOWN", `There is nothing at ${method} ${path}.`);
    const allowed = (["GET", "POST"] as const).filter((other) => http.hasRoute({ method: other, url: path }));
    if (allowed.length === 0) return refuse(request, reply, error, 404);
    return refuse(request, reply.header("allow", allowed.join(", ")), error, 405);
  });

  http.setErrorHandler(async (error: HttpFault, request, reply) => {
    if (error instanceof DispatcherError) return refuse(request, reply, error);
    const status = error.statusCode ?? 500;
    if (error.code === "FST_ERR_CTP_BODY_TOO_LARGE") {
      return refuse(request, reply, new DispatcherError("PAYLOAD_TOO_LARGE", "The body is too large."));
    }
    if (status < 500) return refuse(request, reply, unreadable(error), status);
    log.error({ event: "request.failed", requestId: request.id, err: error }, "a request failed unexpectedly");
    return refuse(request, reply, new DispatcherError("INTERNAL", "Something unexpected happened."));
  });
}

/** Answer a request with an error and nothing else. `retryAfterMs` among its details is told as a header as well. */
export function refuse(
  request: FastifyRequest,
  reply: FastifyReply,
  error: DispatcherError,
  status = getHTTPStatusCodeFromError(toTrpcError(error)),
): FastifyReply {
  request.refusedWith = error.code;
  const { retryAfterMs } = error.details;
  if (typeof retryAfterMs === "number") void reply.header("retry-after", Math.max(1, Math.ceil(retryAfterMs / 1000)));
  if (status === 401) void reply.header("www-authenticate", "Bearer");
  // Whoever sends too much would go on sending it, and be read to the end, if the connection stayed.
  if (error.code === "PAYLOAD_TOO_LARGE") void reply.header("connection", "close");
  void reply.code(status).header("cache-control", "no-store");
  return isTrpc(request)
    ? reply.type("application/json").send(JSON.stringify(trpcBody(error)))
    : reply.type(PROBLEM_TYPE).send(problemOf(error, status));
}

/** Refusals of what would be taken at another time: where there are many of them there is no time to lose. */
const FOR_NOW = {
  OVERLOADED: "The service has more to do than it can answer in time.",
  RATE_LIMITED: "There were too many calls from here in the last minute.",
} as const;
type ForNow = keyof typeof FOR_NOW;

/** Stands in an answer for the one number that differs. */
const PLACEHOLDER = 987_654_321;
type Template = { readonly status: number; readonly before: string; readonly after: string };
const templates = new Map<string, Template>();

function templateOf(code: ForNow, isForTrpc: boolean): Template {
  const name = `${code} ${isForTrpc}`;
  const known = templates.get(name);
  if (known !== undefined) return known;
  const error = new DispatcherError(code, FOR_NOW[code], { details: { retryAfterMs: PLACEHOLDER } });
  const status = getHTTPStatusCodeFromError(toTrpcError(error));
  const body = isForTrpc ? JSON.stringify(trpcBody(error)) : JSON.stringify(problemOf(error, status));
  const [before = "", after = ""] = body.split(String(PLACEHOLDER));
  const template = { status, before, after };
  templates.set(name, template);
  return template;
}

/**
 * As {@link refuse} answers, byte for byte, from a text made once: an error of its own, its trace and its shape cost several
 * times what the rest of a refusal does.
 */
export function refuseForNow(
  request: FastifyRequest,
  reply: FastifyReply,
  { code, retryAfterMs }: { readonly code: ForNow; readonly retryAfterMs: number },
): void {
  const isForTrpc = isTrpc(request);
  const { status, before, after } = templateOf(code, isForTrpc);
  request.refusedWith = code;
  // A body that may be sent is read and thrown away: whoever is cut off while sending may not hear why.
  if (isTooLong(request)) void reply.header("connection", "close");
  void reply
    .code(status)
    .header("retry-after", Math.max(1, Math.ceil(retryAfterMs / 1000)))
    .header("cache-control", "no-store")
    .type(isForTrpc ? "application/json" : PROBLEM_TYPE)
    .send(`${before}${retryAfterMs}${after}`);
}

/** Of a body without a length nobody knows how much will come. */
function isTooLong(request: FastifyRequest): boolean {
  const { headers } = request;
  if (headers["transfer-encoding"] !== undefined) return true;
  const length = headers["content-length"];
  return length !== undefined && Number(length) > request.routeOptions.bodyLimit;
}

function trpcBody(error: DispatcherError): unknown {
  const shape = getErrorShape({
    config: ROUTER_CONFIG,
    error: toTrpcError(error),
    type: "unknown",
    path: undefined,
    input: undefined,
    ctx: undefined,
  });
  return { error: ROUTER_CONFIG.transformer.output.serialize(shape) };
}

const CLIENT_FAULTS: Readonly<Record<string, { readonly status: number; readonly error: DispatcherError }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    error: new DispatcherError("REQUEST_TIMEOUT", "The request did not arrive in time."),
  },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    error: new DispatcherError("PAYLOAD_TOO_LARGE", "The headers of the request are too large."),
  },
};
const MALFORMED = {
  status: 400,
  error: new DispatcherError("INPUT_INVALID", "The request could not be read: it is no HTTP."),
};

/** Answers what was never a whole request, and closes the connection. */
export function answerClientFault(fault: Error & { readonly code?: string }, socket: Socket): void {
  if (fault.code === "ECONNRESET" || socket.destroyed) return;
  // An answer that is under way already would be broken by another one.
  if (socket.writable && socket.bytesWritten === 0) {
    const { status, error } = CLIENT_FAULTS[fault.code ?? ""] ?? MALFORMED;
    const body = JSON.stringify(problemOf(error, status));
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroySoon();
}
