/** The HTTP server under Fastify: its patience with slow callers, its connections, its certificate. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Server as SecureServer } from "node:https";
import Fastify from "fastify";
import type { FastifyInstance } from "fastify";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { answerClientFault, refuse } from "./answers.ts";
import { unreadable } from "./problem.ts";
import { readCertificate, watchCertificate } from "./certificate.ts";

/** Longer than agents pause between syncs, so that they need no new connection for each. */
const KEEP_ALIVE_MS = 75_000;
/** A connection on which nothing moves for so long, in the middle of an answer too, is gone. */
const IDLE_MS = 120_000;
/** From this share of the connections allowed on, none is kept for later. */
const SHARE_KEPT = 0.8;
const DROP_LOG_PAUSE_MS = 60_000;

/** An id of the caller's own, short and plain enough for logs and headers. */
const REQUEST_ID = /^[\w.:-]{1,64}$/;

export type HttpServer = {
  readonly http: FastifyInstance;
  readonly connections: () => number;
};

/** @throws DispatcherError CONFIG_INVALID for a certificate that cannot be used */
export function createHttpServer(config: ServerConfig, log: Log): HttpServer {
  const requestTimeout = config.DISPATCHER_REQUEST_TIMEOUT_MS;
  const headersTimeout = Math.ceil(requestTimeout / 3);
  const options = {
    requestTimeout,
    headersTimeout,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Slow callers are looked for so often; Node's own 30 s would let each have as much more.
    connectionsCheckingInterval: Math.min(5_000, headersTimeout),
  };
  const certificate = readCertificate(config);
  const sockets = new Set<unknown>();
  const secureServers: SecureServer[] = [];
  let dropLoggedAtMs = -Infinity;

  const http = Fastify({
    bodyLimit: config.DISPATCHER_BODY_MAX_BYTES,
    routerOptions: { maxParamLength: 5000 },
    logger: false,
    trustProxy: config.DISPATCHER_TRUSTED_PROXIES.length === 0 ? false : [...config.DISPATCHER_TRUSTED_PROXIES],
    requestIdHeader: false,
    genReqId: ({ headers }) => {
      const given = headers["x-request-id"];
      return typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
    },
    clientErrorHandler: answerClientFault,
    frameworkErrors: (error, request, reply) => {
      refuse(request, reply, unreadable(error), error.statusCode ?? 400);
    },
    // One for each address: a name such as localhost has several.
    serverFactory: (handler) => {
      const server: Server =
        certificate === null
          ? createServer(options, handler)
          : createSecureServer({ ...options, ...certificate }, handler);
      if (certificate !== null) secureServers.push(server as SecureServer);
      server.setTimeout(IDLE_MS);
      server.maxConnections = config.DISPATCHER_CONNECTIONS_MAX;
      server.on("connection", (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      });
      server.on("drop", () => {
        if (performance.now() - dropLoggedAtMs < DROP_LOG_PAUSE_MS) return;
        dropLoggedAtMs = performance.now();
        log.warn(
          { event: "connections.dropped", max: config.DISPATCHER_CONNECTIONS_MAX },
          "connections are closed at once: DISPATCHER_CONNECTIONS_MAX are open",
        );
      });
      return server;
    },
  });
  http.addHook("onRequest", (request, reply, done) => {
    void reply.header("x-request-id", request.id);
    if (sockets.size > config.DISPATCHER_CONNECTIONS_MAX * SHARE_KEPT) void reply.header("connection", "close");
    done();
  });
  if (certificate !== null) {
    const stop = watchCertificate({ config, log, servers: secureServers });
    http.addHook("onClose", async () => stop());
  }
  return { http, connections: () => sockets.size };
}
