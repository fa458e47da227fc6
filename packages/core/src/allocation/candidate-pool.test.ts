/**
 * The pool against a plain model: an array of candidates, over which `allocateRound` decides. Whatever happens to a pool,
 * it answers as a round over everything in it would.
 */
import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { someCandidate, someRound } from "../../test/arbitrary-rounds.ts";
import type { AssetId, OriginId } from "../ids.ts";
import { independentCopies } from "../node.ts";
import {
  aCandidate,
  aHolder,
  aLedger,
  anAsker,
  assetId,
  nodeId,
  operatorId,
  originId,
  refusalOf,
  roundSettings,
  someSlots,
} from "../testing.ts";
import { fifo } from "../urgency/fifo.ts";
import { rescueFirst } from "../urgency/rescue-first.ts";
import { CandidatePool } from "./candidate-pool.ts";
import type { Asker, Candidate, GrantDecision, OriginSlots, RoundInput, RoundResult } from "./policy.ts";
import { allocateRound } from "./round.ts";

vi.setConfig({ testTimeout: 60_000 });
const RUNS = { numRuns: 1000 };

// ---- the model --------------------------------------------------------------------------------------------------------

/** What the grants of a round make of candidates and origins, worked out plainly. */
class Model {
  candidates = new Map<AssetId, Candidate>();
  origins = new Map<OriginId, OriginSlots>();

  apply(grants: readonly GrantDecision[], askers: readonly Asker[]): void {
    for (const grant of grants) {
      const candidate = this.candidates.get(grant.assetId)!;
      const {
        nodeId: node,
        operatorId: operator,
        network,
        isVetting,
      } = askers.find((one) => one.nodeId === grant.nodeId)!;
      const holders = [
        ...candidate.holders,
        aHolder({ nodeId: node, operatorId: operator, network, isOnTrial: isVetting }),
      ];
      const change = { before: independentCopies(candidate.holders), after: independentCopies(holders) };
      const isFromOrigin = grant.source === "origin";
      this.candidates.set(grant.assetId, {
        ...candidate,
        holders,
        urgency: rescueFirst.afterCopies(candidate.urgency, candidate.copies, change),
        originFetches: candidate.originFetches + (isFromOrigin ? 1 : 0),
      });
      const origin = this.origins.get(grant.originId);
      if (isFromOrigin && origin !== undefined) {
        this.origins.set(grant.originId, { ...origin, slots: origin.slots - 1 });
      }
    }
  }
}

type Step =
  | { readonly kind: "put"; readonly candidate: Candidate }
  | { readonly kind: "remove"; readonly number: number }
  | { readonly kind: "reprioritise"; readonly number: number; readonly urgency: number }
  | { readonly kind: "origin"; readonly origin: OriginSlots }
  | { readonly kind: "round"; readonly askers: readonly Asker[]; readonly nowMs: number };

const ASSETS = 12;
const someNumber = fc.integer({ min: 1, max: ASSETS });
const someStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: someNumber.chain(someCandidate).map((candidate): Step => ({ kind: "put", candidate })),
  },
  { weight: 1, arbitrary: someNumber.map((number): Step => ({ kind: "remove", number })) },
  {
    weight: 2,
    arbitrary: fc
      .record({ number: someNumber, urgency: fc.integer({ min: 1, max: 4 }) })
      .map((step): Step => ({ kind: "reprioritise", ...step })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        originId: fc.integer({ min: 1, max: 3 }).map(originId),
        slots: fc.nat({ max: 8 }),
        retryAfterMs: fc.integer({ min: 1, max: 100_000 }),
      })
      .map((origin): Step => ({ kind: "origin", origin })),
  },
  { weight: 3, arbitrary: someRound.map(({ askers, nowMs }): Step => ({ kind: "round", askers, nowMs })) },
);

function put(pool: CandidatePool, candidate: Candidate): void {
  if (pool.has(candidate.assetId)) pool.replace(candidate);
  else pool.add(candidate);
}

