/** Arbitrary rounds, small enough that everything in them meets everything else. */
import * as fc from "fast-check";
import type { Asker, Candidate, QuickNode, RoundInput } from "../src/allocation/policy.ts";
import type { NodeId } from "../src/ids.ts";
import type { Holder } from "../src/node.ts";
import { NOON_MS, aLedger, assetId, nodeId, operatorId, originId } from "../src/testing.ts";

const MINUTES_A_DAY = 1440;

/** Mostly the plain case, so that rounds are not all refusals; now and then the odd one. */
export function mostly<T>(plain: T, odd: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 9, arbitrary: fc.constant(plain) }, { weight: 1, arbitrary: odd });
}

const someNetwork = fc.constantFrom(null, "north", "south");
const someWindow = fc.record({
  fromMinute: fc.nat({ max: MINUTES_A_DAY - 1 }),
  toMinute: fc.nat({ max: MINUTES_A_DAY }),
});
const someTags = fc.subarray(["video", "health"]);

/** Node `number` of one of four operators; its ledger balances. */
export function someAsker(number: number): fc.Arbitrary<Asker> {
  const ledger = fc
    .record({
      held: fc.oneof(fc.constant(0), fc.nat({ max: 100 })),
      reserved: fc.oneof(fc.constant(0), fc.nat({ max: 50 })),
      margin: fc.nat({ max: 20 }),
      room: fc.nat({ max: 500 }),
    })
    .map(({ held, reserved, margin, room }) =>
      aLedger({
        offeredBytes: held + reserved + margin + room,
        marginBytes: margin,
        heldBytes: held,
        reservedBytes: reserved,
      }),
    );
  return fc.record({
    nodeId: fc.constant(nodeId(number)),
    operatorId: fc.integer({ min: 1, max: 4 }).map(operatorId),
    network: someNetwork,
    ledger,
    freeBytes: mostly(10_000, fc.nat({ max: 300 })),
    openLeases: fc.nat({ max: 3 }),
    openBytes: fc.nat({ max: 50 }),
    quota: fc.integer({ min: 1, max: 8 }),
    wants: fc.nat({ max: 6 }),
    rateBytesPerS: mostly<number | null>(null, fc.double({ min: 0, max: 200, noNaN: true })),
    schemes: mostly(["http", "https"], fc.subarray(["ftp", "http", "https"])),
    refusedTags: fc.oneof(fc.constant([]), someTags),
    windows: mostly<Asker["windows"]>([], fc.array(someWindow, { maxLength: 2 })),
    paused: mostly(false, fc.boolean()),
    agentTooOldFor: mostly<string | null>(null, fc.constantFrom(null, "2.0.0")),
    isVetting: mostly(false, fc.boolean()),
  });
}

/** Nodes 1 to 12, of which at most the first six ask in this round. */
const someHolders: fc.Arbitrary<Holder[]> = fc.uniqueArray(
  fc.record({
    nodeId: fc.integer({ min: 1, max: 12 }).map(nodeId),
    operatorId: fc.integer({ min: 1, max: 4 }).map(operatorId),
    network: someNetwork,
    counts: mostly(true, fc.boolean()),
    isOnTrial: mostly(false, fc.boolean()),
  }),
  { selector: (holder) => holder.nodeId, maxLength: 3 },
);

export function someCandidate(number: number): fc.Arbitrary<Candidate> {
  return fc.record({
    assetId: fc.constant(assetId(number)),
    // Origin 4 is one the round knows nothing of.
    originId: fc
      .oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 3 }) }, { weight: 1, arbitrary: fc.constant(4) })
      .map(originId),
    scheme: mostly("https", fc.constantFrom("ftp", "http")),
    tags: fc.oneof(fc.constant([]), someTags),
    sizeBytes: fc.option(fc.oneof(fc.nat({ max: 60 }), fc.nat({ max: 400 })), { nil: null, freq: 6 }),
    urgency: fc.integer({ min: 1, max: 4 }),
    copies: fc
      .tuple(fc.integer({ min: 1, max: 2 }), fc.nat({ max: 2 }), fc.nat({ max: 2 }))
      .map(([min, more, most]) => ({ min, target: min + more, max: min + more + most })),
    holders: fc.oneof(fc.constant([]), someHolders),
    avoid: mostly<NodeId[]>([], fc.array(fc.integer({ min: 1, max: 6 }).map(nodeId), { maxLength: 2 })),
    originFetches: fc.nat({ max: 3 }),
    seeds: fc.nat({ max: 1 }),
  });
}

/** With them every asker is held to `assetMaxMs`. */
const QUICKER_THAN_ALL = [1, 2, 3, 4, 5].map((number) => ({
  operatorId: operatorId(number),
  roomBytes: 1_000_000,
  rateBytesPerS: 1_000_000,
}));

export const someRound: fc.Arbitrary<RoundInput> = fc.record({
  nowMs: fc.nat({ max: MINUTES_A_DAY * 60_000 }).map((ms) => NOON_MS + ms),
  askers: fc
    .integer({ min: 1, max: 6 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, at) => someAsker(at + 1)))),
  candidates: fc
    .integer({ min: 0, max: 14 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, at) => someCandidate(at + 1)))),
  origins: fc.tuple(
    ...[1, 2, 3].map((number) =>
      fc.record({
        originId: fc.constant(originId(number)),
        slots: fc.nat({ max: 8 }),
        retryAfterMs: fc.integer({ min: 1, max: 100_000 }),
      }),
    ),
  ),
  settings: fc.record({
    unknownSizeBytes: fc.nat({ max: 80 }),
    horizonMs: fc.nat({ max: 3000 }),
    assetMaxMs: fc.nat({ max: 6000 }),
    quickNodes: mostly<QuickNode[]>(
      QUICKER_THAN_ALL,
      fc.array(
        fc.record({
          operatorId: fc.integer({ min: 1, max: 8 }).map(operatorId),
          roomBytes: fc.nat({ max: 400 }),
          rateBytesPerS: fc.nat({ max: 200 }),
        }),
        { maxLength: 12 },
      ),
    ),
    idleRetryMs: fc.integer({ min: 1, max: 100_000 }),
    operatorCount: fc.integer({ min: 1, max: 5 }),
    vettingBytes: fc.nat({ max: 200 }),
    originFetchesMax: mostly<number | null>(null, fc.integer({ min: 1, max: 3 })),
  }),
});
