import type { CopyRange } from "../asset.ts";
import type { DailyWindow } from "../daily-window.ts";
import type { AssetId, NodeId, OperatorId, OriginId } from "../ids.ts";
import type { ByteLedger } from "../ledger.ts";
import type { Holder } from "../node.ts";
import type { UrgencyPolicy } from "../urgency/policy.ts";

/** A node that asks for work. */
export type Asker = {
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  /** Where known: /24 of IPv4, /48 of IPv6, or a name the operator gave. */
  readonly network: string | null;
  readonly ledger: ByteLedger;
  /** What the real disk has free, as the node said. */
  readonly freeBytes: number;
  readonly openLeases: number;
  /** Bytes its open leases have still to bring. */
  readonly openBytes: number;
  readonly quota: number;
  /** Assignments it asks for. */
  readonly wants: number;
  readonly rateBytesPerS: number | null;
  readonly schemes: readonly string[];
  /** Tags the volunteer does not want; empty for none. */
  readonly refusedTags: readonly string[];
  /** When it may work; empty for always. */
  readonly windows: readonly DailyWindow[];
  readonly paused: boolean;
  /** The agent is older than the server accepts for new work: the version needed, else null. */
  readonly agentTooOldFor: string | null;
  /** Not yet trusted with the only copy of anything. */
  readonly isVetting: boolean;
};

/** An asset that may need copies. */
export type Candidate = {
  readonly assetId: AssetId;
  readonly originId: OriginId;
  readonly scheme: string;
  readonly tags: readonly string[];
  /** Null: takes `unknownSizeBytes`. */
  readonly sizeBytes: number | null;
  /** Higher first. */
  readonly urgency: number;
  readonly copies: CopyRange;
  /** Every node that has a copy or an open lease. */
  readonly holders: readonly Holder[];
  /** Nodes that are not asked for now: they failed on it lately, or have a copy that is not counted and is no holder's. */
  readonly avoid: readonly NodeId[];
  /** How many of the holders fetched it, or are to fetch it, from its origin. */
  readonly originFetches: number;
  /** Holders that have a copy and give it to other nodes now. */
  readonly seeds: number;
};

export type OriginSlots = {
  readonly originId: OriginId;
  readonly slots: number;
  /** When to ask again once they are taken; above 0. */
  readonly retryAfterMs: number;
};

/** A node that takes part now, as one that others may leave the giants to. */
export type QuickNode = {
  readonly operatorId: OperatorId;
  /** What it can take. */
  readonly roomBytes: number;
  /** Measured. */
  readonly rateBytesPerS: number;
};

export type RoundSettings = {
  /** Reserved for an asset of unknown size. */
  readonly unknownSizeBytes: number;
  /** Work given at once lasts so long at the node's measured rate. Too short: idle nodes. Too long: hoarding. */
  readonly horizonMs: number;
  /**
   * No asset is given that would take longer at the node's measured rate, even to a node without work. Too long: giants
   * are begun by nodes that never finish them. Too short: only the quickest nodes begin them.
   */
  readonly assetMaxMs: number;
  /**
   * To whom others leave what takes longer than that, as `quickestNodes` lists them: a node is held to `assetMaxMs` only
   * where five operators have a quicker one with as much room, for else a file might be left to nobody. Absent: all are.
   */
  readonly quickNodes?: readonly QuickNode[];
  /** When to ask again if nothing suits. */
  readonly idleRetryMs: number;
  /** Operators with a node that takes part now: when each of them has a copy, one may take a second. */
  readonly operatorCount: number;
  /** Bytes that nodes on trial may still be given, all together. */
  readonly vettingBytes: number;
  /** Holders that may fetch one asset from its origin; further ones fetch it from them. Null: all may. */
  readonly originFetchesMax: number | null;
};

export type RoundInput = {
  readonly nowMs: number;
  readonly askers: readonly Asker[];
  readonly candidates: readonly Candidate[];
  readonly origins: readonly OriginSlots[];
  readonly settings: RoundSettings;
  /** How an asset's urgency changes with a copy granted; it has to be the one that made the urgencies. `rescueFirst`. */
  readonly policy?: UrgencyPolicy;
};

export type GrantDecision = {
  readonly nodeId: NodeId;
  readonly assetId: AssetId;
  readonly originId: OriginId;
  /** Where the node is to fetch it: the origin, whose slot it takes, or the nodes that have it, which takes none. */
  readonly source: "origin" | "peers";
  readonly reservedBytes: number;
};

/** Why a node cannot have an asset, or anything at all, with the numbers that matter. */
export type Refusal =
  | { readonly reason: "AGENT_TOO_OLD"; readonly minimum: string; readonly retryAfterMs: number }
  | { readonly reason: "NODE_PAUSED"; readonly retryAfterMs: number }
  | { readonly reason: "QUOTA"; readonly openLeases: number; readonly limit: number; readonly retryAfterMs: number }
  | {
      readonly reason: "HORIZON_FULL";
      readonly openBytes: number;
      readonly limitBytes: number;
      readonly retryAfterMs: number;
    }
  | { readonly reason: "NODE_FULL"; readonly missingBytes: number; readonly retryAfterMs: number }
  | { readonly reason: "ORIGIN_SATURATED"; readonly retryAfterMs: number }
  | { readonly reason: "PEERS_NOT_READY"; readonly retryAfterMs: number }
  | { readonly reason: "RETRY_PAUSE"; readonly retryAfterMs: number }
  | { readonly reason: "VETTING"; readonly limitBytes: number; readonly retryAfterMs: number }
  | { readonly reason: "SCHEME_UNSUPPORTED"; readonly scheme: string; readonly retryAfterMs: number }
  | { readonly reason: "TAG_REFUSED"; readonly tag: string; readonly retryAfterMs: number }
  | { readonly reason: "HELD_ALREADY"; readonly retryAfterMs: number }
  | { readonly reason: "HELD_BY_OPERATOR"; readonly retryAfterMs: number }
  | { readonly reason: "COPIES_ENOUGH"; readonly retryAfterMs: number }
  | { readonly reason: "NOTHING_LEFT"; readonly retryAfterMs: number };

export type RoundResult = {
  /** In the order of urgency. */
  readonly grants: readonly GrantDecision[];
  /** For each asker that got less than it wanted: its single primary reason, with the numbers after this round's grants. */
  readonly refusalByNode: ReadonlyMap<NodeId, Refusal>;
};

/**
 * The promises every round keeps, whatever the input, in `allocation/round.test.ts` as properties:
 * 1. never past a node's byte ledger or its free disk;
 * 2. never two copies or leases of an asset on one node, never more than `copies.max`, another operator first;
 * 3. never more grants for an origin than its slots, and a closed origin blocks no other;
 * 4. higher urgency first; equal urgency to the least loaded, ties by id;
 * 5. only schemes, tags and times the node accepts; a node on trial is never the only holder;
 * 6. every refusal has one reason.
 */
export type AllocationRound = (input: RoundInput) => RoundResult;
