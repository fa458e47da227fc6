import { DEFAULT_COPIES, allocateRound } from "../src/index.ts";
import type { Asker, Candidate, OriginSlots, RoundInput } from "../src/index.ts";
import { aCandidate, aLedger, aRound, anAsker, assetId, nodeId, operatorId, originId } from "../src/testing.ts";

export const name = "allocation";
export const about = "time of one round, relative to copying its candidates";

const ORIGINS = 50;
const GB = 1024 ** 3;

/** Sizes as archives have them: many small, few giant, from 1 kB to 1 GB; the same in every run. */
function sizeOf(number: number): number {
  const spread = ((number * 2_654_435_761) % 4_294_967_296) / 4_294_967_296;
  return Math.floor(1000 * 10 ** (6 * spread ** 3));
}

function someAskers(count: number): Asker[] {
  return Array.from({ length: count }, (_, at) =>
    anAsker({
      nodeId: nodeId(at + 1),
      operatorId: operatorId(Math.floor(at / 2) + 1),
      ledger: aLedger({ offeredBytes: 100 * GB }),
      freeBytes: 100 * GB,
      quota: 16,
      wants: 8,
    }),
  );
}

function someCandidates(count: number, facts: Partial<Candidate> = {}): Candidate[] {
  return Array.from({ length: count }, (_, at) =>
    aCandidate({
      assetId: assetId(at + 1),
      originId: originId((at % ORIGINS) + 1),
      sizeBytes: sizeOf(at),
      urgency: 3_000_000 - at,
      copies: DEFAULT_COPIES,
      ...facts,
    }),
  );
}

function someOrigins(slots: number): OriginSlots[] {
  return Array.from({ length: ORIGINS }, (_, at) => ({ originId: originId(at + 1), slots, retryAfterMs: 15_000 }));
}

const ROUNDS = [
  { what: "work for all", slots: 20, facts: {}, windows: [100, 1000, 10_000] },
  { what: "every origin closed", slots: 0, facts: {}, windows: [10_000] },
  { what: "every asset too big", slots: 20, facts: { sizeBytes: 200 * GB }, windows: [10_000] },
] as const;

export function* cases(): Generator<{ label: string; subject: () => unknown; baseline: () => unknown }> {
  for (const { what, slots, facts, windows } of ROUNDS) {
    for (const window of windows) {
      for (const askers of [1, 10, 50]) {
        const input: RoundInput = aRound({
          askers: someAskers(askers),
          candidates: someCandidates(window, facts),
          origins: someOrigins(slots),
        });
        yield {
          label: `${what}: ${askers} asking, ${window} candidates`,
          subject: () => allocateRound(input),
          // oxlint-disable-next-line oxc/no-map-spread -- copying is what is measured
          baseline: () => input.candidates.map((candidate) => ({ ...candidate })),
        };
      }
    }
  }
}
