import { DispatcherError } from "@dispatcher/core";
import type { ErrorCode, ErrorDetails } from "@dispatcher/core";
import { TRPCError, initTRPC } from "@trpc/server";
import superjson from "superjson";
import { ZodError } from "zod";
import type { Log } from "../log.ts";
import type { Actor } from "../services/authenticate.ts";
import type { Services } from "../services/index.ts";
import { scopeOf } from "../services/rights.ts";
import { shownOutside } from "../shown-outside.ts";

export type Context = {
  readonly services: Services;
  readonly log: Log;
  readonly actor: Actor;
  /** The prefix of the network the call came from, where that is known. */
  readonly network: string | null;
};

/** What crosses the wire beside tRPC's own fields, for `packages/client` to make a DispatcherError of again. */
export type WireError = { readonly code: ErrorCode; readonly detail: string; readonly details: ErrorDetails };

/** Which HTTP answer belongs to a code; what is not named here is a BAD_REQUEST. */
const TRPC_CODE: Partial<Record<ErrorCode, TRPCError["code"]>> = {
  ASSET_UNKNOWN: "NOT_FOUND",
  ASSIGNMENT_UNKNOWN: "NOT_FOUND",
  COPIES_FULL: "CONFLICT",
  DATASET_UNKNOWN: "NOT_FOUND",
  DATABASE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
  EVENT_UNKNOWN: "NOT_FOUND",
  FORBIDDEN: "FORBIDDEN",
  INTERNAL: "INTERNAL_SERVER_ERROR",
  JOIN_TOKEN_INVALID: "FORBIDDEN",
  JWKS_UNAVAILABLE: "SERVICE_UNAVAILABLE",
  KEY_EXPIRED: "UNAUTHORIZED",
  KEY_INVALID: "UNAUTHORIZED",
  KEY_MISSING: "UNAUTHORIZED",
  KEY_REVOKED: "UNAUTHORIZED",
  KEY_UNKNOWN: "NOT_FOUND",
  LEASE_ENDED: "CONFLICT",
  LEASE_TERM_STALE: "CONFLICT",
  LEDGER_EXCEEDED: "CONFLICT",
  MOCK_MODE_OFF: "NOT_FOUND",
  NODE_NAME_TAKEN: "CONFLICT",
  NODE_RETIRED: "FORBIDDEN",
  NODE_UNKNOWN: "NOT_FOUND",
  NOTHING_FITS: "UNPROCESSABLE_CONTENT",
  ORIGIN_UNKNOWN: "NOT_FOUND",
  OVERLOADED: "SERVICE_UNAVAILABLE",
  PAYLOAD_TOO_LARGE: "PAYLOAD_TOO_LARGE",
  PROCEDURE_UNKNOWN: "NOT_FOUND",
  RATE_LIMITED: "TOO_MANY_REQUESTS",
  REQUEST_TIMEOUT: "TIMEOUT",
  STREAM_CUT: "SERVICE_UNAVAILABLE",
  TOKEN_UNKNOWN: "NOT_FOUND",
};

export function toTrpcError(error: DispatcherError): TRPCError {
  return new TRPCError({ code: TRPC_CODE[error.code] ?? "BAD_REQUEST", message: error.message, cause: error });
}

/** The one expected failure behind a tRPC error; null for a bug. */
export function toDispatcherError(error: TRPCError): DispatcherError | null {
  if (error.cause instanceof DispatcherError) return error.cause;
  if (error.code === "NOT_FOUND") return new DispatcherError("PROCEDURE_UNKNOWN", error.message.replace(/\.?$/, "."));
  if (error.cause instanceof ZodError && error.code === "BAD_REQUEST") {
    const [issue] = error.cause.issues;
    const field = issue?.path.join(".") ?? "";
    const count = error.cause.issues.length;
    const more = count > 1 ? ` (and ${count - 1} more)` : "";
    return new DispatcherError("INPUT_INVALID", `${field === "" ? "The input" : field}: ${issue?.message}${more}.`, {
      details: { field, faults: count },
    });
  }
  // Malformed JSON, a body of the wrong type and the like.
  const isCallersFault =
    error.code === "BAD_REQUEST" || error.code === "PARSE_ERROR" || error.code === "PAYLOAD_TOO_LARGE";
  if (isCallersFault || error.code === "METHOD_NOT_SUPPORTED" || error.code === "UNSUPPORTED_MEDIA_TYPE") {
    return new DispatcherError("INPUT_INVALID", "The request could not be read.");
  }
  return null;
}

