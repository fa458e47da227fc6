/**
 * Dispatcher itself: core's candidate pool, budgets, ledgers, quotas, leases, lives and judgement of copies, wired as the
 * server wires them. Two policies differ by their urgency alone.
 *
 * Beyond core there is one thing here: an audit. Each node that is online is asked once a day to prove one copy, chosen by
 * chance; a node that cannot is given nothing more, and what it holds stops counting.
 */
import {
  CandidatePool,
  DEFAULT_LEASE_TIMES,
  DEFAULT_VETTING,
  DispatcherError,
  QUOTA_START,
  checkLedger,
  countsAsHolder,
  defaultLifeThresholds,
  failureClassOf,
  holdBytes,
  independentCopies,
  isOverdue,
  isVetted,
  judgeRescue,
  leaseLengthMs,
  lifeAfterSilence,
  loweredQuota,
  measuredRate,
  newOrigin,
  openSlots,
  placesLeft,
  quickestNodes,
  raisedQuota,
  recordFailure,
  recordSuccess,
  recordThrottle,
  releaseBytes,
  renewedDeadlineMs,
  reserveBytes,
  returnSlots,
  roomBytes,
  saysGone,
  takeSlots,
  weighCopies,
} from "@dispatcher/core";
import type {
  Asker,
  AssetId,
  ByteLedger,
  Candidate,
  CopyOnNode,
  FailureCode,
  Holder,
  NodeId,
  OperatorId,
  Origin,
  OriginId,
  QuickNode,
  UrgencyPolicy,
} from "@dispatcher/core";
import { chanceOf } from "../random.ts";
import { COPY_RANGES } from "../world/catalog.ts";
import { urgencyFacts } from "../world/world.ts";
import type { World } from "../world/world.ts";
import type { Allocator, Desk, Report, Source } from "./allocator.ts";

const SYNC_MS = 60_000;
const DAY_MS = 86_400_000;
/** The server's defaults. */
const QUOTA_MAX = 32;
const HORIZON_MS = 3_600_000;
const UNKNOWN_SIZE_BYTES = 256 * 2 ** 20;
const SHARE_ON_TRIAL = 0.05;
/** As an agent with one fetch at a time asks: that, and one file more. */
const LEASES_WANTED = 2;
/** Claims that are answered in one round. A server decides for fifty at once, and for several fifties in fifteen seconds. */
const ASKERS_PER_ROUND = 400;
/** To choose from, and because some cannot take what there is. Hearing more would only cost time. */
const ASKERS_PER_SLOT = 2;
const MARGIN_SHARE = 0.02;
/**
 * A node that is refused for what it is (full, on trial, ...) comes back so soon; a server says a minute. Nothing will have
 * changed for it by then, and a simulated month has 43,200 minutes.
 */
const IDLE_RETRY_MS = 10 * 60_000;
/** How often the counts about the whole fleet are made anew, and how often the quickest of it are looked for. */
const FLEET_SWEEP_MS = 15 * 60_000;
const QUICK_NODES_MS = 60 * 60_000;

const LIVES = defaultLifeThresholds(SYNC_MS);
const AUDIT = 1;
const LEASE_CHECK = 2;
const LIFE_CHECK = 3;
const URGENCY_CHANGE = 4;

type Lease = {
  readonly asset: number;
  readonly source: Source;
  readonly reservedBytes: number;
  readonly grantedAtMs: number;
  expiresAtMs: number;
};

/** A node as a holder of an asset. */
type Holding = {
  readonly node: number;
  readonly source: Source;
  /** Undefined while it is a lease. Compared with those of the same asset and no other. */
  readonly sha256: string | undefined;
  counts: boolean;
};

const RIGHT_SHA256 = "of the right bytes";
const NO_HOLDINGS: readonly Holding[] = [];
const NO_NODES: readonly NodeId[] = [];
const SCHEMES: readonly string[] = ["https"];
const NO_TAGS: readonly string[] = [];

type NodeState = {
  ledger: ByteLedger;
  quota: number;
  rateBytesPerS: number | null;
  verifiedCopies: number;
  readonly joinedAtMs: number;
  silentSinceMs: number | null;
  isLost: boolean;
  hasFailedAudit: boolean;
  readonly leases: Lease[];
  /** Reclaimed, and the node does not know it yet: it has perhaps a part of the file. */
  stale: Lease[];
  readonly held: number[];
  leaseCheckAtMs: number;
  /** What it is to the pool as a holder whose copies count, and as one whose copies do not. */
  asHolder: { readonly counting: Holder; readonly idle: Holder };
};

export type PoolOptions = {
  readonly policy: UrgencyPolicy;
  /** How many nodes fetch an asset from its origin, while others may have it from them; null for all. */
  readonly originFetchesMax: number | null;
};

