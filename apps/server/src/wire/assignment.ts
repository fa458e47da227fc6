import { z } from "zod";
import { AssignmentIdShape, SizeBytes } from "./common.ts";
import { NodeSyncInput, NodeSyncOutput, RefusalShape } from "./node.ts";

/** One lease of the caller, as a sync would list it. */
const Open = NodeSyncInput.shape.open.element;

export const AssignmentClaimInput = z.object({
  /** How many more. */
  wants: z.int().min(1).max(1000),
  /** Every lease that the caller knows of: one that is missing here comes again, as its reply was lost. */
  known: z.array(AssignmentIdShape).max(1000),
  /** What the real disk has free, now. */
  freeBytes: SizeBytes,
});
export const AssignmentClaimOutput = z.object({
  grants: NodeSyncOutput.shape.grants,
  /** Why there are fewer than it wanted; null when there are not. */
  refusal: RefusalShape.nullable(),
});

export const AssignmentRenewInput = Open;
export const AssignmentRenewOutput = NodeSyncOutput.shape.leases.element;

export const AssignmentCompleteInput = NodeSyncInput.shape.finished.element;
export const AssignmentFailInput = NodeSyncInput.shape.failed.element;
export const AssignmentReleaseInput = NodeSyncInput.shape.released.element;
export const AssignmentReportOutput = z.object({
  /** `repeated`: it was told before, and changes nothing. */
  outcome: z.enum(["accepted", "repeated"]),
});
