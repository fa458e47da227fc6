import { describe, expect, test } from "vitest";
import type { Holder } from "../node.ts";
import {
  NOON_MS,
  aCandidate,
  aHolder,
  aLedger,
  aQuestion,
  anAsker,
  nodeId,
  operatorId,
  roundSettings,
  someSlots,
} from "../testing.ts";
import { reservationFor, usableBytes } from "./eligibility.ts";
import type { Question } from "./eligibility.ts";
import { explain } from "./explain.ts";
import type { QuickNode } from "./policy.ts";

const idleRetryMs = 60_000;

function reasons(question: Partial<Question>): string[] {
  return explain(aQuestion(question)).refusals.map((refusal) => refusal.reason);
}

function holder(node: number, operator: number, counts = true): Holder {
  return aHolder({ nodeId: nodeId(node), operatorId: operatorId(operator), counts });
}

test("nothing stands between an idle node and a wanted asset", () => {
  expect(explain(aQuestion()).refusals).toEqual([]);
});

describe("what a lease reserves", () => {
  test("the size, or the configured reservation where it is unknown", () => {
    expect(reservationFor(aCandidate({ sizeBytes: 7 }), roundSettings())).toBe(7);
    expect(reservationFor(aCandidate({ sizeBytes: 0 }), roundSettings())).toBe(0);
    expect(reservationFor(aCandidate({ sizeBytes: null }), roundSettings({ unknownSizeBytes: 50 }))).toBe(50);
  });
});

describe("usable bytes", () => {
  test("the ledger's room, where the disk has more", () => {
    expect(usableBytes(anAsker({ ledger: aLedger({ heldBytes: 400 }), freeBytes: 700 }))).toBe(600);
  });

  test("the disk less the margin and what open leases will still bring, where that is less", () => {
    const ledger = aLedger({ offeredBytes: 1000, marginBytes: 100 });
    expect(usableBytes(anAsker({ ledger, freeBytes: 700, openBytes: 50 }))).toBe(550);
  });

  test("never below 0", () => {
    expect(usableBytes(anAsker({ freeBytes: 10, openBytes: 50 }))).toBe(0);
  });
});

describe("about the node", () => {
  test("an agent that is too old is told the version needed", () => {
    expect(explain(aQuestion({ asker: anAsker({ agentTooOldFor: "1.10.0" }) })).refusals).toEqual([
      { reason: "AGENT_TOO_OLD", minimum: "1.10.0", retryAfterMs: idleRetryMs },
    ]);
  });

  test("a paused node waits for its volunteer", () => {
    const asker = anAsker({ paused: true, windows: [{ fromMinute: 0, toMinute: 1 }] });
    expect(explain(aQuestion({ asker })).refusals).toEqual([{ reason: "NODE_PAUSED", retryAfterMs: idleRetryMs }]);
  });

  test("outside its windows it waits for the next one", () => {
    const asker = anAsker({ windows: [{ fromMinute: 722, toMinute: 800 }] });
    expect(explain(aQuestion({ asker })).refusals).toEqual([{ reason: "NODE_PAUSED", retryAfterMs: 120_000 }]);
    expect(reasons({ asker, nowMs: NOON_MS + 119_999 })).toEqual(["NODE_PAUSED"]);
    expect(reasons({ asker, nowMs: NOON_MS + 120_000 })).toEqual([]);
  });

  test("as many open leases as its quota are enough, one less is not", () => {
    expect(reasons({ asker: anAsker({ openLeases: 1, quota: 2 }) })).toEqual([]);
    expect(explain(aQuestion({ asker: anAsker({ openLeases: 2, quota: 2 }) })).refusals).toEqual([
      { reason: "QUOTA", openLeases: 2, limit: 2, retryAfterMs: idleRetryMs },
    ]);
  });
});

describe("about the copies", () => {
  const copies = { min: 1, target: 2, max: 3 };

  test("as many operators as the target are enough", () => {
    expect(reasons({ candidate: aCandidate({ copies, holders: [holder(5, 5)] }) })).toEqual([]);
    expect(reasons({ candidate: aCandidate({ copies, holders: [holder(5, 5), holder(6, 6)] }) })).toEqual([
      "COPIES_ENOUGH",
    ]);
  });

  test("as many places as the maximum are enough, whoever has them and whether they count", () => {
    const holders = [holder(5, 5), holder(6, 5), holder(7, 7, false)];
    expect(reasons({ candidate: aCandidate({ copies, holders: holders.slice(1) }) })).toEqual([]);
    expect(reasons({ candidate: aCandidate({ copies, holders }) })).toEqual(["COPIES_ENOUGH"]);
  });

  test("a node gets no second copy, not even of one that does not count", () => {
    expect(reasons({ candidate: aCandidate({ holders: [holder(1, 1, false)] }) })).toEqual(["HELD_ALREADY"]);
  });

  test("another node of an operator that has a copy gets none while others have none", () => {
    const candidate = aCandidate({ holders: [holder(2, 1)] });
    expect(reasons({ candidate, settings: roundSettings({ operatorCount: 2 }) })).toEqual(["HELD_BY_OPERATOR"]);
    expect(reasons({ candidate, settings: roundSettings({ operatorCount: 1 }) })).toEqual([]);
  });

  test("its operator's copy that does not count is no hindrance", () => {
    expect(reasons({ candidate: aCandidate({ holders: [holder(2, 1, false)] }) })).toEqual([]);
  });

  test("an operator doubles only while the operators that are missing would still find a place", () => {
    const settings = roundSettings({ operatorCount: 1 });
    const holders = [holder(2, 1), holder(3, 1)];
    const wanted = { min: 1, target: 3, max: 5 };
    expect(reasons({ settings, candidate: aCandidate({ copies: wanted, holders }) })).toEqual([]);
    expect(reasons({ settings, candidate: aCandidate({ copies: { ...wanted, max: 4 }, holders }) })).toEqual([
      "HELD_BY_OPERATOR",
    ]);
  });
});

