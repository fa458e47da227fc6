/**
 * What to do where the copies of an asset are too few, too many or in the wrong place: repair, trim, evacuation. All three
 * only plan; whoever carries a plan out makes copies first and deletes last, and asks again after each step.
 *
 * Safety is counted in independent copies, one per operator, of those that count. Nothing here ever plans to delete the
 * last copy of an asset, or the last verified one.
 */
import { checkCopies } from "./asset.ts";
import type { CopyRange } from "./asset.ts";
import { requireCount, requireFinite, requireOneOf, requireShare } from "./check.ts";
import { DispatcherError } from "./errors.ts";
import { compareIds } from "./ids.ts";
import type { AssetId, NodeId, OperatorId } from "./ids.ts";
import { TRUST_LEVELS } from "./rescue.ts";
import type { Trust } from "./rescue.ts";

const HOUR_MS = 3_600_000;

/**
 * How long an asset below its minimum, but with more than one copy, waits for a node that is just away. Too small: each
 * night's switched-off machines are repaired. Too large: a second loss meets an asset that was not mended.
 */
export const REPAIR_DELAY_BELOW_MIN_MS: number = HOUR_MS;
/** The same for an asset between its minimum and its target, where nothing is in danger. */
export const REPAIR_DELAY_BELOW_TARGET_MS: number = 24 * HOUR_MS;

export type RepairPlan = {
  /** Independent copies to be made. */
  readonly missing: number;
  /** When to begin; `nowMs` for at once, and never before it. */
  readonly startAtMs: number;
};

/**
 * Whether copies of an asset have to be made, and from when on: at once for the last copy, after an hour below the
 * minimum, after a day below the target, never at the target or above. `sinceMs` is when it came to have so few.
 *
 * A repair that has begun goes on until the target is reached (hysteresis), or an asset would come to rest just above each
 * of the limits. Source of the delays: lazy repair (Bhagwan et al. 2004, Total Recall), which waits out short absences.
 * @throws DispatcherError INPUT_INVALID for counts or times that are none, or a range that is not in order
 */
export function planRepair({
  copies,
  independentCopies,
  sinceMs,
  hasBegun,
  nowMs,
}: {
  readonly copies: CopyRange;
  /** Of copies that are there; open leases do not count. */
  readonly independentCopies: number;
  readonly sinceMs: number;
  readonly hasBegun: boolean;
  readonly nowMs: number;
}): RepairPlan | null {
  checkCopies(copies);
  requireCount(independentCopies, "independentCopies");
  requireFinite(sinceMs, "sinceMs");
  requireFinite(nowMs, "nowMs");
  const missing = copies.target - independentCopies;
  if (missing <= 0) return null;
  if (hasBegun || independentCopies <= 1) return { missing, startAtMs: nowMs };
  const delayMs = independentCopies < copies.min ? REPAIR_DELAY_BELOW_MIN_MS : REPAIR_DELAY_BELOW_TARGET_MS;
  return { missing, startAtMs: Math.max(nowMs, sinceMs + delayMs) };
}

/** A copy of an asset on a node that is present; several nodes of one operator are told apart by `nodeId`. */
export type StoredCopy = {
  readonly nodeId: NodeId;
  readonly operatorId: OperatorId;
  /** Where known; two copies behind one network may fall together. */
  readonly network: string | null;
  readonly trust: Trust;
  /** False: it disagrees with the others. */
  readonly counts: boolean;
  /** Its node drains, or has a permit to delete this copy already: it gives others no safety for long. */
  readonly isLeaving: boolean;
  /** Share of its node's offer that is held or reserved, 0 to 1. */
  readonly fullness: number;
  /** The node's trust counter. */
  readonly validInARow: number;
};

function requireCopies(stored: readonly StoredCopy[]): void {
  for (const copy of stored) {
    requireOneOf(copy.trust, TRUST_LEVELS, "trust");
    requireShare(copy.fullness, "fullness");
    requireCount(copy.validInARow, "validInARow");
  }
  if (new Set(stored.map(({ nodeId }) => nodeId)).size < stored.length) {
    throw new DispatcherError("INPUT_INVALID", "nodeId is given twice; a node holds one copy of an asset.", {
      details: { field: "nodeId" },
    });
  }
}

/** Operators with a copy that counts. */
function independentOf(stored: readonly StoredCopy[]): number {
  return new Set(stored.filter(({ counts }) => counts).map(({ operatorId }) => operatorId)).size;
}

function hasVerified(stored: readonly StoredCopy[]): boolean {
  return stored.some(({ trust, counts }) => counts && trust === "verified");
}

/** In the order in which copies go. */
export const TRIM_REASONS = [
  /** It has other bytes than those that count. */
  "DISAGREES",
  /** Its operator has another one. */
  "SAME_OPERATOR",
  /** Another one is behind the same network. */
  "SAME_NETWORK",
  /** Its node is leaving. */
  "LEAVING",
  /** Its node has less room than another. */
  "FULLEST",
  /** Its node has earned less trust than another. */
  "LEAST_TRUSTED",
  /** Nothing tells it apart but its node's id. */
  "SURPLUS",
] as const;
export type TrimReason = (typeof TRIM_REASONS)[number];

