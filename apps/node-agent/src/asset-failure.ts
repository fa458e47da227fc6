import type { FailureCode } from "@dispatcher/core";

/** No message on the wire is longer. */
const MESSAGE_LENGTH_MAX = 500;

/** A copy could not be made; what the dispatcher is told about it. */
export class AssetFailure extends Error {
  override readonly name = "AssetFailure";
  readonly code: FailureCode;
  /** As the origin's Retry-After told; set with THROTTLED alone, and not always. */
  readonly retryAfterMs: number | null;

  constructor(
    code: FailureCode,
    message: string,
    { retryAfterMs = null, ...options }: ErrorOptions & { readonly retryAfterMs?: number | null } = {},
  ) {
    super(message.slice(0, MESSAGE_LENGTH_MAX), options);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The failure that the disk's own error means. */
export function diskFailure(cause: unknown): AssetFailure {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
  return code === "ENOSPC" || code === "EDQUOT"
    ? new AssetFailure("DISK_FULL", `The disk is full (${code}).`, { cause })
    : new AssetFailure("DISK_ERROR", `The disk failed (${code}).`, { cause });
}
