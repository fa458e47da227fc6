/** The HTTP server under Fastify: its patience with slow callers, its connections, its certificate. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Server as SecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import type { FastifyInstance } from "fastify";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { answerClientFault, refuse } from "./answers.ts";
import { unreadable } from "./problem.ts";
import { readCertificate, watchCertificate } from "./certificate.ts";
import { LISTENERS, listenOn, requireFree } from "./listeners.ts";
import type { Place } from "./listeners.ts";

/** Longer than agents pause between syncs, so that they need no new connection for each. */
const KEEP_ALIVE_MS = 75_000;
/** A connection on which nothing moves for so long, in the middle of an answer too, is gone. */
const IDLE_MS = 120_000;
/** From this share of the connections allowed on, none is kept for later. */
const SHARE_KEPT = 0.8;
const DROP_LOG_PAUSE_MS = 60_000;
/** A server that stops lets connections go so soon after their last answer. */
const CLOSE_IDLE_MS = 50;

/** An id of the caller's own, short and plain enough for logs and headers. */
const REQUEST_ID = /^[\w.:-]{1,64}$/;

export type HttpServer = {
  readonly http: FastifyInstance;
  /** Open now. */
  readonly connections: () => number;
  /** As `http.listen`, but ready for thousands who come at once. Rejects as Node does, with EADDRINUSE and the like. */
  readonly listen: (place: Place) => Promise<void>;
  /** Whoever is still not answered never will be. */
  readonly closeConnections: () => void;
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
  const servers: Server[] = [];
  const connectionsMax = config.DISPATCHER_CONNECTIONS_MAX;
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
    serverFactory: (handler) => makeServer(handler),
  });

  function makeServer(handler: RequestListener): Server {
    const server: Server =
      certificate === null
        ? createServer(options, handler)
        : createSecureServer({ ...options, ...certificate }, handler);
    server.setTimeout(IDLE_MS);
    // Node counts for each server, and what is limited is all of them.
    Object.defineProperty(server, "maxConnections", {
      get: () => (sockets.size >= connectionsMax ? 0 : connectionsMax),
    });
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    server.on("drop", () => {
      if (performance.now() - dropLoggedAtMs < DROP_LOG_PAUSE_MS) return;
      dropLoggedAtMs = performance.now();
      log.warn(
        { event: "connections.dropped", max: connectionsMax },
        "connections are closed at once: DISPATCHER_CONNECTIONS_MAX are open",
      );
    });
    servers.push(server);
    return server;
  }

  http.addHook("onRequest", (request, reply, done) => {
    void reply.header("x-request-id", request.id);
    if (sockets.size > connectionsMax * SHARE_KEPT) void reply.header("connection", "close");
    done();
  });
  if (certificate !== null) {
    const stop = watchCertificate({ config, log, servers: servers as SecureServer[] });
    http.addHook("onClose", async () => stop());
  }

  const companions: Server[] = [];
  const listen = async (place: Place): Promise<void> => {
    await requireFree(place);
    await http.listen({ ...place, ...(LISTENERS > 1 ? { reusePort: true } : {}) });
    for (const { address, port } of http.addresses().filter(isAddress)) {
      for (let count = 1; count < LISTENERS; count += 1) {
        const companion = makeServer((request, response) => void http.server.emit("request", request, response));
        // Fastify hears this of its own servers alone.
        companion.on("clientError", answerClientFault);
        companions.push(companion);
        await listenOn(companion, { ...place, host: address, port });
      }
    }
  };
  // Fastify closes the server that it knows, when streams have been told, and waits for it.
  const closeFirst = http.server.close.bind(http.server);
  http.server.close = (done) => {
    // Whoever is answered from now on is kept by Node for the next request, for more than a minute.
    const sweeping = setInterval(() => {
      for (const server of servers) server.closeIdleConnections();
    }, CLOSE_IDLE_MS);
    const faults: (Error | undefined)[] = [];
    const closed = (fault?: Error): void => {
      faults.push(fault);
      if (faults.length <= companions.length) return;
      clearInterval(sweeping);
      done?.(faults.find((each) => each !== undefined));
    };
    for (const companion of companions) companion.close(closed);
    return closeFirst(closed);
  };
  return {
    http,
    connections: () => sockets.size,
    listen,
    closeConnections: () => {
      for (const server of servers) server.closeAllConnections();
    },
  };
}

function isAddress(address: AddressInfo | string): address is AddressInfo {
  return typeof address === "object";
}
