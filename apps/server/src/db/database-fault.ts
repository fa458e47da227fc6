import { DispatcherError } from "@dispatcher/core";
import postgres from "postgres";

/**
 * SQLSTATE that say nothing about the statement and all about the server: it starts, stops, is full, is slow, or became
 * a standby. The same call may succeed later. Classes 08 (connection) and 53 (resources) belong here as wholes.
 */
const UNAVAILABLE_STATES: ReadonlySet<string> = new Set([
  "25006", // read-only: the host became a standby
  "25P03", // the transaction idled too long and was ended
  "57014", // statement timeout
  "57P01", // shut down by an administrator
  "57P02", // crashed
  "57P03", // starts up or shuts down
  "57P05", // the session idled too long and was ended
]);

/** The driver's own codes for a connection that does not come about or breaks. */
const CONNECTION_CODES = /^(CONNECTION_|CONNECT_|E[A-Z]+$)/;

/** Numbers of which two transactions may take the same next one at once: the later one finds it taken, and takes another. */
const NUMBERED: ReadonlySet<string> = new Set(["assignments_asset_turn"]);

/** A serialization fault, a deadlock or a number that was taken: the transaction was undone, and is to be repeated. */
export function asksForRepeat(error: unknown): boolean {
  const code = codeOf(error);
  if (code === "23505") return error instanceof postgres.PostgresError && NUMBERED.has(error.constraint_name ?? "");
  return code === "40001" || code === "40P01";
}

/** The fault as our callers know it; what is neither the connection nor the login is handed back as it came. */
export function toDatabaseFault(error: unknown, where: string): unknown {
  if (error instanceof DispatcherError) return error;
  const code = codeOf(error);
  if (code === undefined) return error;
  if (!(error instanceof postgres.PostgresError))
    return CONNECTION_CODES.test(code) ? unavailable(where, error) : error;
  if (code.startsWith("08") || code.startsWith("53") || UNAVAILABLE_STATES.has(code)) return unavailable(where, error);
  if (code.startsWith("28") || code === "3D000") {
    const detail = `PostgreSQL at ${where} refuses the login of DATABASE_URL: ${error.message}.`;
    return new DispatcherError("CONFIG_INVALID", detail, { cause: error });
  }
  return error;
}

export function unavailable(where: string, cause: unknown): DispatcherError {
  const detail = `PostgreSQL at ${where} is not available: ${describe(cause)}.`;
  return new DispatcherError("DATABASE_UNAVAILABLE", detail, { cause });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** The message of an error; that of several addresses refusing at once is empty, and its code says it. */
function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.message === "" ? (codeOf(cause) ?? cause.name) : cause.message;
}
