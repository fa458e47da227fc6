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
import type { CopiesChange, TermRule, UrgencyPolicy } from "./policy.ts";

const COPIES_TIER = 1;
const THREAT_TIER = 10;
const RANK_STEP = 100;
const PRIORITY_STEP = RANK_STEP * RANK_STEPS;

const TERMS: readonly TermRule[] = [
  { name: "priority", pointsOf: ({ priority }) => PRIORITY_STEP * priority },
  { name: "rank", pointsOf: ({ rank }) => RANK_STEP * rankSteps(rank) },
  { name: "threat", pointsOf: (facts, nowMs) => THREAT_TIER * threatTier(facts, nowMs) },
  {
    name: "copies",
    pointsOf: ({ independentCopies, copies }) => COPIES_TIER * copiesTier(independentCopies, copies),
  },
  { name: "waiting", pointsOf: ({ askedForAtMs }) => waitingShare(askedForAtMs, WAITING_STEP_MS) },
];

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
export const priorityFirst: UrgencyPolicy = urgencyPolicy({ name: "priority-first", terms: TERMS, afterCopies });
