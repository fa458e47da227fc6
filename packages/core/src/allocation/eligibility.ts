/**
 * Whether a node may have an asset now. One predicate per rule, each answering null or a refusal with its numbers; the
 * round asks them in this order and takes the first, `explain` shows them all. There is no second place that decides.
 */
import { roomBytes } from "../ledger.ts";
import { independentCopies, placesLeft } from "../node.ts";
import type { Asker, Candidate, DailyWindow, OriginSlots, Refusal, RoundSettings } from "./policy.ts";

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

/** What the predicates look at: the state after the grants already made in this round. */
export type Question = {
  readonly nowMs: number;
  readonly asker: Asker;
  readonly candidate: Candidate;
  /** Undefined: an origin this round knows nothing of counts as closed. */
  readonly origin: OriginSlots | undefined;
  readonly settings: RoundSettings;
};

type NodeQuestion = Pick<Question, "nowMs" | "asker" | "settings">;
type AssetQuestion = Pick<Question, "candidate" | "origin" | "settings">;

/** What a lease on this asset would reserve. */
export function reservationFor(candidate: Candidate, settings: RoundSettings): number {
  return candidate.sizeBytes ?? settings.unknownSizeBytes;
}

/** What the node can take: by its ledger, and by its real disk once its open leases have all arrived. */
export function usableBytes(asker: Asker): number {
  const onDisk = asker.freeBytes - asker.openBytes - asker.ledger.marginBytes;
  return Math.max(0, Math.min(roomBytes(asker.ledger), onDisk));
}

function agentTooOld({ asker, settings }: NodeQuestion): Refusal | null {
  return asker.agentTooOldFor === null
    ? null
    : { reason: "AGENT_TOO_OLD", minimum: asker.agentTooOldFor, retryAfterMs: settings.idleRetryMs };
}

/** Minutes until the next window opens; 0 inside one, or with none set. */
export function minutesUntilOpen(windows: readonly DailyWindow[], nowMs: number): number {
  if (windows.length === 0) return 0;
  const minute = Math.floor(nowMs / MINUTE_MS) % DAY_MINUTES;
  const waits = windows.map(({ fromMinute, toMinute }) => {
    const length = (toMinute - fromMinute + DAY_MINUTES) % DAY_MINUTES || DAY_MINUTES;
    const since = (minute - fromMinute + DAY_MINUTES) % DAY_MINUTES;
    return since < length ? 0 : DAY_MINUTES - since;
  });
  return Math.min(...waits);
}

function nodePaused({ asker, nowMs, settings }: NodeQuestion): Refusal | null {
  if (asker.paused) return { reason: "NODE_PAUSED", retryAfterMs: settings.idleRetryMs };
  const minutes = minutesUntilOpen(asker.windows, nowMs);
  return minutes === 0 ? null : { reason: "NODE_PAUSED", retryAfterMs: minutes * MINUTE_MS };
}

function quotaReached({ asker, settings }: NodeQuestion): Refusal | null {
  const { openLeases, quota } = asker;
  return openLeases < quota ? null : { reason: "QUOTA", openLeases, limit: quota, retryAfterMs: settings.idleRetryMs };
}

/** The rules about the node alone, whatever the asset. */
const NODE_RULES = [agentTooOld, nodePaused, quotaReached] as const;

function heldAlready({ asker, candidate, settings }: Question): Refusal | null {
  return candidate.holders.some((holder) => holder.nodeId === asker.nodeId)
    ? { reason: "HELD_ALREADY", retryAfterMs: settings.idleRetryMs }
    : null;
}

function copiesEnough({ candidate, settings }: AssetQuestion): Refusal | null {
  return placesLeft(candidate.holders, candidate.copies) > 0
    ? null
    : { reason: "COPIES_ENOUGH", retryAfterMs: settings.idleRetryMs };
}

/**
 * A second copy goes to another operator. Only when every operator that takes part has one already may an operator add
 * one on another node, and never so many that the missing operators would find no place below `copies.max`.
 */
