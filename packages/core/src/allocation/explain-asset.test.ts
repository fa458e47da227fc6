import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { someRound } from "../../test/arbitrary-rounds.ts";
import { asPriority } from "../asset.ts";
import {
  NOON_MS,
  aCandidate,
  aHolder,
  aLedger,
  anAsker,
  nodeId,
  operatorId,
  roundSettings,
  someSlots,
  someUrgencyFacts,
} from "../testing.ts";
import { URGENCY_POLICIES } from "../urgency/policies.ts";
import { explainAsset } from "./explain-asset.ts";
import type { AssetQuestionToAll } from "./explain-asset.ts";
import { explain } from "./explain.ts";
import type { Asker, Candidate } from "./policy.ts";

vi.setConfig({ testTimeout: 30_000 });

const TB = 1024 ** 4;

/** Asked of one idle node, unless told otherwise. */
function explained(facts: Partial<AssetQuestionToAll> = {}) {
  return explainAsset({
    candidate: aCandidate(),
    askers: [anAsker()],
    origins: [someSlots()],
    settings: roundSettings(),
    nowMs: NOON_MS,
    ...facts,
  });
}

/** Node and operator `number` with so many bytes offered. */
function offering(number: number, offeredBytes: number, facts: Partial<Asker> = {}): Asker {
  const ledger = aLedger({ offeredBytes });
  return anAsker({ nodeId: nodeId(number), operatorId: operatorId(number), ledger, freeBytes: 100 * TB, ...facts });
}

function loadOf({ ledger: { offeredBytes, heldBytes, reservedBytes } }: Asker): number {
  return offeredBytes === 0 ? 1 : (heldBytes + reservedBytes) / offeredBytes;
}

/** As few copies in its network as may be, then as empty as may be, then as low an id. */
function plainOrder(candidate: Candidate): (a: Asker, b: Asker) => number {
  const shared = ({ network }: Asker): number =>
    Number(network !== null && candidate.holders.some((holder) => holder.network === network));
  return (a, b) => shared(a) - shared(b) || loadOf(a) - loadOf(b) || Number(a.nodeId) - Number(b.nodeId);
}

test("for arbitrary rounds every node is told of once: chosen, eligible, or counted under its primary reason", () => {
  fc.assert(
    fc.property(someRound, ({ nowMs, askers, candidates, origins, settings }) => {
      for (const candidate of candidates) {
        const answer = explainAsset({ candidate, askers, origins, settings, nowMs });
        const origin = origins.find(({ originId }) => originId === candidate.originId);
        const explanations = askers.map((asker) => explain({ nowMs, asker, candidate, origin, settings }));
        const refused = explanations.filter(({ verdict }) => verdict === "refused");
        const able = askers.filter(({ nodeId: node }) => refused.every((one) => one.nodeId !== node));
        expect(answer.eligible).toEqual(able.map((asker) => asker.nodeId));
        expect(answer.chosen).toBe(able.toSorted(plainOrder(candidate))[0]?.nodeId ?? null);
        expect(answer.change === null).toBe(able.length > 0);
        const counts = Object.entries(Object.groupBy(refused, ({ primary }) => primary?.reason ?? "none"));
        expect(Object.fromEntries(answer.refused.map(({ reason, nodes }) => [reason, nodes]))).toEqual(
          Object.fromEntries(counts.map(([reason, group]) => [reason, group?.length])),
        );
        for (const { reason, nearest, refusal } of answer.refused) {
          expect(refused.find((one) => one.nodeId === nearest)?.primary).toEqual(refusal);
          const missing = refused.flatMap(({ primary }) =>
            primary?.reason === "NODE_FULL" ? primary.missingBytes : [],
          );
          expect(refusal.reason === "NODE_FULL" ? [refusal.missingBytes] : []).toEqual(
            reason === "NODE_FULL" ? [Math.min(...missing)] : [],
          );
          expect(refusal.reason).toBe(reason);
        }
        const turned = { candidate, askers: askers.toReversed(), origins: origins.toReversed(), settings, nowMs };
        expect(explainAsset(turned)).toEqual(answer);
      }
    }),
    { numRuns: 1000 },
  );
});

