/**
 * The promises of `AllocationRound` as properties over arbitrary rounds, each held against a plain judge that works out
 * every fact anew from the input and the grants so far, and below them the choices as examples.
 */
import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { someCandidate, someRound } from "../../test/arbitrary-rounds.ts";
import type { Holder } from "../node.ts";
import {
  aCandidate,
  aHolder,
  aLedger,
  aRound,
  anAsker,
  assetId,
  nodeId,
  operatorId,
  originId,
  roundSettings,
  someSlots,
} from "../testing.ts";
import { explain } from "./explain.ts";
import type { Asker, Candidate, GrantDecision, Refusal, RoundInput, RoundResult } from "./policy.ts";
import { allocateRound } from "./round.ts";

const RUNS = { numRuns: 1000 };
/** A property takes a second at most; a machine that is busy with other things takes ten times as long. */
vi.setConfig({ testTimeout: 30_000 });
const MINUTES_A_DAY = 1440;

// ---- the judge --------------------------------------------------------------------------------------------------------

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** The one element with this value, which the input is known to have. */
function theOne<T, Key extends keyof T>(all: readonly T[], key: Key, value: T[Key]): T {
  const found = all.find((one) => one[key] === value);
  if (found === undefined) throw new Error(`No element has ${String(key)} ${String(value)}.`);
  return found;
}

function holdersAfter(input: RoundInput, grants: readonly GrantDecision[], candidate: Candidate): Holder[] {
  const added = grants
    .filter((grant) => grant.assetId === candidate.assetId)
    .map((grant) => theOne(input.askers, "nodeId", grant.nodeId))
    .map(({ nodeId: node, operatorId: operator, network, isVetting }) =>
      aHolder({ nodeId: node, operatorId: operator, network, isOnTrial: isVetting }),
    );
  return [...candidate.holders, ...added];
}

/** Lower by a million for each tier of copies that the grants so far have lifted the asset out of. */
function urgencyAfter(input: RoundInput, grants: readonly GrantDecision[], candidate: Candidate): number {
  const { min, target } = candidate.copies;
  const tiers = [candidate.holders, holdersAfter(input, grants, candidate)].map((holders) => {
    const operators = new Set(holders.flatMap((holder) => (holder.counts ? [holder.operatorId] : []))).size;
    return [operators === 0, operators < min, operators < target].filter(Boolean).length;
  });
  return candidate.urgency - 1_000_000 * ((tiers[0] ?? 0) - (tiers[1] ?? 0));
}

/** From its origin, until so many have fetched it there as may; from peers then. */
function sourceAfter(input: RoundInput, grants: readonly GrantDecision[], candidate: Candidate): "origin" | "peers" {
  const { originFetchesMax } = input.settings;
  if (originFetchesMax === null) return "origin";
  const fetched = grants.filter((grant) => grant.assetId === candidate.assetId && grant.source === "origin").length;
  return candidate.originFetches + fetched < originFetchesMax ? "origin" : "peers";
}

const bytesOf = (grants: readonly GrantDecision[]): number => sum(grants.map((grant) => grant.reservedBytes));
const slotsTaken = (grants: readonly GrantDecision[], origin: GrantDecision["originId"]): number =>
  grants.filter((grant) => grant.originId === origin && grant.source === "origin").length;
const ownOf = (grants: readonly GrantDecision[], asker: Asker): GrantDecision[] =>
  grants.filter((grant) => grant.nodeId === asker.nodeId);

/** Minute by minute, what a window lets through. */
function isInWindow(asker: Asker, nowMs: number): boolean {
  const now = Math.floor(nowMs / 60_000) % MINUTES_A_DAY;
  return asker.windows.some(({ fromMinute, toMinute }) => {
    const last = (toMinute + MINUTES_A_DAY - 1) % MINUTES_A_DAY;
    for (let minute = fromMinute; ; minute = (minute + 1) % MINUTES_A_DAY) {
      if (minute === now) return true;
      if (minute === last) return false;
    }
  });
}

/** Each rule by its reason, and whether it is broken. */
type Broken = readonly (readonly [Refusal["reason"], boolean])[];

