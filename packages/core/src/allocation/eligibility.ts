/**
 * Whether a node may have an asset now. One rule after the other, each answering null or a refusal with its numbers; the
 * round asks them in this order and takes the first, `explain` shows them all. There is no second place that decides.
 */
import { minutesUntilOpen } from "../daily-window.ts";
import { roomBytes } from "../ledger.ts";
import { independentCopies, placesLeft } from "../node.ts";
import type { Asker, Candidate, GrantDecision, OriginSlots, Refusal, RoundSettings } from "./policy.ts";
import { isAmongQuickest } from "./quickest-nodes.ts";
import type { RuleFacts } from "./rule-facts.ts";

const MINUTE_MS = 60_000;

/** What the predicates look at: the state after the grants already made in this round. */
export type Question = {
  readonly nowMs: number;
  readonly asker: Asker;
  readonly candidate: Candidate;
  /** Undefined: an origin this round knows nothing of counts as closed. */
  readonly origin: OriginSlots | undefined;
  readonly settings: RoundSettings;
};

export type NodeQuestion = Pick<Question, "nowMs" | "asker" | "settings">;
type AssetQuestion = Pick<Question, "candidate" | "origin" | "settings">;

/** What is alike in all assets of a kind, as a node sees them. Of the holders it matters whether one is vetted. */
export type AssetKind = Pick<Candidate, "scheme" | "tags" | "holders">;
type KindQuestion = Pick<Question, "asker" | "settings"> & { readonly candidate: AssetKind };

/** One rule. A round asks `refuse` by the million, so that where it has nothing against it, it allocates nothing. */
export type Rule<Asked> = {
  readonly reason: Refusal["reason"];
  readonly refuse: (question: Asked) => Refusal | null;
  /** What it goes by, for people. */
  readonly facts: (question: Asked) => RuleFacts;
};

/** What a lease on this asset would reserve. */
export function reservationFor(candidate: Candidate, settings: Pick<RoundSettings, "unknownSizeBytes">): number {
  return candidate.sizeBytes ?? settings.unknownSizeBytes;
}

/** Where a further holder is to fetch it: from the origin, until so many have as it may be asked for. */
export function sourceOf(
  candidate: Candidate,
  { originFetchesMax }: Pick<RoundSettings, "originFetchesMax">,
): GrantDecision["source"] {
  return originFetchesMax !== null && candidate.originFetches >= originFetchesMax ? "peers" : "origin";
}

/** What its real disk has left once its open leases have all arrived; below 0 when it will not hold them. */
function diskBytes({ freeBytes, openBytes, ledger }: Asker): number {
  return freeBytes - openBytes - ledger.marginBytes;
}

/** What the node can take: by its ledger, and by its real disk once its open leases have all arrived. */
export function usableBytes(asker: Asker): number {
  return Math.max(0, Math.min(roomBytes(asker.ledger), diskBytes(asker)));
}

/** The largest reservation that the rules about bytes let this node have now; below 0 when not even an empty file. */
export function takeableBytes(asker: Asker, settings: RoundSettings): number {
  const trialBytes = asker.isVetting ? settings.vettingBytes : Infinity;
  return Math.min(usableBytes(asker), horizonBytes(asker, settings) - asker.openBytes, trialBytes);
}

const agentTooOld: Rule<NodeQuestion> = {
  reason: "AGENT_TOO_OLD",
  refuse: ({ asker, settings }) =>
    asker.agentTooOldFor === null
      ? null
      : { reason: "AGENT_TOO_OLD", minimum: asker.agentTooOldFor, retryAfterMs: settings.idleRetryMs },
  facts: ({ asker }) => ({ rule: "AGENT_TOO_OLD", minimum: asker.agentTooOldFor }),
};

const nodePaused: Rule<NodeQuestion> = {
  reason: "NODE_PAUSED",
  refuse: ({ asker, nowMs, settings }) => {
    if (asker.paused) return { reason: "NODE_PAUSED", retryAfterMs: settings.idleRetryMs };
    const minutes = minutesUntilOpen(asker.windows, nowMs);
    return minutes === 0 ? null : { reason: "NODE_PAUSED", retryAfterMs: minutes * MINUTE_MS };
  },
  facts: ({ asker: { paused, windows }, nowMs }) => ({
    rule: "NODE_PAUSED",
    paused,
    windows,
    opensInMs: minutesUntilOpen(windows, nowMs) * MINUTE_MS,
  }),
};