export function createPoolAllocator(world: World, desk: Desk, { policy, originFetchesMax }: PoolOptions): Allocator {
  return new PoolAllocator(world, desk, { policy, originFetchesMax });
}

class PoolAllocator implements Allocator {
  readonly checksDigests = true;
  readonly triesAfterThrottle = 0;
  readonly #world: World;
  readonly #desk: Desk;
  readonly #policy: UrgencyPolicy;
  readonly #originFetchesMax: number | null;
  readonly #pool: CandidatePool;
  readonly #assetIds: readonly AssetId[];
  readonly #nodeIds: readonly NodeId[];
  readonly #operatorIds: readonly OperatorId[];
  readonly #originIds: readonly OriginId[];
  readonly #nodes: (NodeState | undefined)[];
  /** By asset; undefined for none. */
  readonly #holdings: (Holding[] | undefined)[];
  readonly #avoidByAsset = new Map<number, readonly NodeId[]>();
  readonly #goneByAsset = new Map<number, number>();
  readonly #isGone: Uint8Array;
  readonly #origins: Origin[];
  /** Origins of which the pool may not know the open slots. */
  readonly #restless = new Set<number>();
  readonly #openSlotsOf: Int32Array;
  /** Assets in the pool. */
  readonly #wantedOf: Int32Array;
  /** Of the origins from which something is wanted. */
  #openSlotsInAll = 0;
  /** Assets that nodes could be given from those that have them, whatever the origins have open. */
  #peerWork = 0;
  readonly #isPeerWork: Uint8Array;
  #vettedNodes = 0;
  readonly #isVetted: Uint8Array;
  /** Null until the fleet has been looked at. */
  #quickNodes: readonly QuickNode[] | null = null;
  #quickNodesAtMs = -Infinity;
  #fleetSweptAtMs = 0;
  #busyBytes = 0;
  #busyBytesOnTrial = 0;
  readonly #onlineByOperator: Int32Array;
  #operatorsOnline = 0;

  constructor(world: World, desk: Desk, { policy, originFetchesMax }: PoolOptions) {
    const { catalog, fleet, origins } = world;
    this.#world = world;
    this.#desk = desk;
    this.#policy = policy;
    this.#originFetchesMax = originFetchesMax;
    this.#pool = new CandidatePool({ unknownSizeBytes: UNKNOWN_SIZE_BYTES, originFetchesMax, policy });
    this.#assetIds = Array.from({ length: catalog.count }, (_, asset) => String(asset) as AssetId);
    this.#nodeIds = Array.from({ length: fleet.count }, (_, node) => String(node) as NodeId);
    this.#operatorIds = Array.from({ length: fleet.operatorCount }, (_, operator) => String(operator) as OperatorId);
    this.#originIds = Array.from({ length: origins.count }, (_, origin) => String(origin) as OriginId);
    this.#nodes = Array.from({ length: fleet.count });
    this.#holdings = Array.from({ length: catalog.count });
    this.#isGone = new Uint8Array(catalog.count);
    this.#isPeerWork = new Uint8Array(catalog.count);
    this.#isVetted = new Uint8Array(fleet.count);
    this.#onlineByOperator = new Int32Array(fleet.operatorCount);
    this.#openSlotsOf = new Int32Array(origins.count);
    this.#wantedOf = new Int32Array(origins.count);
    this.#origins = origins.budget.map((budget) => newOrigin(budget, 0));
    for (let asset = 0; asset < catalog.count; asset += 1) this.#enter(this.#candidate(asset, 0), asset);
    for (let origin = 0; origin < origins.count; origin += 1) {
      this.#restless.add(origin);
      this.#planUrgencyChange(origin, 0);
    }
  }

  askersHeard(nowMs: number): number {
    this.#settleOrigins(nowMs);
    const possible = this.#openSlotsInAll + this.#peerWork;
    return possible === 0 ? 0 : Math.min(ASKERS_PER_ROUND, ASKERS_PER_SLOT * (possible + 1));
  }

