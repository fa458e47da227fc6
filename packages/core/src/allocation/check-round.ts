/** What comes into a round or a pool from outside is checked here, before anything changes. */
import { refuse, requireAmount, requireCount, requireFinite } from "../check.ts";
import { checkCopies } from "../asset.ts";
import { checkLedger } from "../ledger.ts";
import { RepeatFinder, firstRepeated } from "./first-repeated.ts";
import type { Asker, Candidate, OriginSlots, RoundInput, RoundSettings } from "./policy.ts";

const DAY_MINUTES = 1440;

/** @throws DispatcherError INPUT_INVALID naming the first field that cannot be */
export function checkCandidate(candidate: Candidate): void {
  requireFinite(candidate.urgency, "urgency");
  if (candidate.sizeBytes !== null) requireCount(candidate.sizeBytes, "sizeBytes");
  checkCopies(candidate.copies);
  requireCount(candidate.originFetches, "originFetches");
  requireCount(candidate.seeds, "seeds");
  const { holders } = candidate;
  for (let at = 1; at < holders.length; at += 1) {
    for (let before = 0; before < at; before += 1) {
      if (holders[at]!.nodeId === holders[before]!.nodeId) refuse(holders[at]!.nodeId, "holders.nodeId", "there once");
    }
  }
}

/** @throws DispatcherError INPUT_INVALID; LEDGER_EXCEEDED for a ledger that does not balance */
export function checkAsker(asker: Asker): void {
  checkLedger(asker.ledger);
  requireCount(asker.freeBytes, "freeBytes");
  requireCount(asker.openLeases, "openLeases");
  requireCount(asker.openBytes, "openBytes");
  requireCount(asker.quota, "quota");
  requireCount(asker.wants, "wants");
  if (asker.rateBytesPerS !== null) requireAmount(asker.rateBytesPerS, "rateBytesPerS");
  for (const { fromMinute, toMinute } of asker.windows) {
    requireCount(fromMinute, "windows.fromMinute");
    requireCount(toMinute, "windows.toMinute");
    if (fromMinute >= DAY_MINUTES) refuse(fromMinute, "windows.fromMinute", `below ${DAY_MINUTES}`);
    if (toMinute > DAY_MINUTES) refuse(toMinute, "windows.toMinute", `${DAY_MINUTES} at most`);
  }
}

/** @throws DispatcherError INPUT_INVALID */
export function checkOrigin({ slots, retryAfterMs }: OriginSlots): void {
  requireCount(slots, "slots");
  requireAmount(retryAfterMs, "retryAfterMs");
  if (retryAfterMs === 0) refuse(retryAfterMs, "retryAfterMs", "above 0");
}

/** @throws DispatcherError INPUT_INVALID */
export function checkSettings(settings: RoundSettings): void {
  requireCount(settings.unknownSizeBytes, "unknownSizeBytes");
  requireAmount(settings.horizonMs, "horizonMs");
  requireAmount(settings.assetMaxMs, "assetMaxMs");
  requireAmount(settings.idleRetryMs, "idleRetryMs");
  requireCount(settings.operatorCount, "operatorCount");
  requireCount(settings.vettingBytes, "vettingBytes");
  if (settings.originFetchesMax !== null) requireCount(settings.originFetchesMax, "originFetchesMax");
  for (const { roomBytes, rateBytesPerS } of settings.quickNodes ?? []) {
    requireCount(roomBytes, "quickNodes.roomBytes");
    requireAmount(rateBytesPerS, "quickNodes.rateBytesPerS");
  }
}

/** Each id once. @throws DispatcherError INPUT_INVALID */
export function checkOnce<Field extends string>(
  things: readonly Readonly<Record<Field, string>>[],
  field: Field,
): void {
  const repeated = firstRepeated(things, field);
  if (repeated !== null) refuse(repeated, field, "there once");
}

/**
 * Answers the urgencies of the candidates, which are at hand anyway: to go through a hundred thousand objects is to wait
 * for memory, so it is done once. O(n).
 * @throws DispatcherError INPUT_INVALID naming the first field that cannot be; LEDGER_EXCEEDED
 */
export function checkRound({ nowMs, askers, candidates, origins, settings }: RoundInput): Float64Array {
  requireFinite(nowMs, "nowMs");
  askers.forEach(checkAsker);
  const urgencies = new Float64Array(candidates.length);
  const assetIds = new RepeatFinder(candidates.length);
  for (let place = 0; place < candidates.length; place += 1) {
    const candidate = candidates[place]!;
    checkCandidate(candidate);
    urgencies[place] = candidate.urgency;
    assetIds.add(candidate.assetId);
  }
  origins.forEach(checkOrigin);
  checkSettings(settings);
  checkOnce(askers, "nodeId");
  const repeated = assetIds.first((place) => candidates[place]!.assetId);
  if (repeated !== null) refuse(repeated, "assetId", "there once");
  checkOnce(origins, "originId");
  return urgencies;
}