describe("about what the node accepts", () => {
  test("a scheme it does not speak", () => {
    expect(explain(aQuestion({ candidate: aCandidate({ scheme: "ftp" }) })).refusals).toEqual([
      { reason: "SCHEME_UNSUPPORTED", scheme: "ftp", retryAfterMs: idleRetryMs },
    ]);
    expect(
      reasons({ candidate: aCandidate({ scheme: "ftp" }), asker: anAsker({ schemes: ["https", "ftp"] }) }),
    ).toEqual([]);
  });

  test("a tag its volunteer refuses", () => {
    const candidate = aCandidate({ tags: ["video", "health"] });
    expect(explain(aQuestion({ candidate, asker: anAsker({ refusedTags: ["health"] }) })).refusals).toEqual([
      { reason: "TAG_REFUSED", tag: "health", retryAfterMs: idleRetryMs },
    ]);
    expect(reasons({ candidate, asker: anAsker({ refusedTags: ["defence"] }) })).toEqual([]);
  });

  test("an asset it failed on lately", () => {
    expect(explain(aQuestion({ candidate: aCandidate({ avoid: [nodeId(1)] }) })).refusals).toEqual([
      { reason: "RETRY_PAUSE", retryAfterMs: idleRetryMs },
    ]);
    expect(reasons({ candidate: aCandidate({ avoid: [nodeId(2)] }) })).toEqual([]);
  });
});

describe("a node on trial", () => {
  const asker = anAsker({ isVetting: true });
  const settings = roundSettings({ vettingBytes: 10 });
  const refused = { reason: "VETTING", limitBytes: 10, retryAfterMs: idleRetryMs };

  test("joins a vetted holder, within the bytes of all that are on trial", () => {
    const held = { holders: [aHolder()] };
    expect(explain(aQuestion({ asker, settings, candidate: aCandidate({ ...held, sizeBytes: 10 }) })).refusals).toEqual(
      [],
    );
    expect(explain(aQuestion({ asker, settings, candidate: aCandidate({ ...held, sizeBytes: 11 }) })).refusals).toEqual(
      [refused],
    );
  });

  test.each([
    ["nobody", []],
    ["another on trial", [aHolder({ isOnTrial: true })]],
    ["a copy that does not count", [aHolder({ counts: false })]],
  ])("is not the only holder beside %s", (_beside, holders) => {
    expect(explain(aQuestion({ asker, settings, candidate: aCandidate({ holders }) })).refusals).toEqual([refused]);
  });

  test("once vetted, may be the first", () => {
    expect(reasons({ settings, candidate: aCandidate({ sizeBytes: 500 }) })).toEqual([]);
  });
});

describe("about room and time", () => {
  test("an asset fits to the last byte, and one byte more is what is missing", () => {
    const asker = anAsker({ ledger: aLedger({ offeredBytes: 10 }) });
    expect(reasons({ asker, candidate: aCandidate({ sizeBytes: 10 }) })).toEqual([]);
    expect(explain(aQuestion({ asker, candidate: aCandidate({ sizeBytes: 11 }) })).refusals).toEqual([
      { reason: "NODE_FULL", missingBytes: 1, retryAfterMs: idleRetryMs },
    ]);
  });

  test("an empty file fits a full node", () => {
    expect(reasons({ asker: anAsker({ freeBytes: 0 }), candidate: aCandidate({ sizeBytes: 0 }) })).toEqual([]);
  });

  test("work for the horizon is enough, to the byte", () => {
    const asker = anAsker({ rateBytesPerS: 100, openLeases: 1, openBytes: 80 });
    const settings = roundSettings({ horizonMs: 1000 });
    expect(reasons({ asker, settings, candidate: aCandidate({ sizeBytes: 20 }) })).toEqual([]);
    expect(explain(aQuestion({ asker, settings, candidate: aCandidate({ sizeBytes: 21 }) })).refusals).toEqual([
      { reason: "HORIZON_FULL", openBytes: 80, limitBytes: 100, retryAfterMs: idleRetryMs },
    ]);
  });

  test("a node without open work, or without a measured rate, has no horizon", () => {
    const settings = roundSettings({ horizonMs: 1000 });
    const candidate = aCandidate({ sizeBytes: 900 });
    expect(reasons({ settings, candidate, asker: anAsker({ rateBytesPerS: 1 }) })).toEqual([]);
    expect(reasons({ settings, candidate, asker: anAsker({ openLeases: 1, openBytes: 50 }) })).toEqual([]);
  });
});