function runSteps(settings: RoundInput["settings"], steps: readonly Step[]): void {
  const { unknownSizeBytes, originFetchesMax, ...roundOnly } = settings;
  const pool = new CandidatePool({ unknownSizeBytes, originFetchesMax });
  const model = new Model();
  const refusals: string[] = [];
  const answers: RoundResult[] = [];
  const expected: RoundResult[] = [];
  for (const step of steps) {
    if (step.kind === "put") {
      put(pool, step.candidate);
      model.candidates.set(step.candidate.assetId, step.candidate);
    } else if (step.kind === "remove") {
      if (model.candidates.delete(assetId(step.number))) pool.remove(assetId(step.number));
      else refusals.push(refusalOf(() => pool.remove(assetId(step.number))).code);
    } else if (step.kind === "reprioritise") {
      const known = model.candidates.get(assetId(step.number));
      if (known === undefined) continue;
      pool.reprioritise(known.assetId, step.urgency);
      model.candidates.set(known.assetId, { ...known, urgency: step.urgency });
    } else if (step.kind === "origin") {
      pool.setOrigin(step.origin);
      model.origins.set(step.origin.originId, step.origin);
    } else {
      const { askers, nowMs } = step;
      const answer = pool.allocate({ nowMs, askers, settings: roundOnly });
      const candidates = [...model.candidates.values()];
      const origins = [...model.origins.values()];
      answers.push(answer);
      expected.push(allocateRound({ nowMs, askers, candidates, origins, settings }));
      model.apply(answer.grants, askers);
    }
    expect(refusals.filter((code) => code !== "INPUT_INVALID")).toEqual([]);
    expect(answers).toEqual(expected);
    expect(pool.size).toBe(model.candidates.size);
    for (const [id, candidate] of model.candidates) expect(pool.get(id)).toEqual(candidate);
  }
}

