/**
 * Who is to have the giants: files that a node could not fetch within the longest lease. They are left to quicker nodes, and
 * where even the quickest that have room for one are too slow for it, to these: else nobody would ever save it.
 */
import { compareIds } from "../ids.ts";
import type { OperatorId } from "../ids.ts";
import type { QuickNode } from "./policy.ts";

/** As many as the copies that an asset has by default, each at another operator. Too few: no second copies of giants. */
const ENOUGH = 5;

/**
 * Fewer than five operators have a quicker node with at least as much room. So of the nodes that have room for a file, the
 * quickest of each of five operators are among the quickest, whatever its size. Without a list no node is. O(its length).
 */
export function isAmongQuickest(
  rateBytesPerS: number,
  roomBytes: number,
  quickNodes: readonly QuickNode[] | undefined,
): boolean {
  if (quickNodes === undefined) return false;
  const quicker: OperatorId[] = [];
  for (const node of quickNodes) {
    if (node.rateBytesPerS <= rateBytesPerS || node.roomBytes < roomBytes || quicker.includes(node.operatorId))
      continue;
    quicker.push(node.operatorId);
    if (quicker.length === ENOUGH) return false;
  }
  return true;
}

/**
 * Of the nodes that could take something now, those that decide who is among the quickest: the others have five operators,
 * or their own, before them in both rate and room. About 5 ln n of n nodes; the quickest first, the same whatever the order
 * given. O(n log n).
 */
export function quickestNodes(nodes: readonly QuickNode[]): readonly QuickNode[] {
  const quickest: QuickNode[] = [];
  const byRate = nodes.toSorted(
    (a, b) => b.rateBytesPerS - a.rateBytesPerS || b.roomBytes - a.roomBytes || compareIds(a.operatorId, b.operatorId),
  );
  for (const { operatorId, roomBytes, rateBytesPerS } of byRate) {
    const before = new Set<OperatorId>();
    for (const other of quickest) if (other.roomBytes >= roomBytes) before.add(other.operatorId);
    if (before.size < ENOUGH && !before.has(operatorId)) quickest.push({ operatorId, roomBytes, rateBytesPerS });
  }
  return quickest;
}
