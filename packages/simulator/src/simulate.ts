/**
 * The simulation: discrete events over a world, for one allocator.
 *
 * A node makes its copies one after the other, in the order in which they were granted. A fetch takes half a second and the
 * bytes at the lower of the node's and the server's rate; above an origin's capacity its fetches share what it has (which
 * one got is fixed when it begins), or, at an origin that throttles, are answered 429. To be able to simulate millions of
 * small files, those that a node fetches within a minute are one event: begun together, each with its own start and end, and
 * reported together, as a sync a minute would. An origin's load counts such a fetch by the part of that time it takes.
 *
 * Nobody polls: a node is heard when it has finished what it had, or when the time of its refusal is over, in rounds of
 * fifteen seconds. Where an allocator hears only so many at once, the others keep their place in the line.
 *
 * Of a thousand requests three end with a 5xx at once, and of ten thousand fetches five bring wrong bytes; for which node and
 * which asset that happens is a fact of the world. Cut connections are not simulated: nodes of all kinds resume.
 */
import type { FailureCode } from "@dispatcher/core";
import type { Allocator, Desk, Source } from "./allocators/allocator.ts";
import { EventQueue } from "./event-queue.ts";
import { Observer, SAMPLE_MS } from "./measures.ts";
import type { Measures } from "./measures.ts";
import { chanceOf } from "./random.ts";
import { CORRUPTING, HONEST, PRETENDING } from "./world/fleet.ts";
import { REQUEST_MS } from "./world/origins.ts";
import type { World } from "./world/world.ts";

const MINUTE_MS = 60_000;
const ROUND_MS = 15_000;
/** Fetches of a node that begin within this time are one event. */
const STRETCH_MS = MINUTE_MS;
/** A fetch that takes longer is looked at again so often, as the crowd at its origin may have changed. */
const LOOK_AGAIN_MS = 2 * 60 * MINUTE_MS;
/** After a 429 a node without anybody to tell waits so long, twice as long each time, and never longer than an hour. */
const THROTTLE_FIRST_MS = 5 * MINUTE_MS;
const PAUSE_MAX_MS = 60 * MINUTE_MS;
const CHECK_MS = 30 * MINUTE_MS;
const ORIGIN_ERROR_SHARE = 0.003;
const WRONG_BYTES_SHARE = 0.0005;
const CORRUPTING_SHARE = 0.5;
/** Origin loads are kept in whole thousandths of a fetch, so that what is added and taken away sums to nothing. */
const LOAD_UNIT = 1000;

const JOIN = 0;
const OFFLINE = 1;
const ONLINE = 2;
const LEAVE = 3;
const STRETCH_DONE = 4;
const ASK = 5;
const ROUND = 6;
const SAMPLE = 7;
const WAKE_NODE = 8;
/** Kinds of the allocator's own begin here. */
const ALLOCATOR = 16;

const ABSENT = 0;
const PRESENT = 1;
const AWAY = 2;
const LEFT = 3;

/** A copy in the making. */
type Fetch = {
  readonly asset: number;
  readonly source: Source;
  readonly claim: number;
  tries: number;
  /** Bytes that an earlier stretch has brought. */
  bytesBefore: number;
  startMs: number;
  endMs: number;
  bytesPerS: number;
  /** Its file is not whole at the end of the stretch, and is gone on with. */
  isPart: boolean;
  /** Of the load of its origin, while its stretch runs. */
  load: number;
};

type NodeState = {
  presence: number;
  /** Granted and not begun. */
  waiting: Fetch[];
  /** Begun, and not to be gone on with for now. */
  readonly paused: Fetch[];
  /** The stretch under way. */
  running: Fetch[];
  /** Goes up when what is planned for the node is void. */
  stamp: number;
  usedBytes: number;
  throttlesInRow: number;
  isInLine: boolean;
};

export type SimulationOptions = {
  readonly createAllocator: (desk: Desk) => Allocator;
  /** Compare all books after the first round of every simulated half hour; for small worlds. */
  readonly isChecked?: boolean;
  /** Called once a simulated day, with the share of the span that is over. */
  readonly onProgress?: (share: number) => void;
};