/** Every reason about the node alone after these grants, by name. */
function reasonsAgainstNode(input: RoundInput, grants: readonly GrantDecision[], asker: Asker): Refusal["reason"][] {
  const broken: Broken = [
    ["AGENT_TOO_OLD", asker.agentTooOldFor !== null],
    ["NODE_PAUSED", asker.paused || (asker.windows.length > 0 && !isInWindow(asker, input.nowMs))],
    ["QUOTA", asker.openLeases + ownOf(grants, asker).length + 1 > asker.quota],
  ];
  return named(broken);
}

/** Every reason why the asker may not have the asset after these grants, by name. */
function reasonsAgainst(
  input: RoundInput,
  grants: readonly GrantDecision[],
  asker: Asker,
  candidate: Candidate,
): Refusal["reason"][] {
  const { settings } = input;
  const own = ownOf(grants, asker);
  const bytes = candidate.sizeBytes === null ? settings.unknownSizeBytes : candidate.sizeBytes;
  const { offeredBytes, heldBytes, reservedBytes, marginBytes } = asker.ledger;
  const openBytes = asker.openBytes + bytesOf(own);
  const holders = holdersAfter(input, grants, candidate);
  const counting = holders.filter((holder) => holder.counts);
  const operators = new Set(counting.map((holder) => holder.operatorId));
  const missingOperators = candidate.copies.target - operators.size;
  const everyoneHasOne = operators.size >= settings.operatorCount;
  const onTrial = grants.filter((grant) => theOne(input.askers, "nodeId", grant.nodeId).isVetting);
  const room = Math.max(
    0,
    Math.min(
      offeredBytes - heldBytes - reservedBytes - bytesOf(own) - marginBytes,
      asker.freeBytes - openBytes - marginBytes,
    ),
  );
  const quicker = (settings.quickNodes ?? []).filter(
    (one) => one.rateBytesPerS > (asker.rateBytesPerS ?? Infinity) && one.roomBytes >= room,
  );
  const isIdle = asker.openLeases + own.length === 0;
  const isAmongQuickest = settings.quickNodes !== undefined && new Set(quicker.map((one) => one.operatorId)).size < 5;
  const slots = input.origins.find((origin) => origin.originId === candidate.originId)?.slots ?? 0;
  const source = sourceAfter(input, grants, candidate);
  const broken: Broken = [
    ["COPIES_ENOUGH", missingOperators <= 0 || holders.length >= candidate.copies.max],
    ["HELD_ALREADY", holders.some((holder) => holder.nodeId === asker.nodeId)],
    [
      "HELD_BY_OPERATOR",
      operators.has(asker.operatorId) &&
        !(everyoneHasOne && candidate.copies.max - (holders.length + 1) >= missingOperators),
    ],
    ["SCHEME_UNSUPPORTED", !asker.schemes.includes(candidate.scheme)],
    ["TAG_REFUSED", candidate.tags.some((tag) => asker.refusedTags.includes(tag))],
    [
      "VETTING",
      asker.isVetting &&
        (counting.every((holder) => holder.isOnTrial) || bytesOf(onTrial) + bytes > settings.vettingBytes),
    ],
    [
      "NODE_FULL",
      bytes > 0 &&
        (heldBytes + reservedBytes + bytesOf(own) + bytes + marginBytes > offeredBytes ||
          openBytes + bytes + marginBytes > asker.freeBytes),
    ],
    ["RETRY_PAUSE", candidate.avoid.includes(asker.nodeId)],
    [
      "HORIZON_FULL",
      asker.rateBytesPerS !== null &&
        !(isIdle && isAmongQuickest) &&
        openBytes + bytes >
          asker.rateBytesPerS *
            ((isIdle ? Math.max(settings.horizonMs, settings.assetMaxMs) : settings.horizonMs) / 1000),
    ],
    ["PEERS_NOT_READY", source === "peers" && candidate.seeds === 0],
    ["ORIGIN_SATURATED", source === "origin" && slotsTaken(grants, candidate.originId) >= slots],
  ];
  return [...reasonsAgainstNode(input, grants, asker), ...named(broken)];
}

