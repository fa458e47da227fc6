import type { FailureCode } from "@dispatcher/core";

export type Source = "origin" | "peers";

/** What a node says of a file it has finished. */
export type Report = {
  /** Whether it has the bytes of the file. */
  readonly isGood: boolean;
  /** Whether it says that it has a copy without having fetched one. */
  readonly isPretence: boolean;
  readonly fetchedBytes: number;
  readonly fetchMs: number;
};

/** What an allocator can see of the fleet, and do to it. */
export type Desk = {
  /** The node is to make a copy; works off its grants in the order in which they were given. */
  grant(node: number, asset: number, source: Source, claim: number): void;
  /** The node may ask again after so long. */
  refuse(node: number, retryAfterMs: number): void;
  /** The node stops work on it, if it has not finished; true if it had it in hand. */
  cancel(node: number, asset: number): boolean;
  /** The node stops work on it and keeps what it has of it, until it may go on or is told to drop it. */
  pause(node: number, asset: number): void;
  goOnWith(node: number, asset: number): void;
  /** The allocator's `wake` is called then. */
  wakeAt(atMs: number, kind: number, subject: number): void;
  isOnline(node: number): boolean;
  /** Bytes are arriving for it now. */
  isRunning(node: number, asset: number): boolean;
  /** What the node's disk has free, as its agent says. */
  freeBytes(node: number): number;
  /** It has a good copy, or the file in hand. */
  has(node: number, asset: number): boolean;
  /** An audit: the node is asked to prove its copy. False when it cannot. */
  canProve(node: number, asset: number): boolean;
};

/**
 * One way of deciding who saves what. The simulation tells it everything that the server of such a system would hear, and
 * nothing more.
 */
export type Allocator = {
  /** Nodes compare what they have received with what the catalog declares, before they say that they have it. */
  readonly checksDigests: boolean;
  /** A refused request is tried again by its node, as often as this, before it is given up. */
  readonly triesAfterThrottle: number;
  /** Nodes heard in the round that is held now; the others wait for their turn. 0: nobody could get anything. */
  askersHeard(nowMs: number): number;
  /** Each of them is granted something or refused. */
  answer(askers: readonly number[], nowMs: number): void;
  /** A copy is said to be there. Answers whether the node is to keep it. */
  finished(node: number, asset: number, claim: number, report: Report, nowMs: number): boolean;
  failed(node: number, asset: number, claim: number, code: FailureCode, nowMs: number): void;
  joined(node: number, nowMs: number): void;
  /** The node is not heard of any more, for a while or for ever: nobody knows. */
  fellSilent(node: number, nowMs: number): void;
  cameBack(node: number, nowMs: number): void;
  saidGoodbye(node: number, nowMs: number): void;
  wake(kind: number, subject: number, nowMs: number): void;
  /** @throws Error when what it believes does not balance */
  check(): void;
};
