/**
 * The assignment state machine: one function per event. Open states carry a lease, ended ones do not, so that the deadline
 * of an ended lease cannot be misread. `docs/lease-states.md` draws it; a test walks every state against every event.
 *
 *   granted --progress--> running
 *      |                     |
 *      +------ complete -----+------> stored
 *      +------ fail ---------+------> failed
 *      +------ release ------+------> released  --complete (late)--> stored
 *      +------ expire -------+------> expired   --complete (late)--> stored, --regrant (new term)--> granted
 *      +------ cancel (not yet begun) > cancelled --complete (late)--> stored
 */
import { requireAmount, requireCount, requireFinite, requireOneOf } from "./check.ts";
import { DispatcherError } from "./errors.ts";
import { FAILURE_CODES } from "./failure.ts";
import type { FailureCode } from "./failure.ts";
import { isOverdue, renewedDeadlineMs } from "./lease.ts";
import type { LeaseTimes } from "./lease.ts";

export const OPEN_STATES = ["granted", "running"] as const;
export const ENDED_STATES = ["stored", "released", "failed", "expired", "cancelled"] as const;
type OpenState = (typeof OPEN_STATES)[number];
type EndedState = (typeof ENDED_STATES)[number];
export type AssignmentState = OpenState | EndedState;

export type OpenAssignment = {
  readonly state: OpenState;
  readonly term: number;
  readonly grantedAtMs: number;
  readonly expiresAtMs: number;
  /** What the node's ledger has set aside for it. */
  readonly reservedBytes: number;
  readonly bytesDone: number;
};

export type EndedAssignment = {
  readonly state: EndedState;
  readonly term: number;
  readonly grantedAtMs: number;
  readonly bytesDone: number;
  /** Set with `failed` alone. */
  readonly failureCode: FailureCode | null;
};

export type Assignment = OpenAssignment | EndedAssignment;

export function isOpen(assignment: Assignment): assignment is OpenAssignment {
  return assignment.state === "granted" || assignment.state === "running";
}

function requireTerm(assignment: Assignment, term: number): void {
  if (term !== assignment.term) {
    throw new DispatcherError("LEASE_TERM_STALE", `Term ${term} is not ${assignment.term}.`, {
      details: { term, current: assignment.term },
    });
  }
}

function requireOpen(assignment: Assignment): OpenAssignment {
  if (!isOpen(assignment)) {
    throw new DispatcherError("LEASE_ENDED", `The assignment is ${assignment.state}.`, {
      details: { state: assignment.state },
    });
  }
  return assignment;
}

function end(assignment: OpenAssignment, state: EndedState, failureCode: FailureCode | null = null): EndedAssignment {
  const { term, grantedAtMs, bytesDone } = assignment;
  return { state, term, grantedAtMs, bytesDone, failureCode };
}

/**
 * The node works on it. More bytes than before renew the lease; the same or fewer (a restart of the file) do not.
 * `nowMs` is database time.
 * @throws DispatcherError LEASE_TERM_STALE, LEASE_ENDED
 */
export function recordProgress(
  assignment: Assignment,
  report: {
    readonly term: number;
    readonly bytesDone: number;
    readonly isRunning: boolean;
    readonly nowMs: number;
    readonly lengthMs: number;
  },
  times: LeaseTimes,
): OpenAssignment {
  requireCount(report.bytesDone, "bytesDone");
  requireFinite(report.nowMs, "nowMs");
  requireAmount(report.lengthMs, "lengthMs");
  requireTerm(assignment, report.term);
  const open = requireOpen(assignment);
  const hasMore = report.bytesDone > open.bytesDone;
  return {
    ...open,
    state: report.isRunning || hasMore ? "running" : open.state,
    bytesDone: Math.max(open.bytesDone, report.bytesDone),
    expiresAtMs: hasMore ? renewedDeadlineMs(open, report, times) : open.expiresAtMs,
  };
}

/**
 * The copy is made and verified. Late work counts: a lease that ended in any other way still ends as `stored`, for the
 * caller to allow or refuse by the copies the asset has by now.
 * A failed assignment does not come back: its node has said itself that there is no copy.
 * @throws DispatcherError LEASE_TERM_STALE; LEASE_ENDED when it had failed
 */
