/**
 * Builders for tests: every noun of the core with plain values, so that a test names only what it is about.
 * Ids are numbers here and decimal strings in what they build.
 */
import type { Asker, Candidate, OriginSlots, RoundInput, RoundSettings } from "./allocation/policy.ts";
import type { Question } from "./allocation/eligibility.ts";
import type { EndedAssignment, OpenAssignment } from "./assignment.ts";
import { DEFAULT_COPIES, asPriority } from "./asset.ts";
import { DispatcherError } from "./errors.ts";
import type { AssetId, NodeId, OperatorId, OriginId } from "./ids.ts";
import type { ByteLedger } from "./ledger.ts";
import type { Holder } from "./node.ts";
import { DEFAULT_ORIGIN_BUDGET, newOrigin } from "./origin.ts";
import type { Origin } from "./origin.ts";
import type { StoredCopy } from "./repair.ts";
import type { CopyOnNode, VersionedCopy } from "./rescue.ts";
import type { UrgencyFacts } from "./urgency/policy.ts";

/* oxlint-disable typescript/no-unsafe-type-assertion -- a brand has no other way in */
export const assetId = (number: number): AssetId => String(number) as AssetId;
export const nodeId = (number: number): NodeId => String(number) as NodeId;
export const operatorId = (number: number): OperatorId => String(number) as OperatorId;
export const originId = (number: number): OriginId => String(number) as OriginId;
/* oxlint-enable typescript/no-unsafe-type-assertion */

/** Noon, UTC, of some day in 2026. */
export const NOON_MS: number = 20_781.5 * 86_400_000;

/** A node that offers 1,000 bytes and has nothing yet. */
export function aLedger(facts: Partial<ByteLedger> = {}): ByteLedger {
  return { offeredBytes: 1000, marginBytes: 0, heldBytes: 0, reservedBytes: 0, ...facts };
}

/** Node 1 of operator 1: room for 1,000 bytes, asks for one assignment, takes https, refuses nothing. */
export function anAsker(facts: Partial<Asker> = {}): Asker {
  return {
    nodeId: nodeId(1),
    operatorId: operatorId(1),
    network: null,
    ledger: aLedger(),
    freeBytes: 1_000_000,
    openLeases: 0,
    openBytes: 0,
    quota: 100,
    wants: 1,
    rateBytesPerS: null,
    schemes: ["https"],
    refusedTags: [],
    windows: [],
    paused: false,
    agentTooOldFor: null,
    isVetting: false,
    ...facts,
  };
}

/** Asset 1 at origin 1: 10 bytes over https, held by nobody. */
export function aCandidate(facts: Partial<Candidate> = {}): Candidate {
  return {
    assetId: assetId(1),
    originId: originId(1),
    scheme: "https",
    tags: [],
    sizeBytes: 10,
    urgency: 1,
    copies: DEFAULT_COPIES,
    holders: [],
    avoid: [],
    originFetches: 0,
    seeds: 0,
    ...facts,
  };
}

/** Node 100 of operator 100, vetted, its copy in order. */
export function aHolder(facts: Partial<Holder> = {}): Holder {
  return {
    nodeId: nodeId(100),
    operatorId: operatorId(100),
    network: null,
    counts: true,
    isOnTrial: false,
    ...facts,
  };
}

/** Origin 1 with 100 slots. */
export function someSlots(facts: Partial<OriginSlots> = {}): OriginSlots {
  return { originId: originId(1), slots: 100, retryAfterMs: 15_000, ...facts };
}

/** Ten operators take part; a minute's rest when there is nothing to do. */
export function roundSettings(facts: Partial<RoundSettings> = {}): RoundSettings {
  return {
    unknownSizeBytes: 50,
    horizonMs: 3_600_000,
    assetMaxMs: 302_400_000,
    idleRetryMs: 60_000,
    operatorCount: 10,
    vettingBytes: 1_000_000,
    originFetchesMax: null,
    ...facts,
  };
}

/** A round at noon; one asker, one candidate, one origin unless told otherwise. */
export function aRound(facts: Partial<RoundInput> = {}): RoundInput {
  return {
    nowMs: NOON_MS,
    askers: [anAsker()],
    candidates: [aCandidate()],
    origins: [someSlots()],
    settings: roundSettings(),
    ...facts,
  };
}

/** May node 1 have asset 1? Yes, unless told otherwise. */
export function aQuestion(facts: Partial<Question> = {}): Question {
  return {
    nowMs: NOON_MS,
    asker: anAsker(),
    candidate: aCandidate(),
    origin: someSlots(),
    settings: roundSettings(),
    ...facts,
  };
}

/** A lease of term 1, granted at 0 for 1,000 ms, that reserves 100 bytes. */
export function aHeldLease(facts: Partial<OpenAssignment> = {}): OpenAssignment {
  return {
    state: "granted",
    term: 1,
    grantedAtMs: 0,
    expiresAtMs: 1000,
    reservedBytes: 100,
    bytesDone: 0,
    ...facts,
  };
}

/** As aHeldLease, but over: given back by its node. */
export function anEndedLease(facts: Partial<EndedAssignment> = {}): EndedAssignment {
  return { state: "released", term: 1, grantedAtMs: 0, bytesDone: 0, failureCode: null, ...facts };
}

/** An origin as it is when first met, at 0. */
export function anOrigin(facts: Partial<Origin> = {}): Origin {
  return { ...newOrigin(facts.budget ?? DEFAULT_ORIGIN_BUDGET, 0), ...facts };
}

/** 10 bytes on node 1 of operator 1, one node's word. */
export function aCopy(facts: Partial<CopyOnNode> = {}): CopyOnNode {
  return {
    nodeId: nodeId(1),
    operatorId: operatorId(1),
    sizeBytes: 10,
    sha256: "a".repeat(64),
    trust: "claimed",
    ...facts,
  };
}

/** As aCopy, first seen at 0, with no header to tell its version by. */
export function aVersionedCopy(facts: Partial<VersionedCopy> = {}): VersionedCopy {
  return { ...aCopy(), etag: null, lastModified: null, firstSeenAtMs: 0, ...facts };
}

/** On node 1 of operator 1, verified, on a node that is half full, stays, and has earned nothing yet. */
export function aStoredCopy(facts: Partial<StoredCopy> = {}): StoredCopy {
  return {
    nodeId: nodeId(1),
    operatorId: operatorId(1),
    network: null,
    trust: "verified",
    counts: true,
    isLeaving: false,
    fullness: 0.5,
    validInARow: 0,
    ...facts,
  };
}

/** Priority 5, no rank, no threat, no copy, asked for at noon. */
export function someUrgencyFacts(facts: Partial<UrgencyFacts> = {}): UrgencyFacts {
  return {
    independentCopies: 0,
    copies: DEFAULT_COPIES,
    priority: asPriority(5),
    rank: null,
    removeByMs: null,
    askedForAtMs: NOON_MS,
    ...facts,
  };
}

/** The element at a place that is known to have one. */
export function elementAt<Element>(list: readonly Element[], place: number): Element {
  const element = list[place];
  if (element === undefined) throw new RangeError(`There is nothing at place ${place} of ${list.length}.`);
  return element;
}

/** The expected failure that `act` ends with; anything else, or none, fails the test. */
export function refusalOf(act: () => unknown): DispatcherError {
  try {
    act();
  } catch (error) {
    if (error instanceof DispatcherError) return error;
    throw error;
  }
  throw new Error("No DispatcherError was thrown.");
}