  answer(askers: readonly number[], nowMs: number): void {
    if (nowMs >= this.#fleetSweptAtMs + FLEET_SWEEP_MS) this.#sweepFleet(nowMs);
    const { grants, refusalByNode } = this.#pool.allocate({
      nowMs,
      askers: askers.filter((node) => !this.#node(node).hasFailedAudit).map((node) => this.#asker(node)),
      settings: {
        horizonMs: HORIZON_MS,
        assetMaxMs: DEFAULT_LEASE_TIMES.capMs / 2,
        idleRetryMs: IDLE_RETRY_MS,
        operatorCount: this.#operatorsOnline,
        vettingBytes: Math.max(0, Math.floor(this.#busyBytes * SHARE_ON_TRIAL) - this.#busyBytesOnTrial),
        ...(this.#quickNodes === null ? {} : { quickNodes: this.#quickNodes }),
      },
    });
    for (const { nodeId, assetId, source, reservedBytes } of grants) {
      this.#dropPaused(Number(nodeId), Number(assetId));
      this.#openLease(Number(nodeId), { asset: Number(assetId), source, reservedBytes, nowMs });
      this.#desk.grant(Number(nodeId), Number(assetId), source, 0);
      this.#settleGranted(Number(assetId), nowMs);
    }
    for (const node of askers) {
      const retryAfterMs = this.#node(node).hasFailedAudit
        ? DAY_MS
        : refusalByNode.get(this.#nodeIds[node]!)?.retryAfterMs;
      if (retryAfterMs !== undefined) this.#desk.refuse(node, Math.max(SYNC_MS, retryAfterMs));
    }
  }

  finished(node: number, asset: number, _claim: number, report: Report, nowMs: number): boolean {
    const state = this.#node(node);
    const { catalog } = this.#world;
    const wasLate = state.stale.some((lease) => lease.asset === asset);
    const lease = this.#endWork(node, asset);
    const sizeBytes = catalog.sizeBytes[asset]!;
    const isDeclared = catalog.hasDigest[asset] === 1;
    // One that pretends says what is declared; where nothing is, it has to invent.
    const sha256 = report.isGood || (report.isPretence && isDeclared) ? RIGHT_SHA256 : `invented by ${node}`;
    const stored = { reservedBytes: 0, storedBytes: sizeBytes };
    try {
      judgeRescue(
        {
          sizeBytes: catalog.isSizeKnown[asset] === 1 ? sizeBytes : null,
          digest: isDeclared ? { algorithm: "sha256", hex: RIGHT_SHA256 } : null,
        },
        { sizeBytes, sha256, digest: null },
      );
      state.ledger = holdBytes(state.ledger, stored);
    } catch (error) {
      if (!(error instanceof DispatcherError)) throw error;
      // The lease has gone back; to the node it is the same as any other fault of its own.
      state.quota = loweredQuota(state.quota);
      this.#avoid(asset, node);
      this.#refresh(asset, nowMs);
      return false;
    }
    this.#countBusy(node, sizeBytes);
    if (lease.source === "origin") this.#changeOrigin(asset, (origin) => recordSuccess(origin, nowMs));
    state.quota = raisedQuota(state.quota, QUOTA_MAX);
    state.rateBytesPerS = measuredRate(state.rateBytesPerS, report);
    state.verifiedCopies += 1;
    state.held.push(asset);
    this.#addHolding(asset, { node, source: lease.source, sha256, counts: true });
    // To the pool a lease and a good copy are the same, but that others may have it from there.
    const isNews = this.#weigh(asset) || wasLate || this.#originFetchesMax !== null;
    if (isNews) this.#refresh(asset, nowMs);
    return true;
  }

  failed(node: number, asset: number, _claim: number, code: FailureCode, nowMs: number): void {
    const state = this.#node(node);
    this.#endWork(node, asset);
    if (failureClassOf(code) === "node") state.quota = loweredQuota(state.quota);
    if (code === "THROTTLED") this.#changeOrigin(asset, (origin) => recordThrottle(origin, nowMs, null));
    if (code === "ORIGIN_ERROR") this.#changeOrigin(asset, (origin) => recordFailure(origin, nowMs));
    if (code !== "THROTTLED") this.#avoid(asset, node);
    if (saysGone(code)) {
      const before = this.#goneByAsset.get(asset);
      if (before !== undefined && before !== node) this.#isGone[asset] = 1;
      this.#goneByAsset.set(asset, node);
    }
    this.#refresh(asset, nowMs);
  }

  joined(node: number, nowMs: number): void {
    const offeredBytes = this.#world.fleet.offeredBytes[node]!;
    this.#nodes[node] = {
      ledger: checkLedger({
        offeredBytes,
        marginBytes: Math.floor(MARGIN_SHARE * offeredBytes),
        heldBytes: 0,
        reservedBytes: 0,
      }),
      quota: QUOTA_START,
      rateBytesPerS: null,
      verifiedCopies: 0,
      joinedAtMs: nowMs,
      silentSinceMs: null,
      isLost: false,
      hasFailedAudit: false,
      leases: [],
      stale: [],
      held: [],
      leaseCheckAtMs: Infinity,
      asHolder: this.#asHolder(node, true),
    };
    this.#countOnline(node, 1);
    this.#desk.wakeAt(nowMs + DAY_MS, AUDIT, node);
  }

  fellSilent(node: number, nowMs: number): void {
    const state = this.#node(node);
    this.#renewRunning(node, nowMs);
    state.silentSinceMs = nowMs;
    this.#countOnline(node, -1);
    if (this.#originFetchesMax !== null) this.#refreshWanted(node, nowMs);
    this.#desk.wakeAt(nowMs + LIVES.lostMs, LIFE_CHECK, node);
  }

  cameBack(node: number, nowMs: number): void {
    const state = this.#node(node);
    state.silentSinceMs = null;
    this.#countOnline(node, 1);
    this.#regrantStale(node, nowMs);
    if (!state.isLost) {
      if (this.#originFetchesMax !== null) this.#refreshWanted(node, nowMs);
      return;
    }
    state.isLost = false;
    for (const asset of state.held) this.#refresh(asset, nowMs);
  }

  saidGoodbye(node: number, nowMs: number): void {
    for (const { asset } of this.#node(node).leases.slice()) this.#reclaim(node, asset, nowMs);
    this.#countOnline(node, -1);
    this.#node(node).silentSinceMs = nowMs;
    this.#lose(node, nowMs);
  }

  wake(kind: number, subject: number, nowMs: number): void {
    if (kind === AUDIT) this.#audit(subject, nowMs);
    else if (kind === LEASE_CHECK) this.#checkLeases(subject, nowMs);
    else if (kind === LIFE_CHECK) this.#checkLife(subject, nowMs);
    else if (kind === URGENCY_CHANGE) this.#changeUrgency(subject, nowMs);
  }

  check(): void {
    const { catalog, origins } = this.#world;
    const inUse = new Int32Array(origins.count);
    const leased = new Int32Array(catalog.count);
    this.#nodes.forEach((state, node) => {
      if (state === undefined) return;
      const held = state.held.reduce((sum, asset) => sum + catalog.sizeBytes[asset]!, 0);
      const reserved = state.leases.reduce((sum, lease) => sum + lease.reservedBytes, 0);
      checkLedger(state.ledger);
      if (state.ledger.heldBytes !== held || state.ledger.reservedBytes !== reserved) {
        throw new Error(`The ledger of node ${node} does not balance.`);
      }
      for (const { asset, source } of state.leases) {
        leased[asset]! += 1;
        if (source === "origin") inUse[catalog.originOf[asset]!]! += 1;
      }
    });
    this.#origins.forEach((origin, at) => {
      if (origin.inUse !== inUse[at])
        throw new Error(`Origin ${at} has ${inUse[at]} leases and counts ${origin.inUse}.`);
      if (origin.inUse > origin.budget.concurrencyMax) throw new Error(`Origin ${at} is used above its budget.`);
    });
    this.#holdings.forEach((holdings = [], asset) => {
      const { max } = COPY_RANGES[catalog.copiesOf[asset]!]!;
      const present = this.#holders(asset).length;
      const leases = holdings.filter((holding) => holding.sha256 === undefined).length;
      if (leases !== leased[asset]) throw new Error(`Asset ${asset} has ${leased[asset]} leases and knows ${leases}.`);
      if (leases > 0 && present > max)
        throw new Error(`Asset ${asset} is to have ${present} copies of ${max} at most.`);
    });
  }