function named(broken: Broken): Refusal["reason"][] {
  return broken.flatMap(([reason, isBroken]) => (isBroken ? [reason] : []));
}

/** Each grant with the asker, the candidate and the grants that came before it. */
function eachGrant(input: RoundInput, { grants }: RoundResult) {
  return grants.map((grant, place) => ({
    asker: theOne(input.askers, "nodeId", grant.nodeId),
    candidate: theOne(input.candidates, "assetId", grant.assetId),
    before: grants.slice(0, place),
  }));
}

/** The question `explain` would be asked about this pair once the round is over. */
function questionAfter(input: RoundInput, grants: readonly GrantDecision[], asker: Asker, candidate: Candidate) {
  const own = ownOf(grants, asker);
  const origin = input.origins.find((one) => one.originId === candidate.originId);
  const onTrial = grants.filter((grant) => theOne(input.askers, "nodeId", grant.nodeId).isVetting);
  return {
    nowMs: input.nowMs,
    asker: {
      ...asker,
      ledger: { ...asker.ledger, reservedBytes: asker.ledger.reservedBytes + bytesOf(own) },
      openLeases: asker.openLeases + own.length,
      openBytes: asker.openBytes + bytesOf(own),
    },
    candidate: {
      ...candidate,
      holders: holdersAfter(input, grants, candidate),
      originFetches:
        candidate.originFetches +
        grants.filter((grant) => grant.assetId === candidate.assetId && grant.source === "origin").length,
    },
    origin: origin && {
      ...origin,
      slots: origin.slots - slotsTaken(grants, origin.originId),
    },
    settings: { ...input.settings, vettingBytes: input.settings.vettingBytes - bytesOf(onTrial) },
  };
}

/** How far a reason is from being lifted, the nearest lowest; equally far ones by the alphabet. */
function distance(refusal: Refusal): number {
  if (refusal.reason === "ORIGIN_SATURATED") return refusal.retryAfterMs / 1e9;
  if (refusal.reason === "PEERS_NOT_READY") return 0.5;
  if (refusal.reason === "RETRY_PAUSE") return 1;
  if (refusal.reason === "HORIZON_FULL") return 2;
  if (refusal.reason === "NODE_FULL") return 3 + refusal.missingBytes / 1e9;
  if (refusal.reason === "VETTING") return 4;
  if (refusal.reason === "TAG_REFUSED") return 5;
  return refusal.reason === "SCHEME_UNSUPPORTED" ? 6 : Infinity;
}

function shuffled<T>(all: readonly T[]): fc.Arbitrary<T[]> {
  return fc.shuffledSubarray([...all], { minLength: all.length });
}

function property(check: (input: RoundInput, result: RoundResult) => void): void {
  fc.assert(
    fc.property(someRound, (input) => check(input, allocateRound(input))),
    RUNS,
  );
}

// ---- the promises -----------------------------------------------------------------------------------------------------

test("the arbitrary rounds grant often, and reach every reason there is", () => {
  const told: Record<string, number> = {};
  let busyRounds = 0;
  for (const input of fc.sample(someRound, { numRuns: 400, seed: 1 })) {
    const { grants, refusalByNode } = allocateRound(input);
    if (grants.length >= 3) busyRounds += 1;
    for (const { reason } of refusalByNode.values()) told[reason] = (told[reason] ?? 0) + 1;
    for (const asker of input.askers) {
      for (const candidate of input.candidates) {
        for (const { reason } of explain(questionAfter(input, grants, asker, candidate)).refusals) told[reason] ??= 0;
      }
    }
  }
  expect(busyRounds).toBeGreaterThan(80);
  expect(Object.keys(told).toSorted()).toEqual([
    "AGENT_TOO_OLD",
    "COPIES_ENOUGH",
    "HELD_ALREADY",
    "HELD_BY_OPERATOR",
    "HORIZON_FULL",
    "NODE_FULL",
    "NODE_PAUSED",
    "NOTHING_LEFT",
    "ORIGIN_SATURATED",
    "PEERS_NOT_READY",
    "QUOTA",
    "RETRY_PAUSE",
    "SCHEME_UNSUPPORTED",
    "TAG_REFUSED",
    "VETTING",
  ]);
  const neverTold = Object.keys(told).filter((reason) => told[reason] === 0);
  expect(neverTold.toSorted()).toEqual(["COPIES_ENOUGH", "HELD_ALREADY", "HELD_BY_OPERATOR"]);
});