/** Why one of `kept` would go, seen beside the others. */
function trimReasonOf(copy: StoredCopy, kept: readonly StoredCopy[]): TrimReason {
  if (!copy.counts) return "DISAGREES";
  const others = kept.filter((other) => other !== copy && other.counts);
  if (others.some(({ operatorId }) => operatorId === copy.operatorId)) return "SAME_OPERATOR";
  if (copy.network !== null && others.some(({ network }) => network === copy.network)) return "SAME_NETWORK";
  if (copy.isLeaving) return "LEAVING";
  if (others.some(({ fullness }) => fullness < copy.fullness)) return "FULLEST";
  if (others.some(({ validInARow }) => validInARow > copy.validInARow)) return "LEAST_TRUSTED";
  return "SURPLUS";
}

/** Those on leaving, full and little trusted nodes go first; then the lower id. */
function compareForTrim(a: StoredCopy, b: StoredCopy): number {
  return (
    Number(b.isLeaving) - Number(a.isLeaving) ||
    b.fullness - a.fullness ||
    a.validInARow - b.validInARow ||
    compareIds(a.nodeId, b.nodeId)
  );
}

/** The first four reasons go one after the other; the rest is one group, in the order of compareForTrim. */
function trimGroupOf(reason: TrimReason): number {
  return Math.min(TRIM_REASONS.indexOf(reason), TRIM_REASONS.indexOf("FULLEST"));
}

/**
 * Which copies above the maximum to drop, in order; empty at the maximum and below it. After each one the others are
 * looked at anew: of two doubles one goes. Never so many that fewer independent copies than the target remain (or than
 * there are, where they are fewer already), and never the last verified copy; so more than the maximum may be left.
 *
 * `stored` are the copies of one version: outdated ones are another's. Any order gives the same answer. O(n^3) for the
 * handful of copies an asset has.
 * @throws DispatcherError INPUT_INVALID for numbers or words that are none, a node named twice, a range not in order
 */
export function planTrim(
  stored: readonly StoredCopy[],
  copies: CopyRange,
): readonly { readonly nodeId: NodeId; readonly reason: TrimReason }[] {
  checkCopies(copies);
  requireCopies(stored);
  const independentMin = Math.min(Math.max(copies.target, 1), independentOf(stored));
  const mustKeepVerified = hasVerified(stored);
  const dropped: { nodeId: NodeId; reason: TrimReason }[] = [];
  let kept = stored.toSorted(compareForTrim);
  while (kept.length > copies.max) {
    const [next] = kept
      .filter((copy) => {
        const rest = kept.filter((other) => other !== copy);
        return independentOf(rest) >= independentMin && (!mustKeepVerified || hasVerified(rest));
      })
      .map((copy) => ({ copy, reason: trimReasonOf(copy, kept) }))
      // Stable: within a group the order of compareForTrim remains.
      .toSorted((a, b) => trimGroupOf(a.reason) - trimGroupOf(b.reason));
    if (next === undefined) break;
    dropped.push({ nodeId: next.copy.nodeId, reason: next.reason });
    kept = kept.filter((copy) => copy !== next.copy);
  }
  return dropped;
}

/** An asset of which the evacuated node has a copy. */
export type AssetToMove = {
  readonly assetId: AssetId;
  readonly sizeBytes: number;
  readonly copies: CopyRange;
  /** All its copies on present nodes, the one to be moved included. */
  readonly stored: readonly StoredCopy[];
  /** Independent copies it had when the evacuation began. An evacuation leaves it no worse, and repairs no more. */
  readonly independentAtStart: number;
};

export type EvacuationPlan = {
  /** Copies to be made elsewhere before their counterparts may go: the most endangered asset first. */
  readonly replacementsNeeded: readonly { readonly assetId: AssetId; readonly missing: number }[];
  /** Copies the node may delete now: the safest asset first, so that the most endangered is released last. */
  readonly permitsReady: readonly AssetId[];
  /** What the node has free once all of this is done. */
  readonly freedBytes: number;
};

type Move = {
  readonly assetId: AssetId;
  readonly sizeBytes: number;
  /** Independent copies that stay. */
  readonly staying: number;
  /** Replacements without which it may not go; 0 for ready. */
  readonly missing: number;
};