  #node(node: number): NodeState {
    const state = this.#nodes[node];
    if (state === undefined) throw new Error(`Node ${node} has not joined.`);
    return state;
  }

  /** As a new list: one that grew in place would keep room for sixteen more, a million times. */
  #addHolding(asset: number, holding: Holding): void {
    const known = this.#holdings[asset];
    this.#holdings[asset] = known === undefined ? [holding] : [...known, holding];
  }

  /** The rule rests while few are vetted: nobody would be left to take the first copies. */
  #isOnTrial(node: number): boolean {
    return this.#vettedNodes >= DEFAULT_VETTING.fleetMin && this.#isVetted[node] === 0;
  }

  /** Among the nodes that are heard of: who is vetted, how much lies on those that are not, who is quick and has room. */
  #sweepFleet(nowMs: number): void {
    this.#fleetSweptAtMs = nowMs;
    this.#vettedNodes = 0;
    this.#busyBytes = 0;
    this.#busyBytesOnTrial = 0;
    for (let node = 0; node < this.#nodes.length; node += 1) {
      const state = this.#nodes[node];
      if (state === undefined) continue;
      const { verifiedCopies, joinedAtMs, silentSinceMs, hasFailedAudit, ledger } = state;
      if (this.#isVetted[node] === 0 && !hasFailedAudit && isVetted({ verifiedCopies, ageMs: nowMs - joinedAtMs })) {
        this.#isVetted[node] = 1;
        state.asHolder = this.#asHolder(node, true);
        this.#refreshWanted(node, nowMs);
      }
      if (silentSinceMs !== null || hasFailedAudit) continue;
      const busyBytes = ledger.heldBytes + ledger.reservedBytes;
      this.#busyBytes += busyBytes;
      if (this.#isVetted[node] === 1) this.#vettedNodes += 1;
      else this.#busyBytesOnTrial += busyBytes;
    }
    if (nowMs < this.#quickNodesAtMs + QUICK_NODES_MS) return;
    this.#quickNodesAtMs = nowMs;
    this.#quickNodes = quickestNodes(this.#nodes.flatMap((_, node) => this.#asQuickNode(node) ?? []));
  }

  /** Null for one that gets nothing now, or no first copies, and for one whose rate is not known. */
  #asQuickNode(node: number): QuickNode | null {
    const state = this.#nodes[node];
    if (state === undefined || state.silentSinceMs !== null || state.hasFailedAudit || this.#isOnTrial(node))
      return null;
    if (state.rateBytesPerS === null) return null;
    const diskBytes = this.#desk.freeBytes(node) - state.ledger.marginBytes - state.ledger.reservedBytes;
    return {
      operatorId: this.#operatorIds[this.#world.fleet.operatorOf[node]!]!,
      roomBytes: Math.max(0, Math.min(roomBytes(state.ledger), diskBytes)),
      rateBytesPerS: state.rateBytesPerS,
    };
  }

  #asker(node: number): Asker {
    const { fleet, catalog } = this.#world;
    const { ledger, quota, rateBytesPerS, leases } = this.#node(node);
    const from = fleet.windowFrom[node]!;
    const to = fleet.windowTo[node]!;
    return {
      nodeId: this.#nodeIds[node]!,
      operatorId: this.#operatorIds[fleet.operatorOf[node]!]!,
      network: null,
      ledger,
      freeBytes: this.#desk.freeBytes(node),
      openLeases: leases.length,
      openBytes: leases.reduce((sum, lease) => sum + catalog.sizeBytes[lease.asset]!, 0),
      quota,
      wants: Math.max(0, LEASES_WANTED - leases.length),
      rateBytesPerS,
      schemes: SCHEMES,
      refusedTags: NO_TAGS,
      windows: from === to ? [] : [{ fromMinute: from, toMinute: to }],
      paused: false,
      agentTooOldFor: null,
      isVetting: this.#isOnTrial(node),
    };
  }

  #asHolder(node: number, isTrusted: boolean): NodeState["asHolder"] {
    const idle: Holder = {
      nodeId: this.#nodeIds[node]!,
      operatorId: this.#operatorIds[this.#world.fleet.operatorOf[node]!]!,
      network: null,
      counts: false,
      isOnTrial: this.#isVetted[node] === 0,
    };
    return { counting: isTrusted ? { ...idle, counts: true } : idle, idle };
  }

  /** Open leases count as if they had succeeded; what lies on a lost node is left out. */
  #holders(asset: number): readonly Holder[] {
    const holders: Holder[] = [];
    for (const { node, counts } of this.#holdings[asset] ?? NO_HOLDINGS) {
      const { isLost, asHolder } = this.#node(node);
      if (!isLost) holders.push(counts ? asHolder.counting : asHolder.idle);
    }
    return holders;
  }

  #candidate(asset: number, nowMs: number, holders = this.#holders(asset)): Candidate {
    const { catalog } = this.#world;
    let originFetches = 0;
    let seeds = 0;
    for (const holding of this.#holdings[asset] ?? NO_HOLDINGS) {
      if (this.#node(holding.node).isLost) continue;
      if (holding.source === "origin") originFetches += 1;
      if (holding.sha256 !== undefined && holding.counts && this.#node(holding.node).silentSinceMs === null) seeds += 1;
    }
    return {
      assetId: this.#assetIds[asset]!,
      originId: this.#originIds[catalog.originOf[asset]!]!,
      scheme: "https",
      tags: [],
      sizeBytes: catalog.isSizeKnown[asset] === 1 ? catalog.sizeBytes[asset]! : null,
      urgency: this.#policy.urgencyOf(urgencyFacts(this.#world, asset, independentCopies(holders)), nowMs).value,
      copies: COPY_RANGES[catalog.copiesOf[asset]!]!,
      holders,
      avoid: this.#avoidByAsset.get(asset) ?? NO_NODES,
      originFetches,
      seeds,
    };
  }

  /** Those of its copies of which more are wanted: something about the node has changed that others' chances depend on. */
  #refreshWanted(node: number, nowMs: number): void {
    const { held, leases } = this.#node(node);
    for (const asset of held) if (this.#pool.has(this.#assetIds[asset]!)) this.#refresh(asset, nowMs);
    for (const { asset } of leases) if (this.#pool.has(this.#assetIds[asset]!)) this.#refresh(asset, nowMs);
  }

  /** Brings the worth of its copies and its place in the pool up to date. */
  #refresh(asset: number, nowMs: number): void {
    this.#weigh(asset);
    const id = this.#assetIds[asset]!;
    const copies = COPY_RANGES[this.#world.catalog.copiesOf[asset]!]!;
    const holders = this.#holders(asset);
    const isWanted = this.#isGone[asset] === 0 && placesLeft(holders, copies) > 0;
    if (!isWanted) {
      if (this.#pool.has(id)) this.#leave(id, asset);
      this.#notePeerWork(asset, 0);
      return;
    }
    const candidate = this.#candidate(asset, nowMs, holders);
    if (this.#pool.has(id)) this.#pool.replace(candidate);
    else this.#enter(candidate, asset);
    const isAskedEnough = this.#originFetchesMax !== null && candidate.originFetches >= this.#originFetchesMax;
    this.#notePeerWork(asset, isAskedEnough && candidate.seeds > 0 ? 1 : 0);
  }

  #enter(candidate: Candidate, asset: number): void {
    const origin = this.#world.catalog.originOf[asset]!;
    this.#pool.add(candidate);
    this.#wantedOf[origin]! += 1;
    if (this.#wantedOf[origin] === 1) this.#openSlotsInAll += this.#openSlotsOf[origin]!;
  }

  #leave(id: AssetId, asset: number): void {
    const origin = this.#world.catalog.originOf[asset]!;
    this.#pool.remove(id);
    this.#wantedOf[origin]! -= 1;
    if (this.#wantedOf[origin] === 0) this.#openSlotsInAll -= this.#openSlotsOf[origin]!;
  }

  #notePeerWork(asset: number, now: 0 | 1): void {
    this.#peerWork += now - this.#isPeerWork[asset]!;
    this.#isPeerWork[asset] = now;
  }

  /** Whether any of its copies is worth more or less than before. */
  #weigh(asset: number): boolean {
    const { catalog, fleet } = this.#world;
    if (catalog.hasDigest[asset] === 1) return false;
    const known = this.#holdings[asset] ?? NO_HOLDINGS;
    // As it nearly always is: all of the same bytes.
    if (known.every(({ sha256, counts }) => counts && (sha256 === undefined || sha256 === RIGHT_SHA256))) return false;
    const holdings = known.filter(
      ({ node, sha256 }) => sha256 !== undefined && !this.#node(node).isLost && !this.#node(node).hasFailedAudit,
    );
    const copies = holdings.map(({ node, sha256 }): CopyOnNode => ({
      nodeId: this.#nodeIds[node]!,
      operatorId: this.#operatorIds[fleet.operatorOf[node]!]!,
      sizeBytes: catalog.sizeBytes[asset]!,
      sha256: sha256 ?? "",
      trust: "claimed",
    }));
    let hasChanged = false;
    weighCopies(copies).forEach(({ counts }, at) => {
      if (holdings[at]!.counts !== counts) hasChanged = true;
      holdings[at]!.counts = counts;
    });
    return hasChanged;
  }

  /** The pool has added the holder itself; what needs nothing more goes out of it. */
  #settleGranted(asset: number, nowMs: number): void {
    const copies = COPY_RANGES[this.#world.catalog.copiesOf[asset]!]!;
    const isFull = placesLeft(this.#holders(asset), copies) === 0;
    if (isFull || this.#originFetchesMax !== null) this.#refresh(asset, nowMs);
  }

  #openLease(
    node: number,
    grant: {
      readonly asset: number;
      readonly source: Source;
      readonly reservedBytes: number;
      readonly nowMs: number;
    },
  ): void {
    const { asset, source, reservedBytes, nowMs } = grant;
    const { catalog } = this.#world;
    const state = this.#node(node);
    state.ledger = reserveBytes(state.ledger, reservedBytes);
    this.#countBusy(node, reservedBytes);
    if (source === "origin") this.#changeOrigin(asset, (origin) => takeSlots(origin, 1, nowMs));
    const bytesLeft = catalog.isSizeKnown[asset] === 1 ? catalog.sizeBytes[asset]! : null;
    const lengthMs = leaseLengthMs({ bytesLeft, rateBytesPerS: state.rateBytesPerS }, DEFAULT_LEASE_TIMES);
    state.leases.push({ asset, source, reservedBytes, grantedAtMs: nowMs, expiresAtMs: nowMs + lengthMs });
    this.#addHolding(asset, { node, source, sha256: undefined, counts: true });
    this.#planLeaseCheck(node);
  }

  /** The lease is over in whatever way: its reservation and its slot go back. */
  #endLease(node: number, asset: number): Lease {
    const state = this.#node(node);
    const at = state.leases.findIndex((one) => one.asset === asset);
    const [lease] = state.leases.splice(at, at < 0 ? 0 : 1);
    if (lease === undefined) throw new Error(`Node ${node} has no lease on asset ${asset}.`);
    state.ledger = releaseBytes(state.ledger, lease.reservedBytes);
    this.#countBusy(node, -lease.reservedBytes);
    if (lease.source === "origin") this.#changeOrigin(asset, (origin) => returnSlots(origin, 1));
    const holdings = this.#holdings[asset] ?? [];
    holdings.splice(
      holdings.findIndex((holding) => holding.node === node && holding.sha256 === undefined),
      1,
    );
    return lease;
  }

  /** As above; or, where the lease was reclaimed and its node was at it all the same, what it was. */
  #endWork(node: number, asset: number): Lease {
    const { stale } = this.#node(node);
    const at = stale.findIndex((lease) => lease.asset === asset);
    return at < 0 ? this.#endLease(node, asset) : stale.splice(at, 1)[0]!;
  }

  /** A node that is given anew what it keeps a part of begins it anew, as the server has it begin: under another name. */
  #dropPaused(node: number, asset: number): void {
    const { stale } = this.#node(node);
    const at = stale.findIndex((lease) => lease.asset === asset);
    if (at < 0) return;
    stale.splice(at, 1);
    this.#desk.cancel(node, asset);
  }

  #reclaim(node: number, asset: number, nowMs: number): void {
    // The node may turn out to have it whole; its lease is over then in the better way.
    this.#desk.cancel(node, asset);
    if (!this.#node(node).leases.some((lease) => lease.asset === asset)) return;
    this.#endLease(node, asset);
    this.#refresh(asset, nowMs);
  }

  /**
   * A node whose lease was reclaimed while it was away, or at the cap, goes on with what it has begun where that is still
   * wanted. Where its origin, its ledger or its quota is in the way for now it keeps what it has and is asked again soon.
   */
  #regrantStale(node: number, nowMs: number): void {
    const state = this.#node(node);
    // All of them first: a node goes on with whatever it has in hand, and of these it has no lease.
    for (const { asset } of state.stale.slice()) this.#desk.pause(node, asset);
    const { stale } = state;
    state.stale = [];
    for (const lease of stale) {
      const { asset, source, reservedBytes } = lease;
      if (!this.#mayGoOn(node, asset)) {
        this.#desk.cancel(node, asset);
        continue;
      }
      const isOpen =
        source === "peers" || openSlots(this.#origins[this.#world.catalog.originOf[asset]!]!, nowMs).slots > 0;
      if (isOpen && reservedBytes <= roomBytes(state.ledger) && state.leases.length < state.quota) {
        this.#openLease(node, { asset, source, reservedBytes, nowMs });
        this.#refresh(asset, nowMs);
        this.#desk.goOnWith(node, asset);
      } else {
        state.stale.push(lease);
      }
    }
    if (state.stale.length > 0) this.#planCheck(node, nowMs + IDLE_RETRY_MS);
  }

  #mayGoOn(node: number, asset: number): boolean {
    if (this.#node(node).hasFailedAudit || this.#isGone[asset] === 1) return false;
    const operatorId = this.#operatorIds[this.#world.fleet.operatorOf[node]!]!;
    const holders = this.#holders(asset);
    if (placesLeft(holders, COPY_RANGES[this.#world.catalog.copiesOf[asset]!]!) === 0) return false;
    return !holders.some((holder) => holder.counts && holder.operatorId === operatorId);
  }

  #planLeaseCheck(node: number): void {
    const state = this.#node(node);
    const firstMs = Math.min(...state.leases.map((lease) => lease.expiresAtMs)) + DEFAULT_LEASE_TIMES.graceMs;
    this.#planCheck(node, firstMs);
  }

  #planCheck(node: number, atMs: number): void {
    const state = this.#node(node);
    if (atMs >= state.leaseCheckAtMs) return;
    state.leaseCheckAtMs = atMs;
    this.#desk.wakeAt(atMs, LEASE_CHECK, node);
  }

  /** Bytes that arrive renew a lease; a file that waits for its turn does not. */
  #renewRunning(node: number, nowMs: number): void {
    const state = this.#node(node);
    for (const lease of state.leases) {
      if (!this.#desk.isRunning(node, lease.asset)) continue;
      // What is left is not looked up: the lease is judged by all its bytes, which is longer, as a node on a bad day needs.
      const lengthMs = leaseLengthMs(
        { bytesLeft: lease.reservedBytes, rateBytesPerS: state.rateBytesPerS },
        DEFAULT_LEASE_TIMES,
      );
      lease.expiresAtMs = renewedDeadlineMs(lease, { nowMs, lengthMs }, DEFAULT_LEASE_TIMES);
    }
  }

  #checkLeases(node: number, nowMs: number): void {
    const state = this.#node(node);
    // One that was planned before an earlier one was: what it was planned for has been looked at.
    if (nowMs < state.leaseCheckAtMs) return;
    state.leaseCheckAtMs = Infinity;
    if (this.#desk.isOnline(node)) this.#renewRunning(node, nowMs);
    for (const { asset, expiresAtMs } of state.leases.slice()) {
      if (!isOverdue(expiresAtMs, nowMs, DEFAULT_LEASE_TIMES)) continue;
      state.quota = loweredQuota(state.quota);
      state.stale.push(this.#endLease(node, asset));
      this.#refresh(asset, nowMs);
    }
    // One that is heard says at once that it is still at it.
    if (this.#desk.isOnline(node)) this.#regrantStale(node, nowMs);
    if (state.leases.length > 0) this.#planLeaseCheck(node);
  }

  #checkLife(node: number, nowMs: number): void {
    const { silentSinceMs } = this.#node(node);
    if (silentSinceMs === null) return;
    if (!countsAsHolder(lifeAfterSilence("online", nowMs - silentSinceMs, LIVES))) this.#lose(node, nowMs);
  }

  #lose(node: number, nowMs: number): void {
    const state = this.#node(node);
    if (state.isLost) return;
    state.isLost = true;
    for (const asset of state.held) this.#refresh(asset, nowMs);
  }

  #audit(node: number, nowMs: number): void {
    const state = this.#node(node);
    if (state.hasFailedAudit) return;
    this.#desk.wakeAt(nowMs + DAY_MS, AUDIT, node);
    if (!this.#desk.isOnline(node) || state.held.length === 0) return;
    const drawn = chanceOf(this.#world.seed, 77, node, Math.floor(nowMs / DAY_MS));
    if (this.#desk.canProve(node, state.held[Math.floor(drawn * state.held.length)]!)) return;
    state.hasFailedAudit = true;
    this.#isVetted[node] = 0;
    state.asHolder = this.#asHolder(node, false);
    for (const { asset } of state.leases.slice()) this.#reclaim(node, asset, nowMs);
    for (const asset of state.held) this.#refresh(asset, nowMs);
  }

  #avoid(asset: number, node: number): void {
    const avoided = this.#avoidByAsset.get(asset) ?? NO_NODES;
    const nodeId = this.#nodeIds[node]!;
    if (!avoided.includes(nodeId)) this.#avoidByAsset.set(asset, [...avoided, nodeId]);
  }

  /** Between two sweeps. What nodes on trial may hold is a share of what the whole fleet holds or has reserved. */
  #countBusy(node: number, bytes: number): void {
    this.#busyBytes += bytes;
    if (this.#isVetted[node] === 0) this.#busyBytesOnTrial += bytes;
  }

  #countOnline(node: number, change: 1 | -1): void {
    const operator = this.#world.fleet.operatorOf[node]!;
    const before = this.#onlineByOperator[operator]!;
    this.#onlineByOperator[operator] = before + change;
    if (before === 0 && change === 1) this.#operatorsOnline += 1;
    if (before === 1 && change === -1) this.#operatorsOnline -= 1;
  }

  #changeOrigin(asset: number, change: (origin: Origin) => Origin): void {
    const at = this.#world.catalog.originOf[asset]!;
    this.#origins[at] = change(this.#origins[at]!);
    this.#restless.add(at);
  }

  /** Tells the pool what each origin has open now. Those whose slots time alone may change are looked at again. */
  #settleOrigins(nowMs: number): void {
    for (const at of this.#restless) {
      const origin = this.#origins[at]!;
      const { slots, retryAfterMs } = openSlots(origin, nowMs);
      if (this.#wantedOf[at]! > 0) this.#openSlotsInAll += slots - this.#openSlotsOf[at]!;
      this.#openSlotsOf[at] = slots;
      this.#pool.setOrigin({ originId: this.#originIds[at]!, slots, retryAfterMs });
      if (origin.inUse + slots >= origin.concurrency) this.#restless.delete(at);
    }
  }

  #planUrgencyChange(origin: number, nowMs: number): void {
    const first = this.#firstAssetOf(origin);
    if (first === undefined) return;
    const { changesAtMs } = this.#policy.urgencyOf(urgencyFacts(this.#world, first, 0), nowMs);
    if (changesAtMs !== null) this.#desk.wakeAt(changesAtMs, URGENCY_CHANGE, origin);
  }

  #firstAssetOf(origin: number): number | undefined {
    const at = this.#world.catalog.originOf.indexOf(origin);
    return at < 0 ? undefined : at;
  }

  /** All assets of an origin are removed on the same day, so they become more urgent together. */
  #changeUrgency(origin: number, nowMs: number): void {
    const { originOf, count } = this.#world.catalog;
    for (let asset = 0; asset < count; asset += 1) {
      if (originOf[asset] !== origin || !this.#pool.has(this.#assetIds[asset]!)) continue;
      const facts = urgencyFacts(this.#world, asset, independentCopies(this.#holders(asset)));
      this.#pool.reprioritise(this.#assetIds[asset]!, this.#policy.urgencyOf(facts, nowMs).value);
    }
    this.#planUrgencyChange(origin, nowMs);
  }
}