test("1. no node gets more bytes than its ledger and its disk have, and an unknown size takes its reservation", () => {
  property((input, { grants }) => {
    for (const asker of input.askers) {
      const { offeredBytes, heldBytes, reservedBytes, marginBytes } = asker.ledger;
      const own = ownOf(grants, asker);
      expect(heldBytes + reservedBytes + bytesOf(own) + marginBytes).toBeLessThanOrEqual(offeredBytes);
      const broughtBytes = asker.openBytes + bytesOf(own) + marginBytes;
      expect(bytesOf(own) === 0 || broughtBytes <= asker.freeBytes).toBe(true);
      for (const { assetId: asset, reservedBytes: reserved } of own) {
        const { sizeBytes } = theOne(input.candidates, "assetId", asset);
        expect(reserved).toBe(sizeBytes ?? input.settings.unknownSizeBytes);
      }
    }
  });
});

describe("2. copies", () => {
  test("no asset is twice on one node, and none comes to more than copies.max or goes on past its target", () => {
    property((input, { grants }) => {
      for (const candidate of input.candidates) {
        const holders = holdersAfter(input, grants, candidate);
        expect(new Set(holders.map((holder) => holder.nodeId)).size).toBe(holders.length);
        if (holders.length === candidate.holders.length) continue;
        expect(holders.length).toBeLessThanOrEqual(candidate.copies.max);
        const operatorsBeforeLast = new Set(
          holders.slice(0, -1).flatMap((holder) => (holder.counts ? [holder.operatorId] : [])),
        );
        expect(operatorsBeforeLast.size).toBeLessThan(candidate.copies.target);
      }
    });
  });

  test("an operator gets a second one only when all have one, and leaves places for those that have none", () => {
    property((input, result) => {
      for (const { asker, candidate, before } of eachGrant(input, result)) {
        const holders = holdersAfter(input, before, candidate);
        const operators = new Set(holders.flatMap((holder) => (holder.counts ? [holder.operatorId] : [])));
        if (!operators.has(asker.operatorId)) continue;
        expect(operators.size).toBeGreaterThanOrEqual(input.settings.operatorCount);
        const placesLeft = candidate.copies.max - holders.length - 1;
        expect(placesLeft).toBeGreaterThanOrEqual(candidate.copies.target - operators.size);
      }
    });
  });
});

describe("3. origins", () => {
  test("no asset is fetched more often from its origin than it may be, and from peers only when they have it", () => {
    property((input, result) => {
      const { originFetchesMax } = input.settings;
      for (const { candidate } of eachGrant(input, result)) {
        const own = result.grants.filter((grant) => grant.assetId === candidate.assetId);
        const fromOrigin = own.filter((grant) => grant.source === "origin").length;
        expect(fromOrigin === 0 || candidate.originFetches + fromOrigin <= (originFetchesMax ?? Infinity)).toBe(true);
        expect(fromOrigin === own.length || candidate.seeds > 0).toBe(true);
      }
    });
  });

  test("none gets more fetches than its slots, one that is unknown gets none", () => {
    property((input, { grants }) => {
      for (const { originId: origin, source } of grants) {
        if (source === "peers") continue;
        const { slots } = theOne(input.origins, "originId", origin);
        expect(slotsTaken(grants, origin)).toBeLessThanOrEqual(slots);
      }
    });
  });

  test("closed origins and assets too big for anybody, at the head of the queue, cost no other asset its grant", () => {
    const closed = { originId: originId(9), slots: 0, retryAfterMs: 1000 };
    const blockers = fc.array(
      fc
        .tuple(fc.boolean(), someCandidate(0))
        .map(([isClosed, candidate]) =>
          aCandidate(
            isClosed
              ? { ...candidate, urgency: 10, originId: closed.originId, originFetches: 0 }
              : { ...candidate, urgency: 10, sizeBytes: 100_000 },
          ),
        ),
      { minLength: 1, maxLength: 10 },
    );
    fc.assert(
      fc.property(someRound, blockers, (input, blocked) => {
        const head = blocked.map((candidate, place) => aCandidate({ ...candidate, assetId: assetId(100 + place) }));
        const { grants } = allocateRound({
          ...input,
          candidates: [...input.candidates, ...head],
          origins: [...input.origins, closed],
        });
        expect(grants).toEqual(allocateRound(input).grants);
      }),
      RUNS,
    );
  });
});

