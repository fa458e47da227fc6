import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { someRound } from "../../test/arbitrary-rounds.ts";
import type { Holder } from "../node.ts";
import {
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
import { assetRefusal, nodeRefusal } from "./eligibility.ts";
import type { Question } from "./eligibility.ts";
import { explain } from "./explain.ts";
import type { RuleFinding } from "./explain.ts";
import type { Refusal } from "./policy.ts";
import { allocateRound } from "./round.ts";
import type { RuleFacts } from "./rule-facts.ts";

const RUNS = { numRuns: 1000 };
vi.setConfig({ testTimeout: 30_000 });

type Name = RuleFacts["rule"];
type FactsOf<One extends Name> = Extract<RuleFacts, { readonly rule: One }>;

/** Each pair of an arbitrary round, as a question. */
function property(check: (question: Question) => void): void {
  fc.assert(
    fc.property(someRound, ({ nowMs, askers, candidates, origins, settings }) => {
      for (const candidate of candidates) {
        const origin = origins.find(({ originId }) => originId === candidate.originId);
        for (const asker of askers) check({ nowMs, asker, candidate, origin, settings });
      }
    }),
    RUNS,
  );
}

/** Whether a rule refuses, worked out from the numbers it tells. */
const REFUSES: { readonly [One in Name]: (facts: FactsOf<One>) => boolean } = {
  AGENT_TOO_OLD: ({ minimum }) => minimum !== null,
  NODE_PAUSED: ({ paused, opensInMs }) => paused || opensInMs > 0,
  QUOTA: ({ openLeases, limit }) => openLeases + 1 > limit,
  COPIES_ENOUGH: ({ independentCopies, targetCopies, holders, maxCopies }) =>
    independentCopies >= targetCopies || holders >= maxCopies,
  HELD_ALREADY: ({ isHolder }) => isHolder,
  HELD_BY_OPERATOR: ({ copiesOfOperator, operatorsHolding, operatorCount, missingCopies, holders, maxCopies }) =>
    copiesOfOperator > 0 && (operatorsHolding.length < operatorCount || holders + 1 > maxCopies - missingCopies),
  SCHEME_UNSUPPORTED: ({ scheme, schemes }) => schemes.every((one) => one !== scheme),
  TAG_REFUSED: ({ tags, refusedTags }) => refusedTags.some((tag) => tags.includes(tag)),
  SOLE_HOLDER: ({ isVetting, hasVettedHolder }) => isVetting && !hasVettedHolder,
  TRIAL_BUDGET: ({ isVetting, hasVettedHolder, neededBytes, limitBytes }) =>
    isVetting && hasVettedHolder && neededBytes > limitBytes,
  NODE_FULL: (facts) => {
    const { neededBytes, offeredBytes, heldBytes, reservedBytes, marginBytes, freeBytes, openBytes } = facts;
    const fitsLedger = heldBytes + reservedBytes + neededBytes + marginBytes <= offeredBytes;
    const fitsDisk = openBytes + neededBytes + marginBytes <= freeBytes;
    return neededBytes > 0 && !(fitsLedger && fitsDisk);
  },
  RETRY_PAUSE: (facts) => facts.isAvoided,
  HORIZON_FULL: ({ openBytes, neededBytes, limitBytes }) => limitBytes !== null && openBytes + neededBytes > limitBytes,
  PEERS_NOT_READY: ({ source, seeds }) => source === "peers" && seeds === 0,
  ORIGIN_SATURATED: ({ source, slots }) => source === "origin" && (slots === null || slots === 0),
};

function refusesBy(facts: RuleFacts): boolean {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each entry takes the facts of its own rule
  return (REFUSES[facts.rule] as (facts: RuleFacts) => boolean)(facts);
}

const ORDER = [
  ["AGENT_TOO_OLD", "AGENT_TOO_OLD"],
  ["NODE_PAUSED", "NODE_PAUSED"],
  ["QUOTA", "QUOTA"],
  ["COPIES_ENOUGH", "COPIES_ENOUGH"],
  ["HELD_ALREADY", "HELD_ALREADY"],
  ["HELD_BY_OPERATOR", "HELD_BY_OPERATOR"],
  ["SCHEME_UNSUPPORTED", "SCHEME_UNSUPPORTED"],
  ["TAG_REFUSED", "TAG_REFUSED"],
  ["SOLE_HOLDER", "VETTING"],
  ["TRIAL_BUDGET", "VETTING"],
  ["NODE_FULL", "NODE_FULL"],
  ["RETRY_PAUSE", "RETRY_PAUSE"],
  ["HORIZON_FULL", "HORIZON_FULL"],
  ["PEERS_NOT_READY", "PEERS_NOT_READY"],
  ["ORIGIN_SATURATED", "ORIGIN_SATURATED"],
];

test("every rule is told of, with its numbers, whether it refuses or not", () => {
  const { nodeId: node, assetId: asset, verdict, primary, refusals, findings } = explain(aQuestion());
  expect([node, asset, verdict, primary, refusals]).toEqual(["1", "1", "eligible", null, []]);
  expect(findings.map(({ rule, reason }) => [rule, reason])).toEqual(ORDER);
  expect(
    findings.every(({ rule, facts, passes, refusal, change }) => {
      return passes && refusal === null && change === null && facts.rule === rule;
    }),
  ).toBe(true);
  expect(findings.find(({ rule }) => rule === "NODE_FULL")?.facts).toEqual({
    rule: "NODE_FULL",
    neededBytes: 10,
    usableBytes: 1000,
    missingBytes: 0,
    roomBytes: 1000,
    diskBytes: 1_000_000,
    freeBytes: 1_000_000,
    openBytes: 0,
    offeredBytes: 1000,
    heldBytes: 0,
    reservedBytes: 0,
    marginBytes: 0,
  });
});

describe("for arbitrary rounds", () => {
  test("verdict and reason are what a round with this node and this asset alone decides and tells", () => {
    const noNews = new Set<Refusal["reason"]>(["HELD_ALREADY", "HELD_BY_OPERATOR", "COPIES_ENOUGH"]);
    const seen = new Set<string>();
    property((question) => {
      const { nowMs, candidate, origin, settings } = question;
      const asker = { ...question.asker, wants: 1 };
      const { grants, refusalByNode } = allocateRound({
        nowMs,
        askers: [asker],
        candidates: [candidate],
        settings,
        origins: origin === undefined ? [] : [origin],
      });
      const { verdict, primary, refusals } = explain(question);
      seen.add(primary?.reason ?? "none");
      expect(grants.length).toBe(verdict === "eligible" ? 1 : 0);
      expect(primary).toEqual(nodeRefusal(question) ?? assetRefusal(question));
      expect(refusals[0] ?? null).toBe(primary);
      const isNews = primary === null || !noNews.has(primary.reason);
      const told = isNews ? primary : { reason: "NOTHING_LEFT", retryAfterMs: settings.idleRetryMs };
      expect(refusalByNode.get(asker.nodeId) ?? null).toEqual(told);
    });
    expect([...seen].toSorted()).toEqual([...new Set(["none", ...ORDER.map(([, reason]) => reason)])].toSorted());
  });

  test("a rule refuses exactly when the numbers it tells say so, and then says what would change that", () => {
    property((question) => {
      const { findings, refusals } = explain(question);
      // One look at them all: an `expect` for each of some million findings takes longer than the findings.
      const wrong = findings.filter(({ facts, passes, refusal, reason, change }) => {
        const isTold = passes ? refusal === null && change === null : refusal?.reason === reason && change !== null;
        const isSentence = /^[A-Z].*[^.]\.$/.test(change ?? "Nothing.");
        const isMissing = facts.rule === "NODE_FULL" ? facts.missingBytes > 0 : !passes;
        return !isTold || !isSentence || passes === refusesBy(facts) || isMissing === passes;
      });
      expect(wrong).toEqual([]);
      expect(refusals).toEqual(findings.flatMap(({ refusal }) => refusal ?? []));
    });
  });

  test("a node that does what the numbers say passes the rule, and one byte, copy or lease less is not enough", () => {
    const followed = new Set<Name>();
    property((question) => {
      for (const { rule, facts, passes } of explain(question).findings) {
        const follow = passes ? null : followedBy(question, facts);
        if (follow === null) continue;
        followed.add(rule);
        expect(isPassedBy(rule, follow(0))).toBe(true);
        expect(isPassedBy(rule, follow(1))).toBe(false);
      }
    });
    expect([...followed].toSorted()).toEqual(["COPIES_ENOUGH", "HORIZON_FULL", "NODE_FULL", "QUOTA", "TRIAL_BUDGET"]);
  });
});

function holder(node: number, operator: number): Holder {
  return aHolder({ nodeId: nodeId(node), operatorId: operatorId(operator) });
}

function isPassedBy(rule: Name, question: Question): boolean {
  return explain(question).findings.some((finding) => finding.rule === rule && finding.passes);
}

/** The question once the change is made but for `short`, where the change is a number. */
function followedBy(question: Question, facts: RuleFacts): ((short: number) => Question) | null {
  const { asker, candidate, settings } = question;
  if (facts.rule === "NODE_FULL") {
    const offerBytes = Math.max(0, facts.neededBytes - facts.roomBytes);
    const freeBytes = Math.max(0, facts.neededBytes - facts.diskBytes);
    return (short) => ({
      ...question,
      asker: {
        ...asker,
        ledger: { ...asker.ledger, offeredBytes: asker.ledger.offeredBytes + offerBytes - short },
        freeBytes: asker.freeBytes + freeBytes - short,
      },
    });
  }
  if (facts.rule === "QUOTA") {
    const ended = facts.openLeases - facts.limit + 1;
    return (short) => ({ ...question, asker: { ...asker, openLeases: asker.openLeases - ended + short } });
  }
  if (facts.rule === "TRIAL_BUDGET") {
    const missing = facts.neededBytes - facts.limitBytes;
    return (short) => ({
      ...question,
      settings: { ...settings, vettingBytes: settings.vettingBytes + missing - short },
    });
  }
  if (facts.rule === "COPIES_ENOUGH") {
    const target = Math.max(facts.targetCopies, facts.independentCopies + 1);
    const max = Math.max(facts.maxCopies, facts.holders + 1, target);
    return (short) => ({
      ...question,
      candidate: { ...candidate, copies: short === 0 ? { min: 0, target, max } : candidate.copies },
    });
  }
  if (facts.rule !== "HORIZON_FULL" || facts.limitBytes === null || facts.neededBytes > facts.limitBytes) return null;
  const arrived = facts.openBytes + facts.neededBytes - facts.limitBytes;
  return (short) => ({ ...question, asker: { ...asker, openBytes: asker.openBytes - arrived + short } });
}

describe("what would change it", () => {
  function findingOf(rule: Name, question: Partial<Question>): RuleFinding | undefined {
    return explain(aQuestion(question)).findings.find((finding) => finding.rule === rule);
  }
  const onTrial = anAsker({ isVetting: true });
  const full = aLedger({ offeredBytes: 1000, heldBytes: 1000 });
  const TB = 1024 ** 4;

  const cases: readonly (readonly [Name, Partial<Question>, string])[] = [
    ["AGENT_TOO_OLD", { asker: anAsker({ agentTooOldFor: "2.0.0" }) }, "Update its agent to 2.0.0 or newer."],
    ["NODE_PAUSED", { asker: anAsker({ paused: true }) }, "Let this paused node go on."],
    [
      "NODE_PAUSED",
      { asker: anAsker({ windows: [{ fromMinute: 750, toMinute: 780 }] }) },
      "Wait 30 min until its next window opens, or set its windows wider.",
    ],
    [
      "NODE_PAUSED",
      { asker: anAsker({ paused: true, windows: [{ fromMinute: 900, toMinute: 960 }] }) },
      "Let this paused node go on and wait 3 h until its next window opens, or set its windows wider.",
    ],
    [
      "QUOTA",
      { asker: anAsker({ quota: 2, openLeases: 3 }) },
      "Wait for 2 of its 3 open leases to end; its limit is 2 and grows with each verified copy.",
    ],
    ["QUOTA", { asker: anAsker({ quota: 0 }) }, "Raise its quota, which is 0."],
    [
      "COPIES_ENOUGH",
      { candidate: aCandidate({ copies: { min: 1, target: 1, max: 2 }, holders: [holder(2, 2)] }) },
      "Raise the target from 1 to 2: it has 1 independent copy on 1 holder.",
    ],
    [
      "COPIES_ENOUGH",
      { candidate: aCandidate({ copies: { min: 1, target: 2, max: 2 }, holders: [holder(2, 2), holder(3, 2)] }) },
      "Raise the maximum from 2 to 3: it has 1 independent copy on 2 holders.",
    ],
    [
      "HELD_ALREADY",
      { candidate: aCandidate({ holders: [holder(1, 1)] }) },
      "Ask another node: this one has a copy of it, or a lease on it.",
    ],
    [
      "HELD_BY_OPERATOR",
      { candidate: aCandidate({ holders: [holder(2, 1)] }) },
      "Ask a node of another operator: 1 of 10 operators have it, and this one's is among them.",
    ],
    [
      "HELD_BY_OPERATOR",
      {
        candidate: aCandidate({ holders: [holder(2, 1)], copies: { min: 1, target: 3, max: 3 } }),
        settings: roundSettings({ operatorCount: 1 }),
      },
      "Raise the maximum of copies from 3 to 4: the places left are for operators that have none.",
    ],
    ["SCHEME_UNSUPPORTED", { candidate: aCandidate({ scheme: "ftp" }) }, "Let its agent take ftp; it takes https."],
    ["SCHEME_UNSUPPORTED", { asker: anAsker({ schemes: [] }) }, "Let its agent take https; it takes no scheme."],
    [
      "TAG_REFUSED",
      { candidate: aCandidate({ tags: ["video", "maps"] }), asker: anAsker({ refusedTags: ["maps", "video", "raw"] }) },
      "Take video, maps from the tags that this node refuses.",
    ],
    ["SOLE_HOLDER", { asker: onTrial }, "Wait until a vetted node holds a copy, or until this node is vetted itself."],
    [
      "TRIAL_BUDGET",
      {
        asker: onTrial,
        candidate: aCandidate({ holders: [holder(2, 2)] }),
        settings: roundSettings({ vettingBytes: 9 }),
      },
      "Wait until this node is vetted, or let the nodes on trial be given 1 byte more.",
    ],
    ["NODE_FULL", { candidate: aCandidate({ sizeBytes: 2200 }) }, "Let this node offer 1,200 bytes more."],
    ["NODE_FULL", { asker: anAsker({ freeBytes: 4 }) }, "Free 6 bytes on its disk."],
    [
      "NODE_FULL",
      { asker: anAsker({ freeBytes: 0, openBytes: 20, ledger: full }) },
      "Let this node offer 10 bytes more and free 30 bytes on its disk.",
    ],
    [
      "NODE_FULL",
      { candidate: aCandidate({ sizeBytes: 3.14 * TB }), asker: anAsker({ freeBytes: 9 * TB }) },
      "Let this node offer 3.2 TB more.",
    ],
    [
      "RETRY_PAUSE",
      { candidate: aCandidate({ avoid: [nodeId(1)] }) },
      "Wait, or ask another node: this one failed on it lately, or has a copy that is not counted for now.",
    ],
    [
      "HORIZON_FULL",
      {
        asker: anAsker({ rateBytesPerS: 100, openLeases: 2, openBytes: 95 }),
        settings: roundSettings({ horizonMs: 1000 }),
      },
      "Wait for 5 bytes of its open work to arrive: its horizon is 100 bytes.",
    ],
    [
      "HORIZON_FULL",
      {
        asker: anAsker({ rateBytesPerS: 9, openLeases: 1, openBytes: 1 }),
        settings: roundSettings({ horizonMs: 1000 }),
      },
      "Wait for its 1 open lease to end: its horizon is 9 bytes.",
    ],
    [
      "HORIZON_FULL",
      { asker: anAsker({ rateBytesPerS: 9 }), settings: roundSettings({ horizonMs: 1000, assetMaxMs: 1000 }) },
      "Ask a quicker node: its horizon is 9 bytes.",
    ],
    [
      "PEERS_NOT_READY",
      { candidate: aCandidate({ originFetches: 2 }), settings: roundSettings({ originFetchesMax: 2 }) },
      "Wait until a holder gives its copy on, or let more than 2 fetch it from the origin: 2 do.",
    ],
    [
      "ORIGIN_SATURATED",
      { origin: someSlots({ slots: 0, retryAfterMs: 15_000 }) },
      "Ask again in 15 s: its origin has no open slot.",
    ],
    [
      "ORIGIN_SATURATED",
      { origin: undefined },
      "Tell the round of its origin: one that is not known counts as closed.",
    ],
  ];

  test.each(cases)("%s: %o", (rule, question, change) => {
    expect(findingOf(rule, question)?.change).toBe(change);
  });
});