/** A byte a second quicker than 100, with room for anything. */
const quick = (number: number, facts: Partial<QuickNode> = {}): QuickNode => ({
  operatorId: operatorId(number),
  roomBytes: 1_000_000,
  rateBytesPerS: 101,
  ...facts,
});

describe("what takes a node longer than assetMaxMs", () => {
  const settings = roundSettings({ horizonMs: 1000, assetMaxMs: 2000 });
  const asker = anAsker({ rateBytesPerS: 100 });
  const five = [1, 2, 3, 4, 5].map((number) => quick(number));
  const reasonsFor = (sizeBytes: number, quickNodes: readonly QuickNode[] | undefined): readonly string[] =>
    reasons({
      asker,
      settings: quickNodes === undefined ? settings : { ...settings, quickNodes },
      candidate: aCandidate({ sizeBytes }),
    });

  test("is left to the others where nothing is known of them, to the byte", () => {
    expect(reasonsFor(200, undefined)).toEqual([]);
    expect(reasonsFor(201, undefined)).toEqual(["HORIZON_FULL"]);
  });

  test("is left to five operators with quicker nodes, and to no fewer", () => {
    expect(reasonsFor(201, five)).toEqual(["HORIZON_FULL"]);
    expect(reasonsFor(201, five.slice(1))).toEqual([]);
    expect(reasonsFor(201, [...five.slice(1), quick(5)])).toEqual([]);
    expect(reasonsFor(201, [])).toEqual([]);
  });

  test("is not left to nodes that are no quicker, or have less room", () => {
    const room = usableBytes(asker);
    expect(reasonsFor(201, [...five.slice(1), quick(1, { rateBytesPerS: 100 })])).toEqual([]);
    expect(reasonsFor(201, [...five.slice(1), quick(1, { roomBytes: room })])).toEqual(["HORIZON_FULL"]);
    expect(reasonsFor(201, [...five.slice(1), quick(1, { roomBytes: room - 1 })])).toEqual([]);
  });

  test("is for a node without open work only", () => {
    const busy = anAsker({ rateBytesPerS: 100, openLeases: 1, openBytes: 50 });
    const question = { asker: busy, settings: { ...settings, quickNodes: [] } };
    expect(reasons({ ...question, candidate: aCandidate({ sizeBytes: 50 }) })).toEqual([]);
    expect(reasons({ ...question, candidate: aCandidate({ sizeBytes: 51 }) })).toEqual(["HORIZON_FULL"]);
  });
});

describe("about the origin", () => {
  test("without a slot it is asked again when it says", () => {
    expect(reasons({ origin: someSlots({ slots: 1 }) })).toEqual([]);
    expect(explain(aQuestion({ origin: someSlots({ slots: 0, retryAfterMs: 7000 }) })).refusals).toEqual([
      { reason: "ORIGIN_SATURATED", retryAfterMs: 7000 },
    ]);
  });

  test("one this round knows nothing of is closed", () => {
    expect(explain(aQuestion({ origin: undefined })).refusals).toEqual([
      { reason: "ORIGIN_SATURATED", retryAfterMs: idleRetryMs },
    ]);
  });
});

test("explain names every rule that refuses: those about the node first, then what no waiting changes", () => {
  const question = aQuestion({
    asker: anAsker({
      agentTooOldFor: "2.0.0",
      paused: true,
      quota: 1,
      openLeases: 1,
      openBytes: 10,
      rateBytesPerS: 1,
      freeBytes: 0,
      refusedTags: ["video"],
      isVetting: true,
    }),
    candidate: aCandidate({
      scheme: "ftp",
      tags: ["video"],
      holders: [aHolder({ nodeId: nodeId(1), operatorId: operatorId(1), isOnTrial: true })],
      copies: { min: 1, target: 1, max: 1 },
      avoid: [nodeId(1)],
    }),
    origin: someSlots({ slots: 0 }),
    settings: roundSettings({ horizonMs: 1000 }),
  });
  expect(explain(question).refusals.map((refusal) => refusal.reason)).toEqual([
    "AGENT_TOO_OLD",
    "NODE_PAUSED",
    "QUOTA",
    "COPIES_ENOUGH",
    "HELD_ALREADY",
    "HELD_BY_OPERATOR",
    "SCHEME_UNSUPPORTED",
    "TAG_REFUSED",
    "VETTING",
    "NODE_FULL",
    "RETRY_PAUSE",
    "HORIZON_FULL",
    "ORIGIN_SATURATED",
  ]);
});