const quotaReached: Rule<NodeQuestion> = {
  reason: "QUOTA",
  refuse: ({ asker: { openLeases, quota }, settings }) =>
    openLeases < quota ? null : { reason: "QUOTA", openLeases, limit: quota, retryAfterMs: settings.idleRetryMs },
  facts: ({ asker: { openLeases, quota } }) => ({ rule: "QUOTA", openLeases, limit: quota }),
};

/** The rules about the node alone, whatever the asset. */
export const NODE_RULES: readonly Rule<NodeQuestion>[] = [agentTooOld, nodePaused, quotaReached];

const copiesEnough: Rule<AssetQuestion> = {
  reason: "COPIES_ENOUGH",
  refuse: ({ candidate, settings }) =>
    placesLeft(candidate.holders, candidate.copies) > 0
      ? null
      : { reason: "COPIES_ENOUGH", retryAfterMs: settings.idleRetryMs },
  facts: ({ candidate: { holders, copies } }) => ({
    rule: "COPIES_ENOUGH",
    independentCopies: independentCopies(holders),
    targetCopies: copies.target,
    holders: holders.length,
    maxCopies: copies.max,
  }),
};

function isHolder({ asker, candidate }: Pick<Question, "asker" | "candidate">): boolean {
  return candidate.holders.some((holder) => holder.nodeId === asker.nodeId);
}

const heldAlready: Rule<Question> = {
  reason: "HELD_ALREADY",
  refuse: (question) =>
    isHolder(question) ? { reason: "HELD_ALREADY", retryAfterMs: question.settings.idleRetryMs } : null,
  facts: (question) => ({ rule: "HELD_ALREADY", isHolder: isHolder(question) }),
};

/**
 * A second copy goes to another operator. Only when every operator that takes part has one already may an operator add
 * one on another node, and never so many that the missing operators would find no place below `copies.max`.
 */
const heldByOperator: Rule<Question> = {
  reason: "HELD_BY_OPERATOR",
  refuse: ({ asker, candidate: { holders, copies }, settings }) => {
    if (!holders.some((holder) => holder.counts && holder.operatorId === asker.operatorId)) return null;
    const independent = independentCopies(holders);
    const placesForOthers = copies.target - independent;
    const mayDouble = independent >= settings.operatorCount && holders.length + 1 + placesForOthers <= copies.max;
    return mayDouble ? null : { reason: "HELD_BY_OPERATOR", retryAfterMs: settings.idleRetryMs };
  },
  facts: ({ asker, candidate: { holders, copies }, settings }) => {
    const operators = holders.filter((holder) => holder.counts).map((holder) => holder.operatorId);
    return {
      rule: "HELD_BY_OPERATOR",
      copiesOfOperator: operators.filter((operatorId) => operatorId === asker.operatorId).length,
      operatorsHolding: [...new Set(operators)],
      operatorCount: settings.operatorCount,
      missingCopies: copies.target - independentCopies(holders),
      holders: holders.length,
      maxCopies: copies.max,
    };
  },
};

const schemeUnsupported: Rule<KindQuestion> = {
  reason: "SCHEME_UNSUPPORTED",
  refuse: ({ asker, candidate: { scheme }, settings }) =>
    asker.schemes.includes(scheme)
      ? null
      : { reason: "SCHEME_UNSUPPORTED", scheme, retryAfterMs: settings.idleRetryMs },
  facts: ({ asker: { schemes }, candidate: { scheme } }) => ({ rule: "SCHEME_UNSUPPORTED", scheme, schemes }),
};

const tagRefused: Rule<KindQuestion> = {
  reason: "TAG_REFUSED",
  refuse: ({ asker, candidate, settings }) => {
    const tag = candidate.tags.find((one) => asker.refusedTags.includes(one));
    return tag === undefined ? null : { reason: "TAG_REFUSED", tag, retryAfterMs: settings.idleRetryMs };
  },
  facts: ({ asker: { refusedTags }, candidate: { tags } }) => ({ rule: "TAG_REFUSED", tags, refusedTags }),
};

