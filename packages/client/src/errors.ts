import { DispatcherError, isErrorCode } from "@dispatcher/core";
import type { ErrorDetails } from "@dispatcher/core";
import { TRPCClientError } from "@trpc/client";

/** A DispatcherError as the server put it on the wire; null for anything else. */
export function fromWire(data: unknown): DispatcherError | null {
  if (typeof data !== "object" || data === null || !("dispatcher" in data)) return null;
  const wire = data.dispatcher;
  if (typeof wire !== "object" || wire === null) return null;
  const { code, detail, details } = wire as { code?: unknown; detail?: unknown; details?: unknown };
  if (!isErrorCode(code) || typeof detail !== "string") return null;
  return new DispatcherError(code, detail, { details: (details ?? {}) as ErrorDetails });
}

/** The innermost message of an error, which is where Node says what happened to a connection. */
function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) return reasonOf(inner.errors[0]);
  if (!(inner instanceof Error)) return String(inner);
  const code = "code" in inner && typeof inner.code === "string" ? ` (${inner.code})` : "";
  return inner.name === "TimeoutError" ? "no answer in time" : `${inner.message}${code}`;
}

/**
 * Every failure of a call as a DispatcherError: the server's own, or SERVER_UNREACHABLE for what never became an answer of
 * a Dispatcher server (no connection, no answer in time, a proxy's error page). An abort by the caller stays what it is.
 */
export function toDispatcherError(error: unknown, url: string): unknown {
  if (error instanceof DispatcherError) return error;
  if (!(error instanceof TRPCClientError)) return error;
  const known = fromWire(error.data) ?? fromWire(error.shape?.data);
  if (known !== null) return known;
  if (error.cause?.name === "AbortError") return error.cause;
  return unreachable(error, url);
}

/** What never became an answer. */
export function unreachable(cause: Error, url: string): DispatcherError {
  return new DispatcherError("SERVER_UNREACHABLE", `No answer of a Dispatcher server at ${url}: ${reasonOf(cause)}.`, {
    cause,
    details: { url },
  });
}
