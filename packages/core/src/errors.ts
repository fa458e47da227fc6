/**
 * Every failure a caller may expect has a code here. Codes are facts and never change their meaning; the message says
 * what happened and what to do. Anything that is not a DispatcherError is a bug and is shown outside without detail.
 *
 * `retryable`: the same call may succeed later, unchanged. `exit`: what a command ends with (sysexits.h).
 */
const EXIT_STATUS = {
  USAGE: 64,
  DATAERR: 65,
  NOINPUT: 66,
  UNAVAILABLE: 69,
  SOFTWARE: 70,
  CANTCREAT: 73,
  IOERR: 74,
  NOPERM: 77,
  CONFIG: 78,
} as const;

type ErrorFacts = { readonly advice: string; readonly retryable: boolean; readonly exit: keyof typeof EXIT_STATUS };

const ERRORS = {
  ASSET_UNKNOWN: {
    advice: "List the assets to find the right id.",
    retryable: false,
    exit: "DATAERR",
  },
  ASSIGNMENT_UNKNOWN: {
    advice: "Drop it: this server never granted it to this node.",
    retryable: false,
    exit: "DATAERR",
  },
  CATALOG_UNREADABLE: {
    advice: "Check the path or URL, and that the file is a Frictionless datapackage.json, a JSON list or a CSV list.",
    retryable: false,
    exit: "NOINPUT",
  },
  CONFIG_INVALID: {
    advice: "Correct the settings named and start again.",
    retryable: false,
    exit: "CONFIG",
  },
  COPIES_FULL: {
    advice: "Keep or delete the file as you like: enough other nodes hold it already.",
    retryable: false,
    exit: "DATAERR",
  },
  DATABASE_IN_USE: {
    advice: "Stop every server of this database first, then run the command again; nothing was changed.",
    retryable: false,
    exit: "UNAVAILABLE",
  },
  DATABASE_NOT_EMPTY: {
    advice: "Name a new, empty one with DATABASE_URL or DISPATCHER_DATA_DIR; nothing was changed.",
    retryable: false,
    exit: "CONFIG",
  },
  DATABASE_TOO_NEW: {
    advice: "Start the newer Dispatcher again, or restore a backup made by this one.",
    retryable: false,
    exit: "CONFIG",
  },
  DATABASE_UNAVAILABLE: {
    advice: "Check that PostgreSQL runs and that DATABASE_URL points to it; the call may be repeated as it was.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  DATASET_UNKNOWN: {
    advice: "List the datasets to find the right key.",
    retryable: false,
    exit: "DATAERR",
  },
  DATA_DIR_UNUSABLE: {
    advice: "Name a folder this user may write to with DISPATCHER_DATA_DIR, or set DATABASE_URL.",
    retryable: false,
    exit: "CANTCREAT",
  },
  DIGEST_MISMATCH: {
    advice: "Delete the file: its bytes are not those the catalog declares.",
    retryable: false,
    exit: "DATAERR",
  },
  EVENT_UNKNOWN: {
    advice: "List the events to see how far back the log goes, and listen from one of them or from now on.",
    retryable: false,
    exit: "DATAERR",
  },
  EXPORT_DAMAGED: {
    advice: "Copy the file anew from where it was written, or export again; nothing was imported.",
    retryable: false,
    exit: "DATAERR",
  },
  EXPORT_INCOMPATIBLE: {
    advice: "Import it with the Dispatcher that wrote it, or export again with this one; nothing was imported.",
    retryable: false,
    exit: "DATAERR",
  },
  FILE_UNREADABLE: {
    advice: "Check the path, and that this user may read it.",
    retryable: false,
    exit: "NOINPUT",
  },
  FILE_UNWRITABLE: {
    advice: "Make room or name another file, and run the command again.",
    retryable: false,
    exit: "CANTCREAT",
  },
  FORBIDDEN: {
    advice: "Use a key that has this right.",
    retryable: false,
    exit: "NOPERM",
  },
  HOME_IN_USE: {
    advice: "Stop the other agent first, or give this one a folder of its own with --home.",
    retryable: false,
    exit: "UNAVAILABLE",
  },
  HOME_UNUSABLE: {
    advice: "Name a folder this user may write to with --home.",
    retryable: false,
    exit: "CANTCREAT",
  },
  INPUT_INVALID: {
    advice: "Correct the field named and call again.",
    retryable: false,
    exit: "DATAERR",
  },
  INTERNAL: {
    advice: "This is a fault of the service: its log has the cause.",
    retryable: true,
    exit: "SOFTWARE",
  },
  JOIN_TOKEN_INVALID: {
    advice: "Ask your coordinator for a new join token.",
    retryable: false,
    exit: "NOPERM",
  },
  JWKS_UNAVAILABLE: {
    advice: "Check that DISPATCHER_JWT_JWKS can be read by the server; the call may be repeated as it was.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  KEY_EXPIRED: {
    advice: "Ask an administrator for a new key, or log in again for a new token.",
    retryable: false,
    exit: "NOPERM",
  },
  KEY_INVALID: {
    advice: "Check the key; a node whose key is lost has to join again.",
    retryable: false,
    exit: "NOPERM",
  },
  KEY_MISSING: {
    advice: "Send a key as the header Authorization: Bearer <key>.",
    retryable: false,
    exit: "NOPERM",
  },
  KEY_REVOKED: {
    advice: "Ask an administrator for a new key.",
    retryable: false,
    exit: "NOPERM",
  },
  KEY_UNKNOWN: {
    advice: "List the keys to find the right id.",
    retryable: false,
    exit: "DATAERR",
  },
  LEASE_ENDED: {
    advice: "Stop work on this asset and claim a new assignment.",
    retryable: false,
    exit: "DATAERR",
  },
  LEASE_TERM_STALE: {
    advice: "A newer term replaced this one: drop it and claim again.",
    retryable: false,
    exit: "DATAERR",
  },
  LEDGER_EXCEEDED: {
    advice: "Free space or offer more; nothing was reserved.",
    retryable: false,
    exit: "DATAERR",
  },
  MOCK_MODE_OFF: {
    advice: "Start the server with ENABLE_MOCK_MODE=true, or call POST /dispatch for real work.",
    retryable: false,
    exit: "USAGE",
  },
  NODE_NAME_TAKEN: {
    advice: "Choose another name for this node.",
    retryable: false,
    exit: "DATAERR",
  },
  NODE_RETIRED: {
    advice: "Join again to take part once more.",
    retryable: false,
    exit: "NOPERM",
  },
  NODE_UNKNOWN: {
    advice: "List the nodes to find the right id.",
    retryable: false,
    exit: "DATAERR",
  },
  NOTHING_FITS: {
    advice: "Ask again after the time given in Retry-After, or offer more space.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  NOT_JOINED: {
    advice: "Run the join command first, with the join token your coordinator gave you.",
    retryable: false,
    exit: "CONFIG",
  },
  ORIGIN_UNKNOWN: {
    advice: "List the origins to find the right host and port.",
    retryable: false,
    exit: "DATAERR",
  },
  OVERLOADED: {
    advice: "Wait for as long as the answer says and repeat the call as it was.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  PAYLOAD_TOO_LARGE: {
    advice: "Send less at once: smaller pages, or fewer calls in a batch.",
    retryable: false,
    exit: "DATAERR",
  },
  PORT_TAKEN: {
    advice: "Stop the program that uses it, or choose another with DISPATCHER_PORT.",
    retryable: false,
    exit: "UNAVAILABLE",
  },
  PROCEDURE_UNKNOWN: {
    advice: "Check the name, and that client and server are of the same version.",
    retryable: false,
    exit: "USAGE",
  },
  RATE_LIMITED: {
    advice: "Wait for as long as the answer says and repeat the call as it was.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  REQUEST_TIMEOUT: {
    advice: "Send the whole request without pauses; the call may be repeated as it was.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  RESCUE_UNPROVEN: {
    advice: "Send the SHA-256 of the stored file as sha256, and its length as size_bytes, with the asset.",
    retryable: false,
    exit: "DATAERR",
  },
  SERVER_UNREACHABLE: {
    advice: "Check the address and that the server runs; the call may be repeated as it was.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  SIZE_MISMATCH: {
    advice: "Delete the file: its length is not the one the catalog declares.",
    retryable: false,
    exit: "DATAERR",
  },
  STATE_UNREADABLE: {
    advice: "Restore the file from a backup, or move it away and join again; saved files stay where they are.",
    retryable: false,
    exit: "IOERR",
  },
  STREAM_CUT: {
    advice: "Connect again with the id of the last event that came; the typed client does so by itself.",
    retryable: true,
    exit: "UNAVAILABLE",
  },
  TOKEN_UNKNOWN: {
    advice: "List the join tokens to find the right id.",
    retryable: false,
    exit: "DATAERR",
  },
} as const;

