/** A flipped comparison that changes nothing anybody can see, and why. */
export type EquivalentMutant = {
  /** Below `src`. */
  readonly file: string;
  /** The line after the flip, without its indent. */
  readonly text: string;
  readonly why: string;
};

/** The rules in `eligibility.ts` decide about each grant once more: what is let through to them in vain only takes longer. */
const RULES_DECIDE = "only costs time: the rules refuse what is let through";
const TREE_SHAPE = "the tree has another shape, as shallow, and the same order";
const TREE_SEARCH = "only costs time: the search looks at more than it has to, or in another order";
const NO_BITS = "only costs time: no operator is passed over as a whole, and the rules refuse what it holds";
const ANY_GUESS = "only costs time: whatever urgency is guessed, what is below it is put in order later";
const TOLD_ALIKE = "two that tie here tell the node the same";
const NOTHING_THERE = "one place past the end there is nothing to be found";
const NO_TWO_ALIKE = "the two are never the same, so they never tie here";

export const EQUIVALENT_MUTANTS: readonly EquivalentMutant[] = [
  {
    file: "node.ts",
    text: "return NODE_LIVES.indexOf(reached) >= NODE_LIVES.indexOf(current) ? reached : current;",
    why: "at the same place of the list both are the same life",
  },
  {
    file: "binary-heap.ts",
    text: "if (this.#elements.length >= 1) this.#sink(0);",
    why: "a lone element sinks to where it is",
  },
  {
    file: "allocation/eligibility.ts",
    text: "if (wouldBeOpen < ownHorizonBytes(asker, settings)) return null;",
    why: "only costs time: the limit that is asked next is never below this one",
  },
  {
    file: "allocation/eligibility.ts",
    text: "return wouldBeOpen < limitBytes",
    why: "past a node's own horizon the limit is that one again, or none at all",
  },
  {
    file: "allocation/asker-index.ts",
    text: "while (leaves <= count) leaves *= 2;",
    why: "a tree with more empty leaves than it needs answers the same",
  },
  {
    file: "allocation/asker-index.ts",
    text: "if (active >= 0 && kindRefusal({ asker, candidate: kind, settings }) === null) return true;",
    why: RULES_DECIDE,
  },
  {
    file: "allocation/asker-index.ts",
    text: "return order < 0 || (order === 0 && this.#rank[a]! <= this.#rank[b]!);",
    why: NO_TWO_ALIKE,
  },
  {
    file: "allocation/asker-index.ts",
    text: "if (holders.length !== 0 || holders.length >= this.#settings.operatorCount) return NO_CODES;",
    why: RULES_DECIDE,
  },
  {
    file: "allocation/asker-index.ts",
    text: "const rightFirst = this.#best[left] === best;",
    why: "the better half first finds the best sooner; the other way round it finds the same one",
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "return order > 0 || (order === 0 && compareIds(this.#ids[a]!, this.#ids[b]!) <= 0);",
    why: NO_TWO_ALIKE,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "while (at !== NO_SLOT && heightOf(at) >= height) {",
    why: NO_TWO_ALIKE,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "while (at !== NO_SLOT && heightOf(at) <= height) {",
    why: TREE_SHAPE,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "if (best === NO_SLOT && least >= this.bytesAt(best)) return;",
    why: TREE_SEARCH,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "if (best !== NO_SLOT && least > this.bytesAt(best)) return;",
    why: TREE_SEARCH,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "const isSmaller = best === NO_SLOT || this.bytesAt(slot) <= this.bytesAt(best);",
    why: "of several that reserve as little, any is the answer",
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "const leftFirst = this.#leastLeftOf(slot) < this.#leastRightOf(slot);",
    why: TREE_SEARCH,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "const leftFirst = this.#leastLeftOf(slot) > this.#leastRightOf(slot);",
    why: TREE_SEARCH,
  },
  {
    file: "allocation/run-round.ts",
    text: "return a.urgency > b.urgency || (a.urgency === b.urgency && compareIds(a.assetId, b.assetId) <= 0);",
    why: NO_TWO_ALIKE,
  },
  {
    file: "allocation/run-round.ts",
    text: "if (placesLeft(next.holders, next.copies) >= 0) again.push(next);",
    why: RULES_DECIDE,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "if (heightOf(before) >= heightOf(behind)) {",
    why: NO_TWO_ALIKE,
  },
  {
    file: "allocation/urgency-tree.ts",
    text: "if (heightOf(before) <= heightOf(behind)) {",
    why: TREE_SHAPE,
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "if (order !== 0) return order <= 0 ? a : b;",
    why: "the order is not 0 there",
  },
  {
    file: "allocation/primary-refusal.ts",
    text: 'if (a.reason === "NODE_FULL" && b.reason === "NODE_FULL") return a.missingBytes < b.missingBytes ? a : b;',
    why: TOLD_ALIKE,
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "return textOf(a) < textOf(b) ? a : b;",
    why: TOLD_ALIKE,
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "if (leastByLot[at]! > leastBytes) continue;",
    why: "what reserves as much is refused by the same rule, with the same numbers",
  },
  {
    file: "allocation/round.ts",
    text: "if (count > length) return -Infinity;",
    why: ANY_GUESS,
  },
  {
    file: "allocation/round.ts",
    text: "for (let at = 0; at >= SAMPLES; at += 1) samples[at] = this.#urgencies[Math.floor(at * step)]!;",
    why: ANY_GUESS,
  },
  {
    file: "allocation/round.ts",
    text: "if (count < length) return -Infinity;",
    why: ANY_GUESS,
  },
  {
    file: "allocation/round.ts",
    text: "for (let at = 0; at <= SAMPLES; at += 1) samples[at] = this.#urgencies[Math.floor(at * step)]!;",
    why: ANY_GUESS,
  },
  {
    file: "allocation/round.ts",
    text: "return (this.#origins.get(candidate.originId)?.slots ?? 0) >= 0;",
    why: RULES_DECIDE,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (avoid.length >= 0) this.#avoidBySlot.set(slot, avoid);",
    why: "only costs memory: nothing kept reads as an empty list",
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "isAvoided: avoid.length >= 0,",
    why: "only costs time: nothing kept reads as an empty list",
  },
  {
    file: "allocation/slots-by-id.ts",
    text: "if (this.#size >= 0.75 * this.#slots.length) this.#grow();",
    why: "only costs memory: the table grows one id sooner",
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (origin.slots >= 0 !== wasOpen) this.#settleOrigin(origin.originId);",
    why: RULES_DECIDE,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (other.maxBytes >= one.maxBytes) return false;",
    why: "only costs time: what is known of a queue is looked for again",
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (known !== undefined && this.#bitByOperator.size < OPERATOR_BITS) {",
    why: NO_BITS,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (known === undefined && this.#bitByOperator.size >= OPERATOR_BITS) {",
    why: NO_BITS,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: 'return source === "peers" || (this.#origins.get(originId)?.slots ?? 0) >= 0;',
    why: RULES_DECIDE,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (entry.checkedAt !== departures) return true;",
    why: RULES_DECIDE,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (this.#limitsAt !== departures) return;",
    why: NO_BITS,
  },
  {
    file: "allocation/candidate-pool.ts",
    text: "if (bit !== 0) {",
    why: NO_BITS,
  },
  {
    file: "allocation/lot.ts",
    text: 'return candidate.seeds >= 0 ? "peers" : "nowhere";',
    why: "only costs time: of two lots that it makes one, what fits and has a seed has been granted already",
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "if (this.#waitMs[order[at]!]! <= this.#waitMs[order[soonest]!]!) soonest = at;",
    why: TOLD_ALIKE,
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "for (let place = 0; place <= this.#originIds.length; place += 1) {",
    why: NOTHING_THERE,
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "for (let nth = 0; nth <= this.#originIds.length; nth += 1) {",
    why: NOTHING_THERE,
  },
  {
    file: "allocation/primary-refusal.ts",
    text: "for (let at = soonest + 1; at <= order.length; at += 1) {",
    why: NOTHING_THERE,
  },
  {
    file: "inventory.ts",
    text: "for (let lane = 0; lane <= LANES; lane += 1) {",
    why: NOTHING_THERE,
  },
];