/** The node has been proved and holds a copy that counts: the asset does not depend on nodes on trial. */
export function hasVettedHolder({ holders }: Pick<Candidate, "holders">): boolean {
  return holders.some((holder) => holder.counts && !holder.isOnTrial);
}

/** A node on trial never makes the first copy: it would be the only holder. */
const soleHolder: Rule<KindQuestion> = {
  reason: "VETTING",
  refuse: ({ asker, candidate, settings }) =>
    !asker.isVetting || hasVettedHolder(candidate)
      ? null
      : { reason: "VETTING", limitBytes: settings.vettingBytes, retryAfterMs: settings.idleRetryMs },
  facts: ({ asker: { isVetting }, candidate }) => ({
    rule: "SOLE_HOLDER",
    isVetting,
    hasVettedHolder: hasVettedHolder(candidate),
  }),
};

/** Nodes on trial take further copies within a budget they share. */
const trialBudget: Rule<Question> = {
  reason: "VETTING",
  refuse: ({ asker, candidate, settings }) => {
    if (!asker.isVetting || !hasVettedHolder(candidate)) return null;
    return reservationFor(candidate, settings) <= settings.vettingBytes
      ? null
      : { reason: "VETTING", limitBytes: settings.vettingBytes, retryAfterMs: settings.idleRetryMs };
  },
  facts: ({ asker: { isVetting }, candidate, settings }) => ({
    rule: "TRIAL_BUDGET",
    isVetting,
    hasVettedHolder: hasVettedHolder(candidate),
    neededBytes: reservationFor(candidate, settings),
    limitBytes: settings.vettingBytes,
  }),
};

const nodeFull: Rule<Question> = {
  reason: "NODE_FULL",
  refuse: ({ asker, candidate, settings }) => {
    const missingBytes = reservationFor(candidate, settings) - usableBytes(asker);
    return missingBytes <= 0 ? null : { reason: "NODE_FULL", missingBytes, retryAfterMs: settings.idleRetryMs };
  },
  facts: ({ asker, candidate, settings }) => {
    const { ledger, freeBytes, openBytes } = asker;
    const neededBytes = reservationFor(candidate, settings);
    return {
      rule: "NODE_FULL",
      neededBytes,
      usableBytes: usableBytes(asker),
      missingBytes: Math.max(0, neededBytes - usableBytes(asker)),
      roomBytes: roomBytes(ledger),
      diskBytes: diskBytes(asker),
      ...ledger,
      freeBytes,
      openBytes,
    };
  },
};

const avoided: Rule<Question> = {
  reason: "RETRY_PAUSE",
  refuse: ({ asker, candidate, settings }) =>
    candidate.avoid.includes(asker.nodeId) ? { reason: "RETRY_PAUSE", retryAfterMs: settings.idleRetryMs } : null,
  facts: ({ asker, candidate }) => ({ rule: "RETRY_PAUSE", isAvoided: candidate.avoid.includes(asker.nodeId) }),
};

/**
 * Enough work for the horizon at the measured rate. A node without open work may take one asset that takes longer, as long
 * as it can be finished at all, or nobody could do it much sooner; of one whose rate is not known its quota is limit enough.
 */
function horizonBytes(asker: Asker, settings: RoundSettings): number {
  const { rateBytesPerS, openLeases } = asker;
  if (rateBytesPerS === null) return Infinity;
  const isHeldTo = openLeases > 0 || !isAmongQuickest(rateBytesPerS, usableBytes(asker), settings.quickNodes);
  return isHeldTo ? ownHorizonBytes(asker, settings) : Infinity;
}

/** Whatever other nodes could do. */
function ownHorizonBytes({ rateBytesPerS, openLeases }: Asker, { horizonMs, assetMaxMs }: RoundSettings): number {
  if (rateBytesPerS === null) return Infinity;
  return Math.floor((rateBytesPerS * (openLeases === 0 ? Math.max(horizonMs, assetMaxMs) : horizonMs)) / 1000);
}

