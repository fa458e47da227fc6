import { DispatcherError } from "./errors.ts";
import type { ErrorCode, ErrorDetails } from "./errors.ts";

/**
 * What `details` has with a code, where programs act on it. Every member may be missing: an error may come from a server of
 * another version, and details may be added to a code at any time.
 */
type DetailsByCode = {
  readonly ASSET_UNKNOWN: { readonly id?: string };
  /** Copies there are, made or being made. */
  readonly COPIES_FULL: { readonly copies?: number };
  readonly DATASET_UNKNOWN: { readonly dataset?: string };
  readonly DIGEST_MISMATCH: { readonly algorithm?: string; readonly declared?: string; readonly reported?: string };
  readonly EVENT_UNKNOWN: { readonly id?: number };
  /** The first field that is wrong, dots between its steps; empty for the whole. `faults` counts all of them. */
  readonly INPUT_INVALID: { readonly field?: string; readonly faults?: number };
  readonly KEY_UNKNOWN: { readonly id?: string };
  /** `isPaused`: it may go on later, so what was fetched is worth keeping. */
  readonly LEASE_ENDED: { readonly isPaused?: boolean; readonly state?: string };
  readonly LEASE_TERM_STALE: { readonly term?: number; readonly current?: number };
  readonly LEDGER_EXCEEDED: { readonly missingBytes?: number };
  readonly NODE_NAME_TAKEN: { readonly name?: string; readonly operator?: string };
  readonly NODE_RETIRED: { readonly id?: string };
  readonly NODE_UNKNOWN: { readonly id?: string };
  readonly ORIGIN_UNKNOWN: { readonly origin?: string };
  /** How long to wait, in ms. */
  readonly OVERLOADED: { readonly retryAfterMs?: number };
  /** Calls in the batch, where those are too many; `limit` is of calls or of bytes. */
  readonly PAYLOAD_TOO_LARGE: { readonly calls?: number; readonly limit?: number };
  /** How long to wait, in ms. */
  readonly RATE_LIMITED: { readonly retryAfterMs?: number };
  readonly SERVER_UNREACHABLE: { readonly url?: string };
  readonly SIZE_MISMATCH: { readonly declared?: number; readonly reported?: number };
  readonly TOKEN_UNKNOWN: { readonly id?: string };
};

type DetailsOf<Code extends ErrorCode> = Code extends keyof DetailsByCode
  ? ErrorDetails & DetailsByCode[Code]
  : ErrorDetails;

/** A DispatcherError of one of these codes: a union, so that a `switch` over `code` knows the `details` of each. */
export type ErrorOf<Code extends ErrorCode> = Code extends ErrorCode
  ? DispatcherError & { readonly code: Code; readonly details: DetailsOf<Code> }
  : never;

/**
 * Whether something that was caught is an expected failure; of one of these codes, where any are named.
 *
 * @example
 * if (isDispatcherError(error, "RATE_LIMITED", "OVERLOADED")) await sleep(error.details.retryAfterMs ?? 1_000);
 */
export function isDispatcherError<const Code extends ErrorCode = ErrorCode>(
  error: unknown,
  ...codes: readonly Code[]
): error is ErrorOf<Code> {
  return (
    error instanceof DispatcherError && (codes.length === 0 || (codes as readonly ErrorCode[]).includes(error.code))
  );
}
