/**
 * How far a node's word is taken. Trust is earned by results in a row that were right, and one fault sets it back to
 * nothing; it is never taken away for good, for a volunteer's broken disk is no fraud.
 *
 * Source of the counter and of the share of spot checks: adaptive replication in BOINC (Anderson 2019, A Platform for
 * Volunteer Computing), where a host's consecutive valid results decide how often it is checked. Source of the outcomes of
 * an audit: Storj (whitepaper v3, and its auditor), which contains and suspends a node before it judges it.
 */
import { requireCount, requireFinite, requireOneOf, requireShare } from "./check.ts";

/** Below so many right results in a row every one is checked. Too small: cheap to earn. Too large: all is fetched twice. */
export const VALID_BEFORE_SPOT_CHECKS = 10;
/** However trusted, one result in fifty is checked: without that, a disk that goes bad would not be noticed. */
export const SPOT_CHECK_SHARE_MIN = 0.02;
/** So often is a copy that was not shown asked for again. Too small: a busy disk is a fault. Too large: a way to hide. */
export const CONTAINED_RETRIES = 3;
/** How long a fault that is not understood suspends. Too small: nobody has looked yet. Too large: it is a ban. */
export const SUSPENSION_MS: number = 7 * 86_400_000;

export type NodeTrust = {
  /** Results that were checked and right since the last fault, audits included. */
  readonly validInARow: number;
  /** Audits of the same copy, one after the other, at which the node answered and did not show it. */
  readonly containedInARow: number;
  /** Set by a fault that is not understood, and until the next audit that ends well. */
  readonly suspendedUntilMs: number | null;
};

/** As a node begins: nothing earned, nothing held against it. */
export const NEW_TRUST: NodeTrust = { validInARow: 0, containedInARow: 0, suspendedUntilMs: null };

/**
 * ok: it has the bytes. failed: it has others, or none. offline: it does not answer. contained: it answers and does not
 * show the copy in time. unknown: it answers with a fault that nobody understands.
 */
export const AUDIT_OUTCOMES = ["ok", "failed", "offline", "contained", "unknown"] as const;
export type AuditOutcome = (typeof AUDIT_OUTCOMES)[number];

function requireTrust({ validInARow, containedInARow, suspendedUntilMs }: NodeTrust): void {
  requireCount(validInARow, "validInARow");
  requireCount(containedInARow, "containedInARow");
  if (suspendedUntilMs !== null) requireFinite(suspendedUntilMs, "suspendedUntilMs");
}

/**
 * Whether a result of this node is to be checked. Always before it has 10 in a row and while a suspension has not been
 * lifted; then with the probability 1/n, never below a fiftieth. `random` is from 0 up to 1.
 * @throws DispatcherError INPUT_INVALID
 */
export function needsSpotCheck(trust: NodeTrust, random: number): boolean {
  requireTrust(trust);
  requireShare(random, "random");
  const { validInARow, suspendedUntilMs } = trust;
  if (suspendedUntilMs !== null || validInARow < VALID_BEFORE_SPOT_CHECKS) return true;
  return random < Math.max(SPOT_CHECK_SHARE_MIN, 1 / validInARow);
}

/** It is given nothing new. A suspension is over at its last moment, or with an audit that ends well. */
export function isSuspended({ suspendedUntilMs }: NodeTrust, nowMs: number): boolean {
  requireFinite(nowMs, "nowMs");
  return suspendedUntilMs !== null && nowMs < suspendedUntilMs;
}

/** A result was checked without an audit: a new copy that agrees with others or with its declared digest, or does not. */
export function recordResult(trust: NodeTrust, isValid: boolean): NodeTrust {
  requireTrust(trust);
  return { ...trust, validInARow: isValid ? trust.validInARow + 1 : 0 };
}

/**
 * What an audit makes of the trust in a node. None of its outcomes is a ban.
 *
 * ok earns, and lifts containment and suspension. failed takes back what was earned. offline changes nothing: silence is
 * judged by the node's life. contained asks for the same copy again, three times; after that it is a failure. unknown
 * suspends for a week, during which it is audited on; a suspension that runs is not prolonged.
 * @throws DispatcherError INPUT_INVALID for an unknown outcome or numbers that are none, and nothing is recorded
 */
export function recordAudit(trust: NodeTrust, outcome: AuditOutcome, nowMs: number): NodeTrust {
  requireTrust(trust);
  requireOneOf(outcome, AUDIT_OUTCOMES, "outcome");
  requireFinite(nowMs, "nowMs");
  switch (outcome) {
    case "ok":
      return { validInARow: trust.validInARow + 1, containedInARow: 0, suspendedUntilMs: null };
    case "failed":
      return { ...trust, validInARow: 0, containedInARow: 0 };
    case "offline":
      return trust;
    case "contained":
      return trust.containedInARow < CONTAINED_RETRIES
        ? { ...trust, containedInARow: trust.containedInARow + 1 }
        : recordAudit(trust, "failed", nowMs);
    case "unknown":
      return isSuspended(trust, nowMs) ? trust : { ...trust, suspendedUntilMs: nowMs + SUSPENSION_MS };
    default:
      return outcome satisfies never;
  }
}