export function completeAssignment(
  assignment: Assignment,
  { term, sizeBytes }: { readonly term: number; readonly sizeBytes: number },
): { readonly assignment: EndedAssignment; readonly timing: "on-time" | "late" | "repeated" } {
  requireCount(sizeBytes, "sizeBytes");
  requireTerm(assignment, term);
  if (isOpen(assignment)) {
    return { assignment: { ...end(assignment, "stored"), bytesDone: sizeBytes }, timing: "on-time" };
  }
  if (assignment.state === "stored") return { assignment, timing: "repeated" };
  if (assignment.state === "failed") requireOpen(assignment);
  return { assignment: { ...assignment, state: "stored", bytesDone: sizeBytes }, timing: "late" };
}

/** @throws DispatcherError LEASE_TERM_STALE; LEASE_ENDED unless it had failed before: then it is the same report again */
export function failAssignment(
  assignment: Assignment,
  { term, code }: { readonly term: number; readonly code: FailureCode },
): { readonly assignment: EndedAssignment; readonly timing: "on-time" | "repeated" } {
  requireOneOf(code, FAILURE_CODES, "code");
  requireTerm(assignment, term);
  if (!isOpen(assignment) && assignment.state === "failed") return { assignment, timing: "repeated" };
  return { assignment: end(requireOpen(assignment), "failed", code), timing: "on-time" };
}

/** The node gives it back unharmed. @throws DispatcherError LEASE_TERM_STALE, LEASE_ENDED (unless released before) */
export function releaseAssignment(
  assignment: Assignment,
  { term }: { readonly term: number },
): { readonly assignment: EndedAssignment; readonly timing: "on-time" | "repeated" } {
  requireTerm(assignment, term);
  if (!isOpen(assignment) && assignment.state === "released") return { assignment, timing: "repeated" };
  return { assignment: end(requireOpen(assignment), "released"), timing: "on-time" };
}

/**
 * The lease is reclaimed once it is overdue by database time, and any mercy is over; before that, nothing changes.
 * @throws DispatcherError LEASE_ENDED
 */
export function expireAssignment(
  assignment: Assignment,
  nowMs: number,
  times: LeaseTimes,
  mercy?: { readonly mercyUntilMs: number | null },
): Assignment {
  const open = requireOpen(assignment);
  return isOverdue(open.expiresAtMs, nowMs, times, mercy) ? end(open, "expired") : open;
}

/**
 * The node was away, its lease was reclaimed, and it still has the partial file: a new lease under a new term. What was
 * reported under the old term is stale from now on.
 * @throws DispatcherError LEASE_ENDED unless it had expired, LEASE_TERM_STALE when the term is not higher
 */
export function regrantAssignment(
  assignment: Assignment,
  grant: {
    readonly term: number;
    readonly nowMs: number;
    readonly lengthMs: number;
    readonly reservedBytes: number;
    readonly bytesDone: number;
  },
): OpenAssignment {
  requireCount(grant.reservedBytes, "reservedBytes");
  requireCount(grant.bytesDone, "bytesDone");
  requireCount(grant.term, "term");
  requireFinite(grant.nowMs, "nowMs");
  requireAmount(grant.lengthMs, "lengthMs");
  if (assignment.state !== "expired") {
    throw new DispatcherError(
      "LEASE_ENDED",
      `The assignment is ${assignment.state}; only an expired one is granted anew.`,
      { details: { state: assignment.state } },
    );
  }
  if (grant.term <= assignment.term) {
    throw new DispatcherError("LEASE_TERM_STALE", `Term ${grant.term} does not follow ${assignment.term}.`, {
      details: { term: grant.term, current: assignment.term },
    });
  }
  return {
    state: grant.bytesDone > 0 ? "running" : "granted",
    term: grant.term,
    grantedAtMs: grant.nowMs,
    expiresAtMs: grant.nowMs + grant.lengthMs,
    reservedBytes: grant.reservedBytes,
    bytesDone: grant.bytesDone,
  };
}

/**
 * Take back a lease that is not needed any more. Work that has begun is left to finish: its bytes are paid for.
 * @throws DispatcherError LEASE_ENDED
 */
export function cancelIfNotStarted(assignment: Assignment): Assignment {
  const open = requireOpen(assignment);
  return open.state === "granted" ? end(open, "cancelled") : open;
}
