import type { CopyRange } from "./asset.ts";
import { requireAmount, requireCount, requireFinite, requireOneOf } from "./check.ts";
import type { NodeId, OperatorId } from "./ids.ts";

/** The life of a node as the server sees it, by the time since its last sync; from the best to the worst. */
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

/**
 * A silence makes a node's life worse or leaves it as it is, and never better: only a sync does that. The threshold itself
 * counts as reached. A retired node stays retired: it has to join again.
 * @throws DispatcherError INPUT_INVALID for an unknown life or a silence that is no time
 */
export function lifeAfterSilence(current: NodeLife, silentMs: number, thresholds: LifeThresholds): NodeLife {
  requireOneOf(current, NODE_LIVES, "life");
  requireFinite(silentMs, "silentMs");
  const reached = lifeBySilence(silentMs, thresholds);
  return NODE_LIVES.indexOf(reached) > NODE_LIVES.indexOf(current) ? reached : current;
}

function lifeBySilence(silentMs: number, thresholds: LifeThresholds): NodeLife {
  if (silentMs >= thresholds.retiredMs) return "retired";
  if (silentMs >= thresholds.lostMs) return "lost";
  if (silentMs >= thresholds.offlineMs) return "offline";
  if (silentMs >= thresholds.suspectMs) return "suspect";
  return "online";
}

/**
 * Syncs in a row until a node that was offline or lost is online again. Too small: one on a bad line flaps, and each time
 * repairs begin and end. Too large: a mended node stands idle.
 */
export const SYNCS_TO_COME_BACK = 3;

/** Where a node stands in its life. */
export type NodeStanding = {
  readonly life: NodeLife;
  /** Of a comeback: syncs in a row that are still missing. 0 where none is under way. */
  readonly syncsMissing: number;
  /** It was lost, and has not told since what it still holds. */
  readonly inventoryWanted: boolean;
};

/**
 * A sync has been heard, `silentMs` after the one before. A node that was only suspect is online at once. One that was
 * offline or lost is suspect until it has synced three times in a row; a silence that makes a node suspect breaks the row,
 * and this sync is the first of the next. What a lost node holds counts again once it has listed it (`hasInventory`).
 * A retired one stays as it is. A sync never makes a life worse: how long the silence was is judged by lifeAfterSilence,
 * which knows of mercy through its caller.
 * @throws DispatcherError INPUT_INVALID for an unknown life or numbers that are none
 */
export function lifeAfterSync(
  standing: NodeStanding,
  { silentMs, hasInventory }: { readonly silentMs: number; readonly hasInventory: boolean },
  { suspectMs }: LifeThresholds,
): NodeStanding {
  const { life, syncsMissing } = standing;
  requireOneOf(life, NODE_LIVES, "life");
  requireCount(syncsMissing, "syncsMissing");
  requireFinite(silentMs, "silentMs");
  if (life === "retired") return standing;
  const inventoryWanted = (standing.inventoryWanted || life === "lost") && !hasInventory;
  const isComingBack = life === "suspect" && syncsMissing > 0;
  const begins = life === "offline" || life === "lost" || (isComingBack && silentMs >= suspectMs);
  const missing = begins ? SYNCS_TO_COME_BACK - 1 : isComingBack ? syncsMissing - 1 : 0;
  return { life: missing > 0 ? "suspect" : "online", syncsMissing: missing, inventoryWanted };
}

/** The copies on a node in this state count toward an asset's copies. */
export function countsAsHolder(life: NodeLife): boolean {
  requireOneOf(life, NODE_LIVES, "life");
  return life !== "lost" && life !== "retired";
}

/** The copies on a node count while it lives, and after it was lost once it has told what it still holds. */
export function isPresent({ life, inventoryWanted }: Pick<NodeStanding, "life" | "inventoryWanted">): boolean {
  return countsAsHolder(life) && !inventoryWanted;
}

/** Open leases a node may have: it starts with 2 and earns more. */
export const QUOTA_START = 2;

/** After a verified copy: doubled, up to the node's own maximum. Source: BOINC's per-host quota. */
export function raisedQuota(quota: number, quotaMax: number): number {
  requireCount(quota, "quota");
  requireCount(quotaMax, "quotaMax");
  return Math.max(1, Math.min(quota * 2, quotaMax));
}

/** After a fault of its own: halved, never below 1, so that a mended node finds its way back. */
export function loweredQuota(quota: number): number {
  requireCount(quota, "quota");
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

/** Copies on two nodes of one operator count as one for safety. O(n^2) for a handful of holders, and allocates nothing. */
export function independentCopies(holders: readonly Holder[]): number {
  let copies = 0;
  for (let at = 0; at < holders.length; at += 1) {
    const { counts, operatorId } = holders[at]!;
    let isFirst = counts;
    for (let before = 0; before < at && isFirst; before += 1) {
      isFirst = !holders[before]!.counts || holders[before]!.operatorId !== operatorId;
    }
    if (isFirst) copies += 1;
  }
  return copies;
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
  requireCount(fetchedBytes, "fetchedBytes");
  requireAmount(fetchMs, "fetchMs");
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
  requireCount(node.verifiedCopies, "verifiedCopies");
  requireFinite(node.ageMs, "ageMs");
  return node.verifiedCopies >= rule.verifiedCopies && node.ageMs >= rule.ageMs;
}
