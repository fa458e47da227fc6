/** What the allocation benches work on; the same in every run. */
import { DEFAULT_COPIES } from "../src/index.ts";
import type { Asker, Candidate, OriginSlots } from "../src/index.ts";
import { aCandidate, aLedger, anAsker, assetId, nodeId, operatorId, originId } from "../src/testing.ts";

export const GB: number = 1024 ** 3;
const ORIGINS = 50;

/** A number from 0 to 1 that looks like chance. */
export function spread(number: number): number {
  return ((number * 2_654_435_761) % 4_294_967_296) / 4_294_967_296;
}

/** Sizes as archives have them: many small, few giant, from 1 kB to 1 GB. */
export function sizeOf(number: number): number {
  return Math.floor(1000 * 10 ** (6 * spread(number) ** 3));
}

/** Nodes of 100 GB, two of an operator, that want `wants` each. */
export function someAskers(count: number, wants: number): Asker[] {
  return Array.from({ length: count }, (_, at) =>
    anAsker({
      nodeId: nodeId(at + 1),
      operatorId: operatorId(Math.floor(at / 2) + 1),
      ledger: aLedger({ offeredBytes: 100 * GB }),
      freeBytes: 100 * GB,
      quota: 16,
      wants,
    }),
  );
}

/** One of a catalog of `count`, the most urgent first. */
export function candidateAt(at: number, facts: Partial<Candidate> = {}): Candidate {
  return aCandidate({
    assetId: assetId(at + 1),
    originId: originId((at % ORIGINS) + 1),
    sizeBytes: sizeOf(at),
    urgency: 3_100_000 - at / 64,
    copies: DEFAULT_COPIES,
    ...facts,
  });
}

export function someCandidates(count: number, facts: Partial<Candidate> = {}): Candidate[] {
  return Array.from({ length: count }, (_, at) => candidateAt(at, facts));
}

export function someOrigins(slots: number): OriginSlots[] {
  return Array.from({ length: ORIGINS }, (_, at) => ({ originId: originId(at + 1), slots, retryAfterMs: 15_000 }));
}
