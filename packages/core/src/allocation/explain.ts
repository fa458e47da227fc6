/**
 * Why a node may or may not have an asset, and what would change that: the rules of `eligibility.ts` with the numbers they
 * went by. Nothing is decided here.
 */
import type { AssetId, NodeId } from "../ids.ts";
import { ASSET_RULES, NODE_RULES } from "./eligibility.ts";
import type { Question, Rule } from "./eligibility.ts";
import type { Refusal } from "./policy.ts";
import type { RuleFacts } from "./rule-facts.ts";
import { changeOf } from "./what-would-change.ts";

/** One rule about one node and one asset. */
export type RuleFinding = {
  readonly rule: RuleFacts["rule"];
  readonly reason: Refusal["reason"];
  readonly passes: boolean;
  /** What a round would answer for this rule alone; null when it passes. */
  readonly refusal: Refusal | null;
  /** What it compared, whether it passes or not. */
  readonly facts: RuleFacts;
  /** A sentence that says what would make it pass; null when it does. */
  readonly change: string | null;
};

export type Explanation = {
  readonly nodeId: NodeId;
  readonly assetId: AssetId;
  /** Whether the node may have the asset now. */
  readonly verdict: "eligible" | "refused";
  /** The refusal of the first rule that refuses: the one that a round goes by. */
  readonly primary: Refusal | null;
  /** Every refusal, in the order of the rules; empty when there is none. */
  readonly refusals: readonly Refusal[];
  /** Every rule in the order in which a round asks: those about the node, then what no waiting changes, then the rest. */
  readonly findings: readonly RuleFinding[];
};

/** Every rule about this node and this asset. Pure; decides by the very rules of a round. */
export function explain(question: Question): Explanation {
  const rules: readonly Rule<Question>[] = [...NODE_RULES, ...ASSET_RULES];
  const findings = rules.map((rule): RuleFinding => {
    const { reason } = rule;
    const refusal = rule.refuse(question);
    const facts = rule.facts(question);
    const passes = refusal === null;
    return { rule: facts.rule, reason, passes, refusal, facts, change: passes ? null : changeOf(facts) };
  });
  const refusals = findings.flatMap(({ refusal }) => refusal ?? []);
  return {
    nodeId: question.asker.nodeId,
    assetId: question.candidate.assetId,
    verdict: refusals.length === 0 ? "eligible" : "refused",
    primary: refusals[0] ?? null,
    refusals,
    findings,
  };
}
