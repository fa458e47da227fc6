/** What browsers are told: which pages may call, and that nothing of ours is to be framed, sniffed or run. */
import { ServerResponse } from "node:http";
import type { IncomingMessage } from "node:http";
import cors from "@fastify/cors";
import type { FastifyInstance } from "fastify";
import helmet from "helmet";
import type { ServerConfig } from "../config.ts";

/** Browsers ask again so often whether they may call. */
const PREFLIGHT_S = 600;
const YEAR_S = 31_536_000;

export function registerHeaders(http: FastifyInstance, config: ServerConfig): void {
  const headers = securityHeaders(config);
  http.addHook("onRequest", (_request, reply, done) => {
    reply.headers(headers);
    done();
  });
  const origins = config.DISPATCHER_CORS_ORIGINS;
  if (origins.length === 0) return;
  void http.register(cors, {
    origin: origins.includes("*") ? "*" : [...origins],
    methods: ["GET", "POST", "HEAD"],
    // An event stream that goes on says behind which event, and not as a browser's own EventSource, which needs no leave.
    allowedHeaders: ["authorization", "content-type", "last-event-id", "x-request-id", "trpc-accept"],
    exposedHeaders: ["retry-after", "x-request-id"],
    maxAge: PREFLIGHT_S,
  });
}

/** They are the same for every answer, so they are made once. A route with a page of its own sets what that needs. */
function securityHeaders(config: ServerConfig): Record<string, string> {
  const protect = helmet({
    // Answers are data: a browser that shows one is to load nothing.
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    // A promise about a name, which is only ours to make where the certificate is.
    strictTransportSecurity: config.DISPATCHER_TLS_CERT_FILE === undefined ? false : { maxAge: YEAR_S },
    crossOriginResourcePolicy: { policy: config.DISPATCHER_CORS_ORIGINS.length === 0 ? "same-origin" : "cross-origin" },
    // For pages with scripts, downloads or plug-ins, and for browsers of long ago.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
  const request = { method: "GET", httpVersionMajor: 1, httpVersionMinor: 1 } as IncomingMessage;
  const answer = new ServerResponse(request);
  protect(request, answer, (fault?: unknown) => {
    if (fault !== undefined) throw fault;
  });
  return Object.fromEntries(Object.entries(answer.getHeaders()).map(([name, value]) => [name, String(value)]));
}
