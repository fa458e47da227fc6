/**
 * As the trackers of volunteer archiving projects hand out work: a random one of what is still to do. An asset is to do
 * while the copies that were reported and those that are claimed are fewer than wanted. Whatever is reported counts: nobody
 * compares digests, operators are not looked at, nodes that leave are not noticed. A claim is free again after a day. The
 * tracker knows no origins, so nothing keeps nodes from all going to the same one.
 */
import { Random } from "../random.ts";
import { COPY_RANGES } from "../world/catalog.ts";
import type { World } from "../world/world.ts";
import type { Allocator, Desk } from "./allocator.ts";

const CLAIMS_AT_ONCE = 4;
const CLAIM_MS = 24 * 3_600_000;
/** Draws before the tracker tells a node that there is nothing for it. */
const DRAWS_MAX = 50;
/** A node comes back so soon when there was nothing. */
const IDLE_MS = 300_000;
const CLAIM_TIMEOUT = 1;

export function createRandomClaims(world: World, desk: Desk): Allocator {
  const { catalog } = world;
  const random = Random.fromSeed(world.seed, "random-claims");
  const todo = Uint32Array.from({ length: catalog.count }, (_, asset) => asset);
  const placeOf = Int32Array.from(todo);
  let todoCount = catalog.count;
  const spoken = new Uint16Array(catalog.count);
  /** By claim: its asset; -1 when it has ended. */
  const claims: number[] = [];

  const setTodo = (asset: number): void => {
    const isTodo = spoken[asset]! < COPY_RANGES[catalog.copiesOf[asset]!]!.target;
    const place = placeOf[asset]!;
    if (isTodo === place < todoCount) return;
    const other = isTodo ? todoCount : todoCount - 1;
    todoCount += isTodo ? 1 : -1;
    const moved = todo[other]!;
    [todo[place], todo[other]] = [moved, asset];
    [placeOf[moved], placeOf[asset]] = [place, other];
  };
  const speak = (asset: number, change: 1 | -1): void => {
    spoken[asset]! += change;
    setTodo(asset);
  };

  const answerOne = (node: number, nowMs: number): void => {
    let room = desk.freeBytes(node);
    let granted = 0;
    for (let draw = 0; draw < DRAWS_MAX && granted < CLAIMS_AT_ONCE; draw += 1) {
      if (todoCount === 0) break;
      const asset = todo[random.below(todoCount)]!;
      const size = catalog.sizeBytes[asset]!;
      if (size > room || desk.has(node, asset)) continue;
      room -= size;
      granted += 1;
      speak(asset, 1);
      const claim = claims.push(asset) - 1;
      desk.grant(node, asset, "origin", claim);
      desk.wakeAt(nowMs + CLAIM_MS, CLAIM_TIMEOUT, claim);
    }
    if (granted === 0) desk.refuse(node, IDLE_MS);
  };

  return {
    checksDigests: false,
    triesAfterThrottle: 10,
    askersHeard: () => Infinity,
    answer: (askers, nowMs) => {
      for (const node of askers) answerOne(node, nowMs);
    },
    finished: (_node, asset, claim) => {
      // One that had timed out is done all the same.
      if (claims[claim] === -1) speak(asset, 1);
      claims[claim] = -1;
      return true;
    },
    // The tracker is told nothing: the claim times out.
    failed: () => {},
    joined: () => {},
    fellSilent: () => {},
    cameBack: () => {},
    saidGoodbye: () => {},
    wake: (_kind, claim) => {
      const asset = claims[claim]!;
      if (asset === -1) return;
      claims[claim] = -1;
      speak(asset, -1);
    },
    check: () => {
      for (let place = 0; place < todoCount; place += 1) {
        if (placeOf[todo[place]!] !== place) throw new Error(`Asset ${todo[place]} is not where it is said to be.`);
      }
    },
  };
}