test("through any sequence of changes and rounds, it decides as a round over all that is in it", () => {
  const steps = fc.array(someStep, { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(
      someRound.map(({ settings }) => settings),
      steps,
      runSteps,
    ),
    RUNS,
  );
});

test("where assets differ by origin and urgency alone, so that many stand behind each other, it decides so too", () => {
  const origins = [1, 2, 3, 4, 5, 6, 7].map((number) => someSlots({ originId: originId(number) }));
  const plain = fc.record({
    assetId: fc.integer({ min: 1, max: 25 }).map(assetId),
    originId: fc.constantFrom(...origins.map((origin) => origin.originId)),
    urgency: fc.integer({ min: 1, max: 30 }),
  });
  const putting = plain.map((facts): Step => ({ kind: "put", candidate: aCandidate(facts) }));
  const removal = fc.integer({ min: 1, max: 25 }).map((number): Step => ({ kind: "remove", number }));
  const closing = fc
    .record({ origin: fc.constantFrom(...origins), slots: fc.nat({ max: 3 }) })
    .map(({ origin, slots }): Step => ({ kind: "origin", origin: { ...origin, slots } }));
  const round = fc
    .record({ number: fc.integer({ min: 1, max: 6 }), wants: fc.integer({ min: 1, max: 4 }) })
    .map(({ number, wants }): Step => {
      const askers = [anAsker({ nodeId: nodeId(number), operatorId: operatorId(number), wants })];
      return { kind: "round", askers, nowMs: 0 };
    });
  const steps = fc
    .tuple(
      fc.constant(origins.map((origin): Step => ({ kind: "origin", origin }))),
      fc.array(putting, { minLength: 15, maxLength: 30 }),
      fc.array(fc.oneof(putting, removal, removal, closing, round, round), { minLength: 5, maxLength: 20 }),
    )
    .map((parts) => parts.flat());
  fc.assert(fc.property(fc.constant(roundSettings()), steps, runSteps), RUNS);
});

test("with hundreds of candidates, held by more operators than there are bits, it still decides as a round does", () => {
  const someHolder = fc
    .integer({ min: 1, max: 80 })
    .map((number) => aHolder({ nodeId: nodeId(number), operatorId: operatorId(Math.ceil(number / 2)) }));
  const holders = fc.oneof(
    fc.constant([]),
    fc.uniqueArray(someHolder, { maxLength: 4, selector: (holder) => holder.nodeId }),
  );
  const many = fc.array(
    fc.record({
      urgency: fc.integer({ min: 0, max: 50 }),
      sizeBytes: fc.option(fc.nat({ max: 300 }), { nil: null }),
      origin: fc.integer({ min: 1, max: 6 }),
      holders,
    }),
    { minLength: 200, maxLength: 300 },
  );
  const someAskers = fc.uniqueArray(
    fc.record({
      number: fc.integer({ min: 1, max: 100 }),
      room: fc.nat({ max: 3000 }),
      wants: fc.integer({ min: 1, max: 30 }),
      isVetting: fc.boolean(),
    }),
    { selector: ({ number }) => number, minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(many, someAskers, (facts, asking) => {
      const candidates = facts.map(({ origin, ...rest }, at) =>
        aCandidate({ ...rest, assetId: assetId(at + 1), originId: originId(origin) }),
      );
      const askers = asking.map(({ number, room, ...rest }) =>
        anAsker({
          nodeId: nodeId(number),
          operatorId: operatorId(Math.ceil(number / 2)),
          ledger: aLedger({ offeredBytes: room }),
          ...rest,
        }),
      );
      const origins = [1, 2, 3, 4, 5].map((number) => someSlots({ originId: originId(number), slots: 4 * number - 4 }));
      const { unknownSizeBytes, originFetchesMax, ...settings } = roundSettings({ operatorCount: 50 });
      const pool = new CandidatePool({ unknownSizeBytes, originFetchesMax });
      candidates.forEach((candidate) => pool.add(candidate));
      origins.forEach((origin) => pool.setOrigin(origin));
      const answer = pool.allocate({ nowMs: 0, askers, settings });
      expect(answer).toEqual(
        allocateRound({
          nowMs: 0,
          askers,
          candidates,
          origins,
          settings: { ...settings, unknownSizeBytes, originFetchesMax },
        }),
      );
    }),
    RUNS,
  );
});

test("a round over thousands, which puts only the most urgent in order at first, still decides as a pool does", () => {
  /** What keeps the most urgent from all that ask, so that the others are needed. */
  const heads: readonly Partial<Candidate>[] = [
    {},
    { sizeBytes: 5000 },
    { originId: originId(2) },
    { holders: [1, 2].map((number) => aHolder({ nodeId: nodeId(number) })) },
  ];
  const window = fc.record({
    length: fc.integer({ min: 1100, max: 2500 }),
    urgencies: fc.integer({ min: 1, max: 40 }),
    head: fc.constantFrom(...heads),
    headLength: fc.nat({ max: 2500 }),
    wants: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(window, ({ length, urgencies, head, headLength, wants }) => {
      const candidates = Array.from({ length }, (_, at) =>
        aCandidate({
          // Each once, and not in the order of the window.
          assetId: assetId((at * 7919) % 100_003),
          urgency: (at % urgencies) + (at < headLength ? 100 : 0),
          ...(at < headLength ? head : {}),
        }),
      );
      const askers = [1, 2].map((number) => anAsker({ nodeId: nodeId(number), operatorId: operatorId(number), wants }));
      const origins = [someSlots(), someSlots({ originId: originId(2), slots: 0 })];
      const { unknownSizeBytes, originFetchesMax, ...settings } = roundSettings();
      const pool = new CandidatePool({ unknownSizeBytes, originFetchesMax });
      candidates.forEach((candidate) => pool.add(candidate));
      origins.forEach((origin) => pool.setOrigin(origin));
      const answer = allocateRound({ nowMs: 0, askers, candidates, origins, settings: roundSettings() });
      expect(answer).toEqual(pool.allocate({ nowMs: 0, askers, settings }));
    }),
    RUNS,
  );
});

// ---- examples ---------------------------------------------------------------------------------------------------------

function aPool(candidates: readonly Candidate[], ...origins: readonly OriginSlots[]): CandidatePool {
  const pool = new CandidatePool({ unknownSizeBytes: 50, originFetchesMax: null });
  candidates.forEach((candidate) => pool.add(candidate));
  (origins.length === 0 ? [someSlots()] : origins).forEach((origin) => pool.setOrigin(origin));
  return pool;
}

const { unknownSizeBytes: _unknown, originFetchesMax: _fetches, ...SETTINGS } = roundSettings();

/** What asker 1 is given. */
function granted(pool: CandidatePool, asker: Partial<Asker> = {}): string[] {
  const { grants } = pool.allocate({ nowMs: 0, askers: [anAsker(asker)], settings: SETTINGS });
  return grants.map((grant) => grant.assetId);
}

function nodeOffering(number: number, offeredBytes: number): Partial<Asker> {
  return { nodeId: nodeId(number), operatorId: operatorId(number), ledger: aLedger({ offeredBytes }) };
}

describe("a pool", () => {
  test("is empty at first and grants nothing", () => {
    const pool = aPool([]);
    expect(pool.size).toBe(0);
    expect(granted(pool)).toEqual([]);
  });

  test("gives what is most urgent, and remembers who has it", () => {
    const pool = aPool([aCandidate({ assetId: assetId(1) }), aCandidate({ assetId: assetId(2), urgency: 5 })]);
    expect(granted(pool)).toEqual(["2"]);
    expect(pool.get(assetId(2))?.holders).toMatchObject([{ nodeId: nodeId(1) }]);
    expect(granted(pool, { wants: 5 })).toEqual(["1"]);
    expect(granted(pool, { nodeId: nodeId(2), operatorId: operatorId(2), wants: 5 })).toEqual(["2", "1"]);
  });

  test("takes slots of an origin, and gives nothing more of it until it is set again", () => {
    const candidates = [1, 2, 3].map((number) => aCandidate({ assetId: assetId(number) }));
    const pool = aPool(candidates, someSlots({ slots: 2 }));
    expect(granted(pool, { wants: 3 })).toEqual(["1", "2"]);
    expect(granted(pool, { nodeId: nodeId(2), operatorId: operatorId(2), wants: 3 })).toEqual([]);
    pool.setOrigin(someSlots({ slots: 1 }));
    expect(granted(pool, { wants: 3 })).toEqual(["3"]);
  });

  test("an origin that was never set counts as closed", () => {
    expect(granted(aPool([aCandidate({ originId: originId(7) })]))).toEqual([]);
  });

  test("keeps an asset that has its copies, and offers it again when one is lost", () => {
    const copies = { min: 1, target: 1, max: 1 };
    const pool = aPool([aCandidate({ copies })]);
    expect(granted(pool)).toEqual(["1"]);
    expect(pool.size).toBe(1);
    expect(granted(pool, { nodeId: nodeId(2), operatorId: operatorId(2) })).toEqual([]);
    pool.replace(aCandidate({ copies, holders: [] }));
    expect(granted(pool, { nodeId: nodeId(2), operatorId: operatorId(2) })).toEqual(["1"]);
  });

  test("another urgency, or the asset taken out, counts at the next round", () => {
    const pool = aPool([1, 2, 3].map((number) => aCandidate({ assetId: assetId(number) })));
    pool.reprioritise(assetId(3), 9);
    pool.remove(assetId(1));
    expect(granted(pool, { wants: 3 })).toEqual(["3", "2"]);
  });

  test("an operator whose first node has what it wanted still counts by its second", () => {
    const held = [aHolder({ nodeId: nodeId(9), operatorId: operatorId(2) })];
    const pool = aPool([
      aCandidate({ assetId: assetId(1), urgency: 9, copies: { min: 1, target: 1, max: 1 } }),
      aCandidate({ assetId: assetId(2), holders: held }),
    ]);
    const askers = [
      anAsker({ nodeId: nodeId(1) }),
      anAsker({ nodeId: nodeId(2) }),
      anAsker({ nodeId: nodeId(3), operatorId: operatorId(2), ledger: aLedger({ heldBytes: 500 }) }),
    ];
    const { grants } = pool.allocate({ nowMs: 0, askers, settings: SETTINGS });
    expect(grants.map((grant) => `${grant.nodeId}<-${grant.assetId}`)).toEqual(["1<-1", "2<-2"]);
  });

  test("a node that failed on two assets is told to wait for the one that is left", () => {
    const avoid = [nodeId(1)];
    const pool = aPool([aCandidate({ avoid }), aCandidate({ assetId: assetId(2), avoid })]);
    const told = (): string | undefined => {
      const { refusalByNode } = pool.allocate({ nowMs: 0, askers: [anAsker()], settings: SETTINGS });
      return refusalByNode.get(nodeId(1))?.reason;
    };
    pool.remove(assetId(2));
    expect(told()).toBe("RETRY_PAUSE");
    pool.remove(assetId(1));
    expect(told()).toBe("NOTHING_LEFT");
  });

  test("an origin that opens again gives all that is left of it", () => {
    const pool = aPool(
      [aCandidate(), aCandidate({ assetId: assetId(2), holders: [aHolder()] })],
      someSlots({ slots: 0 }),
    );
    pool.remove(assetId(1));
    pool.setOrigin(someSlots());
    expect(granted(pool)).toEqual(["2"]);
  });

  test("of more operators than can be passed over as a whole, none is taken for another", () => {
    const pool = aPool(
      Array.from({ length: 33 }, (_, at) => {
        const holders = [aHolder({ operatorId: operatorId(at + 1) })];
        return aCandidate({ assetId: assetId(at + 1), urgency: at, holders });
      }),
    );
    expect(granted(pool, { operatorId: operatorId(1), wants: 2 })).toEqual(["33", "32"]);
  });

  test("an operator may have a second copy as soon as every operator that takes part has one", () => {
    const copies = { min: 2, target: 3, max: 5 };
    const holders = [1, 2].map((number) => aHolder({ nodeId: nodeId(10 + number), operatorId: operatorId(number) }));
    const grantsWith = (operatorCount: number): number => {
      const pool = aPool([aCandidate({ copies, holders })]);
      return pool.allocate({ nowMs: 0, askers: [anAsker()], settings: { ...SETTINGS, operatorCount } }).grants.length;
    };
    expect([1, 2, 3].map(grantsWith)).toEqual([1, 1, 0]);
  });

  test("a larger node is given what a smaller one has passed over, and the other way round what still fits", () => {
    const pool = aPool([
      aCandidate({ assetId: assetId(1), urgency: 3, sizeBytes: 300 }),
      aCandidate({ assetId: assetId(2), urgency: 2, sizeBytes: 200 }),
      aCandidate({ assetId: assetId(3), urgency: 1, sizeBytes: 100 }),
    ]);
    expect(granted(pool, nodeOffering(1, 150))).toEqual(["3"]);
    expect(granted(pool, nodeOffering(2, 350))).toEqual(["1"]);
    expect(granted(pool, nodeOffering(3, 250))).toEqual(["2"]);
    pool.replace(aCandidate({ assetId: assetId(1), urgency: 3, sizeBytes: 120 }));
    expect(granted(pool, nodeOffering(4, 150))).toEqual(["1"]);
  });

  test("takes another policy's word for what a copy changes", () => {
    const pool = new CandidatePool({ unknownSizeBytes: 50, originFetchesMax: null, policy: fifo });
    pool.add(aCandidate({ assetId: assetId(1), urgency: 2 }));
    pool.add(aCandidate({ assetId: assetId(2), urgency: 1 }));
    pool.setOrigin(someSlots());
    const askers = [1, 2].map((number) =>
      anAsker({ nodeId: nodeId(number), operatorId: operatorId(number), wants: 2 }),
    );
    const { grants } = pool.allocate({ nowMs: 0, askers, settings: SETTINGS });
    expect(grants.map((grant) => grant.assetId)).toEqual(["1", "1", "2", "2"]);
  });
});

function ask(pool: CandidatePool, askers: readonly Asker[]): void {
  pool.allocate({ nowMs: 0, askers, settings: SETTINGS });
}

describe("what does not fit a pool is refused before anything changes", () => {
  test.each<[string, (pool: CandidatePool) => void, string, unknown]>([
    ["an asset added twice", (pool) => pool.add(aCandidate()), "assetId", "1"],
    ["an asset removed twice", (pool) => [1, 2].forEach(() => pool.remove(assetId(1))), "assetId", "1"],
    ["an unknown one replaced", (pool) => pool.replace(aCandidate({ assetId: assetId(9) })), "assetId", "9"],
    ["an unknown one reprioritised", (pool) => pool.reprioritise(assetId(9), 1), "assetId", "9"],
    ["an urgency that is no number", (pool) => pool.reprioritise(assetId(1), Number.NaN), "urgency", "NaN"],
    ["a negative size", (pool) => pool.add(aCandidate({ assetId: assetId(2), sizeBytes: -1 })), "sizeBytes", -1],
    ["a fractional size", (pool) => pool.replace(aCandidate({ sizeBytes: 1.5 })), "sizeBytes", 1.5],
    [
      "copies that contradict each other",
      (pool) => pool.replace(aCandidate({ copies: { min: 2, target: 1, max: 5 } })),
      "copies.target",
      1,
    ],
    [
      "more origin fetches than can be",
      (pool) => pool.replace(aCandidate({ originFetches: 4096 })),
      "originFetches",
      4096,
    ],
    ["more seeds than can be", (pool) => pool.replace(aCandidate({ seeds: 4096 })), "seeds", 4096],
    ["a negative number of slots", (pool) => pool.setOrigin(someSlots({ slots: -1 })), "slots", -1],
    ["no time to ask again", (pool) => pool.setOrigin(someSlots({ retryAfterMs: 0 })), "retryAfterMs", 0],
    ["a node that asks twice", (pool) => ask(pool, [anAsker(), anAsker()]), "nodeId", "1"],
    ["a negative want", (pool) => ask(pool, [anAsker({ wants: -1 })]), "wants", -1],
    ["a rate that is no number", (pool) => ask(pool, [anAsker({ rateBytesPerS: Number.NaN })]), "rateBytesPerS", "NaN"],
  ])("%s", (_what, act, field, value) => {
    const pool = aPool([aCandidate()]);
    const refusal = refusalOf(() => act(pool));
    expect(refusal.code).toBe("INPUT_INVALID");
    expect(refusal.details).toEqual({ field, value });
    expect(granted(pool)).toEqual(pool.size === 0 ? [] : ["1"]);
  });

  test("as many origin fetches and seeds as can be are taken, and known again", () => {
    const pool = aPool([aCandidate({ originFetches: 4095, seeds: 4095 })]);
    expect(pool.get(assetId(1))).toMatchObject({ originFetches: 4095, seeds: 4095 });
  });

  test("the settings of the pool itself", () => {
    const refusal = refusalOf(() => new CandidatePool({ unknownSizeBytes: -1, originFetchesMax: null }));
    expect(refusal.details).toEqual({ field: "unknownSizeBytes", value: -1 });
  });
});
