import { hashOf } from "./id-hash.ts";
import { NO_SLOT } from "./urgency-tree.ts";
import type { Slot } from "./urgency-tree.ts";

const FIRST_LENGTH = 16;

/** Spreads the last characters of an id, in which ids that follow each other differ, over all bits. */
function spreadHashOf(id: string): number {
  const hash = Math.imul(hashOf(id), 0x9e3779b1);
  return hash ^ (hash >>> 15);
}

/**
 * Finds slots by the ids of what is in them: an open hash table with linear probing (Knuth, The Art of Computer
 * Programming 6.4, algorithms L and R), which asks the slots themselves for their ids. That makes it 5 to 11 bytes an id
 * where a Map takes 28 and more. Nor does it become slower with the coming and going of ids, as a Map does, which goes on
 * walking past those that are gone until it is built anew.
 */
export class SlotsById<Id extends string> {
  readonly #idAt: (slot: Slot) => Id;
  /** A power of two of them, three quarters full at most. */
  #slots: Int32Array = new Int32Array(FIRST_LENGTH).fill(NO_SLOT);
  #size = 0;

  constructor(idAt: (slot: Slot) => Id) {
    this.#idAt = idAt;
  }

  get size(): number {
    return this.#size;
  }

  /** NO_SLOT when there is none. */
  find(id: Id): Slot {
    return this.#slots[this.#placeOf(id)]!;
  }

  /** The id has to be new, and already what `idAt` answers. Amortised O(1). */
  add(id: Id, slot: Slot): void {
    this.#size += 1;
    if (this.#size > 0.75 * this.#slots.length) this.#grow();
    this.#slots[this.#placeOf(id)] = slot;
  }

  /** The id has to be there, and the slots of the others still be theirs. */
  remove(id: Id): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#placeOf(id);
    // Close the gap: whatever would be looked for across it moves into it.
    for (let at = (hole + 1) & mask; slots[at] !== NO_SLOT; at = (at + 1) & mask) {
      const home = spreadHashOf(this.#idAt(slots[at]!)) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = slots[at]!;
      hole = at;
    }
    slots[hole] = NO_SLOT;
    this.#size -= 1;
  }

  /** Where the id is, or else where it would be. */
  #placeOf(id: Id): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = spreadHashOf(id) & mask;
    while (slots[at] !== NO_SLOT && this.#idAt(slots[at]!) !== id) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const known = this.#slots;
    this.#slots = new Int32Array(2 * known.length).fill(NO_SLOT);
    for (const slot of known) if (slot !== NO_SLOT) this.#slots[this.#placeOf(this.#idAt(slot))] = slot;
  }
}
