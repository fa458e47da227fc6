/**
 * Urgency: the one number by which assets are ordered, higher first. A policy says what goes into it. Each one here is
 * lexicographic: the terms stand on scales so far apart that no sum of the lesser ones reaches the next step of a greater
 * one. So the number can be indexed by a database, read by a person, and taken apart again (`termsOf`).
 *
 * A double holds 53 bits. Waiting is a fraction, the other terms are whole numbers, and the policies that need more than
 * waiting alone keep these below 2^21; 32 bits are left for the fraction, which is 1,024 ms of the 139 years it spans.
 */
import { refuse, requireCount, requireFinite } from "../check.ts";
import { checkCopies } from "../asset.ts";
import type { CopyRange, Priority, Rank } from "../asset.ts";

export type UrgencyFacts = {
  /** Copies that count, one per operator, with the open leases. */
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

/** One part of an urgency, with the facts that gave it its points. */
export type UrgencyTerm =
  | {
      readonly name: "copies";
      readonly points: number;
      readonly independentCopies: number;
      readonly copies: CopyRange;
    }
  | { readonly name: "threat"; readonly points: number; readonly removeByMs: number | null }
  | { readonly name: "priority"; readonly points: number; readonly priority: Priority }
  | { readonly name: "rank"; readonly points: number; readonly rank: Rank | null }
  | { readonly name: "waiting"; readonly points: number; readonly askedForAtMs: number };

/** Independent copies as they were and as they are. */
export type CopiesChange = { readonly before: number; readonly after: number };

/**
 * What is urgent. Pure. Two assets keep their order while time passes, until the `changesAtMs` of one of them: a stored
 * urgency stays true until then, and an index over it too.
 */
export type UrgencyPolicy = {
  readonly name: string;
  /** @throws DispatcherError INPUT_INVALID for a fact that cannot be */
  readonly urgencyOf: (facts: UrgencyFacts, nowMs: number) => Urgency;
  /**
   * The terms that `urgencyOf` adds up, the weightiest first; their points sum to its value exactly.
   * @throws DispatcherError INPUT_INVALID for a fact that cannot be
   */
  readonly termsOf: (facts: UrgencyFacts, nowMs: number) => readonly UrgencyTerm[];
  /**
   * The urgency after the independent copies changed, without a look at the other facts: a round that has given an asset
   * its first copy turns to the next asset without one before it gives a second. Asked once a grant, so it checks nothing.
   */
  readonly afterCopies: (urgency: number, copies: CopyRange, change: CopiesChange) => number;
};

/** One term of a sum, and what it weighs. */
export type TermRule = {
  readonly name: UrgencyTerm["name"];
  readonly pointsOf: (facts: UrgencyFacts, nowMs: number) => number;
};

/** What a policy is made of where its urgency is the sum of its terms, the weightiest first, as it is for all that are here. */
type PolicyParts = Pick<UrgencyPolicy, "name" | "afterCopies"> & { readonly terms: readonly TermRule[] };

/** A policy whose urgency is the sum of its terms. Time changes it where threat is one of them. */
export function urgencyPolicy({ name, terms, afterCopies }: PolicyParts): UrgencyPolicy {
  const hasThreat = terms.some((term) => term.name === "threat");
  return {
    name,
    afterCopies,
    // Asked for several times a copy: it makes nothing but its answer.
    urgencyOf: (facts, nowMs) => {
      checkUrgencyFacts(facts);
      requireFinite(nowMs, "nowMs");
      let value = 0;
      for (const { pointsOf } of terms) value += pointsOf(facts, nowMs);
      return { value, changesAtMs: hasThreat ? threatChangesAtMs(facts, nowMs) : null };
    },
    termsOf: (facts, nowMs) => {
      checkUrgencyFacts(facts);
      requireFinite(nowMs, "nowMs");
      let value = 0;
      return terms.map((term) => {
        const before = value;
        value += term.pointsOf(facts, nowMs);
        // A sum rounds a fraction to the bits that are left: what it has grown by is what the term weighs in it.
        return EXPLAIN[term.name](value - before, facts);
      });
    },
  };
}

/** A term's points with the facts that they come from. */
const EXPLAIN: { readonly [Name in UrgencyTerm["name"]]: (points: number, facts: UrgencyFacts) => UrgencyTerm } = {
  copies: (points, { independentCopies, copies }) => ({ name: "copies", points, independentCopies, copies }),
  threat: (points, { removeByMs }) => ({ name: "threat", points, removeByMs }),
  priority: (points, { priority }) => ({ name: "priority", points, priority }),
  rank: (points, { rank }) => ({ name: "rank", points, rank }),
  waiting: (points, { askedForAtMs }) => ({ name: "waiting", points, askedForAtMs }),
};

/** @throws DispatcherError INPUT_INVALID for the first fact that cannot be */
export function checkUrgencyFacts(facts: UrgencyFacts): void {
  const { independentCopies, copies, priority, rank, removeByMs, askedForAtMs } = facts;
  requireCount(independentCopies, "independentCopies");
  checkCopies(copies);
  if (!Number.isInteger(priority) || priority < 1 || priority > 10) {
    refuse(priority, "priority", "a whole number from 1 to 10");
  }
  if (rank !== null && (!Number.isSafeInteger(rank) || rank < 1)) {
    refuse(rank, "rank", "a whole number from 1, or null");
  }
  if (removeByMs !== null) requireFinite(removeByMs, "removeByMs");
  requireFinite(askedForAtMs, "askedForAtMs");
}

// ---- what the policies share: each fact as a whole number of steps, and waiting as a fraction ------------------------

/** No copy 3, below min 2, below target 1, enough 0. */
export function copiesTier(independentCopies: number, { min, target }: CopyRange): number {
  if (independentCopies === 0) return 3;
  if (independentCopies < min) return 2;
  return independentCopies < target ? 1 : 0;
}

const DAY_MS = 86_400_000;
const THREAT_STEPS = [
  { withinMs: DAY_MS, tier: 4 },
  { withinMs: 7 * DAY_MS, tier: 3 },
  { withinMs: 30 * DAY_MS, tier: 2 },
] as const;

/** Removed within a day 4, a week 3, a month 2, a known date 1, none 0. */
export function threatTier({ removeByMs }: Pick<UrgencyFacts, "removeByMs">, nowMs: number): number {
  if (removeByMs === null) return 0;
  return THREAT_STEPS.find(({ withinMs }) => nowMs >= removeByMs - withinMs)?.tier ?? 1;
}

/** When time lifts the threat to its next tier; null for never. */
export function threatChangesAtMs({ removeByMs }: Pick<UrgencyFacts, "removeByMs">, nowMs: number): number | null {
  if (removeByMs === null) return null;
  const next = THREAT_STEPS.findLast(({ withinMs }) => nowMs < removeByMs - withinMs);
  return next === undefined ? null : removeByMs - next.withinMs;
}

/** Ranks that weigh; with these, 900 steps of rank fit below one of priority, and both together below 10,000. */
export const RANKED_MAX = 899;
export const RANK_STEPS = 900;

/** 899 for the first of the list, 1 for the 899th, 0 for those behind and those without a rank. */
export function rankSteps(rank: Rank | null): number {
  return rank === null ? 0 : Math.max(0, RANKED_MAX - (rank - 1));
}

/** 2^42 ms reaches the year 2109. */
const WAITING_SPAN_MS = 2 ** 42;
/** In steps of this, waiting takes 32 bits. */
export const WAITING_STEP_MS = 1024;

/**
 * Above 0 to 1, more for what was asked for earlier. A fixed function of that moment: all assets wait alike, so that their
 * order by waiting never changes. Those asked for within one step tie; with a step of 0 the sum alone rounds. Moments
 * outside 1970 to 2109 weigh as these ends.
 */
export function waitingShare(askedForAtMs: number, stepMs: number): number {
  const withinMs = Math.min(Math.max(askedForAtMs, 0), WAITING_SPAN_MS - 1);
  const steppedMs = stepMs === 0 ? withinMs : Math.floor(withinMs / stepMs) * stepMs;
  return 1 - steppedMs / WAITING_SPAN_MS;
}
