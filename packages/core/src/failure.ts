/**
 * Why a copy could not be made, and whose fault that is. A node reports the code; the class follows from it here, so
 * that every part of the system blames alike.
 *
 * origin: touches the origin's budget, never the node's standing. node: halves the node's quota.
 * network: tried elsewhere after a pause. asset: people look at it (review).
 */
export type FailureClass = "origin" | "node" | "network" | "asset";

const CLASS_BY_CODE = {
  /** 404. From two nodes it means that the asset is gone. */
  NOT_FOUND: "origin",
  /** 410. As NOT_FOUND. */
  GONE: "origin",
  /** 403, or 401 with no login form. */
  FORBIDDEN: "origin",
  /** 429, or 503: the origin asks for less. Never counts as an attempt. */
  THROTTLED: "origin",
  /** Any other answer of 500 and above. */
  ORIGIN_ERROR: "origin",
  /** The origin serves fewer bytes than the catalog declares, or other bytes than those a partial file began with. */
  CHANGED: "origin",
  CONNECT_FAILED: "network",
  /** The connection ended before the file did, more often than the agent resumes. */
  CONNECTION_CUT: "network",
  /** No byte for the agent's patience. */
  STALLED: "network",
  DISK_FULL: "node",
  DISK_ERROR: "node",
  /** The bytes received do not have the digest that the catalog declares. */
  BAD_DIGEST: "node",
  /** The URL cannot be fetched by this node: malformed, or of a scheme it does not speak. */
  BAD_URL: "asset",
  /** A login page came in place of the file. */
  LOGIN_WALL: "asset",
  /** The origin serves more bytes than the catalog declares. */
  TOO_LARGE: "asset",
} as const;

export type FailureCode = keyof typeof CLASS_BY_CODE;

/** Every failure code, in a fixed order. Never empty. */
export const FAILURE_CODES = Object.keys(CLASS_BY_CODE) as [FailureCode, ...FailureCode[]];

export function failureClassOf(code: FailureCode): FailureClass {
  return CLASS_BY_CODE[code];
}

/** The origin answered that it does not have the file; two nodes saying so marks the asset `gone`. */
export function saysGone(code: FailureCode): boolean {
  return code === "NOT_FOUND" || code === "GONE";
}

/** Failures that count toward the review queue: those that are neither the origin's doing nor the asset's own. */
export function countsAsAttempt(code: FailureCode): boolean {
  const failureClass: FailureClass = CLASS_BY_CODE[code];
  return failureClass === "node" || failureClass === "network";
}

/** So many failed attempts ... */
export const ATTEMPTS_BEFORE_REVIEW = 5;
/** ... by so many nodes send an asset to the review queue: fewer of either may be one bad machine or one bad hour. */
export const NODES_BEFORE_REVIEW = 3;