describe("4. order", () => {
  test("when a node is given an asset, it could have none that is more urgent", () => {
    property((input, result) => {
      for (const { asker, candidate, before } of eachGrant(input, result)) {
        const passedOver = input.candidates.filter(
          (other) =>
            urgencyAfter(input, before, other) > urgencyAfter(input, before, candidate) &&
            reasonsAgainst(input, before, asker, other).length === 0,
        );
        expect(passedOver).toEqual([]);
      }
    });
  });

  test("grants are listed by urgency, equal ones by asset id", () => {
    property((input, result) => {
      const keys = [...eachGrant(input, result)].map(
        ({ candidate, before }) => -urgencyAfter(input, before, candidate) * 1000 + Number(candidate.assetId),
      );
      expect(keys).toEqual(keys.toSorted((a, b) => a - b));
    });
  });

  test("every asset gets its first copy before any gets a second", () => {
    const candidates = assets(3, { copies: { min: 2, target: 3, max: 5 } });
    const order = granted({ askers: nodes(3, { wants: 3 }), candidates }).map((grant) => grant.split("<-")[1]);
    expect(order).toEqual(["1", "2", "3", "1", "2", "3", "1", "2", "3"]);
  });

  test("of the nodes that may have it, another network's gets it, then the least loaded, then the lowest id", () => {
    property((input, result) => {
      for (const { asker, candidate, before } of eachGrant(input, result)) {
        const networks = new Set(holdersAfter(input, before, candidate).map((holder) => holder.network));
        const rank = (one: Asker): number[] => {
          const { offeredBytes, heldBytes, reservedBytes } = one.ledger;
          const used = heldBytes + reservedBytes + bytesOf(ownOf(before, one));
          const load = offeredBytes === 0 ? 1 : used / offeredBytes;
          return [one.network !== null && networks.has(one.network) ? 1 : 0, load, Number(one.nodeId)];
        };
        const eligible = input.askers.filter(
          (one) => ownOf(before, one).length < one.wants && reasonsAgainst(input, before, one, candidate).length === 0,
        );
        const [first] = eligible.toSorted((a, b) => {
          const left = rank(a);
          const right = rank(b);
          const place = left.findIndex((value, at) => value !== right[at]);
          return (left[place] ?? 0) - (right[place] ?? 0);
        });
        expect(first?.nodeId).toBe(asker.nodeId);
      }
    });
  });

  test("the order of askers, candidates and origins does not matter", () => {
    const twice = someRound.chain((input) =>
      fc.record({
        input: fc.constant(input),
        order: fc.record({
          askers: shuffled(input.askers),
          candidates: shuffled(input.candidates),
          origins: shuffled(input.origins),
        }),
      }),
    );
    fc.assert(
      fc.property(twice, ({ input, order }) => {
        expect(allocateRound({ ...input, ...order })).toEqual(allocateRound(input));
      }),
      RUNS,
    );
  });

  test("a round changes nothing of what it is given", () => {
    property((input) => {
      const before = structuredClone(input);
      allocateRound(input);
      expect(input).toEqual(before);
    });
  });
});

test("5. every grant was allowed at its moment, and no node gets more than it wants", () => {
  property((input, result) => {
    for (const { asker, candidate, before } of eachGrant(input, result)) {
      expect(reasonsAgainst(input, before, asker, candidate)).toEqual([]);
      expect(ownOf(before, asker).length).toBeLessThan(asker.wants);
    }
  });
});

