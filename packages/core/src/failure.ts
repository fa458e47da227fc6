/**
 * Why a copy could not be made, and whose fault that is. A node reports the code; the class follows from it here, so
 * that every part of the system blames alike.
 *
 * origin: touches the origin's budget, never the node's standing. node: halves the node's quota.
 * network: tried elsewhere after a pause. asset: people look at it (review).
 *
 * A code that is none of these is refused with INPUT_INVALID wherever one is taken.
 */
import { requireAmount, requireOneOf, requireShare } from "./check.ts";
import type { NodeId } from "./ids.ts";

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
  requireOneOf(code, FAILURE_CODES, "code");
  return CLASS_BY_CODE[code];
}

/** The origin answered that it does not have the file; two nodes saying so marks the asset `gone`. */
export function saysGone(code: FailureCode): boolean {
  return code === "NOT_FOUND" || code === "GONE";
}

/** Failures that count toward the review queue: those that are neither the origin's doing nor the asset's own. */
export function countsAsAttempt(code: FailureCode): boolean {
  const failureClass = failureClassOf(code);
  return failureClass === "node" || failureClass === "network";
}

/** So many failed attempts ... */
export const ATTEMPTS_BEFORE_REVIEW = 5;
/** ... by so many nodes send an asset to the review queue: fewer of either may be one bad machine or one bad hour. */
export const NODES_BEFORE_REVIEW = 3;

/** From so many nodes an answer of the origin is believed: one alone may be blocked, or behind a broken proxy. */
export const NODES_TO_BELIEVE = 2;

/** No rest is longer. Too small: dead links are asked for all day. Too large: an origin that is back is found out late. */
const REST_MAX_MS = 3_600_000;
/** Doubling ends here: what follows is above the longest rest anyway, and would leave the range of numbers. */
const DOUBLINGS_MAX = 20;

/** One failed attempt at an asset. */
export type RecordedFailure = { readonly nodeId: NodeId; readonly code: FailureCode };

export type FailureVerdict = {
  /** wanted: others try on. gone: its origin does not have it. review: people look at it. */
  readonly state: "wanted" | "gone" | "review";
  /** How long nobody is asked to fetch it. Null: it needs no rest of its own, for its origin is closed as a whole. */
  readonly restMs: number | null;
};

/** How many nodes have failed in this way. */
function nodesFailing(failures: readonly RecordedFailure[], isMeant: (code: FailureCode) => boolean): number {
  return new Set(failures.filter(({ code }) => isMeant(code)).map(({ nodeId }) => nodeId)).size;
}

/**
 * What follows for an asset from its failures.
 *
 * `failures` are all since it was last saved, in any order, and `newCodes` those of them that have just been reported. A
 * fault of the asset's own counts when it is new alone: once people have looked and want it on, the old one is answered.
 * That the origin does not have it goes before everything else. Throttles are the origin's wish and never count.
 *
 * The rest is `baseMs` at the first failure and doubles with each, to an hour at most, and of that between the half and
 * the whole, as `jitter` from 0 to 1 says, so that assets that failed together are not asked for together ("equal
 * jitter": Brooker 2015, Exponential Backoff And Jitter). O(n) in failures.
 * @throws DispatcherError INPUT_INVALID for an unknown code, a negative base or a jitter outside 0 to 1
 */
export function judgeFailures(
  failures: readonly RecordedFailure[],
  newCodes: readonly FailureCode[],
  { baseMs, jitter }: { readonly baseMs: number; readonly jitter: number },
): FailureVerdict {
  requireAmount(baseMs, "baseMs");
  requireShare(jitter, "jitter");
  for (const { code } of failures) requireOneOf(code, FAILURE_CODES, "code");
  for (const code of newCodes) requireOneOf(code, FAILURE_CODES, "code");

  const isTriedEnough =
    failures.filter(({ code }) => countsAsAttempt(code)).length >= ATTEMPTS_BEFORE_REVIEW &&
    nodesFailing(failures, countsAsAttempt) >= NODES_BEFORE_REVIEW;
  const isForPeople =
    isTriedEnough ||
    newCodes.some((code) => failureClassOf(code) === "asset") ||
    nodesFailing(failures, (code) => code === "CHANGED") >= NODES_TO_BELIEVE ||
    nodesFailing(failures, (code) => code === "FORBIDDEN") >= NODES_TO_BELIEVE;
  const isGone = nodesFailing(failures, saysGone) >= NODES_TO_BELIEVE;
  const state = isGone ? "gone" : isForPeople ? "review" : "wanted";

  if (newCodes.every((code) => code === "THROTTLED")) return { state, restMs: null };
  const counted = failures.filter(({ code }) => code !== "THROTTLED").length;
  const doublings = Math.min(Math.max(counted - 1, 0), DOUBLINGS_MAX);
  return { state, restMs: Math.min(REST_MAX_MS, baseMs * 2 ** doublings) * (0.5 + 0.5 * jitter) };
}
