export type { Asker, Candidate, DailyWindow, GrantDecision, OriginSlots, Refusal } from "./allocation/policy.ts";
export type { AllocationRound, RoundInput, RoundResult, RoundSettings } from "./allocation/policy.ts";
export { allocateRound } from "./allocation/round.ts";
export { explain, usableBytes } from "./allocation/eligibility.ts";
export type { Question } from "./allocation/eligibility.ts";
export { ASSET_STATES, DEFAULT_COPIES, asPriority, asRank } from "./asset.ts";
export type { AssetState, CopyRange, Priority, Rank } from "./asset.ts";
export {
  ENDED_STATES,
  OPEN_STATES,
  cancelIfNotStarted,
  completeAssignment,
  expireAssignment,
  failAssignment,
  isOpen,
  recordProgress,
  regrantAssignment,
  releaseAssignment,
} from "./assignment.ts";
export type { Assignment, AssignmentState, EndedAssignment, OpenAssignment } from "./assignment.ts";
export { DIGEST_ALGORITHMS, REPORTED_ALGORITHMS, formatDigest, parseDigest, provesDigest } from "./digest.ts";
export type { Computed, Digest, DigestAlgorithm, ReportedDigest } from "./digest.ts";
export { DispatcherError, ERROR_CODES, describeFailure, isErrorCode } from "./errors.ts";
export type { ErrorCode, ErrorDetails } from "./errors.ts";
export {
  ATTEMPTS_BEFORE_REVIEW,
  FAILURE_CODES,
  NODES_BEFORE_REVIEW,
  countsAsAttempt,
  failureClassOf,
  saysGone,
} from "./failure.ts";
export type { FailureClass, FailureCode } from "./failure.ts";
export { compareIds } from "./ids.ts";
export type { AssetId, AssignmentId, DatasetId, NodeId, OperatorId, OriginId } from "./ids.ts";
export { DEFAULT_LEASE_TIMES, isOverdue, leaseLengthMs, renewedDeadlineMs } from "./lease.ts";
export type { LeaseTimes } from "./lease.ts";
export { changeOffer, checkLedger, dropBytes, holdBytes, releaseBytes, reserveBytes, roomBytes } from "./ledger.ts";
export type { ByteLedger } from "./ledger.ts";
export {
  DEFAULT_VETTING,
  NODE_LIVES,
  QUOTA_START,
  countsAsHolder,
  defaultLifeThresholds,
  independentCopies,
  isVetted,
  lifeAfterSilence,
  loweredQuota,
  measuredRate,
  placesLeft,
  raisedQuota,
} from "./node.ts";
export type { Holder, LifeThresholds, NodeLife, VettingRule } from "./node.ts";
export {
  DEFAULT_ORIGIN_BUDGET,
  changeBudget,
  newOrigin,
  openSlots,
  recordFailure,
  recordSuccess,
  recordThrottle,
  returnSlots,
  takeSlots,
} from "./origin.ts";
export type { OpenSlots, Origin, OriginBudget } from "./origin.ts";
export { TRUST_LEVELS, judgeRescue, weighCopies } from "./rescue.ts";
export type { CopyOnNode, Declared, RescueReport, Trust } from "./rescue.ts";
export { urgencyOf } from "./urgency.ts";
export type { Urgency, UrgencyFacts } from "./urgency.ts";