describe("6. refusals", () => {
  test("exactly those that got less than they wanted are told one reason, with a time to ask again", () => {
    property((input, { grants, refusalByNode }) => {
      const short = input.askers.filter((asker) => ownOf(grants, asker).length < asker.wants);
      expect([...refusalByNode.keys()].toSorted()).toEqual(short.map((asker) => asker.nodeId).toSorted());
      for (const { retryAfterMs } of refusalByNode.values()) expect(retryAfterMs).toBeGreaterThan(0);
    });
  });

  test("nobody is refused while there is something it could have, and explain gives the judge's reasons for each pair", () => {
    property((input, { grants, refusalByNode }) => {
      const pairs = input.askers.flatMap((asker) =>
        input.candidates.map((candidate) => ({
          isShort: refusalByNode.has(asker.nodeId),
          judged: reasonsAgainst(input, grants, asker, candidate),
          explained: explain(questionAfter(input, grants, asker, candidate)).refusals.map((refusal) => refusal.reason),
        })),
      );
      expect(pairs.filter(({ isShort, judged }) => isShort && judged.length === 0)).toEqual([]);
      expect(pairs.map(({ explained }) => explained)).toEqual(pairs.map(({ judged }) => judged));
    });
  });

  test("the reason told is the one nearest to being lifted of those explain gives once the round is over", () => {
    property((input, { grants, refusalByNode }) => {
      const nothingLeft: Refusal = { reason: "NOTHING_LEFT", retryAfterMs: input.settings.idleRetryMs };
      const urgencyOfEnd = (candidate: Candidate): number => urgencyAfter(input, grants, candidate);
      const byUrgency = input.candidates.toSorted(
        (a, b) => urgencyOfEnd(b) - urgencyOfEnd(a) || Number(a.assetId) - Number(b.assetId),
      );
      for (const [node, told] of refusalByNode) {
        const asker = theOne(input.askers, "nodeId", node);
        const firsts = byUrgency.flatMap((candidate) =>
          explain(questionAfter(input, grants, asker, candidate)).refusals.slice(0, 1),
        );
        const [nearest] = firsts
          .filter((refusal) => distance(refusal) < Infinity)
          .toSorted((a, b) => distance(a) - distance(b) || JSON.stringify(a).localeCompare(JSON.stringify(b)));
        const isAboutNode = reasonsAgainstNode(input, grants, asker).length > 0;
        expect(told).toEqual(isAboutNode ? (firsts[0] ?? told) : (nearest ?? nothingLeft));
      }
    });
  });
});

// ---- examples ---------------------------------------------------------------------------------------------------------

/** `node<-asset` for each grant, in their order. */
function granted(input: Partial<RoundInput>): string[] {
  return allocateRound(aRound(input)).grants.map((grant) => `${grant.nodeId}<-${grant.assetId}`);
}

function toldTo(node: number, input: Partial<RoundInput>): Refusal | undefined {
  return allocateRound(aRound(input)).refusalByNode.get(nodeId(node));
}

const nodes = (count: number, facts: Partial<Asker> = {}): Asker[] =>
  Array.from({ length: count }, (_, at) =>
    anAsker({ nodeId: nodeId(at + 1), operatorId: operatorId(at + 1), ...facts }),
  );
const assets = (count: number, facts: Partial<Candidate> = {}): Candidate[] =>
  Array.from({ length: count }, (_, at) => aCandidate({ assetId: assetId(at + 1), ...facts }));

