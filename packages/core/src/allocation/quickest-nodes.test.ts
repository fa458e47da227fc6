import * as fc from "fast-check";
import { expect, test } from "vitest";
import { aCandidate, aLedger, aQuestion, anAsker, operatorId, roundSettings } from "../testing.ts";
import { explain } from "./explain.ts";
import type { QuickNode } from "./policy.ts";
import { isAmongQuickest, quickestNodes } from "./quickest-nodes.ts";

const someNodes: fc.Arbitrary<QuickNode[]> = fc.array(
  fc.record({
    operatorId: fc.integer({ min: 1, max: 9 }).map(operatorId),
    roomBytes: fc.nat({ max: 30 }),
    rateBytesPerS: fc.nat({ max: 30 }),
  }),
  { maxLength: 60 },
);
const RUNS = { numRuns: 1000 };

const aNode = (operator: number, roomBytes: number, rateBytesPerS: number): QuickNode => ({
  operatorId: operatorId(operator),
  roomBytes,
  rateBytesPerS,
});

test("a file that some node has room for is refused by the horizon to none of the quickest that have, at five operators", () => {
  fc.assert(
    fc.property(someNodes, fc.nat({ max: 30 }), (nodes, sizeBytes) => {
      const settings = roundSettings({ horizonMs: 0, assetMaxMs: 0, quickNodes: quickestNodes(nodes) });
      const fitting = nodes.filter(({ roomBytes }) => roomBytes >= sizeBytes);
      const quickestByOperator = [...Map.groupBy(fitting, (node) => node.operatorId).values()]
        .map((own) => Math.max(...own.map(({ rateBytesPerS }) => rateBytesPerS)))
        .toSorted((a, b) => b - a);
      const fifth = quickestByOperator[4] ?? 0;
      for (const { roomBytes, rateBytesPerS } of fitting) {
        if (rateBytesPerS < fifth) continue;
        const ledger = aLedger({ offeredBytes: roomBytes });
        const asker = anAsker({ ledger, freeBytes: roomBytes, rateBytesPerS });
        const { refusals } = explain(aQuestion({ asker, settings, candidate: aCandidate({ sizeBytes }) }));
        expect(refusals).toEqual([]);
      }
    }),
    RUNS,
  );
});

test("the list decides as all nodes would, and does not depend on their order", () => {
  fc.assert(
    fc.property(someNodes, fc.nat({ max: 31 }), fc.nat({ max: 31 }), (nodes, roomBytes, rateBytesPerS) => {
      const list = quickestNodes(nodes);
      expect(isAmongQuickest(rateBytesPerS, roomBytes, list)).toBe(isAmongQuickest(rateBytesPerS, roomBytes, nodes));
      expect(quickestNodes(nodes.toReversed())).toEqual(list);
    }),
    RUNS,
  );
});

test("the list leaves out whom five operators, or its own, surpass in both", () => {
  const first = [1, 2, 3, 4].map((operator) => aNode(operator, 10, 10));
  const fifth = aNode(5, 9, 9);
  expect(quickestNodes([...first, fifth])).toEqual([...first, fifth]);
  expect(quickestNodes([...first, fifth, aNode(6, 9, 8)])).toEqual([...first, fifth]);
  expect(quickestNodes([...first, aNode(4, 9, 9)])).toEqual(first);
  expect(quickestNodes([...first, aNode(4, 11, 9)])).toEqual([...first, aNode(4, 11, 9)]);
});
