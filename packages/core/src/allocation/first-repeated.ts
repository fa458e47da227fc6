import { hashOf } from "./id-hash.ts";

/**
 * Finds out whether an id comes twice. O(n).
 *
 * A Set of all ids would be a quarter of what a round over a hundred thousand costs, most of it waiting for memory. So the
 * ids first go through a filter of one bit each (Bloom 1970) that stays in the cache, and only the few that meet a bit that
 * is set, and those with the same bit, are compared as what they are.
 */
export class RepeatFinder {
  readonly #hashes: Int32Array;
  readonly #seen: Int32Array;
  readonly #doubtful: Int32Array;
  #count = 0;
  #hasDoubts = false;

  /** For so many ids. */
  constructor(idCount: number) {
    let words = 1;
    while (words < idCount / 2) words *= 2;
    this.#hashes = new Int32Array(idCount);
    this.#seen = new Int32Array(words);
    this.#doubtful = new Int32Array(words);
  }

  /** The next id. */
  add(id: string): void {
    const hash = hashOf(id);
    const word = this.#wordOf(hash);
    const bit = 1 << (hash & 31);
    this.#hashes[this.#count] = hash;
    this.#count += 1;
    if ((this.#seen[word]! & bit) !== 0) {
      this.#doubtful[word]! |= bit;
      this.#hasDoubts = true;
    }
    this.#seen[word]! |= bit;
  }

  /** The first id that has come a second time, or null. `idAt` has to answer the ids as they were added, from 0. */
  first(idAt: (place: number) => string): string | null {
    if (!this.#hasDoubts) return null;
    const ids = new Set<string>();
    for (let place = 0; place < this.#count; place += 1) {
      const hash = this.#hashes[place]!;
      if ((this.#doubtful[this.#wordOf(hash)]! & (1 << (hash & 31))) === 0) continue;
      const id = idAt(place);
      if (ids.has(id)) return id;
      ids.add(id);
    }
    return null;
  }

  #wordOf(hash: number): number {
    return (hash >>> 5) & (this.#seen.length - 1);
  }
}

/** The first id that stands in `things` twice, or null. O(n). */
export function firstRepeated<Field extends string>(
  things: readonly Readonly<Record<Field, string>>[],
  field: Field,
): string | null {
  const finder = new RepeatFinder(things.length);
  for (const thing of things) finder.add(thing[field]);
  return finder.first((place) => things[place]![field]);
}
