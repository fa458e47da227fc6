/**
 * What strangers may read of a fault of our database, or of the token issuer: that there is one. Its text names hosts, ports
 * and users of ours and belongs into the log. The admin command, which has the database's own address, sees it whole.
 */
import { DispatcherError } from "@dispatcher/core";
import type { ErrorCode } from "@dispatcher/core";
import type { Log } from "./log.ts";
import type { Health } from "./services/check-health.ts";

const DETAIL = {
  CONFIG_INVALID: "The service is not set up for its database.",
  DATABASE_UNAVAILABLE: "PostgreSQL is not available.",
  JWKS_UNAVAILABLE: "The keys of the token issuer cannot be read.",
} as const satisfies Partial<Record<ErrorCode, string>>;

/** The error as it was, or another of the same code that says less. */
export function shownOutside(error: DispatcherError): DispatcherError {
  const detail = (DETAIL as Partial<Record<ErrorCode, string>>)[error.code];
  return detail === undefined ? error : new DispatcherError(error.code, detail);
}

/** The log has why: the caller of a health check is a probe, and nobody else may have called meanwhile. */
export function healthShownOutside(health: Health, log: Pick<Log, "warn">): Health {
  const { status, message } = health.database;
  if (message === null) return health;
  log.warn({ event: "health.unavailable" }, message);
  return { ...health, database: { status, message: DETAIL.DATABASE_UNAVAILABLE } };
}