export type ErrorCode = keyof typeof ERRORS;

const FACTS_BY_CODE: Readonly<Record<ErrorCode, ErrorFacts>> = ERRORS;

/** Every code there is, in alphabetical order. */
export const ERROR_CODES: readonly ErrorCode[] = Object.keys(ERRORS) as ErrorCode[];

/** Whether a string from outside is one of our codes. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERRORS, value);
}

/** Numbers and names that belong to an error, for programs: plain JSON values. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

/** Known to every copy of this module: a program may have several, as the published client carries one of its own. */
const MARK = Symbol.for("dispatcher.error");

/**
 * An expected failure. `detail` is one sentence with its full stop; the advice for the code is added behind it.
 * `details` carries the same facts for programs.
 */
export class DispatcherError extends Error {
  override readonly name = "DispatcherError";
  readonly code: ErrorCode;
  /** The sentence that says what happened, without the advice. */
  readonly detail: string;
  readonly details: ErrorDetails;

  /** True for a DispatcherError of another copy of this class as well; classes that extend it know their own alone. */
  static override [Symbol.hasInstance](value: unknown): value is DispatcherError {
    if (this !== DispatcherError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === "object" && value !== null && MARK in value;
  }

  constructor(code: ErrorCode, detail: string, options: ErrorOptions & { readonly details?: ErrorDetails } = {}) {
    super(`${detail} ${FACTS_BY_CODE[code].advice}`, options);
    this.code = code;
    this.detail = detail;
    this.details = options.details ?? {};
    Object.defineProperty(this, MARK, { value: true });
  }

  /** The same call may succeed later, unchanged. */
  get isRetryable(): boolean {
    return FACTS_BY_CODE[this.code].retryable;
  }

  /** What a command that ends with this error exits with, as in sysexits.h. */
  get exitStatus(): number {
    return EXIT_STATUS[FACTS_BY_CODE[this.code].exit];
  }
}

/**
 * What a command prints when it ends with `error`: one line for an expected failure, and the stack for a bug,
 * because a bug is reported and not corrected by its user.
 */
export function describeFailure(error: unknown): { readonly text: string; readonly exitStatus: number } {
  if (error instanceof DispatcherError)
    return { text: `${error.code}: ${error.message}`, exitStatus: error.exitStatus };
  const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    text: `INTERNAL: an unexpected fault; please report it with these lines.\n${shown}`,
    exitStatus: EXIT_STATUS.SOFTWARE,
  };
}