describe("choices", () => {
  test("a round without askers or without candidates grants nothing", () => {
    expect(allocateRound(aRound({ askers: [] }))).toEqual({ grants: [], refusalByNode: new Map() });
    expect(granted({ candidates: [] })).toEqual([]);
  });

  test("a grant says who, what, from where and how much", () => {
    expect(allocateRound(aRound()).grants).toEqual([
      { nodeId: nodeId(1), assetId: assetId(1), originId: originId(1), source: "origin", reservedBytes: 10 },
    ]);
  });

  test("the most urgent asset goes first, ids decide among equals as numbers do", () => {
    const candidates = [
      aCandidate({ assetId: assetId(10), urgency: 5 }),
      aCandidate({ assetId: assetId(9), urgency: 5 }),
      aCandidate({ assetId: assetId(11), urgency: 6 }),
    ];
    expect(granted({ askers: [anAsker({ wants: 3 })], candidates })).toEqual(["1<-11", "1<-9", "1<-10"]);
  });

  test("equal nodes take turns: each grant makes its node the fuller one", () => {
    const copies = { min: 1, target: 1, max: 1 };
    expect(granted({ askers: nodes(2, { wants: 2 }), candidates: assets(4, { copies }) })).toEqual([
      "1<-1",
      "2<-2",
      "1<-3",
      "2<-4",
    ]);
  });

  test("of nodes as full as each other the lower id comes first, whoever asked first", () => {
    expect(granted({ askers: [10, 9, 11].map((number) => anAsker({ nodeId: nodeId(number) })) })).toEqual(["9<-1"]);
  });

  test("load is relative: the large node takes more", () => {
    const copies = { min: 1, target: 1, max: 1 };
    const [small, large] = nodes(2, { wants: 4 });
    if (small === undefined || large === undefined) throw new Error("two nodes were asked for");
    const askers = [
      { ...small, ledger: aLedger({ offeredBytes: 100 }) },
      { ...large, ledger: aLedger({ offeredBytes: 300 }) },
    ];
    expect(granted({ askers, candidates: assets(5, { copies }) })).toEqual(["1<-1", "2<-2", "2<-3", "2<-4", "1<-5"]);
  });

  test("a second copy goes to another network first, however full its node", () => {
    const askers = [
      anAsker({ nodeId: nodeId(1), operatorId: operatorId(1), network: "north" }),
      anAsker({ nodeId: nodeId(2), operatorId: operatorId(2), network: "south", ledger: aLedger({ heldBytes: 900 }) }),
    ];
    const held = { holders: [aHolder({ network: "north" })], copies: { min: 1, target: 2, max: 2 } };
    expect(granted({ askers, candidates: [aCandidate(held)] })).toEqual(["2<-1"]);
  });

  test("an unknown network is taken for a network of its own", () => {
    const held = { holders: [aHolder({ network: null })], copies: { min: 1, target: 2, max: 2 } };
    const askers = [...nodes(1), anAsker({ nodeId: nodeId(2), operatorId: operatorId(2), network: "south" })];
    expect(granted({ askers, candidates: [aCandidate(held)] })).toEqual(["1<-1"]);
  });

  test("a node on trial follows a vetted one within the same round", () => {
    const [first, second] = nodes(2);
    if (first === undefined || second === undefined) throw new Error("two nodes were asked for");
    expect(granted({ askers: [{ ...first, isVetting: true }, second] })).toEqual(["2<-1", "1<-1"]);
  });

  test("nodes on trial share one budget of bytes", () => {
    const input = {
      askers: nodes(3, { isVetting: true }),
      candidates: [aCandidate({ holders: [aHolder()], copies: { min: 4, target: 4, max: 4 } })],
      settings: roundSettings({ vettingBytes: 25 }),
    };
    expect(granted(input)).toEqual(["1<-1", "2<-1"]);
    expect(toldTo(3, input)).toMatchObject({ reason: "VETTING", limitBytes: 5 });
  });
});

