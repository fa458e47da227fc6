/** What every request passes before anything of it is read: its number, its size, and whether there is room for it. */
import { DispatcherError } from "@dispatcher/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { refuseForNow } from "./answers.ts";
import { callerOf } from "./caller.ts";
import type { Caller } from "./caller.ts";
import { callsOf } from "./calls.ts";
import type { Call } from "./calls.ts";
import { JSON_DEPTH_MAX, isDeeperThan } from "./json-depth.ts";
import type { Load } from "./load.ts";
import type { RateLimits } from "./rate-limits.ts";

declare module "fastify" {
  interface FastifyRequest {
    calls: readonly Call[];
    /** All of it is there, and something is done about it. */
    isAtWork: boolean;
  }
}

/** To join, or to ask, takes a line or two; whoever sends more has a key. */
const BODY_WITHOUT_KEY_MAX_BYTES = 65_536;
/** So often at most one line of the log says how many were refused. */
const LOG_PAUSE_MS = 60_000;

export type GuardParts = {
  readonly config: ServerConfig;
  readonly log: Log;
  readonly load: Load;
  readonly limits: RateLimits;
};

/** Before all else, so that each request is counted in and out, whoever answers it. */
export function registerCount(http: FastifyInstance, load: Load): void {
  http.decorateRequest("calls", null as unknown as readonly Call[]);
  http.decorateRequest("caller", null as unknown as Caller);
  http.decorateRequest("isAtWork", false);
  http.addHook("onRequest", (request, _reply, done) => {
    request.calls = callsOf(request);
    request.caller = callerOf(request);
    if (!isStream(request)) load.requests += 1;
    done();
  });
  http.addHook("preValidation", (request, _reply, done) => {
    if (!isStream(request)) {
      request.isAtWork = true;
      load.atWork += 1;
    }
    done();
  });
  http.addHook("onResponse", (request, _reply, done) => {
    done();
    if (isStream(request)) return;
    load.requests -= 1;
    if (request.isAtWork) load.atWork -= 1;
    if (request.refusedWith !== "OVERLOADED" && request.refusedWith !== "RATE_LIMITED") load.answered();
  });
}

function isStream({ calls }: FastifyRequest): boolean {
  return calls.some((call) => call.isStream === true);
}

export function registerGuard(http: FastifyInstance, { config, log, load, limits }: GuardParts): void {
  const note = createRefusalLog(log);
  // Called back and not awaited: every request passes here, and each promise is a turn of its own.
  http.addHook("onRequest", (request, reply, done) => {
    const overloadMs = load.refusalMs(request.calls);
    if (overloadMs > 0) {
      note("OVERLOADED");
      refuseForNow(request, reply, { code: "OVERLOADED", retryAfterMs: overloadMs });
      return;
    }
    const fault = checkSize(config, request);
    if (fault !== null) {
      note(fault.code);
      done(fault);
      return;
    }
    const pauseMs = limits.take(request.caller, request.calls, performance.now());
    if (pauseMs === 0) return done();
    note("RATE_LIMITED");
    refuseForNow(request, reply, { code: "RATE_LIMITED", retryAfterMs: pauseMs });
  });
  http.addHook("preValidation", (request, _reply, done) => {
    const { input } = request.query as { readonly input?: unknown };
    const fault = [request.body, input]
      .map((text) => (typeof text === "string" ? checkDepth(text) : null))
      .find(isFault);
    if (fault !== undefined) note(fault.code);
    done(fault);
  });
  const parse = http.getDefaultJsonParser("error", "error");
  http.removeContentTypeParser("application/json");
  http.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    const fault = checkDepth(body as string);
    if (fault === null) void parse(request, body as string, done);
    else done(fault);
  });

  if (config.DISPATCHER_TRUSTED_PROXIES.length === 0) warnOfUntrustedProxy(http, log);
}

function checkSize(config: ServerConfig, request: FastifyRequest): DispatcherError | null {
  const { calls, caller, headers } = request;
  const callsMax = config.DISPATCHER_BATCH_MAX;
  if (calls.length > callsMax) {
    return new DispatcherError(
      "PAYLOAD_TOO_LARGE",
      `The batch has ${calls.length} calls, and ${callsMax} are the most.`,
      { details: { calls: calls.length, limit: callsMax } },
    );
  }
  if (caller.key !== null) return null;
  // Without a length nobody knows how much will come.
  const bytes = headers["transfer-encoding"] === undefined ? Number(headers["content-length"] ?? 0) : Infinity;
  if (bytes <= BODY_WITHOUT_KEY_MAX_BYTES) return null;
  return new DispatcherError(
    "PAYLOAD_TOO_LARGE",
    `Without a key a body has a Content-Length of at most ${BODY_WITHOUT_KEY_MAX_BYTES} bytes.`,
    { details: { limit: BODY_WITHOUT_KEY_MAX_BYTES } },
  );
}

function isFault(fault: DispatcherError | null): fault is DispatcherError {
  return fault !== null;
}

function checkDepth(text: string): DispatcherError | null {
  if (!isDeeperThan(text, JSON_DEPTH_MAX)) return null;
  return new DispatcherError("INPUT_INVALID", `The input is nested deeper than ${JSON_DEPTH_MAX} levels.`);
}

/** One line a minute for each code, with a number: a flood must not fill the log as well. */
function createRefusalLog(log: Log): (code: DispatcherError["code"]) => void {
  const since = new Map<DispatcherError["code"], { loggedAtMs: number; count: number }>();
  return (code) => {
    const nowMs = performance.now();
    const last = since.get(code) ?? { loggedAtMs: -Infinity, count: 0 };
    since.set(code, last);
    last.count += 1;
    if (nowMs - last.loggedAtMs < LOG_PAUSE_MS) return;
    log.warn({ event: "requests.refused", code, count: last.count }, `requests are refused: ${code}`);
    last.loggedAtMs = nowMs;
    last.count = 0;
  };
}

/** Without its address among those trusted, all that a proxy brings are one caller, and soon refused as such. */
function warnOfUntrustedProxy(http: FastifyInstance, log: Log): void {
  let isSaid = false;
  http.addHook("onRequest", (request, _reply, done) => {
    done();
    if (isSaid || request.headers["x-forwarded-for"] === undefined) return;
    isSaid = true;
    log.warn(
      { event: "proxy.untrusted", address: request.ip },
      "A request came with X-Forwarded-For, which is ignored. If a proxy of yours sent it, name it in DISPATCHER_TRUSTED_PROXIES: until then all its callers share one limit.",
    );
  });
}
