/**
 * Trees of candidates in the order of urgency, all in one set of typed arrays: a treap (Seidel and Aragon 1996), whose
 * shape follows from a hash of each slot, so that it is balanced without any record of balance and the same in every run.
 *
 * Each tree node also knows, of everything below it, the least bytes reserved and which operators hold all of it (an
 * augmented tree: Cormen et al., Introduction to Algorithms, 17.2). So "the most urgent that reserves at most x, not held
 * by this operator" leaves out whole subtrees, and the head of a queue may be full of what the asker cannot take.
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

/** Mixes the bits of a slot number (the finalizer of MurmurHash3, Appleby 2011). */
function heightOf(slot: Slot): number {
  let hash = Math.imul(slot ^ (slot >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function grown<A extends Float64Array | Int32Array>(array: A, bigger: A): A {
  bigger.set(array);
  return bigger;
}

export class UrgencyTrees {
  #capacity = FIRST_CAPACITY;
  #used = 0;
  readonly #free: Slot[] = [];
  readonly #ids: AssetId[] = [];
  #urgency: Float64Array = new Float64Array(FIRST_CAPACITY);
  #bytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  #leastBytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  #left: Int32Array = new Int32Array(FIRST_CAPACITY);
  #right: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** The operators that hold this one, and those that hold all below: a bit each. */
  #operators: Int32Array = new Int32Array(FIRST_CAPACITY);
  #allOperators: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** What `#split` leaves behind: two roots. */
  #splitBefore: Slot = NO_SLOT;
  #splitBehind: Slot = NO_SLOT;

  /** A slot for a candidate; it is in no tree yet. Amortised O(1). */
  take(assetId: AssetId): Slot {
    const slot = this.#free.pop() ?? this.#used++;
    if (slot >= this.#capacity) this.#grow();
    this.#ids[slot] = assetId;
    return slot;
  }

  /** The slot may be given to another; it has to be in no tree. */
  release(slot: Slot): void {
    this.#free.push(slot);
  }

  /** Before it enters a tree. */
  set(slot: Slot, facts: { readonly urgency: number; readonly bytes: number; readonly operators: number }): void {
    this.#urgency[slot] = facts.urgency;
    this.#bytes[slot] = facts.bytes;
    this.#operators[slot] = facts.operators;
  }

  idAt(slot: Slot): AssetId {
    return this.#ids[slot]!;
  }

  urgencyAt(slot: Slot): number {
    return this.#urgency[slot]!;
  }

  bytesAt(slot: Slot): number {
    return this.#bytes[slot]!;
  }

  /** The least bytes reserved by anything below a root. */
  leastBytesBelow(root: Slot): number {
    return root === NO_SLOT ? Infinity : this.#leastBytes[root]!;
  }

  /** More urgent first; ties go to the lower id. */
  isBefore(a: Slot, b: Slot): boolean {
    const order = this.#urgency[a]! - this.#urgency[b]!;
    return order > 0 || (order === 0 && compareIds(this.#ids[a]!, this.#ids[b]!) < 0);
  }

  /** The first in the order, or NO_SLOT. O(log n). */
  first(root: Slot): Slot {
    let slot = root;
    while (slot !== NO_SLOT && this.#left[slot] !== NO_SLOT) slot = this.#left[slot]!;
    return slot;
  }

  /** The root of the tree with this slot in it. O(log n). */
  insert(root: Slot, slot: Slot): Slot {
    if (root === NO_SLOT || heightOf(slot) > heightOf(root)) {
      this.#split(root, slot);
      this.#left[slot] = this.#splitBefore;
      this.#right[slot] = this.#splitBehind;
      this.#sum(slot);
      return slot;
    }
    if (this.isBefore(slot, root)) this.#left[root] = this.insert(this.#left[root]!, slot);
    else this.#right[root] = this.insert(this.#right[root]!, slot);
    this.#sum(root);
    return root;
  }

  /** The root of the tree without this slot, which has to be in it with the urgency it came with. O(log n). */
  remove(root: Slot, slot: Slot): Slot {
    if (root === slot) return this.#merge(this.#left[root]!, this.#right[root]!);
    if (this.isBefore(slot, root)) this.#left[root] = this.remove(this.#left[root]!, slot);
    else this.#right[root] = this.remove(this.#right[root]!, slot);
    this.#sum(root);
    return root;
  }

  /** In the order of urgency, what `limits` let through. O(log n) a step where they leave out whole subtrees. */
  walk(root: Slot, limits: Limits): TreeWalk {
    const stack: number[] = root === NO_SLOT ? [] : [root];
    return {
      next: () => {
        for (;;) {
          const top = stack.pop();
          if (top === undefined) return NO_SLOT;
          // A slot whose left side has been walked is on the stack as its complement.
          if (top < 0) {
            if (this.#isWithin(~top, this.#bytes, this.#operators, limits)) return ~top;
          } else if (this.#isWithin(top, this.#leastBytes, this.#allOperators, limits)) {
            if (this.#right[top] !== NO_SLOT) stack.push(this.#right[top]!);
            stack.push(~top);
            if (this.#left[top] !== NO_SLOT) stack.push(this.#left[top]!);
          }
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
      if (slot === NO_SLOT || !this.#isWithin(slot, this.#leastBytes, this.#allOperators, limits)) return;
      if (best !== NO_SLOT && this.#leastBytes[slot]! >= this.#bytes[best]!) return;
      const isSmaller = best === NO_SLOT || this.#bytes[slot]! < this.#bytes[best]!;
      if (isSmaller && this.#isWithin(slot, this.#bytes, this.#operators, limits) && suits(slot)) best = slot;
      const left = this.#left[slot]!;
      const right = this.#right[slot]!;
      const leftFirst = this.leastBytesBelow(left) <= this.leastBytesBelow(right);
      visit(leftFirst ? left : right);
      visit(leftFirst ? right : left);
    };
    visit(root);
    return best;
  }

  #isWithin(slot: Slot, bytes: Float64Array, operators: Int32Array, limits: Limits): boolean {
    if (bytes[slot]! > limits.maxBytes) return false;
    return limits.operators === 0 || (operators[slot]! & limits.operators) !== limits.operators;
  }

  #sum(slot: Slot): void {
    let least = this.#bytes[slot]!;
    let all = this.#operators[slot]!;
    const left = this.#left[slot]!;
    const right = this.#right[slot]!;
    if (left !== NO_SLOT) {
      least = Math.min(least, this.#leastBytes[left]!);
      all &= this.#allOperators[left]!;
    }
    if (right !== NO_SLOT) {
      least = Math.min(least, this.#leastBytes[right]!);
      all &= this.#allOperators[right]!;
    }
    this.#leastBytes[slot] = least;
    this.#allOperators[slot] = all;
  }

  /** Part a tree into what comes before `slot` and what comes behind it. */
  #split(root: Slot, slot: Slot): void {
    if (root === NO_SLOT) {
      this.#splitBefore = NO_SLOT;
      this.#splitBehind = NO_SLOT;
    } else if (this.isBefore(slot, root)) {
      this.#split(this.#left[root]!, slot);
      this.#left[root] = this.#splitBehind;
      this.#sum(root);
      this.#splitBehind = root;
    } else {
      this.#split(this.#right[root]!, slot);
      this.#right[root] = this.#splitBefore;
      this.#sum(root);
      this.#splitBefore = root;
    }
  }

  /** All of `before` comes before all of `behind`. */
  #merge(before: Slot, behind: Slot): Slot {
    if (before === NO_SLOT) return behind;
    if (behind === NO_SLOT) return before;
    if (heightOf(before) > heightOf(behind)) {
      this.#right[before] = this.#merge(this.#right[before]!, behind);
      this.#sum(before);
      return before;
    }
    this.#left[behind] = this.#merge(before, this.#left[behind]!);
    this.#sum(behind);
    return behind;
  }

  #grow(): void {
    this.#capacity = Math.ceil(this.#capacity * 1.5);
    this.#urgency = grown(this.#urgency, new Float64Array(this.#capacity));
    this.#bytes = grown(this.#bytes, new Float64Array(this.#capacity));
    this.#leastBytes = grown(this.#leastBytes, new Float64Array(this.#capacity));
    this.#left = grown(this.#left, new Int32Array(this.#capacity));
    this.#right = grown(this.#right, new Int32Array(this.#capacity));
    this.#operators = grown(this.#operators, new Int32Array(this.#capacity));
    this.#allOperators = grown(this.#allOperators, new Int32Array(this.#capacity));
  }
}

/** A walk over one tree; the tree must not change until it is over. */
export type TreeWalk = {
  /** The next slot, or NO_SLOT at the end. */
  next(): Slot;
};
