import type { CopyRange } from "../asset.ts";
import {
  RANK_STEPS,
  WAITING_STEP_MS,
  copiesTier,
  rankSteps,
  threatTier,
  urgencyPolicy,
  waitingShare,
} from "./policy.ts";
import type { CopiesChange, UrgencyFacts, UrgencyPolicy, UrgencyTerm } from "./policy.ts";

const COPIES_TIER = 1;
const THREAT_TIER = 10;
const RANK_STEP = 100;
const PRIORITY_STEP = RANK_STEP * RANK_STEPS;

function termsOf(facts: UrgencyFacts, nowMs: number): readonly UrgencyTerm[] {
  const { independentCopies, copies, priority, rank, removeByMs, askedForAtMs } = facts;
  return [
    { name: "priority", points: PRIORITY_STEP * priority, priority },
    { name: "rank", points: RANK_STEP * rankSteps(rank), rank },
    { name: "threat", points: THREAT_TIER * threatTier(facts, nowMs), removeByMs },
    { name: "copies", points: COPIES_TIER * copiesTier(independentCopies, copies), independentCopies, copies },
    { name: "waiting", points: waitingShare(askedForAtMs, WAITING_STEP_MS), askedForAtMs },
  ];
}

function afterCopies(urgency: number, copies: CopyRange, { before, after }: CopiesChange): number {
  return urgency + COPIES_TIER * (copiesTier(after, copies) - copiesTier(before, copies));
}

/**
 * What a coordinator asks for, to its last copy, before anything of a lesser priority: for a short list that has to be
 * safe at any price. Priority, then rank, threat, copies, waiting.
 *
 *   90,000 x priority         (1 to 10)
 * +    100 x rank steps       (899 for the first of the Priorizer's list, down to 0)
 * +     10 x threat tier      (0 to 4)
 * +      1 x copies tier      (0 to 3)
 * +     above 0 to 1          waiting, in steps of 1,024 ms
 *
 * At most 989,944, below 2^20: exact.
 */
export const priorityFirst: UrgencyPolicy = urgencyPolicy({ name: "priority-first", termsOf, afterCopies });
