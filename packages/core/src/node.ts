import type { CopyRange } from "./asset.ts";
import type { NodeId, OperatorId } from "./ids.ts";

/** The life of a node as the server sees it, by the time since its last sync. */
export const NODE_LIVES = ["online", "suspect", "offline", "lost", "retired"] as const;
export type NodeLife = (typeof NODE_LIVES)[number];

/** Since the last sync, in ms. Too small: a reboot starts a wave of repair. Too large: the dead count as copies. */
export type LifeThresholds = {
  readonly suspectMs: number;
  readonly offlineMs: number;
  readonly lostMs: number;
  readonly retiredMs: number;
};

/** Three missed syncs, an hour, a day, a month. */
export function defaultLifeThresholds(syncIntervalMs: number): LifeThresholds {
  return { suspectMs: 3 * syncIntervalMs, offlineMs: 3_600_000, lostMs: 86_400_000, retiredMs: 30 * 86_400_000 };
}

/** A retired node stays retired: it has to join again. The threshold itself counts as reached. */
export function lifeAfterSilence(current: NodeLife, silentMs: number, thresholds: LifeThresholds): NodeLife {
  if (current === "retired" || silentMs >= thresholds.retiredMs) return "retired";
  if (silentMs >= thresholds.lostMs) return "lost";
  if (silentMs >= thresholds.offlineMs) return "offline";
  if (silentMs >= thresholds.suspectMs) return "suspect";
  return "online";
}

/** The copies on a node in this state count toward an asset's copies. */
export function countsAsHolder(life: NodeLife): boolean {
  return life !== "lost" && life !== "retired";
}

/** Open leases a node may have: it starts with 2 and earns more. */
export const QUOTA_START = 2;

/** After a verified copy: doubled, up to the node's own maximum. Source: BOINC's per-host quota. */
export function raisedQuota(quota: number, quotaMax: number): number {
  return Math.max(1, Math.min(quota * 2, quotaMax));
}

/** After a fault of its own: halved, never below 1, so that a mended node finds its way back. */
export function loweredQuota(quota: number): number {
  return Math.max(1, Math.floor(quota / 2));
}

/** Who holds, or has leased, one copy of an asset. */
export type Holder = {
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  /** Where known; two copies behind one network may fall together. */
  readonly network: string | null;
  /** False for a copy that disagrees with the others, or whose node is lost: it takes a place but gives no safety. */
  readonly counts: boolean;
  /** The node is not vetted yet: it is no reason for others to feel safe. */
  readonly isOnTrial: boolean;
};

/** Copies on two nodes of one operator count as one for safety. */
export function independentCopies(holders: readonly Holder[]): number {
  return new Set(holders.filter((holder) => holder.counts).map((holder) => holder.operatorId)).size;
}

/**
 * Copies still to be arranged: up to the target in independent ones, and never past the maximum in all. Open leases count
 * as if they had succeeded.
 */
export function placesLeft(holders: readonly Holder[], { target, max }: CopyRange): number {
  return Math.max(0, Math.min(target - independentCopies(holders), max - holders.length));
}

/** A weight of the newest measurement: a rate follows a changed line within a few files, and one odd file does not throw it. */
const RATE_WEIGHT = 0.3;

/** Moving average of a node's download rate in bytes a second; files too quick to measure leave it as it is. */
export function measuredRate(
  before: number | null,
  { fetchedBytes, fetchMs }: { readonly fetchedBytes: number; readonly fetchMs: number },
): number | null {
  if (fetchMs < 1 || fetchedBytes < 1) return before;
  const now = (fetchedBytes / fetchMs) * 1000;
  return before === null ? now : before + RATE_WEIGHT * (now - before);
}

/** What a node has to have done before it may be the only holder of anything. */
export type VettingRule = {
  readonly verifiedCopies: number;
  readonly ageMs: number;
  /** Below so many vetted nodes the rule rests: a small fleet would never start. */
  readonly fleetMin: number;
};

export const DEFAULT_VETTING: VettingRule = { verifiedCopies: 10, ageMs: 7 * 86_400_000, fleetMin: 20 };

/** Both the copies and the age are needed; the thresholds themselves suffice. */
export function isVetted(
  node: { readonly verifiedCopies: number; readonly ageMs: number },
  rule: VettingRule = DEFAULT_VETTING,
): boolean {
  return node.verifiedCopies >= rule.verifiedCopies && node.ageMs >= rule.ageMs;
}
