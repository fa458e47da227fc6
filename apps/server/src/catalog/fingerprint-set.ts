import { hash } from "node:crypto";

const SLOTS_AT_FIRST = 1024;

/**
 * Which of very many texts were seen before, in 16 to 32 bytes each: about 32 MB for a million.
 *
 * Texts are told apart by 64 bits of their SHA-1. Among ten million texts the chance that any two are taken for one is
 * 3 in a million. Nobody gains by forging two texts alike: it would hide an entry of one's own catalog.
 */
export class FingerprintSet {
  #slots = new BigUint64Array(SLOTS_AT_FIRST);
  #size = 0;

  has(text: string): boolean {
    const mark = fingerprint(text);
    return this.#slots[slotOf(this.#slots, mark)] === mark;
  }

  add(text: string): void {
    const mark = fingerprint(text);
    const slot = slotOf(this.#slots, mark);
    if (this.#slots[slot] === mark) return;
    this.#slots[slot] = mark;
    this.#size += 1;
    if (this.#size * 2 > this.#slots.length) this.#grow();
  }

  #grow(): void {
    const grown = new BigUint64Array(this.#slots.length * 2);
    for (const mark of this.#slots) {
      if (mark !== 0n) grown[slotOf(grown, mark)] = mark;
    }
    this.#slots = grown;
  }
}

/** Never 0, which marks an empty slot. */
function fingerprint(text: string): bigint {
  return BigInt(`0x${hash("sha1", text).slice(0, 16)}`) || 1n;
}

/** Where the mark stands, or the empty slot where it belongs. The number of slots is a power of two. */
function slotOf(slots: BigUint64Array, mark: bigint): number {
  const wrap = slots.length - 1;
  let slot = Number(mark & 0xffff_ffffn) & wrap;
  while (slots[slot] !== 0n && slots[slot] !== mark) slot = (slot + 1) & wrap;
  return slot;
}
