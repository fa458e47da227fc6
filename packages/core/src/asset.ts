import { refuse, requireCount } from "./check.ts";
import { DispatcherError } from "./errors.ts";

declare const scale: unique symbol;
/** 1 to 10, 10 is most urgent. */
export type Priority = number & { readonly [scale]: "priority" };
/** A Priorizer's place in its list: 1 is first. Runs the other way than a priority, so the types keep them apart. */
export type Rank = number & { readonly [scale]: "rank" };

/** @throws DispatcherError INPUT_INVALID outside 1 to 10 */
export function asPriority(value: number): Priority {
  if (!Number.isInteger(value) || value < 1 || value > 10) {
    throw new DispatcherError(
      "INPUT_INVALID",
      `A priority is a whole number from 1 to 10, 10 most urgent; got ${value}.`,
    );
  }
  return value as Priority;
}

/** @throws DispatcherError INPUT_INVALID below 1 */
export function asRank(value: number): Rank {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new DispatcherError("INPUT_INVALID", `A rank is a whole number from 1, which is first; got ${value}.`);
  }
  return value as Rank;
}

/** How many independent copies: below min is danger, target is the aim, max is never passed. */
export type CopyRange = { readonly min: number; readonly target: number; readonly max: number };

/** Whole numbers, and each at least the one before. @throws DispatcherError INPUT_INVALID naming the first that is not */
export function checkCopies({ min, target, max }: CopyRange): void {
  requireCount(min, "copies.min");
  requireCount(target, "copies.target");
  requireCount(max, "copies.max");
  if (target < min) refuse(target, "copies.target", `copies.min, ${min}, or more`);
  if (max < target) refuse(max, "copies.max", `copies.target, ${target}, or more`);
}

export const DEFAULT_COPIES: CopyRange = { min: 2, target: 3, max: 5 };

/** What happens to an asset: `gone` at its origin, waiting for people in `review`, `withdrawn` by a coordinator. */
export const ASSET_STATES = ["wanted", "gone", "review", "withdrawn"] as const;
export type AssetState = (typeof ASSET_STATES)[number];