describe("an asset", () => {
  test("has its urgency, its terms by the policy that made it, and its copies so far and wanted", () => {
    const facts = someUrgencyFacts({ priority: asPriority(7), removeByMs: NOON_MS + 3 * 86_400_000 });
    const policy = URGENCY_POLICIES["priority-first"];
    const { value, changesAtMs } = policy.urgencyOf(facts, NOON_MS);
    const candidate = aCandidate({ urgency: value, holders: [aHolder()] });
    const answer = explained({ candidate, facts, policy });
    expect(answer).toMatchObject({ assetId: "1", urgency: value, changesAtMs });
    expect(answer.terms?.map(({ name }) => name)).toEqual(["priority", "rank", "threat", "copies", "waiting"]);
    expect(answer.terms?.reduce((sum, { points }) => sum + points, 0)).toBe(value);
    expect(answer.copies).toEqual({ min: 2, target: 3, max: 5, independent: 1, holders: 1, placesLeft: 2 });
  });

  test("is explained by the default policy where none is named, and without terms where its facts are not known", () => {
    expect(explained({ facts: someUrgencyFacts() }).terms?.[0]).toMatchObject({ name: "copies", points: 3_000_000 });
    expect(explained()).toMatchObject({ terms: null, changesAtMs: null });
  });

  test("goes to the node a round would choose, whether it wants work or not", () => {
    const askers = [offering(10, 900, { wants: 0 }), offering(9, 900), offering(3, 5)];
    expect(explained({ askers })).toMatchObject({ chosen: "9", eligible: ["9", "10"], change: null });
    expect(explained({ askers: [offering(10, 900, { wants: 0 })] })).toMatchObject({ chosen: "10" });
  });
});

describe("where no node may have it", () => {
  test("the one with the most room is told of, with what it is short of", () => {
    const sizeBytes = Math.floor(3.2 * TB);
    const largestBytes = Math.ceil(1.1 * TB);
    const candidate = aCandidate({ sizeBytes });
    const askers = [offering(1, 800_000), offering(2, largestBytes), offering(3, 9000)];
    const { chosen, refused, change } = explained({ candidate, askers });
    expect(chosen).toBeNull();
    expect(refused).toEqual([
      {
        reason: "NODE_FULL",
        nodes: 3,
        nearest: "2",
        refusal: { reason: "NODE_FULL", missingBytes: sizeBytes - largestBytes, retryAfterMs: 60_000 },
        change: "Let this node offer 2.1 TB more.",
      },
    ]);
    expect(change).toBe("No node has 3.2 TB free: the largest, node 2, has 1.1 TB. Let this node offer 2.1 TB more.");
  });

  test("the reason of most nodes comes first, and of equally many that of the earlier rule", () => {
    const candidate = aCandidate({ sizeBytes: 100 });
    const askers = [
      offering(1, 40),
      offering(2, 50),
      offering(3, 900, { paused: true }),
      offering(4, 900, { quota: 0 }),
    ];
    const { refused, change } = explained({ candidate, askers });
    expect(refused.map(({ reason, nodes, nearest }) => [reason, nodes, nearest])).toEqual([
      ["NODE_FULL", 2, "2"],
      ["NODE_PAUSED", 1, "3"],
      ["QUOTA", 1, "4"],
    ]);
    expect(change).toBe(
      "2 of 4 nodes have less than 100 bytes free: the largest of them, node 2, has 50 bytes. Let this node offer 50 bytes more.",
    );
  });

  test("what keeps it from all is told of the asset, and what keeps one of that node", () => {
    expect(explained({ origins: [] }).change).toBe(
      "Tell the round of its origin: one that is not known counts as closed.",
    );
    const askers = [offering(1, 900, { quota: 2, openLeases: 4 }), offering(2, 900, { quota: 2, openLeases: 2 })];
    expect(explained({ askers }).change).toBe(
      "2 of 2 nodes: QUOTA. The nearest is node 2. Wait for 1 of its 2 open leases to end; its limit is 2 and grows with each verified copy.",
    );
  });

  test("of nodes that are short of nothing but time the one whose time comes first is nearest, then the lower id", () => {
    const [two, three] = [14, 15].map((hour) => ({ windows: [{ fromMinute: 60 * hour, toMinute: 60 * hour + 60 }] }));
    const askers = [offering(10, 900, two), offering(9, 900, two), offering(1, 900, three)];
    expect(explained({ askers }).refused).toMatchObject([{ reason: "NODE_PAUSED", nodes: 3, nearest: "9" }]);
  });

  test("of nodes with work enough the one whose work is over first is nearest", () => {
    const busy = { rateBytesPerS: 1, openLeases: 1 };
    const settings = roundSettings({ horizonMs: 1000 });
    const askers = [offering(1, 900, { ...busy, openBytes: 30 }), offering(2, 900, { ...busy, openBytes: 20 })];
    expect(explained({ askers, settings }).refused).toMatchObject([{ reason: "HORIZON_FULL", nearest: "2" }]);
  });

  test("nobody asks", () => {
    expect(explained({ askers: [] })).toMatchObject({
      eligible: [],
      refused: [],
      change: "Wait until a node asks for work: none does now.",
    });
  });
});
