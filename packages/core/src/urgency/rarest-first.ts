import type { CopyRange } from "../asset.ts";
import { RANK_STEPS, WAITING_STEP_MS, rankSteps, threatTier, urgencyPolicy, waitingShare } from "./policy.ts";
import type { CopiesChange, TermRule, UrgencyPolicy } from "./policy.ts";

const RANK_STEP = 10;
const PRIORITY_STEP = RANK_STEP * RANK_STEPS;
const COPY_STEP = 100_000;
/** From so many on, copies weigh alike: one more step would take a bit from waiting. */
const COPIES_MAX = 19;

function missingSteps(independentCopies: number): number {
  return COPIES_MAX - Math.min(independentCopies, COPIES_MAX);
}

const TERMS: readonly TermRule[] = [
  { name: "copies", pointsOf: ({ independentCopies }) => COPY_STEP * missingSteps(independentCopies) },
  { name: "priority", pointsOf: ({ priority }) => PRIORITY_STEP * priority },
  { name: "rank", pointsOf: ({ rank }) => RANK_STEP * rankSteps(rank) },
  { name: "threat", pointsOf: (facts, nowMs) => threatTier(facts, nowMs) },
  { name: "waiting", pointsOf: ({ askedForAtMs }) => waitingShare(askedForAtMs, WAITING_STEP_MS) },
];

function afterCopies(urgency: number, _copies: CopyRange, { before, after }: CopiesChange): number {
  return urgency + COPY_STEP * (missingSteps(after) - missingSteps(before));
}

/**
 * Level the copies: what has fewest comes first, whatever was wished for it. For archives where every asset is worth the
 * same. Copies, then priority, rank, threat, waiting.
 * Source: "rarest first", Cohen 2003, Incentives Build Robustness in BitTorrent, section 2.4.2.
 *
 *   100,000 x (19 - independent copies), 0 from 19 copies on
 * +   9,000 x priority        (1 to 10)
 * +      10 x rank steps      (899 for the first of the Priorizer's list, down to 0)
 * +       1 x threat tier     (0 to 4)
 * +      above 0 to 1         waiting, in steps of 1,024 ms
 *
 * At most 1,998,995, below 2^21: exact.
 */
export const rarestFirst: UrgencyPolicy = urgencyPolicy({ name: "rarest-first", terms: TERMS, afterCopies });