const horizonFull: Rule<Question> = {
  reason: "HORIZON_FULL",
  refuse: ({ asker, candidate, settings }) => {
    const wouldBeOpen = asker.openBytes + reservationFor(candidate, settings);
    if (wouldBeOpen <= ownHorizonBytes(asker, settings)) return null;
    const limitBytes = horizonBytes(asker, settings);
    return wouldBeOpen <= limitBytes
      ? null
      : { reason: "HORIZON_FULL", openBytes: asker.openBytes, limitBytes, retryAfterMs: settings.idleRetryMs };
  },
  facts: ({ asker, candidate, settings }) => {
    const limitBytes = horizonBytes(asker, settings);
    return {
      rule: "HORIZON_FULL",
      openLeases: asker.openLeases,
      openBytes: asker.openBytes,
      neededBytes: reservationFor(candidate, settings),
      limitBytes: limitBytes === Infinity ? null : limitBytes,
    };
  },
};

/** The origin has been asked often enough, and those that asked it have no copy to give yet. */
const peersNotReady: Rule<AssetQuestion> = {
  reason: "PEERS_NOT_READY",
  refuse: ({ candidate, settings }) =>
    candidate.seeds > 0 || sourceOf(candidate, settings) === "origin"
      ? null
      : { reason: "PEERS_NOT_READY", retryAfterMs: settings.idleRetryMs },
  facts: ({ candidate, settings }) => ({
    rule: "PEERS_NOT_READY",
    source: sourceOf(candidate, settings),
    seeds: candidate.seeds,
    originFetches: candidate.originFetches,
    originFetchesMax: settings.originFetchesMax,
  }),
};

const originSaturated: Rule<AssetQuestion> = {
  reason: "ORIGIN_SATURATED",
  refuse: ({ candidate, origin, settings }) => {
    if (sourceOf(candidate, settings) === "peers") return null;
    return origin !== undefined && origin.slots > 0
      ? null
      : { reason: "ORIGIN_SATURATED", retryAfterMs: origin?.retryAfterMs ?? settings.idleRetryMs };
  },
  facts: ({ candidate, origin, settings }) => ({
    rule: "ORIGIN_SATURATED",
    source: sourceOf(candidate, settings),
    slots: origin?.slots ?? null,
    retryAfterMs: origin?.retryAfterMs ?? settings.idleRetryMs,
  }),
};

/** The rules that ask of an asset what it has in common with all of its kind. */
const KIND_RULES: readonly Rule<KindQuestion>[] = [schemeUnsupported, tagRefused, soleHolder];

/** The rules about a node and an asset, in the order in which they are asked: what no waiting changes comes first. */
export const ASSET_RULES: readonly Rule<Question>[] = [
  copiesEnough,
  heldAlready,
  heldByOperator,
  schemeUnsupported,
  tagRefused,
  soleHolder,
  trialBudget,
  nodeFull,
  avoided,
  horizonFull,
  peersNotReady,
  originSaturated,
];

/** The first rule about the node alone that refuses; null when it may work. */
export function nodeRefusal(question: NodeQuestion): Refusal | null {
  for (const rule of NODE_RULES) {
    const refusal = rule.refuse(question);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** The first rule that keeps the node from every asset of this kind, whatever its size; null when there is none. */
export function kindRefusal(question: KindQuestion): Refusal | null {
  for (const rule of KIND_RULES) {
    const refusal = rule.refuse(question);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** The node, or its operator, holds the asset already, so that it is no news to it. */
export function isHeldFor(question: Question): boolean {
  return isHolder(question) || heldByOperator.refuse(question) !== null;
}

/** The asset itself is closed, to every node: a round need not ask for each of them. */
export function isAboutAsset({ reason }: Refusal): boolean {
  return reason === "COPIES_ENOUGH" || reason === "PEERS_NOT_READY" || reason === "ORIGIN_SATURATED";
}

/** The first rule about the node and the asset that refuses; null when it may have it. */
export function assetRefusal(question: Question): Refusal | null {
  for (const rule of ASSET_RULES) {
    const refusal = rule.refuse(question);
    if (refusal !== null) return refusal;
  }
  return null;
}
