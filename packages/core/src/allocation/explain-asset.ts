/** Who could take an asset, and what keeps the others: every node asked by the rules of `eligibility.ts`. */
import type { CopyRange } from "../asset.ts";
import { compareIds } from "../ids.ts";
import type { AssetId, NodeId } from "../ids.ts";
import { independentCopies, placesLeft } from "../node.ts";
import type { UrgencyFacts, UrgencyPolicy, UrgencyTerm } from "../urgency/policy.ts";
import { rescueFirst } from "../urgency/rescue-first.ts";
import { explain } from "./explain.ts";
import type { Explanation, RuleFinding } from "./explain.ts";
import type { Asker, Candidate, OriginSlots, Refusal, RoundInput, RoundSettings } from "./policy.ts";
import { allocateRound } from "./round.ts";
import type { RuleFacts } from "./rule-facts.ts";
import { atLeast, atMost, counted } from "./what-would-change.ts";

export type AssetQuestionToAll = {
  readonly candidate: Candidate;
  /** What its urgency was made of; without them its terms are not told. */
  readonly facts?: UrgencyFacts;
  /** The policy that made its urgency; the default is `rescueFirst`. */
  readonly policy?: UrgencyPolicy;
  readonly askers: readonly Asker[];
  readonly origins: readonly OriginSlots[];
  readonly settings: RoundSettings;
  readonly nowMs: number;
};

/** The nodes that are refused an asset for one primary reason. */
export type RefusedNodes = {
  readonly reason: Refusal["reason"];
  readonly nodes: number;
  /** The one that is nearest to being able: least short, then soonest, then the lower id. */
  readonly nearest: NodeId;
  /** Why the nearest is refused. */
  readonly refusal: Refusal;
  /** What would make the nearest pass this rule. */
  readonly change: string;
};

export type AssetExplanation = {
  readonly assetId: AssetId;
  readonly urgency: number;
  /** The weightiest first; null where the facts were not given. */
  readonly terms: readonly UrgencyTerm[] | null;
  /** When time alone changes the urgency next; null for never, and where the facts were not given. */
  readonly changesAtMs: number | null;
  readonly copies: CopyRange & {
    readonly independent: number;
    readonly holders: number;
    readonly placesLeft: number;
  };
  /** Whom a round with this asset alone would choose first; null when nobody may have it. */
  readonly chosen: NodeId | null;
  /** Every node that may have it now, by id. */
  readonly eligible: readonly NodeId[];
  /** The others by their primary reason: most nodes first, then in the order of the rules. */
  readonly refused: readonly RefusedNodes[];
  /** What would change that nobody may have it; null when somebody may. */
  readonly change: string | null;
};

/**
 * Who could take an asset now, and what keeps the others. Whether a node wants work does not matter here. Pure.
 * O(askers x rules).
 * @throws DispatcherError INPUT_INVALID for facts of its urgency that cannot be
 */
export function explainAsset({
  candidate,
  facts,
  policy = rescueFirst,
  askers,
  origins,
  settings,
  nowMs,
}: AssetQuestionToAll): AssetExplanation {
  const origin = origins.find(({ originId }) => originId === candidate.originId);
  const explanations = askers.map((asker) => explain({ nowMs, asker, candidate, origin, settings }));
  const eligible = explanations.filter(({ primary }) => primary === null).map(({ nodeId }) => nodeId);
  const groups = [...Map.groupBy(explanations.flatMap(primaryFindingOf), ({ finding }) => finding.reason).values()];
  const byCount = groups.toSorted((a, b) => b.length - a.length || placeOf(a) - placeOf(b));
  const refused = byCount.map(toRefusedNodes);
  const input = { nowMs, candidates: [candidate], origins, settings, policy };
  return {
    assetId: candidate.assetId,
    urgency: candidate.urgency,
    terms: facts === undefined ? null : policy.termsOf(facts, nowMs),
    changesAtMs: facts === undefined ? null : policy.urgencyOf(facts, nowMs).changesAtMs,
    copies: {
      ...candidate.copies,
      independent: independentCopies(candidate.holders),
      holders: candidate.holders.length,
      placesLeft: placesLeft(candidate.holders, candidate.copies),
    },
    chosen: eligible.length === 0 ? null : firstChoice(input, askers),
    eligible: eligible.toSorted(compareIds),
    refused,
    change: eligible.length > 0 ? null : changeForAll(byCount, askers.length),
  };
}