function heldByOperator({ asker, candidate, settings }: Question): Refusal | null {
  const { holders, copies } = candidate;
  if (!holders.some((holder) => holder.counts && holder.operatorId === asker.operatorId)) return null;
  const independent = independentCopies(holders);
  const placesForOthers = copies.target - independent;
  const mayDouble = independent >= settings.operatorCount && holders.length + 1 + placesForOthers <= copies.max;
  return mayDouble ? null : { reason: "HELD_BY_OPERATOR", retryAfterMs: settings.idleRetryMs };
}

function schemeUnsupported({ asker, candidate, settings }: Question): Refusal | null {
  return asker.schemes.includes(candidate.scheme)
    ? null
    : { reason: "SCHEME_UNSUPPORTED", scheme: candidate.scheme, retryAfterMs: settings.idleRetryMs };
}

function tagRefused({ asker, candidate, settings }: Question): Refusal | null {
  const tag = candidate.tags.find((one) => asker.refusedTags.includes(one));
  return tag === undefined ? null : { reason: "TAG_REFUSED", tag, retryAfterMs: settings.idleRetryMs };
}

function failedLately({ asker, candidate, settings }: Question): Refusal | null {
  return candidate.avoid.includes(asker.nodeId) ? { reason: "RETRY_PAUSE", retryAfterMs: settings.idleRetryMs } : null;
}

/** A node on trial takes further copies within a common budget, and never the first: it would be the only holder. */
function vetting({ asker, candidate, settings }: Question): Refusal | null {
  if (!asker.isVetting) return null;
  const hasVettedHolder = candidate.holders.some((holder) => holder.counts && !holder.isOnTrial);
  return hasVettedHolder && reservationFor(candidate, settings) <= settings.vettingBytes
    ? null
    : { reason: "VETTING", limitBytes: settings.vettingBytes, retryAfterMs: settings.idleRetryMs };
}

function nodeFull({ asker, candidate, settings }: Question): Refusal | null {
  const missingBytes = reservationFor(candidate, settings) - usableBytes(asker);
  return missingBytes <= 0 ? null : { reason: "NODE_FULL", missingBytes, retryAfterMs: settings.idleRetryMs };
}

/** Enough work for the horizon at the measured rate; a node without open work may take one asset of any size. */
function horizonFull({ asker, candidate, settings }: Question): Refusal | null {
  if (asker.rateBytesPerS === null || asker.openLeases === 0) return null;
  const limitBytes = Math.floor((asker.rateBytesPerS * settings.horizonMs) / 1000);
  return asker.openBytes + reservationFor(candidate, settings) <= limitBytes
    ? null
    : { reason: "HORIZON_FULL", openBytes: asker.openBytes, limitBytes, retryAfterMs: settings.idleRetryMs };
}

function originSaturated({ origin, settings }: AssetQuestion): Refusal | null {
  return origin !== undefined && origin.slots > 0
    ? null
    : { reason: "ORIGIN_SATURATED", retryAfterMs: origin?.retryAfterMs ?? settings.idleRetryMs };
}

/** The rules about a node and an asset, in the order in which they are asked: what no waiting changes comes first. */
const ASSET_RULES = [
  copiesEnough,
  heldAlready,
  heldByOperator,
  schemeUnsupported,
  tagRefused,
  vetting,
  nodeFull,
  failedLately,
  horizonFull,
  originSaturated,
] as const;

/** The first rule about the node alone that refuses; null when it may work. */
export function nodeRefusal(question: NodeQuestion): Refusal | null {
  for (const rule of NODE_RULES) {
    const refusal = rule(question);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** False when the asset is closed to every node, so that a round need not ask for each of them. */
export function isOffered(question: AssetQuestion): boolean {
  return copiesEnough(question) === null && originSaturated(question) === null;
}

/** The first rule about the node and the asset that refuses; null when it may have it. */
export function assetRefusal(question: Question): Refusal | null {
  for (const rule of ASSET_RULES) {
    const refusal = rule(question);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** Every rule that refuses, those about the node first; empty when the node may have the asset now. */
export function explain(question: Question): readonly Refusal[] {
  return [...NODE_RULES.map((rule) => rule(question)), ...ASSET_RULES.map((rule) => rule(question))].filter(
    (refusal) => refusal !== null,
  );
}