/** Runs a world to the end of its span. Deterministic: the same world and allocator give the same measures. */
export function simulate(world: World, options: SimulationOptions): Measures {
  return new Simulation(world, options).run();
}

class Simulation implements Desk {
  readonly #world: World;
  readonly #options: SimulationOptions;
  readonly #events = new EventQueue();
  readonly #observer: Observer;
  readonly #nodes: NodeState[];
  readonly #load: Int32Array;
  readonly #allocator: Allocator;
  /** Nodes that want to be heard, in the order in which they came. */
  #line: number[] = [];
  #isRoundPlanned = false;
  #nowMs = 0;
  #checkedAtMs = 0;

  constructor(world: World, options: SimulationOptions) {
    this.#world = world;
    this.#options = options;
    this.#observer = new Observer(world);
    this.#nodes = Array.from({ length: world.fleet.count }, () => ({
      presence: ABSENT,
      waiting: [],
      paused: [],
      running: [],
      stamp: 0,
      usedBytes: 0,
      throttlesInRow: 0,
      isInLine: false,
    }));
    this.#load = new Int32Array(world.origins.count);
    this.#allocator = options.createAllocator(this);
  }

  run(): Measures {
    const { spanMs, fleet } = this.#world;
    for (let node = 0; node < fleet.count; node += 1) this.#plan(fleet.joinsAtMs[node]!, JOIN, node);
    for (let atMs = 0; atMs <= spanMs; atMs += SAMPLE_MS) this.#plan(atMs, SAMPLE, 0);
    for (let event = this.#events.pop(); event !== undefined && event.atMs <= spanMs; event = this.#events.pop()) {
      this.#nowMs = event.atMs;
      this.#happen(event.kind, event.subject, event.stamp);
    }
    this.#nowMs = spanMs;
    return this.#observer.measures(this.#settleAtEnd());
  }

  // ---- what the allocator sees and does

  grant(node: number, asset: number, source: Source, claim: number): void {
    this.#node(node).waiting.push({
      asset,
      source,
      claim,
      tries: 0,
      bytesBefore: 0,
      startMs: 0,
      endMs: 0,
      bytesPerS: 1,
      isPart: false,
      load: 0,
    });
  }

  refuse(node: number, retryAfterMs: number): void {
    const state = this.#node(node);
    // With work in hand it asks when that is done.
    if (state.waiting.length > 0 || state.running.length > 0) return;
    this.#plan(this.#nowMs + retryAfterMs, ASK, node, state.stamp);
  }

  cancel(node: number, asset: number): boolean {
    const fetch = this.#takeOut(node, asset);
    if (fetch !== null) this.#discard(node, fetch.bytesBefore);
    return fetch !== null;
  }

  pause(node: number, asset: number): void {
    const fetch = this.#takeOut(node, asset);
    if (fetch !== null) this.#node(node).paused.push(fetch);
  }

  goOnWith(node: number, asset: number): void {
    const state = this.#node(node);
    const at = state.paused.findIndex((fetch) => fetch.asset === asset);
    if (at < 0) return;
    state.waiting.unshift(...state.paused.splice(at, 1));
    this.#goOn(node);
  }

  /** What the node has in hand of an asset; null when it has nothing, or finishes it this moment. */
  #takeOut(node: number, asset: number): Fetch | null {
    const state = this.#node(node);
    const isMeant = (fetch: Fetch): boolean => fetch.asset === asset;
    for (const fetches of [state.waiting, state.paused]) {
      const at = fetches.findIndex(isMeant);
      if (at >= 0) return fetches.splice(at, 1)[0]!;
    }
    if (!state.running.some(isMeant)) return null;
    // The stretch is cut short: what had been done stays, and the rest goes on without this one.
    this.#interrupt(node);
    const left = state.waiting.findIndex(isMeant);
    const fetch = left >= 0 ? state.waiting.splice(left, 1)[0]! : null;
    if (state.presence === PRESENT) this.#goOn(node);
    return fetch;
  }

  wakeAt(atMs: number, kind: number, subject: number): void {
    this.#plan(atMs, ALLOCATOR + kind, subject);
  }

  isOnline(node: number): boolean {
    return this.#node(node).presence === PRESENT;
  }

  isRunning(node: number, asset: number): boolean {
    return this.#node(node).running.some((fetch) => fetch.asset === asset);
  }

  freeBytes(node: number): number {
    const { fleet } = this.#world;
    if (this.#nowMs >= fleet.fillsAtMs[node]!) return 0;
    return Math.max(0, fleet.offeredBytes[node]! - this.#node(node).usedBytes);
  }

  has(node: number, asset: number): boolean {
    const { waiting, paused, running } = this.#node(node);
    for (const fetches of [waiting, paused, running]) if (fetches.some((fetch) => fetch.asset === asset)) return true;
    return this.canProve(node, asset);
  }

  canProve(node: number, asset: number): boolean {
    return this.#observer.copies.find(asset, (holder) => holder === node) !== null;
  }

  // ---- what happens

  #node(node: number): NodeState {
    return this.#nodes[node]!;
  }

  #plan(atMs: number, kind: number, subject: number, stamp = 0): void {
    this.#events.push({ atMs, kind, subject, stamp });
  }

  #happen(kind: number, subject: number, stamp: number): void {
    if (kind >= ALLOCATOR) this.#allocator.wake(kind - ALLOCATOR, subject, this.#nowMs);
    else if (kind === JOIN) this.#join(subject);
    else if (kind === OFFLINE) this.#goAway(subject);
    else if (kind === ONLINE) this.#comeBack(subject);
    else if (kind === LEAVE) this.#leave(subject);
    else if (kind === ROUND) this.#holdRound();
    else if (kind === SAMPLE) this.#sample();
    else if (stamp !== this.#node(subject).stamp) return;
    else if (kind === STRETCH_DONE) this.#finishStretch(subject);
    else if (kind === ASK) this.#ask(subject);
    else if (kind === WAKE_NODE) this.#goOn(subject);
  }

  #sample(): void {
    this.#observer.sample();
    if (this.#nowMs % (4 * SAMPLE_MS) === 0) this.#options.onProgress?.(this.#nowMs / this.#world.spanMs);
  }

  #join(node: number): void {
    const { fleet } = this.#world;
    const leavesAtMs = fleet.leavesAtMs[node]!;
    this.#node(node).presence = PRESENT;
    this.#allocator.joined(node, this.#nowMs);
    const spells = fleet.spellsMs[node]!;
    for (let at = 0; at < spells.length; at += 2) {
      if (spells[at]! <= this.#nowMs || spells[at]! >= leavesAtMs) continue;
      this.#plan(spells[at]!, OFFLINE, node);
      if (spells[at + 1]! < leavesAtMs) this.#plan(spells[at + 1]!, ONLINE, node);
    }
    if (leavesAtMs !== Infinity) this.#plan(leavesAtMs, LEAVE, node);
    this.#ask(node);
  }

  #goAway(node: number): void {
    this.#allocator.fellSilent(node, this.#nowMs);
    this.#interrupt(node);
    this.#node(node).presence = AWAY;
  }

  #comeBack(node: number): void {
    this.#node(node).presence = PRESENT;
    this.#allocator.cameBack(node, this.#nowMs);
    this.#goOn(node);
  }

  #leave(node: number): void {
    const state = this.#node(node);
    const wasHeard = state.presence === PRESENT;
    const saysGoodbye = wasHeard && this.#world.fleet.saysGoodbye[node] === 1;
    if (wasHeard) {
      if (!saysGoodbye) this.#allocator.fellSilent(node, this.#nowMs);
      this.#interrupt(node);
    }
    state.presence = LEFT;
    this.#observer.nodeLeft(node);
    if (saysGoodbye) this.#allocator.saidGoodbye(node, this.#nowMs);
    for (const fetch of [...state.waiting, ...state.paused]) this.#discard(node, fetch.bytesBefore);
    state.waiting = [];
    state.paused.length = 0;
  }

  #ask(node: number): void {
    const state = this.#node(node);
    if (state.presence !== PRESENT || state.isInLine) return;
    const { windowFrom, windowTo } = this.#world.fleet;
    const waitMs = untilOpenMs(windowFrom[node]!, windowTo[node]!, this.#nowMs);
    if (waitMs > 0) {
      this.#plan(this.#nowMs + waitMs, ASK, node, state.stamp);
      return;
    }
    state.isInLine = true;
    this.#line.push(node);
    this.#planRound();
  }

  #planRound(): void {
    if (this.#isRoundPlanned) return;
    this.#isRoundPlanned = true;
    this.#plan((Math.floor(this.#nowMs / ROUND_MS) + 1) * ROUND_MS, ROUND, 0);
  }

  #holdRound(): void {
    this.#isRoundPlanned = false;
    const most = this.#allocator.askersHeard(this.#nowMs);
    if (most > 0) {
      const heard = this.#nextInLine(most);
      this.#allocator.answer(heard, this.#nowMs);
      for (const node of heard) if (this.#node(node).waiting.length > 0) this.#goOn(node);
    }
    if (this.#options.isChecked === true && this.#nowMs >= this.#checkedAtMs + CHECK_MS) {
      this.#checkedAtMs = this.#nowMs;
      this.#allocator.check();
    }
    if (this.#line.length > 0) this.#planRound();
  }

  #nextInLine(most: number): readonly number[] {
    const heard: number[] = [];
    let at = 0;
    for (; at < this.#line.length && heard.length < most; at += 1) {
      const node = this.#line[at]!;
      const state = this.#node(node);
      state.isInLine = false;
      if (state.presence === PRESENT && state.running.length === 0 && state.waiting.length === 0) heard.push(node);
    }
    this.#line = this.#line.slice(at);
    return heard;
  }

  // ---- fetching

  /** Begins the next stretch of a node that is online; one without anything in hand asks. */
  #goOn(node: number): void {
    const state = this.#node(node);
    if (state.presence !== PRESENT || state.running.length > 0) return;
    const begun: Fetch[] = [];
    const later: Fetch[] = [];
    /** Origins that have just answered 429: the node does not try its other files there. */
    const closed: number[] = [];
    let endMs = this.#nowMs;
    let taken = 0;
    while (taken < state.waiting.length && endMs - this.#nowMs < STRETCH_MS) {
      const fetch = state.waiting[taken]!;
      const origin = this.#world.catalog.originOf[fetch.asset]!;
      taken += 1;
      if (closed.includes(origin)) {
        later.push(fetch);
        continue;
      }
      const outcome = this.#begin(node, fetch, endMs);
      if (outcome === "later") {
        later.push(fetch);
        closed.push(origin);
      }
      if (outcome !== "begun") continue;
      begun.push(fetch);
      endMs = fetch.endMs;
    }
    state.waiting = [...state.waiting.slice(taken), ...later];
    if (begun.length > 0) {
      state.running = begun;
      for (const fetch of begun) this.#takeLoad(node, fetch, endMs - this.#nowMs);
      this.#plan(endMs, STRETCH_DONE, node, state.stamp);
    } else if (state.waiting.length > 0) {
      const pauseMs = Math.min(PAUSE_MAX_MS, THROTTLE_FIRST_MS * 2 ** Math.min(state.throttlesInRow, 10));
      state.throttlesInRow += 1;
      this.#plan(this.#nowMs + pauseMs, WAKE_NODE, node, state.stamp);
    } else {
      this.#ask(node);
    }
  }

  #begin(node: number, fetch: Fetch, startMs: number): "begun" | "later" | "ended" {
    const { catalog, fleet, origins, seed } = this.#world;
    const { asset, source } = fetch;
    const bytesLeft = catalog.sizeBytes[asset]! - fetch.bytesBefore;
    fetch.startMs = startMs;
    const pretends = fleet.honesty[node] === PRETENDING;
    if (bytesLeft > this.freeBytes(node)) return this.#fail(node, fetch, "DISK_FULL", fetch.bytesBefore);
    if (source === "peers") {
      const peer = this.#observer.copies.find(asset, (holder) => this.isOnline(holder));
      if (peer === null) return this.#fail(node, fetch, "CONNECT_FAILED", fetch.bytesBefore);
      fetch.bytesPerS = Math.min(fleet.downBytesPerS[node]!, fleet.upBytesPerS[peer]!);
    } else {
      const origin = catalog.originOf[asset]!;
      if (this.#nowMs >= origins.diesAtMs[origin]!) return this.#fail(node, fetch, "NOT_FOUND", fetch.bytesBefore);
      const crowd = this.#load[origin]! / LOAD_UNIT;
      const capacity = origins.capacity[origin]!;
      // One that pretends asks nobody, and takes as long as if it did: else it would be found out.
      const isGoingOn = fetch.isPart || pretends;
      if (!isGoingOn && origins.throttles[origin] === 1 && crowd >= capacity) return this.#throttle(node, fetch);
      if (!isGoingOn && chanceOf(seed, 1, asset, node) < ORIGIN_ERROR_SHARE)
        return this.#fail(node, fetch, "ORIGIN_ERROR", fetch.bytesBefore);
      const shared = origins.fetchBytesPerS[origin]! / Math.max(1, (crowd + 1) / capacity);
      fetch.bytesPerS = Math.min(fleet.downBytesPerS[node]!, shared);
    }
    this.#node(node).throttlesInRow = 0;
    const wholeMs = REQUEST_MS + Math.ceil((1000 * bytesLeft) / fetch.bytesPerS);
    fetch.isPart = wholeMs > LOOK_AGAIN_MS;
    fetch.endMs = startMs + Math.min(wholeMs, LOOK_AGAIN_MS);
    return "begun";
  }

  #throttle(node: number, fetch: Fetch): "later" | "ended" {
    this.#observer.requestRefused(this.#world.catalog.originOf[fetch.asset]!, this.#nowMs);
    fetch.tries += 1;
    if (fetch.tries <= this.#allocator.triesAfterThrottle) return "later";
    return this.#fail(node, fetch, "THROTTLED", fetch.bytesBefore);
  }

  #fail(node: number, fetch: Fetch, code: FailureCode, abortedBytes: number): "ended" {
    this.#discard(node, abortedBytes);
    this.#allocator.failed(node, fetch.asset, fetch.claim, code, this.#nowMs);
    return "ended";
  }

  #discard(node: number, bytes: number): void {
    if (bytes > 0 && this.#world.fleet.honesty[node] !== PRETENDING) this.#observer.wasted("aborted", bytes);
  }

  #takeLoad(node: number, fetch: Fetch, stretchMs: number): void {
    if (fetch.source !== "origin" || this.#world.fleet.honesty[node] === PRETENDING) return;
    fetch.load = Math.round((LOAD_UNIT * (fetch.endMs - fetch.startMs)) / stretchMs);
    this.#load[this.#world.catalog.originOf[fetch.asset]!]! += fetch.load;
  }

  #giveLoadBack(fetch: Fetch, endMs: number): void {
    if (fetch.source !== "origin" || fetch.load === 0) return;
    const origin = this.#world.catalog.originOf[fetch.asset]!;
    this.#load[origin]! -= fetch.load;
    fetch.load = 0;
    this.#observer.originFetch(origin, fetch.startMs, Math.min(endMs, this.#world.origins.diesAtMs[origin]!));
  }

  #finishStretch(node: number): void {
    const state = this.#node(node);
    const done = state.running;
    state.running = [];
    for (const fetch of done) this.#giveLoadBack(fetch, fetch.endMs);
    for (const fetch of done) {
      if (fetch.isPart) this.#goOnLater(node, fetch);
      else this.#finish(node, fetch);
    }
    this.#goOn(node);
  }

  #goOnLater(node: number, fetch: Fetch): void {
    this.#keepPartial(node, fetch);
    this.#node(node).waiting.unshift(fetch);
  }

  /** The node stops: what has arrived whole is finished, what has begun keeps its bytes, the rest waits. */
  #interrupt(node: number): void {
    const state = this.#node(node);
    const stopped = state.running;
    state.running = [];
    state.stamp += 1;
    for (const fetch of stopped) this.#giveLoadBack(fetch, Math.min(fetch.endMs, Math.max(fetch.startMs, this.#nowMs)));
    const whole = stopped.filter((fetch) => fetch.endMs <= this.#nowMs && !fetch.isPart);
    const rest = stopped.filter((fetch) => fetch.endMs > this.#nowMs || fetch.isPart);
    for (const fetch of rest) {
      this.#keepPartial(node, fetch);
      fetch.isPart = false;
    }
    state.waiting = [...rest, ...state.waiting];
    for (const fetch of whole) this.#finish(node, fetch);
  }

  #keepPartial(node: number, fetch: Fetch): void {
    const sizeBytes = this.#world.catalog.sizeBytes[fetch.asset]!;
    const untilMs = Math.min(this.#nowMs, fetch.endMs);
    const arrived = Math.floor((Math.max(0, untilMs - fetch.startMs - REQUEST_MS) * fetch.bytesPerS) / 1000);
    const bytes = Math.min(sizeBytes - fetch.bytesBefore, arrived);
    fetch.bytesBefore += bytes;
    if (bytes > 0 && this.#world.fleet.honesty[node] !== PRETENDING) this.#observer.downloaded(bytes);
  }

  #finish(node: number, fetch: Fetch): void {
    const { catalog, fleet, origins, seed } = this.#world;
    const { asset, claim, startMs, endMs, bytesBefore } = fetch;
    const sizeBytes = catalog.sizeBytes[asset]!;
    const fetchMs = endMs - startMs;
    const honesty = fleet.honesty[node]!;
    const nowMs = this.#nowMs;
    if (honesty === PRETENDING) {
      const said = { isGood: false, isPretence: true, fetchedBytes: sizeBytes - bytesBefore, fetchMs };
      // It never says that it has more than it offers.
      if (this.#allocator.finished(node, asset, claim, said, nowMs)) this.#node(node).usedBytes += sizeBytes;
      return;
    }
    const diesAtMs = fetch.source === "origin" ? origins.diesAtMs[catalog.originOf[asset]!]! : Infinity;
    if (diesAtMs < endMs) {
      const arrived = Math.floor((sizeBytes - bytesBefore) * (Math.max(0, diesAtMs - startMs) / (endMs - startMs)));
      this.#observer.downloaded(arrived);
      this.#fail(node, fetch, "NOT_FOUND", bytesBefore + arrived);
      return;
    }
    this.#observer.downloaded(sizeBytes - bytesBefore);
    if (sizeBytes > this.freeBytes(node)) {
      this.#fail(node, fetch, "DISK_FULL", sizeBytes);
      return;
    }
    const isDamaged = chanceOf(seed, 2, asset, node) < WRONG_BYTES_SHARE;
    if (isDamaged && honesty === HONEST && this.#allocator.checksDigests && catalog.hasDigest[asset] === 1) {
      this.#observer.wasted("corrupt", sizeBytes);
      this.#allocator.failed(node, asset, claim, "BAD_DIGEST", nowMs);
      return;
    }
    const spoils = honesty === CORRUPTING && chanceOf(seed, 3, asset, node) < CORRUPTING_SHARE;
    const isGood = !isDamaged && !spoils;
    const isKept = this.#allocator.finished(
      node,
      asset,
      claim,
      { isGood, isPretence: false, fetchedBytes: sizeBytes - bytesBefore, fetchMs },
      nowMs,
    );
    if (!isGood) this.#observer.wasted("corrupt", sizeBytes);
    else if (!isKept) this.#discard(node, sizeBytes);
    if (!isKept) return;
    this.#node(node).usedBytes += sizeBytes;
    if (isGood) this.#observer.goodCopy(asset, node, nowMs);
  }

  /** What is under way at the end counts in the origins' load and nowhere else. Answers the loads of the nodes online. */
  #settleAtEnd(): readonly number[] {
    const { fleet } = this.#world;
    return this.#nodes.flatMap((state, node) => {
      for (const fetch of state.running) this.#giveLoadBack(fetch, Math.min(fetch.endMs, this.#nowMs));
      return state.presence === PRESENT ? [state.usedBytes / fleet.offeredBytes[node]!] : [];
    });
  }
}

const DAY_MINUTES = 1440;

/** Until the daily window opens; 0 inside it, or where it is the whole day. */
function untilOpenMs(fromMinute: number, toMinute: number, nowMs: number): number {
  if (fromMinute === toMinute) return 0;
  const minute = (nowMs / MINUTE_MS) % DAY_MINUTES;
  const length = (toMinute - fromMinute + DAY_MINUTES) % DAY_MINUTES;
  const since = (minute - fromMinute + DAY_MINUTES) % DAY_MINUTES;
  return since < length ? 0 : Math.ceil((DAY_MINUTES - since) * MINUTE_MS);
}
