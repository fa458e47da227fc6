import {
  AssignmentClaimInput,
  AssignmentClaimOutput,
  AssignmentCompleteInput,
  AssignmentFailInput,
  AssignmentReleaseInput,
  AssignmentRenewInput,
  AssignmentRenewOutput,
  AssignmentReportOutput,
} from "../wire/assignment.ts";
import { nodeProcedure, router } from "./trpc.ts";

/** For clients that would rather make a call for each thing than sync. A node may use both. */
export const assignmentRouter = router({
  /**
   * Ask for work. For a node, for itself. NODE_RETIRED, KEY_INVALID. A reply that was lost costs nothing: a lease that is not
   * among the known ones comes again.
   */
  claim: nodeProcedure
    .input(AssignmentClaimInput)
    .output(AssignmentClaimOutput)
    .mutation(({ ctx, input }) => ctx.services.claimAssignments(ctx, input)),

  /** Tell how far a copy has come, which renews its lease. For its node. LEASE_ENDED, NODE_RETIRED, KEY_INVALID. */
  renew: nodeProcedure
    .input(AssignmentRenewInput)
    .output(AssignmentRenewOutput)
    .mutation(({ ctx, input }) => ctx.services.renewAssignment(ctx, input)),

  /**
   * Report a copy. For its node. Idempotent by assignment and term. ASSIGNMENT_UNKNOWN, LEASE_TERM_STALE, LEASE_ENDED,
   * SIZE_MISMATCH, DIGEST_MISMATCH, COPIES_FULL, LEDGER_EXCEEDED, NODE_RETIRED, KEY_INVALID.
   */
  complete: nodeProcedure
    .input(AssignmentCompleteInput)
    .output(AssignmentReportOutput)
    .mutation(({ ctx, input }) => ctx.services.reportAssignment(ctx, { finished: input })),

  /** Report why a copy could not be made. As `complete` else. */
  fail: nodeProcedure
    .input(AssignmentFailInput)
    .output(AssignmentReportOutput)
    .mutation(({ ctx, input }) => ctx.services.reportAssignment(ctx, { failed: input })),

  /** Give an assignment back. As `complete` else. */
  release: nodeProcedure
    .input(AssignmentReleaseInput)
    .output(AssignmentReportOutput)
    .mutation(({ ctx, input }) => ctx.services.reportAssignment(ctx, { released: input })),
});
