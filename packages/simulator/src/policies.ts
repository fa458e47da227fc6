/** The ways of deciding that are compared, by the names under which the command knows them. */
import { fifo, priorityFirst, rarestFirst, rescueFirst } from "@dispatcher/core";
import type { UrgencyPolicy } from "@dispatcher/core";
import type { Allocator, Desk } from "./allocators/allocator.ts";
import { createPoolAllocator } from "./allocators/pool-allocator.ts";
import { createRandomClaims } from "./allocators/random-claims.ts";
import { createSameList } from "./allocators/same-list.ts";
import type { World } from "./world/world.ts";

/** As the server's default. */
const ORIGIN_FETCHES_MAX: number | null = null;

const byUrgency =
  (policy: UrgencyPolicy) =>
  (world: World, desk: Desk): Allocator =>
    createPoolAllocator(world, desk, { policy, originFetchesMax: ORIGIN_FETCHES_MAX });

export const POLICIES: Readonly<
  Record<string, { readonly about: string; readonly create: (world: World, desk: Desk) => Allocator }>
> = {
  rescueFirst: { about: "Dispatcher, with its default urgency", create: byUrgency(rescueFirst) },
  fifo: { about: "the same, but what was imported first goes first", create: byUrgency(fifo) },
  priorityFirst: {
    about: "the same, but the coordinators' priorities before all else",
    create: byUrgency(priorityFirst),
  },
  rarestFirst: { about: "the same, but what has fewest copies before all else", create: byUrgency(rarestFirst) },
  random: { about: "a tracker that hands out random files and believes what it is told", create: createRandomClaims },
  sameList: { about: "one list for everybody, and nobody coordinates", create: createSameList },
};

/** @throws Error for a name that is none of theirs */
export function createNamed(name: string, world: World, desk: Desk): Allocator {
  const policy = POLICIES[name];
  if (policy === undefined) throw new Error(`There is no policy called ${name}.`);
  return policy.create(world, desk);
}

export const DEFAULT_POLICIES: readonly string[] = ["rescueFirst", "fifo", "random", "sameList"];
