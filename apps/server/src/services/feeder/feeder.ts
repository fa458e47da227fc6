/**
 * What this process may give out, kept in memory and fed from the database, so that a round reads nothing of the catalog.
 *
 * The pool is a view and decides nothing by itself: each grant is checked again as it is written, by the asset's turn, under
 * the locks of node and origin. What the view does not know yet costs a grant that is not written, never one too many.
 * Changes by this process are applied at once; those of others, and of people, are read from the event log at least every
 * POLL_MS, which is the truth, and asked for at once when a node would go away with too little.
 */
import { randomInt } from "node:crypto";
import {
  CandidatePool,
  independentCopies,
  openSlots,
  placesLeft,
  returnSlots,
  takeSlots,
  urgencyOf,
  usableBytes,
} from "@dispatcher/core";
import type {
  Asker,
  AssetId,
  Candidate,
  GrantDecision,
  NodeId,
  OperatorId,
  Origin,
  OriginId,
  PoolRound,
  Refusal,
  VettingRule,
} from "@dispatcher/core";
import type { ServerConfig } from "../../config.ts";
import type { Database } from "../../db/database.ts";
import { readLateFailures } from "../../db/queries/assignments.ts";
import type { OpenGrant } from "../../db/queries/assignments.ts";
import { readChangedAssets, readEventCursor } from "../../db/queries/events.ts";
import type { EventCursor } from "../../db/queries/events.ts";
import { readFleet } from "../../db/queries/nodes.ts";
import type { Fleet } from "../../db/queries/nodes.ts";
import { readOrigins } from "../../db/queries/origins.ts";
import {
  findBehind,
  readHolders,
  readQueueIds,
  readQueuePlaces,
  readQueuedAssets,
  readQueues,
} from "../../db/queries/standings.ts";
import type { AssetFacts, HolderRow, QueueId, QueuePlace, QueuedAsset } from "../../db/queries/standings.ts";
import type { Metrics } from "../../metrics.ts";
import { bytesToReserve, leftOut, toHolders, urgencyFactsOf } from "../asset-standing.ts";
import type { Weighed } from "../asset-standing.ts";
import { originBudgetOf } from "../settings.ts";
import { Queue } from "./queue.ts";

/** The oldest that this process's view may be when it decides. Longer: grants that are overtaken, changes heard late. */
const POLL_MS = 500;
/** New queues are looked for so often, besides those that the event log names. */
const QUEUES_POLL_MS = 10_000;
/** A view that old may have missed events that have left the reader's window: it is begun anew. */
const VIEW_MAX_MS = 30 * 60_000;
/** Loaded beyond what a round may take, because some will be refused by rules that SQL does not know. */
const SPARE = 16;
/** Loaded at once, shared among the queues, and so many of each at least. More: decisions wait longer for a load. */
const LOADED_AT_ONCE = 2_048;
const CHUNK_MIN = 16;
const CHUNK_MAX = 512;
/** A queue is loaded on before a round has to wait for it: while it has less than so many chunks more than a round needs. */
const CHUNKS_AHEAD = 2;
/** Assets read in one statement. */
const BATCH = 2_000;
/** Behind the floor a search looks at so many of each queue, and takes so many of them. */
const SEARCH_DEPTH = 2_000;
const SEARCH_TAKE = 4;
/** Where a search has found nothing for an operator, it is not repeated for so long. */
const SEARCH_PAUSE_MS = 10_000;
/**
 * What the nodes of other servers took up or finished is put aside for so long, and read once for all that happens to it
 * meanwhile: somebody is at it, and there is other work. Longer: its next copy is begun later.
 */
const ASIDE_MS = 5_000;
/** PostgreSQL looks for each event among the known ones, one after the other: with more it is sooner told them again. */
const KNOWN_MAX = 2_000;
/** With more changes than these, as after a rest, the heads of the queues are sooner loaded anew: of what is loaded, and in all. */
const CHANGES_MAX = { loaded: 2 * LOADED_AT_ONCE, all: 50_000 };
/** After a grant was lost to another server, this one keeps out of the way of others for so long. */
const COMPANY_MS = 60_000;
/** A node that failed on an asset is kept from it for so many first pauses: another tries meanwhile. */
const AVOID_PAUSES = 10;
/** An origin never yields more than this in one round, whatever its budget. */
const GRANTS_PER_ORIGIN_MAX = 1_000;