/** What REST tells of a procedure. All of it may be missing: its docstring says the same, and the builder who may call it. */
export type ProcedureMeta = {
  readonly summary?: string;
  readonly description?: string;
  readonly rights?: "anyone" | "reader" | "node" | "operator" | "admin" | "key";
};

const t = initTRPC
  .context<Context>()
  .meta<ProcedureMeta>()
  .create({
    transformer: superjson,
    // A line every so often keeps proxies from closing a stream in which nothing happens, and shows listeners that it lives.
    sse: { ping: { enabled: true, intervalMs: 15_000 }, client: { reconnectAfterInactivityMs: 45_000 } },
    errorFormatter({ shape, error }) {
      const known = shownOutside(
        toDispatcherError(error) ?? new DispatcherError("INTERNAL", "Something unexpected happened."),
      );
      const { stack: _, ...data } = shape.data;
      const dispatcher: WireError = { code: known.code, detail: known.detail, details: known.details };
      return { ...shape, message: known.message, data: { ...data, dispatcher } };
    },
  });

/** Gives an expected failure its HTTP answer; a bug is logged with its cause and stays inside. */
const withErrors = t.middleware(async ({ ctx, path, next }) => {
  const result = await next();
  if (result.ok) return result;
  const { error } = result;
  if (error.cause instanceof DispatcherError) throw toTrpcError(error.cause);
  if (toDispatcherError(error) === null) {
    ctx.log.error(
      { event: "procedure.failed", procedure: path, err: error.cause ?? error },
      `${path} failed unexpectedly`,
    );
  }
  return result;
});

export const router = t.router;
export const createCallerFactory = t.createCallerFactory;

/** Anyone may call it. */
export const publicProcedure = t.procedure.meta({ rights: "anyone" }).use(withErrors);

/** Anyone may call it, unless reading is for those with a key alone (`DISPATCHER_PUBLIC_READ=off`). */
export const readerProcedure = publicProcedure.meta({ rights: "reader" }).use(({ ctx, next }) => {
  if (!ctx.services.mayRead(ctx.actor)) throw new DispatcherError("KEY_MISSING", "Reading needs a key here.");
  return next();
});

/** A node calls it, for itself: `ctx.nodeId` is the one its key belongs to. */
export const nodeProcedure = publicProcedure.meta({ rights: "node" }).use(({ ctx, next }) => {
  if (ctx.actor.kind === "anyone") throw new DispatcherError("KEY_MISSING", "This call needs a node's key.");
  if (ctx.actor.kind !== "node") throw new DispatcherError("FORBIDDEN", "Only a node may make this call, for itself.");
  return next({ ctx: { nodeId: ctx.actor.nodeId } });
});

/** An operator calls it for what is its own, `ctx.operatorId`; or an administrator for what is anybody's, null. */
export const operatorProcedure = publicProcedure.meta({ rights: "operator" }).use(({ ctx, next }) => {
  const { actor } = ctx;
  if (actor.kind === "anyone") throw new DispatcherError("KEY_MISSING", "This call needs an operator's or admin key.");
  if (actor.kind !== "admin" && actor.kind !== "operator") {
    throw new DispatcherError("FORBIDDEN", "Only an operator or an administrator may make this call.");
  }
  return next({ ctx: { actor, operatorId: scopeOf(actor) } });
});

/** A coordinator calls it: with an admin key, or from inside the process. */
export const adminProcedure = publicProcedure.meta({ rights: "admin" }).use(({ ctx, next }) => {
  const { actor } = ctx;
  if (actor.kind === "anyone") throw new DispatcherError("KEY_MISSING", "This call needs an admin key.");
  if (actor.kind !== "admin") throw new DispatcherError("FORBIDDEN", "Only an administrator may make this call.");
  return next({ ctx: { actor } });
});
