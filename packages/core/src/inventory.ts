/**
 * What a node holds, in one line that both sides keep up to date copy by copy and compare at every sync: how many copies,
 * how many bytes, and a digest of the list that does not depend on its order.
 *
 * The digest is MSet-VAdd-Hash (Clarke et al. 2003, Incremental Multiset Hash Functions and Their Application to Memory
 * Integrity Checking): the SHA-256 of each entry as a vector of eight 32-bit numbers, added up number by number, each sum
 * modulo 2^32. A copy is added, or taken away again, in constant time, and it is as short in SQL as it is here.
 *
 * Two lists that differ by accident have the same digest with a chance of 2^-256, as their difference is a sum of numbers
 * that SHA-256 scatters evenly. (An exclusive or would do as well for sets, and would not see an entry counted twice.)
 * Against somebody who chooses the entries 256 bits of a sum are too few: Wagner's generalized birthday attack finds two
 * lists of many entries with one sum. There is nothing to win by it: a node that lies about its copies simply lies, digest
 * and all, and it takes an audit to find out.
 */
import { requireCount } from "./check.ts";
import type { AssetId } from "./ids.ts";

/** One copy as a list names it; the SHA-256 of its bytes as 64 digits of lower-case hex. */
export type InventoryEntry = { readonly assetId: AssetId; readonly sizeBytes: number; readonly sha256: string };

export type Holding = {
  readonly copies: number;
  /** Of all copies together. */
  readonly bytes: number;
  /** 64 digits of lower-case hex. */
  readonly digest: string;
};

/** SHA-256 of a text in UTF-8, as 64 digits of lower-case hex: the core has no hash function of its own. */
export type HashText = (text: string) => string;

/** Of a node that holds nothing. */
export const NO_COPIES: Holding = { copies: 0, bytes: 0, digest: "0".repeat(64) };

const LANE_DIGITS = 8;

/** Number by number, modulo 2^32. */
function addLanes(a: string, b: string, sign: 1 | -1): string {
  let sum = "";
  for (let at = 0; at < a.length; at += LANE_DIGITS) {
    const lane = Number.parseInt(a.slice(at, at + LANE_DIGITS), 16);
    const other = Number.parseInt(b.slice(at, at + LANE_DIGITS), 16);
    sum += ((lane + sign * other) >>> 0).toString(16).padStart(LANE_DIGITS, "0");
  }
  return sum;
}

function changeHolding(holding: Holding, entry: InventoryEntry, sign: 1 | -1, hash: HashText): Holding {
  const { assetId, sizeBytes, sha256 } = entry;
  requireCount(sizeBytes, "sizeBytes");
  const copies = holding.copies + sign;
  const bytes = holding.bytes + sign * sizeBytes;
  requireCount(copies, "copies");
  requireCount(bytes, "bytes");
  return { copies, bytes, digest: addLanes(holding.digest, hash(`${assetId}:${sizeBytes}:${sha256}`), sign) };
}

/** One copy more. Whether it is there already is the caller's to know. @throws DispatcherError INPUT_INVALID */
export function addCopy(holding: Holding, entry: InventoryEntry, hash: HashText): Holding {
  return changeHolding(holding, entry, 1, hash);
}

/** One that was added is no more. @throws DispatcherError INPUT_INVALID, also where there is less than is taken away */
export function removeCopy(holding: Holding, entry: InventoryEntry, hash: HashText): Holding {
  return changeHolding(holding, entry, -1, hash);
}

/** Of a whole list, in any order. O(n). @throws DispatcherError INPUT_INVALID */
export function holdingOf(entries: Iterable<InventoryEntry>, hash: HashText): Holding {
  let holding = NO_COPIES;
  for (const entry of entries) holding = addCopy(holding, entry, hash);
  return holding;
}

/** Whether two lists are the same. */
export function isSameHolding(a: Holding, b: Holding): boolean {
  return a.copies === b.copies && a.bytes === b.bytes && a.digest === b.digest;
}