describe("what a node is told", () => {
  test("nothing, when it has what it wanted or wanted nothing", () => {
    expect(toldTo(1, {})).toBeUndefined();
    expect(toldTo(1, { askers: [anAsker({ wants: 0, paused: true })] })).toBeUndefined();
  });

  test("there is nothing left, when there is no candidate or others have them all", () => {
    const nothing = { reason: "NOTHING_LEFT", retryAfterMs: 60_000 };
    expect(toldTo(1, { candidates: [] })).toEqual(nothing);
    expect(toldTo(1, { candidates: [aCandidate({ holders: [aHolder({ nodeId: nodeId(1) })] })] })).toEqual(nothing);
    expect(toldTo(1, { askers: [anAsker({ wants: 2 })] })).toEqual(nothing);
  });

  test("the quota, once this round has filled it", () => {
    expect(toldTo(1, { askers: [anAsker({ quota: 1, wants: 2 })], candidates: assets(2) })).toEqual({
      reason: "QUOTA",
      openLeases: 1,
      limit: 1,
      retryAfterMs: 60_000,
    });
  });

  test("of several reasons the one that resolves itself soonest", () => {
    const candidates = [
      aCandidate({ assetId: assetId(1), sizeBytes: 5000 }),
      aCandidate({ assetId: assetId(2), scheme: "ftp" }),
      aCandidate({ assetId: assetId(3), originId: originId(2) }),
      aCandidate({ assetId: assetId(4), originId: originId(3) }),
    ];
    const origins = [
      someSlots(),
      someSlots({ originId: originId(2), slots: 0, retryAfterMs: 9000 }),
      someSlots({ originId: originId(3), slots: 0, retryAfterMs: 8000 }),
    ];
    expect(toldTo(1, { candidates, origins })).toEqual({ reason: "ORIGIN_SATURATED", retryAfterMs: 8000 });
    expect(toldTo(1, { candidates: candidates.slice(0, 2), origins })).toEqual({
      reason: "NODE_FULL",
      missingBytes: 4000,
      retryAfterMs: 60_000,
    });
  });

  test("what is missing after the grants of this round, not before them", () => {
    const candidates = [
      aCandidate({ assetId: assetId(1), sizeBytes: 1100, urgency: 9 }),
      aCandidate({ assetId: assetId(2), sizeBytes: 400 }),
    ];
    expect(toldTo(1, { askers: [anAsker({ wants: 2 })], candidates })).toMatchObject({
      reason: "NODE_FULL",
      missingBytes: 500,
    });
  });

  test("not the trial, when what it waited for came in the same round", () => {
    const [first, second] = nodes(2);
    if (first === undefined || second === undefined) throw new Error("two nodes were asked for");
    const input = { askers: [{ ...first, isVetting: true, wants: 2 }, second] };
    expect(toldTo(1, input)).toEqual({ reason: "NOTHING_LEFT", retryAfterMs: 60_000 });
  });

  test("a tag and a scheme of one name are two reasons", () => {
    const askers = [anAsker({ schemes: ["https"], refusedTags: ["ftp"] })];
    const byScheme = aCandidate({ assetId: assetId(1), scheme: "ftp" });
    const byTag = aCandidate({ assetId: assetId(2), tags: ["ftp"] });
    const told = { reason: "TAG_REFUSED", tag: "ftp", retryAfterMs: 60_000 };
    expect(toldTo(1, { askers, candidates: [byScheme, byTag] })).toEqual(told);
    expect(toldTo(1, { askers, candidates: [byTag, byScheme] })).toEqual(told);
  });

  test("that peers are not ready, behind what the node has tried and what it has no room for", () => {
    const holders = [aHolder({ nodeId: nodeId(9), operatorId: operatorId(9) })];
    const fetched = aCandidate({ assetId: assetId(1), sizeBytes: 500, holders, originFetches: 1 });
    const tried = aCandidate({ assetId: assetId(2), sizeBytes: 10, avoid: [nodeId(1)] });
    const tooBig = aCandidate({ assetId: assetId(3), sizeBytes: 5000 });
    const settings = roundSettings({ originFetchesMax: 1 });
    expect(toldTo(1, { candidates: [tried, tooBig, fetched], settings })).toMatchObject({ reason: "PEERS_NOT_READY" });
  });

  test("an origin whose slots this round has taken is asked again when it said", () => {
    const origins = [someSlots({ slots: 1, retryAfterMs: 15_000 })];
    expect(toldTo(1, { askers: [anAsker({ wants: 2 })], candidates: assets(2), origins })).toEqual({
      reason: "ORIGIN_SATURATED",
      retryAfterMs: 15_000,
    });
  });
});
