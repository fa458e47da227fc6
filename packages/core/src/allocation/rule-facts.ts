import type { DailyWindow } from "../daily-window.ts";
import type { OperatorId } from "../ids.ts";
import type { GrantDecision } from "./policy.ts";

/**
 * What each rule goes by, whether it refuses or not. `rule` is the reason it gives, but for the two halves of VETTING:
 * nobody on trial is the sole holder, and all on trial share one budget.
 */
export type RuleFacts =
  /** Refuses unless `minimum` is null. */
  | { readonly rule: "AGENT_TOO_OLD"; readonly minimum: string | null }
  /** Refuses when paused, or while it is not yet `opensInMs` 0. */
  | {
      readonly rule: "NODE_PAUSED";
      readonly paused: boolean;
      readonly windows: readonly DailyWindow[];
      readonly opensInMs: number;
    }
  /** Refuses from `limit` on. */
  | { readonly rule: "QUOTA"; readonly openLeases: number; readonly limit: number }
  /** Refuses when the independent ones reach the target, or all together the maximum. */
  | {
      readonly rule: "COPIES_ENOUGH";
      readonly independentCopies: number;
      readonly targetCopies: number;
      readonly holders: number;
      readonly maxCopies: number;
    }
  /** Refuses when it is. */
  | { readonly rule: "HELD_ALREADY"; readonly isHolder: boolean }
  /**
   * Refuses where the operator has a copy that counts, unless all operators have one and, with `holders` one more, enough
   * of the maximum is left for the independent copies that are missing.
   */
  | {
      readonly rule: "HELD_BY_OPERATOR";
      readonly copiesOfOperator: number;
      readonly operatorsHolding: readonly OperatorId[];
      readonly operatorCount: number;
      readonly missingCopies: number;
      readonly holders: number;
      readonly maxCopies: number;
    }
  /** Refuses a scheme that is not in the list. */
  | { readonly rule: "SCHEME_UNSUPPORTED"; readonly scheme: string; readonly schemes: readonly string[] }
  /** Refuses when the lists have a tag in common. */
  | { readonly rule: "TAG_REFUSED"; readonly tags: readonly string[]; readonly refusedTags: readonly string[] }
  /** Refuses a node on trial where no vetted one holds a copy that counts. */
  | { readonly rule: "SOLE_HOLDER"; readonly isVetting: boolean; readonly hasVettedHolder: boolean }
  /** Where a vetted node holds a copy, refuses a node on trial what needs more than the limit. */
  | {
      readonly rule: "TRIAL_BUDGET";
      readonly isVetting: boolean;
      readonly hasVettedHolder: boolean;
      readonly neededBytes: number;
      readonly limitBytes: number;
    }
  /** Refuses what needs more than is usable: the lesser of `roomBytes` in the ledger and `diskBytes`, and never below 0. */
  | {
      readonly rule: "NODE_FULL";
      readonly neededBytes: number;
      readonly usableBytes: number;
      /** Above 0 exactly when it refuses. */
      readonly missingBytes: number;
      readonly roomBytes: number;
      readonly diskBytes: number;
      readonly offeredBytes: number;
      readonly heldBytes: number;
      readonly reservedBytes: number;
      readonly marginBytes: number;
      /** Free on the real disk, of which its open leases have still to bring `openBytes`. */
      readonly freeBytes: number;
      readonly openBytes: number;
    }
  /** Refuses when it does. */
  | { readonly rule: "RETRY_PAUSE"; readonly isAvoided: boolean }
  /** Refuses what makes more than the limit together with what is open; a null limit, nothing. */
  | {
      readonly rule: "HORIZON_FULL";
      readonly openLeases: number;
      readonly openBytes: number;
      readonly neededBytes: number;
      readonly limitBytes: number | null;
    }
  /** Refuses when it comes from peers, none of which has a copy to give. */
  | {
      readonly rule: "PEERS_NOT_READY";
      readonly source: GrantDecision["source"];
      readonly seeds: number;
      readonly originFetches: number;
      readonly originFetchesMax: number | null;
    }
  /** Refuses when it comes from the origin, and this has no slot, or is not known (null). */
  | {
      readonly rule: "ORIGIN_SATURATED";
      readonly source: GrantDecision["source"];
      readonly slots: number | null;
      readonly retryAfterMs: number;
    };
