import type { CopyRange } from "../asset.ts";
import { RANK_STEPS, copiesTier, rankSteps, threatTier, urgencyPolicy, waitingShare } from "./policy.ts";
import type { CopiesChange, TermRule, UrgencyPolicy } from "./policy.ts";

/** What one copies tier weighs: more than everything else together. */
const COPIES_TIER = 1_000_000;
const THREAT_TIER = 10_000;

const TERMS: readonly TermRule[] = [
  {
    name: "copies",
    pointsOf: ({ independentCopies, copies }) => COPIES_TIER * copiesTier(independentCopies, copies),
  },
  { name: "threat", pointsOf: (facts, nowMs) => THREAT_TIER * threatTier(facts, nowMs) },
  { name: "priority", pointsOf: ({ priority }) => RANK_STEPS * priority },
  { name: "rank", pointsOf: ({ rank }) => rankSteps(rank) },
  { name: "waiting", pointsOf: ({ askedForAtMs }) => waitingShare(askedForAtMs, 0) },
];

function afterCopies(urgency: number, copies: CopyRange, { before, after }: CopiesChange): number {
  return urgency + COPIES_TIER * (copiesTier(after, copies) - copiesTier(before, copies));
}

/**
 * The default: whatever may be lost first. Copies, then threat, priority, rank, waiting.
 *
 *   1,000,000 x copies tier (no copy 3, below min 2, below target 1, enough 0)
 * +    10,000 x threat tier (removed within a day 4, a week 3, a month 2, a known date 1, none 0)
 * +       900 x priority    (1 to 10)
 * +       0 to 899          rank (the first 899 of the Priorizer's list)
 * +       0 to 1            waiting: asked for earlier is higher
 *
 * The whole part is below 2^22, so the fraction tells 2,048 ms apart at worst, and finer where the whole part is small.
 * Databases store this number: its formula does not change, not in its last bit.
 */
export const rescueFirst: UrgencyPolicy = urgencyPolicy({ name: "rescue-first", terms: TERMS, afterCopies });

/** The urgency by the default policy. O(1). */
export const urgencyOf: UrgencyPolicy["urgencyOf"] = rescueFirst.urgencyOf;