function toMove(nodeId: NodeId, asset: AssetToMove): Move {
  const { assetId, sizeBytes, copies, stored, independentAtStart } = asset;
  const own = stored.find((copy) => copy.nodeId === nodeId);
  if (own === undefined) {
    throw new DispatcherError("INPUT_INVALID", `assets names ${assetId}, of which node ${nodeId} has no copy.`, {
      details: { field: "assets", value: assetId },
    });
  }
  const staying = stored.filter((copy) => copy !== own && !copy.isLeaving);
  const independent = independentOf(staying);
  const needed = Math.max(1, Math.min(copies.target, independentAtStart));
  const losesVerified = hasVerified([own]) && !hasVerified(staying);
  const missing = Math.max(needed - independent, losesVerified ? 1 : 0);
  return { assetId, sizeBytes, staying: independent, missing };
}

/** The most endangered first: those with the fewest copies that stay; of equal ones the smaller, which is safe sooner. */
function compareDanger(a: Move, b: Move): number {
  return (
    a.staying - b.staying || b.missing - a.missing || a.sizeBytes - b.sizeBytes || compareIds(a.assetId, b.assetId)
  );
}

/**
 * The fewest of `moves` that free `bytes`, which are more than 0: the largest ones, and as the last of them the smallest
 * that is enough; of equal size the safer one. All of them where they do not suffice.
 */
function fewestThatFree(moves: readonly Move[], bytes: number): readonly Move[] {
  const largestFirst = moves.toSorted(
    (a, b) => b.sizeBytes - a.sizeBytes || b.staying - a.staying || compareIds(a.assetId, b.assetId),
  );
  const chosen: Move[] = [];
  let leftBytes = bytes;
  for (const [index, move] of largestFirst.entries()) {
    if (move.sizeBytes >= leftBytes) {
      const enough = largestFirst.slice(index).filter((other) => other.sizeBytes >= leftBytes);
      const leastBytes = enough.at(-1)?.sizeBytes;
      chosen.push(enough.find((other) => other.sizeBytes === leastBytes) ?? move);
      break;
    }
    chosen.push(move);
    leftBytes -= move.sizeBytes;
  }
  return chosen;
}

const sizeOf = (moves: readonly Move[]): number => moves.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** The copies whose going frees `bytes`: those that may go now, then those that lack one replacement, two ... */
function chooseMoves(moves: readonly Move[], bytes: number): readonly Move[] {
  const chosen: Move[] = [];
  const byMissing = Map.groupBy(moves, ({ missing }) => missing);
  for (const missing of [...byMissing.keys()].toSorted((a, b) => a - b)) {
    const leftBytes = bytes - sizeOf(chosen);
    if (leftBytes > 0) chosen.push(...fewestThatFree(byMissing.get(missing) ?? [], leftBytes));
  }
  // A large copy that was chosen late may make earlier ones needless; the most endangered are spared first.
  const spared = new Set<Move>();
  let freedBytes = sizeOf(chosen);
  for (const move of chosen.toSorted(compareDanger)) {
    if (freedBytes - move.sizeBytes < bytes) continue;
    spared.add(move);
    freedBytes -= move.sizeBytes;
  }
  return chosen.filter((move) => !spared.has(move));
}

/**
 * How to move copies off a node: all of them where it drains (`bytesToFree: null`), else the fewest and safest that free
 * so many bytes, or all where they do not suffice. Replacements come first. A copy gets its permit only while, without it
 * and without all others that are leaving, the asset has as many independent copies as when the evacuation began, or its
 * target if that is less; never the last copy, nor the last verified one.
 *
 * To be asked again, with the bytes still to be freed, whenever a replacement has come or a copy has gone: a permit holds
 * for the facts it was given on, so its copy is marked as leaving before another node's plan is made. O(n log n).
 * @throws DispatcherError INPUT_INVALID for numbers or words that are none, an asset twice, or one the node has no copy of
 */
export function planEvacuation({
  nodeId,
  assets,
  bytesToFree,
}: {
  readonly nodeId: NodeId;
  readonly assets: readonly AssetToMove[];
  readonly bytesToFree: number | null;
}): EvacuationPlan {
  if (bytesToFree !== null) requireCount(bytesToFree, "bytesToFree");
  for (const asset of assets) {
    requireCount(asset.sizeBytes, "sizeBytes");
    requireCount(asset.independentAtStart, "independentAtStart");
    checkCopies(asset.copies);
    requireCopies(asset.stored);
  }
  if (new Set(assets.map(({ assetId }) => assetId)).size < assets.length) {
    throw new DispatcherError("INPUT_INVALID", "assets names one twice; a node holds one copy of an asset.", {
      details: { field: "assets" },
    });
  }
  const moves = assets.map((asset) => toMove(nodeId, asset));
  const chosen = bytesToFree === null ? moves : chooseMoves(moves, bytesToFree);
  const inDanger = chosen.toSorted(compareDanger);
  return {
    replacementsNeeded: inDanger
      .filter(({ missing }) => missing > 0)
      .map(({ assetId, missing }) => ({ assetId, missing })),
    permitsReady: inDanger
      .filter(({ missing }) => missing === 0)
      .map(({ assetId }) => assetId)
      .toReversed(),
    freedBytes: sizeOf(chosen),
  };
}