/** For so long after its failure a node is kept from an asset. */
export function avoidMsOf({ DISPATCHER_RETRY_BASE_MS }: Pick<ServerConfig, "DISPATCHER_RETRY_BASE_MS">): number {
  return DISPATCHER_RETRY_BASE_MS * AVOID_PAUSES;
}

export type FeederParts = {
  readonly db: Database;
  readonly config: ServerConfig;
  readonly vetting: VettingRule;
  readonly metrics?: Pick<Metrics, "roundEnded">;
  /** Odd, and another one in each process: it orders what is as urgent while others work on the same queues. */
  readonly salt?: number;
};

/** A grant as decided, with the term it is to be written under. */
export type TermedGrant = GrantDecision & {
  readonly term: number;
  /** What the node is told of the asset, and the version of the facts that this is from. */
  readonly asset: OpenGrant["asset"];
  readonly factsVersion: number;
  /** Whose turn was the one before, where this process has decided that and may not have written it; else null. */
  readonly after: NodeId | null;
};

/** How the transaction that was to write a decision has ended. */
export type DecisionEnd = {
  decided: readonly TermedGrant[];
  /** Those that it did not write, because others had been before. */
  lost: readonly TermedGrant[];
  /** It was rolled back, or nobody knows. */
  isUndone: boolean;
};

/** How much the view holds, for whoever watches. */
export type FeederView = {
  readonly candidates: number;
  readonly queues: number;
  /** Since it last heard of what others changed; it listens only when a node wants work. Null before the first time. */
  readonly ageMs: number | null;
};

type Entry = {
  readonly queue: Queue;
  readonly facts: AssetFacts;
  /** What a node that gets it is told. */
  readonly told: OpenGrant["asset"];
  lastTurn: number;
  lastNode: NodeId | null;
  isAhead: boolean;
};

function keyOf({ originId, sizeClass }: QueueId): string {
  return `${originId} ${sizeClass}`;
}

function queueIdOf({ facts, sizeClass }: QueuedAsset): QueueId {
  return { originId: facts.originId, sizeClass };
}

export class Feeder {
  readonly #parts: FeederParts;
  #pool: CandidatePool;
  readonly #queues = new Map<string, Queue>();
  readonly #entries = new Map<AssetId, Entry>();
  readonly #origins = new Map<OriginId, Origin>();
  /** To be read again before the next decision. */
  readonly #stale = new Set<AssetId>();
  /** Touched by nodes of other servers: neither given out nor read before a moment of `performance.now()`, the soonest first. */
  readonly #aside = new Map<AssetId, number>();
  /** Assets granted in transactions that are under way, which the database does not show yet; and how often. */
  readonly #inFlight = new Map<AssetId, number>();
  /** Not to be given out, or not to everybody, before a moment of `performance.now()`. */
  readonly #resting = new Map<AssetId, number>();
  /** Events of this process, applied already, that the log has not brought yet. */
  readonly #ownEvents = new Set<number>();
  /** What the log brought last time: some of it comes again. */
  #seenEvents: ReadonlySet<number> = new Set();
  readonly #searchedInVain = new Map<OperatorId, number>();
  readonly #salt: number;
  #companyUntilMs = -Infinity;
  /** What the order in the pool was made for. */
  #isInCompany = false;
  #cursor: EventCursor | null = null;
  #polledAtMs = -Infinity;
  #queuesReadAtMs = -Infinity;
  #fleet: { readonly fleet: Fleet; readonly readAtMs: number } | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  /** The load of queues that is under way; there is one at a time. */
  #loading: Promise<void> | null = null;
  /** Assets that changed since it began to read, which may have missed that; with their place since, where that is known. */
  readonly #missed = new Map<AssetId, (QueueId & QueuePlace) | null>();
  /** Counts the views that were begun. */
  #view = 0;

  constructor(parts: FeederParts) {
    this.#parts = parts;
    this.#salt = parts.salt ?? randomInt(1, 2 ** 31) | 1;
    this.#pool = this.#newPool();
  }

