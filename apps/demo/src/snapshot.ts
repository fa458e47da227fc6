import type { NodeLife } from "@dispatcher/core";

/** What the demo knows at one moment, as the view shows it. */
export type Snapshot = {
  readonly elapsedMs: number;
  /** Independent copies: there, being made, and aimed at. */
  readonly copies: { readonly done: number; readonly open: number; readonly wanted: number };
  readonly bytes: { readonly done: number; readonly wanted: number };
  /** Leaving the origin, over the last seconds. */
  readonly bytesPerSecond: number;
  readonly reassigned: number;
  readonly nodes: readonly NodeRow[];
  readonly origin: { readonly fetches: number; readonly peak: number; readonly budget: number };
};

export type NodeRow = {
  readonly name: string;
  readonly operator: string;
  /** As the server sees it. */
  readonly life: NodeLife;
  /** As the demo knows it. */
  readonly isKilled: boolean;
  readonly offeredBytes: number;
  readonly heldBytes: number;
  readonly copies: number;
  readonly openLeases: number;
  readonly sinceSyncMs: number | null;
};

/** Something that happened, in a line. */
export type StoryLine = { readonly elapsedMs: number; readonly text: string };

/** Share of the copies that are there, 0 to 1. */
export function progressOf({ copies }: Snapshot): number {
  return copies.wanted === 0 ? 0 : copies.done / copies.wanted;
}
