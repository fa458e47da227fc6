/**
 * Trees of candidates in the order of urgency, all in one set of typed arrays: a treap (Seidel and Aragon 1996), whose
 * shape follows from a hash of each slot, so that it is balanced without any record of balance and the same in every run.
 *
 * Each tree node also knows, of everything to its left and to its right, the least bytes reserved and which operators hold
 * all of it (an augmented tree: Cormen et al., Introduction to Algorithms, 17.2). So "the most urgent that reserves at most
 * x, not held by this operator" leaves out whole subtrees without a look at them, and the head of a queue may be full of
 * what the asker cannot take.
 */
import { compareIds } from "../ids.ts";
import type { AssetId } from "../ids.ts";

/** A place in the arrays; reused once it is free. */
export type Slot = number;
export const NO_SLOT: Slot = -1;

/** What a walk leaves out. It may become narrower while the walk goes on, never wider. */
export type Limits = {
  /** Nothing that reserves more. */
  maxBytes: number;
  /** Nothing that all of these operators hold; 0 for no such limit. */
  operators: number;
};

const FIRST_CAPACITY = 1024;
/** Too small: everything is copied again and again as it fills. Too large: so much more may be set aside in vain. */
const GROWTH = 1.25;

/**
 * A tree node is 56 bytes in a row, so that coming to one is waiting for memory once or twice and not once a field: four
 * doubles, then five integers. The fields, counted in doubles and in integers from its beginning:
 */
const DOUBLES = 7;
const URGENCY = 0;
const BYTES = 1;
/** The least bytes of what is below on this side; Infinity for nothing. */
const LEAST_LEFT = 2;
const LEAST_RIGHT = 3;
const INTS = 14;
const LEFT = 8;
const RIGHT = 9;
/** The operators that hold this one, and those that hold all on this side: a bit each, and all bits for nothing. */
const OPERATORS = 10;
const ALL_LEFT = 11;
const ALL_RIGHT = 12;
const ALL_BITS = -1;