/** The node that a round gives the asset first, each asking for it alone. */
function firstChoice(input: Omit<RoundInput, "askers">, askers: readonly Asker[]): NodeId | null {
  const { grants } = allocateRound({ ...input, askers: askers.map((asker) => ({ ...asker, wants: 1 })) });
  return grants[0]?.nodeId ?? null;
}

/** A node with the rule that is its primary reason. */
type Refused = { readonly nodeId: NodeId; readonly finding: RuleFinding; readonly place: number };

function primaryFindingOf({ nodeId, findings }: Explanation): readonly Refused[] {
  const place = findings.findIndex(({ passes }) => !passes);
  const finding = findings[place];
  return finding === undefined ? [] : [{ nodeId, finding, place }];
}

function placeOf(group: readonly Refused[]): number {
  return Math.min(...group.map(({ place }) => place));
}

/** How much a node is short of, where its rule counts it. */
function shortfall(facts: RuleFacts): number {
  if (facts.rule === "NODE_FULL") return facts.missingBytes;
  if (facts.rule === "QUOTA") return facts.openLeases - facts.limit + 1;
  if (facts.rule !== "HORIZON_FULL") return 0;
  return facts.openBytes + facts.neededBytes - (facts.limitBytes ?? Infinity);
}

function nearestOf(group: readonly Refused[]): Refused {
  const waitMs = ({ finding }: Refused): number => finding.refusal?.retryAfterMs ?? 0;
  return group.reduce((a, b) => {
    const order = shortfall(a.finding.facts) - shortfall(b.finding.facts) || waitMs(a) - waitMs(b);
    return (order || compareIds(a.nodeId, b.nodeId)) <= 0 ? a : b;
  });
}

function toRefusedNodes(group: readonly Refused[]): RefusedNodes {
  const { nodeId, finding } = nearestOf(group);
  const { reason, refusal, change } = finding;
  if (refusal === null || change === null) throw new Error(`Rule ${finding.rule} was to refuse node ${nodeId}.`);
  return { reason, nodes: group.length, nearest: nodeId, refusal, change };
}

/** From the reason that most nodes have, and of these the one that is nearest to being able. */
function changeForAll(groups: readonly (readonly Refused[])[], askerCount: number): string {
  const [largest] = groups;
  if (largest === undefined) return "Wait until a node asks for work: none does now.";
  const { nodeId, finding } = nearestOf(largest);
  const { facts, change } = finding;
  if (facts.rule === "NODE_FULL") {
    const has = `node ${nodeId}, has ${atMost(facts.usableBytes)}. ${change ?? ""}`;
    const needed = `${atLeast(facts.neededBytes)} free`;
    if (largest.length === askerCount) return `No node has ${needed}: the largest, ${has}`;
    return `${largest.length} of ${counted(askerCount, "node")} have less than ${needed}: the largest of them, ${has}`;
  }
  if (isAboutAsset(facts)) return change ?? "";
  return `${largest.length} of ${counted(askerCount, "node")}: ${finding.reason}. The nearest is node ${nodeId}. ${change ?? ""}`;
}

/** It keeps every node from the asset alike. */
function isAboutAsset({ rule }: RuleFacts): boolean {
  return rule === "COPIES_ENOUGH" || rule === "PEERS_NOT_READY" || rule === "ORIGIN_SATURATED";
}
