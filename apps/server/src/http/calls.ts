/** What a request asks for, told from its line alone, before anything of it is read. */
import type { FastifyRequest } from "fastify";
import { DIRECT_PATH } from "../router/direct-calls.ts";
import { appRouter } from "../router/index.ts";

/**
 * How a call is limited. `report`: what a node says of its work, which is never refused for its number; `join`: what anyone
 * may try with a guess; `probe`: health and metrics, which have to answer when nothing else does.
 */
export type CallClass = "report" | "read" | "write" | "join" | "probe";

declare module "fastify" {
  interface FastifyContextConfig {
    /** How calls of this route are limited; without it by their method. */
    callClass?: CallClass;
  }
}

export type Call = {
  readonly name: string;
  readonly callClass: CallClass;
  /** It has no end of its own. */
  readonly isStream?: boolean;
};

/** Names for metrics and logs of what is not there: strangers must not be able to make new ones. */
export const UNKNOWN_CALL = "unknown";

export const TRPC_PREFIX = "/trpc";
const TRPC_ROUTE = `${TRPC_PREFIX}/:path`;
/** The procedure that has a route of its own. */
const DIRECT_ROUTE = `${TRPC_PREFIX}/${DIRECT_PATH}`;

/** They may not exist yet on this server; a name here is never refused for its number. */
const REPORTS: ReadonlySet<string> = new Set([
  "assignment.complete",
  "assignment.fail",
  "assignment.release",
  "assignment.renew",
  "node.inventory",
  "node.sync",
]);
const JOINS: ReadonlySet<string> = new Set(["node.join"]);

// oxlint-disable no-underscore-dangle -- tRPC's own names
type Procedures = Readonly<Record<string, { readonly _def: { readonly type: string } } | undefined>>;
const PROCEDURES = appRouter._def.procedures as unknown as Procedures;
const TYPES: ReadonlyMap<string, string> = new Map(
  Object.entries(PROCEDURES).map(([name, procedure]) => [name, procedure?._def.type ?? ""]),
);
/** How errors are put on the wire. */
export const ROUTER_CONFIG = appRouter._def._config;
// oxlint-enable no-underscore-dangle

/** Every call of a request; those of a batch in its order. */
export function callsOf(request: FastifyRequest): readonly Call[] {
  const { url: route, config } = request.routeOptions;
  if (route !== TRPC_ROUTE && route !== DIRECT_ROUTE) {
    const name = route === undefined ? UNKNOWN_CALL : `${request.method} ${route}`;
    return [{ name, callClass: config.callClass ?? classOfMethod(request.method) }];
  }
  return namesOf(request).map((name) => {
    const type = TYPES.get(name);
    return type === undefined
      ? { name: UNKNOWN_CALL, callClass: classOfMethod(request.method) }
      : { name, callClass: classOfProcedure(name, type), isStream: type === "subscription" };
  });
}

export function isTrpc(request: FastifyRequest): boolean {
  return request.url.startsWith(`${TRPC_PREFIX}/`);
}

/** The names as the router reads them: the path is decoded once more there than by Fastify. */
function namesOf(request: FastifyRequest): readonly string[] {
  const { path = DIRECT_PATH } = request.params as { readonly path?: string };
  const { batch } = request.query as { readonly batch?: string | readonly string[] };
  const decoded = decode(path);
  return (typeof batch === "string" ? batch : batch?.[0]) === "1" ? decoded.split(",") : [decoded];
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** How calls of a procedure are limited, by whatever door. */
export function classOfCall(name: string): CallClass {
  return classOfProcedure(name, TYPES.get(name) ?? "");
}

function classOfProcedure(name: string, type: string): CallClass {
  if (REPORTS.has(name)) return "report";
  if (JOINS.has(name)) return "join";
  return type === "mutation" ? "write" : "read";
}

function classOfMethod(method: string): CallClass {
  return method === "GET" || method === "HEAD" || method === "OPTIONS" ? "read" : "write";
}