/** Mixes the bits of a slot number (the finalizer of MurmurHash3, Appleby 2011), so that no two have the same height. */
function heightOf(slot: Slot): number {
  let hash = Math.imul(slot ^ (slot >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export class UrgencyTrees {
  #used = 0;
  readonly #free: Slot[] = [];
  readonly #ids: AssetId[] = [];
  /** The same memory, looked at as doubles and as integers. */
  #doubles: Float64Array = new Float64Array(DOUBLES * FIRST_CAPACITY);
  #ints: Int32Array = new Int32Array(this.#doubles.buffer);
  /** What a removal has come through: kept, so that none is made anew. */
  readonly #path: Slot[] = [];
  /** What `#split` leaves behind: two roots. */
  #splitBefore: Slot = NO_SLOT;
  #splitBehind: Slot = NO_SLOT;

  /** A slot for a candidate; it is in no tree yet. Amortised O(1). */
  take(assetId: AssetId): Slot {
    const slot = this.#free.pop() ?? this.#used++;
    if (DOUBLES * slot >= this.#doubles.length) this.#grow();
    this.#ids[slot] = assetId;
    return slot;
  }

  /** The slot may be given to another; it has to be in no tree. */
  release(slot: Slot): void {
    this.#free.push(slot);
  }

  /** Before it enters a tree. */
  set(slot: Slot, facts: { readonly urgency: number; readonly bytes: number; readonly operators: number }): void {
    this.#doubles[DOUBLES * slot + URGENCY] = facts.urgency;
    this.#doubles[DOUBLES * slot + BYTES] = facts.bytes;
    this.#ints[INTS * slot + OPERATORS] = facts.operators;
  }

  idAt(slot: Slot): AssetId {
    return this.#ids[slot]!;
  }

  urgencyAt(slot: Slot): number {
    return this.#doubles[DOUBLES * slot + URGENCY]!;
  }

  bytesAt(slot: Slot): number {
    return this.#doubles[DOUBLES * slot + BYTES]!;
  }

  /** The least bytes reserved by anything below a root. */
  leastBytesBelow(root: Slot): number {
    if (root === NO_SLOT) return Infinity;
    return Math.min(this.bytesAt(root), this.#leastLeftOf(root), this.#leastRightOf(root));
  }

  /** More urgent first; ties go to the lower id. */
  isBefore(a: Slot, b: Slot): boolean {
    const order = this.urgencyAt(a) - this.urgencyAt(b);
    return order > 0 || (order === 0 && compareIds(this.#ids[a]!, this.#ids[b]!) < 0);
  }

  /** Whether `limits` let this one through. */
  isWithin(slot: Slot, limits: Limits): boolean {
    return this.#isWithin(slot, BYTES, OPERATORS, limits);
  }

  /** The first in the order, or NO_SLOT. O(log n). */
  first(root: Slot): Slot {
    let slot = NO_SLOT;
    for (let next = root; next !== NO_SLOT; next = this.#leftOf(next)) slot = next;
    return slot;
  }

  /** The root of the tree with this slot in it. O(log n). */
  insert(root: Slot, slot: Slot): Slot {
    const height = heightOf(slot);
    const bytes = this.bytesAt(slot);
    const operators = this.#ints[INTS * slot + OPERATORS]!;
    let parent = NO_SLOT;
    let isLeft = false;
    let at = root;
    while (at !== NO_SLOT && heightOf(at) > height) {
      parent = at;
      isLeft = this.isBefore(slot, at);
      // One more on a side can only lower what is known of it: no need to look at what else is there.
      const least = DOUBLES * at + (isLeft ? LEAST_LEFT : LEAST_RIGHT);
      this.#doubles[least] = Math.min(this.#doubles[least]!, bytes);
      this.#ints[INTS * at + (isLeft ? ALL_LEFT : ALL_RIGHT)]! &= operators;
      at = isLeft ? this.#leftOf(at) : this.#rightOf(at);
    }
    this.#split(at, slot);
    this.#setLeft(slot, this.#splitBefore);
    this.#setRight(slot, this.#splitBehind);
    if (parent === NO_SLOT) return slot;
    if (isLeft) this.#setLeft(parent, slot);
    else this.#setRight(parent, slot);
    return root;
  }

  /** The root of the tree without this slot, which has to be in it with the urgency it came with. O(log n). */
  remove(root: Slot, slot: Slot): Slot {
    const path = this.#path;
    let at = root;
    while (at !== slot) {
      path.push(at);
      at = this.isBefore(slot, at) ? this.#leftOf(at) : this.#rightOf(at);
    }
    let below = this.#merge(this.#leftOf(slot), this.#rightOf(slot));
    let child = slot;
    for (let parent = path.pop(); parent !== undefined; parent = path.pop()) {
      if (this.#leftOf(parent) === child) this.#setLeft(parent, below);
      else this.#setRight(parent, below);
      child = parent;
      below = parent;
    }
    return below;
  }

  /**
   * In the order of urgency, what `limits` let through: all of it, or what comes behind a slot that is in the tree. O(log
   * n) a step where they leave out whole subtrees.
   */
  walk(root: Slot, limits: Limits, behind: Slot = NO_SLOT): TreeWalk {
    /** Come through on the way to the left; they and what is to the right of them are still to come. */
    const above: Slot[] = [];
    let below = root;
    if (behind !== NO_SLOT) {
      while (below !== behind) {
        const isLeft = this.isBefore(behind, below);
        if (isLeft) above.push(below);
        below = isLeft ? this.#leftOf(below) : this.#rightOf(below);
      }
      below = this.#rightOf(behind);
    }
    return {
      next: () => {
        for (;;) {
          while (below !== NO_SLOT) {
            above.push(below);
            below = this.#isWithin(below, LEAST_LEFT, ALL_LEFT, limits) ? this.#leftOf(below) : NO_SLOT;
          }
          const slot = above.pop();
          if (slot === undefined) return NO_SLOT;
          if (this.#isWithin(slot, LEAST_RIGHT, ALL_RIGHT, limits)) below = this.#rightOf(slot);
          if (this.isWithin(slot, limits)) return slot;
        }
      },
    };
  }

  /**
   * The one that reserves least of those that `suits` and that not all of these operators hold (0: no matter who), or
   * NO_SLOT. O(log n) when the least of all suits.
   */
  smallest(root: Slot, suits: (slot: Slot) => boolean, operators: number): Slot {
    let best = NO_SLOT;
    const limits = { maxBytes: Infinity, operators };
    const visit = (slot: Slot): void => {
      if (slot === NO_SLOT) return;
      const isSmaller = best === NO_SLOT || this.bytesAt(slot) < this.bytesAt(best);
      if (isSmaller && this.isWithin(slot, limits) && suits(slot)) best = slot;
      const leftFirst = this.#leastLeftOf(slot) <= this.#leastRightOf(slot);
      visitSide(slot, leftFirst);
      visitSide(slot, !leftFirst);
    };
    const visitSide = (slot: Slot, isLeft: boolean): void => {
      const least = isLeft ? this.#leastLeftOf(slot) : this.#leastRightOf(slot);
      if (best !== NO_SLOT && least >= this.bytesAt(best)) return;
      if (isLeft && this.#isWithin(slot, LEAST_LEFT, ALL_LEFT, limits)) visit(this.#leftOf(slot));
      if (!isLeft && this.#isWithin(slot, LEAST_RIGHT, ALL_RIGHT, limits)) visit(this.#rightOf(slot));
    };
    visit(root);
    return best;
  }

  #leastLeftOf(slot: Slot): number {
    return this.#doubles[DOUBLES * slot + LEAST_LEFT]!;
  }

  #leastRightOf(slot: Slot): number {
    return this.#doubles[DOUBLES * slot + LEAST_RIGHT]!;
  }

  #leftOf(slot: Slot): Slot {
    return this.#ints[INTS * slot + LEFT]!;
  }

  #rightOf(slot: Slot): Slot {
    return this.#ints[INTS * slot + RIGHT]!;
  }

  #setLeft(slot: Slot, left: Slot): void {
    this.#ints[INTS * slot + LEFT] = left;
    this.#ints[INTS * slot + ALL_LEFT] = this.#operatorsBelow(left);
    this.#doubles[DOUBLES * slot + LEAST_LEFT] = this.leastBytesBelow(left);
  }

  #setRight(slot: Slot, right: Slot): void {
    this.#ints[INTS * slot + RIGHT] = right;
    this.#ints[INTS * slot + ALL_RIGHT] = this.#operatorsBelow(right);
    this.#doubles[DOUBLES * slot + LEAST_RIGHT] = this.leastBytesBelow(right);
  }

  /** Those that hold all below a root. */
  #operatorsBelow(root: Slot): number {
    if (root === NO_SLOT) return ALL_BITS;
    const at = INTS * root;
    return this.#ints[at + OPERATORS]! & this.#ints[at + ALL_LEFT]! & this.#ints[at + ALL_RIGHT]!;
  }

  /**
   * A slot, or what is below it on one side. Of a side false is certain and true is not, as what is small enough may be
   * just what they hold; and where there is nothing it may be either.
   */
  #isWithin(slot: Slot, bytes: number, heldBy: number, { maxBytes, operators }: Limits): boolean {
    if (this.#doubles[DOUBLES * slot + bytes]! > maxBytes) return false;
    return operators === 0 || (this.#ints[INTS * slot + heldBy]! & operators) !== operators;
  }

  /** Part a tree into what comes before `slot` and what comes behind it. */
  #split(root: Slot, slot: Slot): void {
    if (root === NO_SLOT) {
      this.#splitBefore = NO_SLOT;
      this.#splitBehind = NO_SLOT;
    } else if (this.isBefore(slot, root)) {
      this.#split(this.#leftOf(root), slot);
      this.#setLeft(root, this.#splitBehind);
      this.#splitBehind = root;
    } else {
      this.#split(this.#rightOf(root), slot);
      this.#setRight(root, this.#splitBefore);
      this.#splitBefore = root;
    }
  }

  /** All of `before` comes before all of `behind`. */
  #merge(before: Slot, behind: Slot): Slot {
    if (before === NO_SLOT) return behind;
    if (behind === NO_SLOT) return before;
    if (heightOf(before) > heightOf(behind)) {
      this.#setRight(before, this.#merge(this.#rightOf(before), behind));
      return before;
    }
    this.#setLeft(behind, this.#merge(before, this.#leftOf(behind)));
    return behind;
  }

  #grow(): void {
    const bigger = new Float64Array(DOUBLES * Math.ceil((this.#doubles.length / DOUBLES) * GROWTH));
    bigger.set(this.#doubles);
    this.#doubles = bigger;
    this.#ints = new Int32Array(bigger.buffer);
  }
}

/** A walk over one tree; the tree must not change until it is over. */
export type TreeWalk = {
  /** The next slot, or NO_SLOT at the end. */
  next(): Slot;
};
