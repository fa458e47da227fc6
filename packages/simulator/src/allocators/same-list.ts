/**
 * Every node that asks is given the same list: the first hundred assets still wanted, by priority and then by size, as far
 * as they fit. No lease, no coordination: an asset is wanted until enough nodes have reported it, and all who have got the
 * list meanwhile fetch it too. A node is not given again what was on an earlier list of its own.
 */
import { COPY_RANGES } from "../world/catalog.ts";
import type { World } from "../world/world.ts";
import type { Allocator, Desk } from "./allocator.ts";

const LIST_LENGTH = 100;
/** Looked through for a node that fits little, before it is told that there is nothing. */
const LOOKED_AT_MAX = 2000;
/** A node comes back so soon when there was nothing. */
const IDLE_MS = 3_600_000;

export function createSameList(world: World, desk: Desk): Allocator {
  const { catalog, fleet } = world;
  const { priority, sizeBytes } = catalog;
  const order = Uint32Array.from({ length: catalog.count }, (_, asset) => asset).toSorted(
    (a, b) => priority[b]! - priority[a]! || sizeBytes[a]! - sizeBytes[b]! || a - b,
  );
  const reported = new Uint16Array(catalog.count);
  /** How far the lists of a node have come. */
  const seen = new Uint32Array(fleet.count);
  let head = 0;
  const isWanted = (asset: number): boolean => reported[asset]! < COPY_RANGES[catalog.copiesOf[asset]!]!.target;

  const answerOne = (node: number): void => {
    let room = desk.freeBytes(node);
    let granted = 0;
    let place = Math.max(head, seen[node]!);
    const end = Math.min(order.length, place + LOOKED_AT_MAX);
    for (; place < end && granted < LIST_LENGTH; place += 1) {
      const asset = order[place]!;
      if (!isWanted(asset) || sizeBytes[asset]! > room) continue;
      room -= sizeBytes[asset]!;
      granted += 1;
      desk.grant(node, asset, "origin", 0);
    }
    if (granted === 0) desk.refuse(node, IDLE_MS);
    else seen[node] = place;
  };

  return {
    checksDigests: false,
    triesAfterThrottle: 10,
    askersHeard: () => Infinity,
    answer: (askers) => {
      while (head < order.length && !isWanted(order[head]!)) head += 1;
      for (const node of askers) answerOne(node);
    },
    finished: (_node, asset) => {
      reported[asset]! += 1;
      return true;
    },
    failed: () => {},
    joined: () => {},
    fellSilent: () => {},
    cameBack: () => {},
    saidGoodbye: () => {},
    wake: () => {},
    check: () => {},
  };
}
