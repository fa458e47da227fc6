export type { Asker, Candidate, GrantDecision, OriginSlots, QuickNode, Refusal } from "./allocation/policy.ts";
export type { AllocationRound, RoundInput, RoundResult, RoundSettings } from "./allocation/policy.ts";
export { CandidatePool } from "./allocation/candidate-pool.ts";
export type { PoolRound, PoolSettings } from "./allocation/candidate-pool.ts";
export { allocateRound } from "./allocation/round.ts";
export { quickestNodes } from "./allocation/quickest-nodes.ts";
export { usableBytes } from "./allocation/eligibility.ts";
export type { Question } from "./allocation/eligibility.ts";
export { explainAsset } from "./allocation/explain-asset.ts";
export type { AssetExplanation, AssetQuestionToAll, RefusedNodes } from "./allocation/explain-asset.ts";
export { explain } from "./allocation/explain.ts";
export type { Explanation, RuleFinding } from "./allocation/explain.ts";
export type { RuleFacts } from "./allocation/rule-facts.ts";
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
export type { DailyWindow } from "./daily-window.ts";
export { DIGEST_ALGORITHMS, REPORTED_ALGORITHMS, formatDigest, parseDigest, provesDigest } from "./digest.ts";
export type { Computed, Digest, DigestAlgorithm, ReportedDigest } from "./digest.ts";
export { isDispatcherError } from "./error-details.ts";
export type { ErrorOf } from "./error-details.ts";
export { DispatcherError, ERROR_CODES, describeFailure, isErrorCode } from "./errors.ts";
export type { ErrorCode, ErrorDetails } from "./errors.ts";
export {
  ATTEMPTS_BEFORE_REVIEW,
  FAILURE_CODES,
  NODES_BEFORE_REVIEW,
  NODES_TO_BELIEVE,
  countsAsAttempt,
  failureClassOf,
  judgeFailures,
  saysGone,
} from "./failure.ts";
export type { FailureClass, FailureCode, FailureVerdict, RecordedFailure } from "./failure.ts";
export { compareIds } from "./ids.ts";
export type { AssetId, AssignmentId, DatasetId, JoinTokenId, KeyId, NodeId, OperatorId, OriginId } from "./ids.ts";
export { NO_COPIES, addCopies, addCopy, holdingOf, isSameHolding, removeCopy } from "./inventory.ts";
export type { HashText, Holding, InventoryEntry } from "./inventory.ts";
export {
  DEFAULT_LEASE_TIMES,
  DEFAULT_MERCY_MS,
  isOverdue,
  leaseLengthMs,
  mercyAfterStart,
  renewedDeadlineMs,
} from "./lease.ts";
export type { LeaseTimes } from "./lease.ts";
export { changeOffer, checkLedger, dropBytes, holdBytes, releaseBytes, reserveBytes, roomBytes } from "./ledger.ts";
export type { ByteLedger } from "./ledger.ts";
export {
  DEFAULT_VETTING,
  NODE_LIVES,
  QUOTA_START,
  SYNCS_TO_COME_BACK,
  countsAsHolder,
  defaultLifeThresholds,
  independentCopies,
  isPresent,
  isVetted,
  lifeAfterSilence,
  lifeAfterSync,
  loweredQuota,
  measuredRate,
  placesLeft,
  raisedQuota,
} from "./node.ts";
export type { Holder, LifeThresholds, NodeLife, NodeStanding, VettingRule } from "./node.ts";
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
export type { OpenSlots, Origin, OriginBudget, OriginLatency } from "./origin.ts";
export {
  REPAIR_DELAY_BELOW_MIN_MS,
  REPAIR_DELAY_BELOW_TARGET_MS,
  TRIM_REASONS,
  planEvacuation,
  planRepair,
  planTrim,
} from "./repair.ts";
export type { AssetToMove, EvacuationPlan, RepairPlan, StoredCopy, TrimReason } from "./repair.ts";
export { TRUST_LEVELS, compareVersions, judgeRescue, judgeVersions, weighCopies } from "./rescue.ts";
export type { CopyOnNode, CopyStanding, CopyWeight, Declared, RescueReport, Trust } from "./rescue.ts";
export type { VersionComparison, VersionedCopy, VersionsJudged } from "./rescue.ts";
export {
  AUDIT_OUTCOMES,
  CONTAINED_RETRIES,
  NEW_TRUST,
  SPOT_CHECK_SHARE_MIN,
  SUSPENSION_MS,
  VALID_BEFORE_SPOT_CHECKS,
  isSuspended,
  needsSpotCheck,
  recordAudit,
  recordResult,
} from "./trust.ts";
export type { AuditOutcome, NodeTrust } from "./trust.ts";
export { fifo } from "./urgency/fifo.ts";
export { URGENCY_POLICIES } from "./urgency/policies.ts";
export type { UrgencyPolicyName } from "./urgency/policies.ts";
export { urgencyPolicy } from "./urgency/policy.ts";
export type { CopiesChange, TermRule, Urgency, UrgencyFacts, UrgencyPolicy, UrgencyTerm } from "./urgency/policy.ts";
export { priorityFirst } from "./urgency/priority-first.ts";
export { rarestFirst } from "./urgency/rarest-first.ts";
export { rescueFirst, urgencyOf } from "./urgency/rescue-first.ts";
