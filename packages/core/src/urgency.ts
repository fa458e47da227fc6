/**
 * Urgency: the one number by which assets are ordered, higher first. It is lexicographic, written as one double, so that a
 * database can index it and a person can read it:
 *
 *   1,000,000 x copies tier (no copy 3, below min 2, below target 1, enough 0)
 * +    10,000 x threat tier (removed within a day 4, a week 3, a month 2, a known date 1, none 0)
 * +       900 x priority    (1 to 10)
 * +       0 to 899          rank (the first 899 of the Priorizer's list)
 * +       0 to 1            waiting: asked for earlier is higher
 *
 * Time alone changes only the threat tier, at moments that are known beforehand (`changesAtMs`), so a stored urgency stays
 * true until then. The waiting term is a fixed function of when the asset was asked for: all assets wait alike, so their
 * order by waiting never changes.
 */
import type { CopyRange, Priority, Rank } from "./asset.ts";

const DAY_MS = 86_400_000;
const THREAT_STEPS = [
  { withinMs: DAY_MS, tier: 4 },
  { withinMs: 7 * DAY_MS, tier: 3 },
  { withinMs: 30 * DAY_MS, tier: 2 },
] as const;
const RANKED_MAX = 899;
/** 2^42 ms reaches the year 2109; in a double of this size the fraction still tells 3 seconds apart. */
const WAITING_SPAN_MS = 2 ** 42;

export type UrgencyFacts = {
  readonly independentCopies: number;
  readonly copies: CopyRange;
  readonly priority: Priority;
  readonly rank: Rank | null;
  /** When the origin is expected to take it down. */
  readonly removeByMs: number | null;
  readonly askedForAtMs: number;
};

export type Urgency = {
  readonly value: number;
  /** When time alone changes it next; null for never. */
  readonly changesAtMs: number | null;
};

/** What one copies tier weighs: more than everything else together. */
const COPIES_TIER = 1_000_000;

function copiesTier(independentCopies: number, { min, target }: CopyRange): number {
  if (independentCopies === 0) return 3;
  if (independentCopies < min) return 2;
  return independentCopies < target ? 1 : 0;
}

function threat(
  removeByMs: number | null,
  nowMs: number,
): { readonly tier: number; readonly changesAtMs: number | null } {
  if (removeByMs === null) return { tier: 0, changesAtMs: null };
  const leftMs = removeByMs - nowMs;
  const reached = THREAT_STEPS.find(({ withinMs }) => leftMs <= withinMs);
  const next = THREAT_STEPS.findLast(({ withinMs }) => leftMs > withinMs);
  return { tier: reached?.tier ?? 1, changesAtMs: next === undefined ? null : removeByMs - next.withinMs };
}

/** Pure; `nowMs` is database time. O(1). */
export function urgencyOf(facts: UrgencyFacts, nowMs: number): Urgency {
  const { tier, changesAtMs } = threat(facts.removeByMs, nowMs);
  const ranked = facts.rank === null ? 0 : Math.max(0, RANKED_MAX - (facts.rank - 1));
  const waiting = 1 - Math.min(Math.max(facts.askedForAtMs, 0), WAITING_SPAN_MS - 1) / WAITING_SPAN_MS;
  const value =
    COPIES_TIER * copiesTier(facts.independentCopies, facts.copies) +
    10_000 * tier +
    900 * facts.priority +
    ranked +
    waiting;
  return { value, changesAtMs };
}

/**
 * The urgency of an asset whose independent copies have become `after` where it was computed for `before`: a round that
 * has given an asset its first copy turns to the next asset without one before it gives a second. O(1).
 */
export function urgencyWithCopies(
  urgency: number,
  copies: CopyRange,
  { before, after }: { readonly before: number; readonly after: number },
): number {
  return urgency + COPIES_TIER * (copiesTier(after, copies) - copiesTier(before, copies));
}
