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

const LANES = 8;

function lanesOf(digest: string): Uint32Array {
  const lanes = new Uint32Array(LANES);
  addLanes(lanes, digest, 1);
  return lanes;
}

/** Number by number, modulo 2^32. */
function addLanes(lanes: Uint32Array, digest: string, sign: 1 | -1): void {
  for (let lane = 0; lane < LANES; lane += 1) {
    const from = lane * LANE_DIGITS;
    lanes[lane] = lanes[lane]! + sign * Number.parseInt(digest.slice(from, from + LANE_DIGITS), 16);
  }
}

function toDigest(lanes: Uint32Array): string {
  return Array.from(lanes, (lane) => lane.toString(16).padStart(LANE_DIGITS, "0")).join("");
}

function changeHolding(
  holding: Holding,
  entries: Iterable<InventoryEntry>,
  { sign, hash }: { readonly sign: 1 | -1; readonly hash: HashText },
): Holding {
  const lanes = lanesOf(holding.digest);
  let { copies, bytes } = holding;
  for (const { assetId, sizeBytes, sha256 } of entries) {
    requireCount(sizeBytes, "sizeBytes");
    copies += sign;
    bytes += sign * sizeBytes;
    addLanes(lanes, hash(`${assetId}:${sizeBytes}:${sha256}`), sign);
  }
  requireCount(copies, "copies");
  requireCount(bytes, "bytes");
  return { copies, bytes, digest: toDigest(lanes) };
}

/** One copy more. Whether it is there already is the caller's to know. @throws DispatcherError INPUT_INVALID */
export function addCopy(holding: Holding, entry: InventoryEntry, hash: HashText): Holding {
  return addCopies(holding, [entry], hash);
}

/** The same of many at once. O(n). @throws DispatcherError INPUT_INVALID */
export function addCopies(holding: Holding, entries: Iterable<InventoryEntry>, hash: HashText): Holding {
  return changeHolding(holding, entries, { sign: 1, hash });
}

/** One that was added is no more. @throws DispatcherError INPUT_INVALID, also where there is less than is taken away */
export function removeCopy(holding: Holding, entry: InventoryEntry, hash: HashText): Holding {
  return changeHolding(holding, [entry], { sign: -1, hash });
}

/** Of a whole list, in any order. O(n). @throws DispatcherError INPUT_INVALID */
export function holdingOf(entries: Iterable<InventoryEntry>, hash: HashText): Holding {
  return addCopies(NO_COPIES, entries, hash);
}

/** Whether two lists are the same. */
export function isSameHolding(a: Holding, b: Holding): boolean {
  return a.copies === b.copies && a.bytes === b.bytes && a.digest === b.digest;
}