  /**
   * Bring the view up to date for a decision of so many grants. Quick when it is; one at a time.
   * @throws DispatcherError DATABASE_UNAVAILABLE
   */
  prepare(wanted: number, { isFresh = false }: { readonly isFresh?: boolean } = {}): Promise<void> {
    return this.#inTurn(async () => {
      const nowMs = performance.now();
      const isInCompany = nowMs < this.#companyUntilMs;
      if (isInCompany !== this.#isInCompany || nowMs - this.#polledAtMs > VIEW_MAX_MS) {
        await this.#begin();
        this.#isInCompany = isInCompany;
      } else if (isFresh || nowMs - this.#polledAtMs > POLL_MS) await this.#poll();
      await this.#takeUp(isFresh ? Infinity : performance.now());
      this.#wake();
      await this.#refresh();
      // A known asset may have moved to an origin that was not.
      if ([...this.#queues.values()].some(({ id }) => !this.#origins.has(id.originId))) await this.#readOrigins();
      await this.#refill(wanted, { isFresh });
    });
  }

  /** How the fleet stands, as of a moment ago. */
  async fleet(): Promise<Fleet> {
    const nowMs = performance.now();
    if (this.#fleet === null || nowMs - this.#fleet.readAtMs > POLL_MS) {
      this.#fleet = { fleet: await readFleet(this.#parts.db.sql, this.#parts.vetting), readAtMs: nowMs };
    }
    return this.#fleet.fleet;
  }

  /** Decide a round over what is loaded. What it grants counts as given; {@link settle} has to follow, whatever happens. */
  decide(round: PoolRound): {
    readonly grants: readonly TermedGrant[];
    readonly refusalByNode: ReadonlyMap<NodeId, Refusal>;
  } {
    for (const [originId, origin] of this.#origins) {
      const { slots, retryAfterMs } = openSlots(origin, round.nowMs);
      this.#pool.setOrigin({ originId, slots: Math.min(slots, GRANTS_PER_ORIGIN_MAX), retryAfterMs });
    }
    const beganAtMs = performance.now();
    const { grants, refusalByNode } = this.#pool.allocate(round);
    this.#parts.metrics?.roundEnded(performance.now() - beganAtMs);
    const takenByOrigin = new Map<OriginId, number>();
    const termed = grants.map(({ nodeId, assetId, originId, source, reservedBytes }): TermedGrant => {
      const entry = this.#entries.get(assetId);
      if (entry === undefined) throw new Error(`Asset ${assetId} was granted and is not known.`);
      const after = entry.lastNode;
      entry.lastTurn += 1;
      entry.lastNode = nodeId;
      takenByOrigin.set(originId, (takenByOrigin.get(originId) ?? 0) + 1);
      this.#inFlight.set(assetId, (this.#inFlight.get(assetId) ?? 0) + 1);
      const { told: asset, lastTurn: term } = entry;
      const { factsVersion } = entry.facts;
      return { nodeId, assetId, originId, source, reservedBytes, term, after, asset, factsVersion };
    });
    for (const { assetId } of grants) this.#park(assetId);
    for (const [originId, taken] of takenByOrigin) {
      const origin = this.#origins.get(originId);
      if (origin !== undefined) this.#origins.set(originId, takeSlots(origin, taken, round.nowMs));
    }
    return { grants: termed, refusalByNode };
  }

  /**
   * Look behind the floors for what these nodes could take, where the heads are all held by their operators. What is found
   * is in the pool until `forget`. Answers the ids; empty where nothing was found.
   */
  search(askers: readonly Asker[]): Promise<readonly AssetId[]> {
    return this.#inTurn(async () => {
      const { sql } = this.#parts.db;
      const found: AssetId[] = [];
      for (const asker of askers) {
        const nowMs = performance.now();
        if ((this.#searchedInVain.get(asker.operatorId) ?? -Infinity) > nowMs) continue;
        const bytes = usableBytes(asker);
        const queues = [...this.#queues.values()].flatMap(({ id, floor, isWhole }) => {
          const isOpen = openSlotsOf(this.#origins.get(id.originId)) > 0;
          return isWhole || floor === null || !isOpen || 2 ** id.sizeClass - 1 > bytes ? [] : [{ ...id, after: floor }];
        });
        const ids = await findBehind(sql, {
          queues,
          asker: { id: asker.nodeId, operatorId: asker.operatorId },
          take: Math.max(SEARCH_TAKE, Math.min(asker.wants, GRANTS_PER_ORIGIN_MAX)),
          depth: SEARCH_DEPTH,
          avoidMs: this.#avoidMs,
        });
        const unknown = ids.filter((id) => !this.#entries.has(id));
        if (unknown.length === 0) this.#searchedInVain.set(asker.operatorId, nowMs + SEARCH_PAUSE_MS);
        const read = await readQueuedAssets(sql, unknown);
        const details = await this.#readDetails(read);
        for (const asset of read) {
          if (this.#entries.has(asset.facts.id)) continue;
          this.#enter(asset, details, { anywhere: true });
          found.push(asset.facts.id);
        }
      }
      return found;
    });
  }

  /** Take out again what a search has put in. */
  forget(ids: readonly AssetId[]): void {
    for (const id of ids) {
      const entry = this.#entries.get(id);
      if (entry !== undefined && !entry.queue.isWhole) this.#drop(id);
    }
  }

  /**
   * The transaction that was to write these grants is over. Of those that it has not written what they were based on is read
   * again; where it was undone as a whole, their slots are free.
   */
  settle({ decided, lost, isUndone }: DecisionEnd): void {
    for (const { assetId } of decided) {
      const left = (this.#inFlight.get(assetId) ?? 0) - 1;
      if (left > 0) this.#inFlight.set(assetId, left);
      else this.#inFlight.delete(assetId);
    }
    if (!isUndone && lost.length > 0) this.#companyUntilMs = performance.now() + COMPANY_MS;
    for (const { assetId, originId } of isUndone ? decided : lost) {
      this.markStale([assetId]);
      if (isUndone) this.giveBack(originId, 1);
    }
  }

  /** Assets changed in a way that is to be read. */
  markStale(ids: Iterable<AssetId>): void {
    for (const id of ids) {
      this.#stale.add(id);
      this.#noteMissed(id, null);
    }
  }

  /** Slots that a transaction under way will give back: a guess, and at worst wrong until the next poll. */
  giveBack(id: OriginId, slots: number): void {
    const origin = this.#origins.get(id);
    if (origin !== undefined) this.#origins.set(id, returnSlots(origin, slots));
  }

  /** What is known of an asset; the version says whether it still holds. */
  factsOf(id: AssetId): AssetFacts | undefined {
    return this.#entries.get(id)?.facts;
  }

  /** As this process has just written them. */
  putOrigins(origins: ReadonlyMap<OriginId, Origin>): void {
    for (const [id, origin] of origins) if (this.#origins.has(id)) this.#origins.set(id, origin);
  }

  /** This process has applied what these events say. */
  own(eventIds: readonly number[]): void {
    for (const id of eventIds) if (!this.#seenEvents.has(id)) this.#ownEvents.add(id);
  }

  /**
   * A copy of an asset was made; these are all its holders now, and so it stands. Where it needs no more it leaves; where it is known, it is
   * put in its new place without a look at the database.
   */
  putCopied(asset: AssetFacts, { holders: rows, standing }: Weighed, nowMs: number): void {
    const entry = this.#entries.get(asset.id);
    if (entry === undefined) {
      this.#noteMissed(asset.id, null);
      return;
    }
    const isOvertaken = entry.lastTurn !== rows.reduce((latest, { turn }) => Math.max(latest, turn), 0);
    if (isOvertaken || entry.facts.factsVersion !== asset.factsVersion) {
      // Somebody has had a turn that these rows do not show, or the catalog says something else by now.
      this.markStale([asset.id]);
      return;
    }
    if (asset.state !== "wanted" || standing.placesLeft === 0) {
      this.#drop(asset.id);
      return;
    }
    const place = { id: asset.id, urgency: standing.urgency };
    const { queue, told, lastTurn } = entry;
    const avoid = [...new Set([...(this.#candidateOf(asset.id)?.avoid ?? []), ...leftOut(rows)])];
    this.#drop(asset.id);
    if (!queue.covers(place)) {
      this.#noteMissed(asset.id, { ...queue.id, ...place });
      return;
    }
    const holders = toHolders(rows);
    const urgency = this.#orderOf(asset, queue.id, this.#urgencyOf(asset, holders, nowMs));
    this.#place(this.#toCandidate(asset, { holders, urgency, avoid }), {
      queue,
      facts: asset,
      told,
      lastTurn,
      lastNode: null,
      isAhead: false,
    });
  }

  get view(): FeederView {
    const ageMs = this.#cursor === null ? null : Math.round(performance.now() - this.#polledAtMs);
    return { candidates: this.#pool.size, queues: this.#queues.size, ageMs };
  }

  get #avoidMs(): number {
    return avoidMsOf(this.#parts.config);
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #newPool(): CandidatePool {
    return new CandidatePool({
      unknownSizeBytes: this.#parts.config.DISPATCHER_UNKNOWN_SIZE_BYTES,
      // Agents fetch from origins alone.
      originFetchesMax: null,
    });
  }

  async #begin(): Promise<void> {
    // The cursor first: what changes while the queues are read comes again.
    const cursor = await readEventCursor(this.#parts.db.sql);
    this.#view += 1;
    this.#pool = this.#newPool();
    for (const known of [this.#queues, this.#entries, this.#origins, this.#stale, this.#aside, this.#resting])
      known.clear();
    this.#ownEvents.clear();
    await this.#findQueues();
    this.#cursor = cursor;
    this.#polledAtMs = performance.now();
  }

  async #findQueues(): Promise<void> {
    this.#queuesReadAtMs = performance.now();
    for (const id of await readQueueIds(this.#parts.db.sql)) this.#queueOf(id);
    await this.#readOrigins();
  }

  #queueOf(id: QueueId): Queue {
    const key = keyOf(id);
    const known = this.#queues.get(key);
    if (known !== undefined) return known;
    const queue = new Queue({ originId: id.originId, sizeClass: id.sizeClass });
    this.#queues.set(key, queue);
    return queue;
  }

  async #readOrigins(): Promise<void> {
    const { db, config } = this.#parts;
    const ids = new Set([...this.#queues.values()].map((queue) => queue.id.originId));
    for (const { id, origin } of await readOrigins(db.sql, [...ids], originBudgetOf(config))) {
      this.#origins.set(id, origin);
    }
  }

  async #poll(): Promise<void> {
    const { sql } = this.#parts.db;
    const polledAtMs = performance.now();
    if (this.#cursor === null) return this.#begin();
    const known =
      this.#ownEvents.size + this.#seenEvents.size > KNOWN_MAX ? [] : [...this.#ownEvents, ...this.#seenEvents];
    const { events, cursor } = await readChangedAssets(sql, this.#cursor, known);
    const changed = new Set<AssetId>();
    const taken = new Set<AssetId>();
    for (const { id, isProgress, assetIds } of events) {
      if (this.#seenEvents.has(id) || this.#ownEvents.delete(id)) continue;
      for (const assetId of assetIds) (isProgress ? taken : changed).add(assetId);
    }
    this.#seenEvents = new Set(events.map(({ id }) => id));
    this.#cursor = cursor;
    const all = [...changed, ...taken];
    const loaded = all.filter((id) => this.#entries.has(id)).length;
    if (loaded > CHANGES_MAX.loaded || all.length > CHANGES_MAX.all) return this.#begin();
    await this.#takeNote(changed);
    for (const id of taken) this.#putAside(id, polledAtMs + ASIDE_MS);
    if (polledAtMs - this.#queuesReadAtMs > QUEUES_POLL_MS) await this.#findQueues();
    else await this.#readOrigins();
    this.#polledAtMs = polledAtMs;
  }

  /** Assets that changed are to be read; of those that are not loaded, the ones above their queue's floor. */
  async #takeNote(changed: Iterable<AssetId>): Promise<void> {
    const unknown: AssetId[] = [];
    for (const id of changed) {
      if (this.#entries.has(id)) this.#stale.add(id);
      else unknown.push(id);
      this.#noteMissed(id, null);
    }
    try {
      await this.#noteUnknown(unknown);
    } catch (error) {
      // Nobody tells of them again: the view is begun anew.
      this.#cursor = null;
      throw error;
    }
  }

  /** What is not loaded has not come nearer, and is nobody's business here; unless it is being loaded. */
  #putAside(id: AssetId, untilMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined && this.#loading === null) return;
    if (!this.#aside.has(id)) this.#aside.set(id, untilMs);
    if (entry !== undefined) this.#takeOut(id, entry);
  }

  /** What has been aside for its time. */
  async #takeUp(nowMs: number): Promise<void> {
    const due: AssetId[] = [];
    for (const [id, untilMs] of this.#aside) {
      if (untilMs > nowMs) break;
      due.push(id);
      this.#aside.delete(id);
    }
    await this.#takeNote(due);
  }

  /** Of assets that are not loaded: those that stand above their queue's floor are to be read. */
  async #noteUnknown(ids: readonly AssetId[]): Promise<void> {
    for (let start = 0; start < ids.length; start += BATCH) {
      for (const place of await readQueuePlaces(this.#parts.db.sql, ids.slice(start, start + BATCH))) {
        if (this.#queueOf(place).covers(place)) this.#stale.add(place.id);
      }
    }
  }

  #wake(): void {
    const nowMs = performance.now();
    for (const [id, untilMs] of this.#resting) {
      if (untilMs > nowMs) continue;
      this.#resting.delete(id);
      this.#stale.add(id);
    }
  }

  async #refresh(): Promise<void> {
    // What is in flight would be read as if it were not.
    const ids = [...this.#stale].filter((id) => !this.#inFlight.has(id));
    for (let start = 0; start < ids.length; start += BATCH) {
      const batch = ids.slice(start, start + BATCH);
      // What is marked while it is being read is read again.
      for (const id of batch) {
        this.#stale.delete(id);
        this.#aside.delete(id);
      }
      try {
        const read = await readQueuedAssets(this.#parts.db.sql, batch);
        const details = await this.#readDetails(read);
        for (const id of batch) this.#drop(id);
        for (const asset of read) this.#enter(asset, details, { anywhere: false });
      } catch (error) {
        for (const id of ids.slice(start)) this.#stale.add(id);
        throw error;
      }
    }
  }

  /** What this round may need is loaded when this resolves; what the next ones may need, soon. */
  async #refill(wanted: number, { isFresh }: { readonly isFresh: boolean }): Promise<void> {
    while (this.#lowQueues(wanted, { chunksAhead: 0, isFresh }).length > 0) await this.#load(wanted, { isFresh });
    if (this.#loading === null && this.#lowQueues(wanted, { chunksAhead: CHUNKS_AHEAD, isFresh }).length > 0) {
      // What fails here fails again where somebody waits for it, and is told there.
      this.#load(wanted, { isFresh }).catch(() => {});
    }
  }

  /** Loaded of a queue at once, where so many are loaded. */
  #chunkOf(queues: number): number {
    return Math.min(CHUNK_MAX, Math.max(CHUNK_MIN, Math.floor(LOADED_AT_ONCE / Math.max(1, queues))));
  }

  /**
   * Queues that have less to give than a round and so many chunks take; those with least first. In company, of queues that
   * are as urgent, only as many as a round takes, for others drain the rest meanwhile; all of them for who gets too little.
   */
  #lowQueues(
    wanted: number,
    { chunksAhead, isFresh }: { readonly chunksAhead: number; readonly isFresh: boolean },
  ): readonly { readonly queue: Queue; readonly take: number }[] {
    const low: { readonly queue: Queue; readonly take: number }[] = [];
    const isSharing = this.#isInCompany && !isFresh;
    const queues = [...this.#queues.values()];
    const headChunk = this.#chunkOf(queues.length);
    const chunk = isSharing ? this.#chunkOf(1) : headChunk;
    let given = 0;
    for (const queue of isSharing ? queues.toSorted((a, b) => this.#compareQueues(a, b)) : queues) {
      const { floor, isWhole, ahead, id } = queue;
      if (isSharing && floor === null && !isWhole) {
        // Nobody knows how urgent it is.
        low.push({ queue, take: headChunk });
        continue;
      }
      if (isSharing && given >= wanted) break;
      const slots = openSlotsOf(this.#origins.get(id.originId));
      const need = Math.min(wanted, slots) + SPARE;
      if (!isWhole && ahead < need + chunksAhead * chunk) low.push({ queue, take: Math.max(chunk, need - ahead) });
      given += Math.min(slots, isWhole ? ahead : wanted);
    }
    return low.toSorted((a, b) => a.queue.ahead - b.queue.ahead);
  }

  /** The order in which queues are given out in company: by what may come next in each, and then by this process's own taste. */
  #compareQueues(a: Queue, b: Queue): number {
    const [levelA, levelB] = [a, b].map(({ floor }) => (floor === null ? Infinity : Math.floor(floor.urgency)));
    if (levelA !== levelB) return (levelB ?? 0) - (levelA ?? 0);
    return this.#tasteOf(b.id) - this.#tasteOf(a.id);
  }

  /** Load on, or wait for the load that is under way. */
  #load(wanted: number, { isFresh }: { readonly isFresh: boolean }): Promise<void> {
    this.#loading ??= this.#loadQueues(wanted, { isFresh }).finally(() => (this.#loading = null));
    return this.#loading;
  }

  /** Some of the queues that are low, from their floors on. */
  async #loadQueues(wanted: number, { isFresh }: { readonly isFresh: boolean }): Promise<void> {
    let rows = 0;
    const low = this.#lowQueues(wanted, { chunksAhead: CHUNKS_AHEAD, isFresh }).filter(({ take }) => {
      const isFirst = rows === 0;
      rows += take;
      return isFirst || rows <= LOADED_AT_ONCE;
    });
    if (low.length === 0) return;
    const view = this.#view;
    this.#missed.clear();
    const read = await readQueues(
      this.#parts.db.sql,
      low.map(({ queue: { id, floor }, take }) => ({ ...id, after: floor, take })),
    );
    const details = await this.#readDetails(read);
    // Those queues are gone.
    if (view !== this.#view) return;
    const byQueue = Map.groupBy(read, (asset) => keyOf(queueIdOf(asset)));
    for (const { queue, take } of low) {
      const assets = byQueue.get(keyOf(queue.id)) ?? [];
      const last = assets.at(-1);
      if (last !== undefined) queue.floor = { urgency: last.queuedUrgency, id: last.facts.id };
      if (assets.length < take) queue.isWhole = true;
      for (const candidate of queue.parked.values()) {
        if (!queue.mayGive(candidate.urgency, this.#isInCompany)) continue;
        queue.parked.delete(candidate.assetId);
        const entry = this.#entries.get(candidate.assetId);
        if (entry !== undefined) this.#place(candidate, entry);
      }
      for (const asset of assets) {
        const { id } = asset.facts;
        if (this.#entries.has(id)) this.#missed.delete(id);
        // As it was read it has not been granted, and it is being granted.
        else if (this.#inFlight.has(id)) this.#missed.set(id, null);
        // It is read when its time is over.
        else if (!this.#aside.has(id)) this.#enter(asset, details, { anywhere: false });
      }
    }
    for (const [id, place] of this.#missed) {
      // One that is known was read by this load; of the others those count that the floor has come down to.
      if (place === null || this.#entries.has(id) || this.#queueOf(place).covers(place)) this.#stale.add(id);
    }
    this.#missed.clear();
  }

  #noteMissed(id: AssetId, place: (QueueId & QueuePlace) | null): void {
    if (this.#loading !== null) this.#missed.set(id, place);
  }

  async #readDetails(assets: readonly QueuedAsset[]): Promise<Details> {
    const { db, vetting } = this.#parts;
    const ids = assets.filter((asset) => asset.lastTurn > 0).map((asset) => asset.facts.id);
    const holders = Map.groupBy(await readHolders(db.sql, ids, vetting), (row) => row.assetId);
    const late = await readLateFailures(db.sql, { assetIds: ids, withinMs: this.#avoidMs });
    const failures = Map.groupBy(late, (row) => row.assetId);
    return { holders, failures };
  }

  /** Put an asset that is in no place yet where it belongs. */
  #enter(asset: QueuedAsset, { holders, failures }: Details, { anywhere }: { readonly anywhere: boolean }): void {
    const queue = this.#queueOf(queueIdOf(asset));
    const { facts, nowMs, lastTurn, retryAtMs } = asset;
    const { id } = facts;
    const place = { id, urgency: asset.queuedUrgency };
    if (!anywhere && !queue.covers(place)) {
      this.#noteMissed(id, { ...queue.id, ...place });
      return;
    }
    const avoided = failures.get(id) ?? [];
    const ends = [retryAtMs ?? -Infinity, ...avoided.map((one) => one.untilMs)].filter((endMs) => endMs > nowMs);
    if (ends.length > 0) this.#resting.set(id, performance.now() + Math.min(...ends) - nowMs);
    if (retryAtMs !== null && retryAtMs > nowMs) return;
    const rows = holders.get(id) ?? [];
    const present = toHolders(rows);
    const urgency = this.#orderOf(facts, queue.id, this.#urgencyOf(facts, present, nowMs));
    const avoid = [...new Set([...avoided.map((one) => one.nodeId), ...leftOut(rows)])];
    const { sizeBytes, digest } = facts;
    const entry = {
      queue,
      facts,
      told: { id, ...asset.place, sizeBytes, digest },
      lastTurn,
      lastNode: null,
      isAhead: false,
    };
    this.#place(this.#toCandidate(facts, { holders: present, urgency, avoid }), entry, anywhere);
  }

  #toCandidate(asset: AssetFacts, rest: Pick<Candidate, "holders" | "urgency" | "avoid">): Candidate {
    const { id, originId, scheme, copies, seenBytes } = asset;
    const isSeen = asset.sizeBytes === null && seenBytes !== null;
    const sizeBytes = isSeen
      ? bytesToReserve(asset, this.#parts.config.DISPATCHER_UNKNOWN_SIZE_BYTES)
      : asset.sizeBytes;
    return { assetId: id, originId, scheme, tags: [], sizeBytes, copies, originFetches: 0, seeds: 0, ...rest };
  }

  #urgencyOf(asset: AssetFacts, holders: Candidate["holders"], nowMs: number): number {
    return urgencyOf(urgencyFactsOf(asset, independentCopies(holders)), nowMs).value;
  }

  /**
   * The order in which this process gives out. Several that took the same heads in the same order would overtake each other
   * all the time; so, while there are others, each orders what is equal but for the time it has waited by a taste of its own:
   * one queue after the other, and what is in one of them at random.
   */
  #orderOf(asset: AssetFacts, queue: QueueId, urgency: number): number {
    if (!this.#isInCompany) return urgency;
    return Math.floor(urgency) + (Math.floor(this.#tasteOf(queue) * 2 ** 12) + this.#drawOf(asset.id)) / 2 ** 13;
  }

  /** In [0, 1). */
  #tasteOf({ originId, sizeClass }: QueueId): number {
    return this.#drawOf(String(Number(originId) * 64 + sizeClass));
  }

  /** In [0, 1), and another one in each process. */
  #drawOf(id: string): number {
    return (Math.imul(Number(id), this.#salt) >>> 0) / 2 ** 32;
  }

  #place(candidate: Candidate, entry: Entry, anywhere = false): void {
    this.#entries.set(candidate.assetId, entry);
    const { queue } = entry;
    if (!anywhere && !queue.mayGive(candidate.urgency, this.#isInCompany)) {
      queue.parked.set(candidate.assetId, candidate);
      return;
    }
    this.#pool.add(candidate);
    this.#setAhead(entry, placesLeft(candidate.holders, candidate.copies) > 0);
  }

  #setAhead(entry: Entry, isAhead: boolean): void {
    if (entry.isAhead === isAhead) return;
    entry.isAhead = isAhead;
    entry.queue.ahead += isAhead ? 1 : -1;
  }

  /** After a grant: it may stand below the floor now. */
  #park(id: AssetId): void {
    const entry = this.#entries.get(id);
    const candidate = this.#pool.get(id);
    if (entry === undefined || candidate === undefined) return;
    const isAbove = entry.queue.mayGive(candidate.urgency, this.#isInCompany);
    this.#setAhead(entry, isAbove && placesLeft(candidate.holders, candidate.copies) > 0);
    if (isAbove) return;
    this.#pool.remove(id);
    entry.queue.parked.set(id, candidate);
  }

  #candidateOf(id: AssetId): Candidate | undefined {
    return this.#pool.get(id) ?? this.#entries.get(id)?.queue.parked.get(id);
  }

  #drop(id: AssetId): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#takeOut(id, entry);
  }

  /** It is known still, and not given out. */
  #takeOut(id: AssetId, entry: Entry): void {
    this.#setAhead(entry, false);
    entry.queue.parked.delete(id);
    if (this.#pool.has(id)) this.#pool.remove(id);
  }
}

type Details = {
  readonly holders: ReadonlyMap<AssetId, readonly HolderRow[]>;
  readonly failures: ReadonlyMap<AssetId, readonly { readonly nodeId: NodeId; readonly untilMs: number }[]>;
};

/** What it has in use is all that changes within a view: tokens and times are looked at as a round is decided. */
function openSlotsOf(origin: Origin | undefined): number {
  if (origin === undefined || origin.paused) return 0;
  return Math.max(0, origin.concurrency - origin.inUse);
}
