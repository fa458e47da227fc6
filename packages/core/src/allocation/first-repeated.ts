/** FNV-1a (Fowler, Noll and Vo 1991) over code units. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return hash;
}

/**
 * The first id that stands in `things` twice, or null. O(n).
 *
 * A Set of all ids would be a quarter of what a round over a hundred thousand costs, most of it waiting for memory. So the
 * ids first go through a filter of one bit each (Bloom 1970) that stays in the cache, and only the few that meet a bit that
 * is set, and those with the same bit, are compared as what they are.
 */
export function firstRepeated<Field extends string>(
  things: readonly Readonly<Record<Field, string>>[],
  field: Field,
): string | null {
  let words = 1;
  while (words < things.length / 2) words *= 2;
  const seen = new Int32Array(words);
  const doubtful = new Int32Array(words);
  const hashes = new Int32Array(things.length);
  let doubts = 0;
  for (let place = 0; place < things.length; place += 1) {
    const hash = hashOf(things[place]![field]);
    const word = (hash >>> 5) & (words - 1);
    const bit = 1 << (hash & 31);
    hashes[place] = hash;
    if ((seen[word]! & bit) !== 0) {
      doubtful[word]! |= bit;
      doubts += 1;
    }
    seen[word]! |= bit;
  }
  if (doubts === 0) return null;
  const ids = new Set<string>();
  for (let place = 0; place < things.length; place += 1) {
    const hash = hashes[place]!;
    if ((doubtful[(hash >>> 5) & (words - 1)]! & (1 << (hash & 31))) === 0) continue;
    const id = things[place]![field];
    if (ids.has(id)) return id;
    ids.add(id);
  }
  return null;
}
