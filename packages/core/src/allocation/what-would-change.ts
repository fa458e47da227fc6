/** What would make a rule pass that refuses, in one sentence made of its numbers. */
import type { RuleFacts } from "./rule-facts.ts";

/** `1,200`: the same on every machine, which a locale is not. */
function grouped(number: number): string {
  return String(number).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

export function counted(count: number, one: string, several = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : several}`;
}

const UNITS = ["KB", "MB", "GB", "TB", "PB"] as const;

/** To the byte below 10,000, then one decimal of the largest unit that leaves 1 or more; a unit is 1,024 of the one below. */
function bytesText(bytes: number, round: (value: number) => number): string {
  if (bytes < 10_000) return counted(bytes, "byte");
  const power = Math.min(UNITS.length, Math.floor(Math.log2(bytes) / 10));
  return `${round((bytes / 1024 ** power) * 10) / 10} ${UNITS[power - 1] ?? "KB"}`;
}

/** What is needed, so that as much suffices. */
export const atLeast = (bytes: number): string => bytesText(bytes, Math.ceil);
/** What there is, so that as much is there. */
export const atMost = (bytes: number): string => bytesText(bytes, Math.floor);

function spanText(ms: number): string {
  if (ms < 120_000) return `${grouped(Math.ceil(ms / 1000))} s`;
  return ms < 7_200_000 ? `${Math.ceil(ms / 60_000)} min` : `${Math.ceil(ms / 3_600_000)} h`;
}

type FactsOf<Name extends RuleFacts["rule"]> = Extract<RuleFacts, { readonly rule: Name }>;

/** `Offer more and free some.`: of the parts those that are there. */
function sentence(...parts: readonly (string | null)[]): string {
  const text = parts.filter((part) => part !== null).join(" and ");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function changeOfPause({ paused, opensInMs }: FactsOf<"NODE_PAUSED">): string {
  return sentence(
    paused ? "let this paused node go on" : null,
    opensInMs > 0 ? `wait ${spanText(opensInMs)} until its next window opens, or set its windows wider` : null,
  );
}

function changeOfQuota({ openLeases, limit }: FactsOf<"QUOTA">): string {
  if (limit === 0) return "Raise its quota, which is 0.";
  const leases = `${grouped(openLeases - limit + 1)} of its ${counted(openLeases, "open lease")}`;
  return `Wait for ${leases} to end; its limit is ${grouped(limit)} and grows with each verified copy.`;
}

function changeOfCopies(facts: FactsOf<"COPIES_ENOUGH">): string {
  const { independentCopies, targetCopies, holders, maxCopies } = facts;
  const target = Math.max(targetCopies, independentCopies + 1);
  const max = Math.max(maxCopies, holders + 1, target);
  const raised = sentence(
    target > targetCopies ? `raise the target from ${targetCopies} to ${target}` : null,
    max > maxCopies ? `raise the maximum from ${maxCopies} to ${max}` : null,
  );
  return `${raised.slice(0, -1)}: it has ${counted(independentCopies, "independent copy", "independent copies")} on ${counted(holders, "holder")}.`;
}

function changeOfOperators(facts: FactsOf<"HELD_BY_OPERATOR">): string {
  const { operatorsHolding, operatorCount, missingCopies, holders, maxCopies } = facts;
  if (operatorsHolding.length < operatorCount) {
    const others = `${operatorsHolding.length} of ${counted(operatorCount, "operator")}`;
    return `Ask a node of another operator: ${others} have it, and this one's is among them.`;
  }
  const needed = holders + 1 + Math.max(0, missingCopies);
  return `Raise the maximum of copies from ${maxCopies} to ${needed}: the places left are for operators that have none.`;
}

function changeOfRoom({ neededBytes, roomBytes, diskBytes }: FactsOf<"NODE_FULL">): string {
  return sentence(
    neededBytes > roomBytes ? `let this node offer ${atLeast(neededBytes - roomBytes)} more` : null,
    neededBytes > diskBytes ? `free ${atLeast(neededBytes - diskBytes)} on its disk` : null,
  );
}

function changeOfHorizon({ openLeases, openBytes, neededBytes, limitBytes }: FactsOf<"HORIZON_FULL">): string {
  const limit = limitBytes ?? 0;
  const horizon = `its horizon is ${atMost(limit)}`;
  if (neededBytes > limit && openLeases === 0) return `Ask a quicker node: ${horizon}.`;
  if (neededBytes > limit) return `Wait for its ${counted(openLeases, "open lease")} to end: ${horizon}.`;
  return `Wait for ${atLeast(openBytes + neededBytes - limit)} of its open work to arrive: ${horizon}.`;
}

const CHANGES: { readonly [Name in RuleFacts["rule"]]: (facts: FactsOf<Name>) => string } = {
  AGENT_TOO_OLD: ({ minimum }) => `Update its agent to ${String(minimum)} or newer.`,
  NODE_PAUSED: changeOfPause,
  QUOTA: changeOfQuota,
  COPIES_ENOUGH: changeOfCopies,
  HELD_ALREADY: () => "Ask another node: this one has a copy of it, or a lease on it.",
  HELD_BY_OPERATOR: changeOfOperators,
  SCHEME_UNSUPPORTED: ({ scheme, schemes }) =>
    `Let its agent take ${scheme}; it takes ${schemes.join(", ") || "no scheme"}.`,
  TAG_REFUSED: ({ tags, refusedTags }) =>
    `Take ${[...new Set(tags.filter((tag) => refusedTags.includes(tag)))].join(", ")} from the tags that this node refuses.`,
  SOLE_HOLDER: () => "Wait until a vetted node holds a copy, or until this node is vetted itself.",
  TRIAL_BUDGET: ({ neededBytes, limitBytes }) =>
    `Wait until this node is vetted, or let the nodes on trial be given ${atLeast(neededBytes - limitBytes)} more.`,
  NODE_FULL: changeOfRoom,
  RETRY_PAUSE: () =>
    "Wait, or ask another node: this one failed on it lately, or has a copy that is not counted for now.",
  HORIZON_FULL: changeOfHorizon,
  PEERS_NOT_READY: ({ originFetches, originFetchesMax }) =>
    `Wait until a holder gives its copy on, or let more than ${originFetchesMax} fetch it from the origin: ${originFetches} do.`,
  ORIGIN_SATURATED: ({ slots, retryAfterMs }) =>
    slots === null
      ? "Tell the round of its origin: one that is not known counts as closed."
      : `Ask again in ${spanText(retryAfterMs)}: its origin has no open slot.`,
};

/** For a rule that refuses on these facts. */
export function changeOf(facts: RuleFacts): string {
  const change = CHANGES[facts.rule] as (facts: RuleFacts) => string;
  return change(facts);
}
