/**
 * What the servers and their database are to do, as plainly as it can be said: lists in memory, searched from end to end. It
 * does not choose what a node is granted. It is told, and says whether that was lawful, or what has been withheld.
 *
 * A server decides on a view that may be half a second old, so a grant is lawful where it is by the facts of any moment
 * since; what a server has to check as it writes (turns, ledgers, quotas, slots) has to hold now.
 */
import {
  compareIds,
  failureClassOf,
  holdingOf,
  isSameHolding,
  judgeFailures,
  newOrigin,
  openSlots,
  recordFailure,
  recordSuccess,
  recordThrottle,
  returnSlots,
  takeSlots,
  weighCopies,
} from "@dispatcher/core";
import type {
  AssetId,
  AssetState,
  AssignmentId,
  AssignmentState,
  CopyRange,
  FailureCode,
  Holding,
  NodeId,
  NodeLife,
  OperatorId,
  Origin,
  Trust,
} from "@dispatcher/core";
import type { z } from "zod";
import { hashText } from "../../src/services/hash-text.ts";
import type { NodeSyncInput, NodeSyncOutput } from "../../src/wire/node.ts";

export type SyncInput = z.output<typeof NodeSyncInput>;
export type SyncReply = z.output<typeof NodeSyncOutput>;
export type Grant = SyncReply["grants"][number];
type Finished = SyncInput["finished"][number];
type Failed = SyncInput["failed"][number];
type Open = SyncInput["open"][number];

/** Settings of the servers; they are given these. */
export const SETTINGS = {
  concurrency: 5,
  requestsPerMinute: 60_000,
  quotaMax: 4,
  unknownSizeBytes: 50,
  retryBaseMs: 60_000,
  leaseMs: 15 * 60_000,
  graceMs: 10 * 60_000,
  capMs: 7 * 86_400_000,
  suspectMs: 3 * 60_000,
  offlineMs: 3_600_000,
  lostMs: 86_400_000,
  retiredMs: 30 * 86_400_000,
  copies: { min: 1, target: 2, max: 3 },
} as const;

/** A view is no older than this when it decides. */
export const VIEW_MS = 500;
/** Times that were predicted are this near; what lies so near an edge may be on either side of it. */
const NEAR_MS = 10_000;
/** Whoever failed on an asset is kept from it for so many first pauses. */
const AVOID_MS = 10 * SETTINGS.retryBaseMs;

export type Content = { readonly sizeBytes: number | null; readonly sha256: string | null };
type Copy = { readonly sizeBytes: number; readonly sha256: string; readonly trust: Trust; readonly counts: boolean };

export type Asset = Content & {
  readonly id: AssetId;
  readonly dataset: string;
  readonly path: string;
  readonly host: string;
  readonly priority: number | null;
  readonly state: AssetState;
  readonly retryAtMs: number | null;
  /** The most that a node has found a file of unknown size to be. */
  readonly seenBytes: number | null;
  /** Its standing is to be computed anew: until then it says nothing. */
  readonly isDue: boolean;
};

export type Lease = {
  readonly id: AssignmentId;
  readonly assetId: AssetId;
  readonly nodeId: NodeId;
  readonly host: string;
  readonly state: AssignmentState;
  readonly term: number;
  readonly turn: number;
  readonly grantedAtMs: number;
  readonly expiresAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly reservedBytes: number;
  readonly bytesDone: number;
  readonly failureCode: FailureCode | null;
  readonly copy: Copy | null;
  /** Open, and not needed: it ends once its node has heard of it. */
  readonly isSurplus: boolean;
};

export type Node = {
  readonly id: NodeId;
  readonly name: string;
  readonly operator: string;
  readonly life: NodeLife;
  /** When it spoke last, or joined. */
  readonly heardAtMs: number;
  readonly offeredBytes: number;
  readonly quota: number;
  readonly verifiedCopies: number;
  readonly inventoryWanted: boolean;
};

/** What the database holds, in the words of the model. */
export type Rows = {
  readonly nowMs: number;
  readonly assets: readonly (Omit<Asset, "isDue"> & {
    readonly isDue: boolean;
    readonly independentCopies: number;
    readonly placesLeft: number;
  })[];
  readonly leases: readonly Lease[];
  readonly nodes: readonly (Node & { readonly heldBytes: number; readonly reservedBytes: number })[];
  readonly origins: readonly {
    readonly host: string;
    readonly inUse: number;
    readonly concurrency: number;
    readonly failures: number;
    readonly closedUntilMs: number | null;
    readonly cleanSinceMs: number;
  }[];
  readonly datasets: readonly ({ readonly key: string } & CopyRange)[];
  /** What `findImbalances` says. */
  readonly imbalances: readonly string[];
};

/** The database, or an answer, and the model do not agree. */
export class Disagreement extends Error {
  override readonly name = "Disagreement";
}

function disagree(text: string): never {
  throw new Disagreement(text);
}

const OPEN: ReadonlySet<AssignmentState> = new Set(["granted", "running"]);
export const isOpenState = (state: AssignmentState): boolean => OPEN.has(state);
const reservationOf = ({ sizeBytes, seenBytes }: Asset): number =>
  sizeBytes ?? Math.max(seenBytes ?? 0, SETTINGS.unknownSizeBytes);
const holds = ({ state }: Lease): boolean => isOpenState(state) || state === "stored";
const isNear = (a: number | null, b: number | null): boolean =>
  a === null || b === null ? a === b : Math.abs(a - b) < NEAR_MS;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What a sync was found to be, before anything was granted. */
export type Heard = {
  /** To its reports: accepted, repeated, or the code of a refusal. */
  readonly answers: readonly string[];
  /** What it goes on with though its lease is over. */
  readonly away: readonly Open[];
  /** Assets of which a copy came late. */
  readonly late: readonly AssetId[];
  /** Undefined where the model does not say. */
  readonly inventoryWanted: boolean | undefined;
};

type Holder = { readonly nodeId: NodeId; readonly operator: string; readonly counts: boolean };

/** What a node asks with. */
export type Ask = { readonly nodeId: NodeId; readonly freeBytes: number };

export class Model {
  readonly assets: Map<AssetId, Asset>;
  readonly leases: Map<AssignmentId, Lease>;
  readonly nodes: Map<NodeId, Node>;
  readonly origins: Map<string, Origin>;
  readonly datasets: Map<string, CopyRange>;

  constructor(from?: Model) {
    this.assets = new Map(from?.assets);
    this.leases = new Map(from?.leases);
    this.nodes = new Map(from?.nodes);
    this.origins = new Map(from?.origins);
    this.datasets = new Map(from?.datasets);
  }

  // --- What there is ---

  node(id: NodeId): Node {
    return this.nodes.get(id) ?? disagree(`There is no node ${id}.`);
  }

  asset(id: AssetId): Asset {
    return this.assets.get(id) ?? disagree(`There is no asset ${id}.`);
  }

  copiesOf(asset: Asset): CopyRange {
    return this.datasets.get(asset.dataset) ?? disagree(`There is no dataset ${asset.dataset}.`);
  }

  leasesOf(nodeId: NodeId): readonly Lease[] {
    return [...this.leases.values()].filter((lease) => lease.nodeId === nodeId);
  }

  openOf(nodeId: NodeId): readonly Lease[] {
    return this.leasesOf(nodeId).filter(({ state }) => isOpenState(state));
  }

  leasesOfAsset(assetId: AssetId): readonly Lease[] {
    return [...this.leases.values()].filter((lease) => lease.assetId === assetId);
  }

  lastTurn(assetId: AssetId): number {
    return Math.max(0, ...this.leasesOfAsset(assetId).map(({ turn }) => turn));
  }

  heldBytes(nodeId: NodeId): number {
    return sum(this.leasesOf(nodeId).map(({ copy }) => copy?.sizeBytes ?? 0));
  }

  reservedBytes(nodeId: NodeId): number {
    return sum(this.leasesOf(nodeId).map(({ reservedBytes }) => reservedBytes));
  }

  room(nodeId: NodeId): number {
    return this.node(nodeId).offeredBytes - this.heldBytes(nodeId) - this.reservedBytes(nodeId);
  }

  /** Its copies are believed to be there. */
  isPresent(nodeId: NodeId): boolean {
    const { life, inventoryWanted } = this.node(nodeId);
    return life !== "lost" && life !== "retired" && !inventoryWanted;
  }

  /** Copies that are there, and leases. */
  holdersOf(assetId: AssetId, { copiesOnly = false } = {}): readonly Holder[] {
    return this.leasesOfAsset(assetId).flatMap(({ nodeId, state, copy }) => {
      const isHolder = copy === null ? isOpenState(state) && !copiesOnly : this.isPresent(nodeId);
      return isHolder ? [{ nodeId, operator: this.node(nodeId).operator, counts: copy?.counts ?? true }] : [];
    });
  }

  /** Operators with a node that has been heard of lately. */
  operatorCount(): number {
    const live = [...this.nodes.values()].filter(({ life }) => life === "online" || life === "suspect");
    return new Set(live.map(({ operator }) => operator)).size;
  }

  origin(host: string): Origin {
    const budget = { concurrencyMax: SETTINGS.concurrency, requestsPerMinute: SETTINGS.requestsPerMinute };
    return this.origins.get(host) ?? newOrigin(budget, 0);
  }

  slots(host: string, nowMs: number): number {
    return openSlots(this.origin(host), nowMs).slots;
  }

  /** All that there is, in an order that does not depend on how it came about. */
  toRows(): readonly unknown[] {
    const maps: readonly ReadonlyMap<string, unknown>[] = [
      this.assets,
      this.leases,
      this.nodes,
      this.origins,
      this.datasets,
    ];
    return maps.map((map) => [...map].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  // --- What changes ---

  #setAsset(id: AssetId, change: Partial<Asset>): void {
    this.assets.set(id, { ...this.asset(id), ...change });
  }

  #setNode(id: NodeId, change: Partial<Node>): void {
    this.nodes.set(id, { ...this.node(id), ...change });
  }

  #setLease(id: AssignmentId, change: Partial<Lease>): void {
    const lease = this.leases.get(id) ?? disagree(`There is no assignment ${id}.`);
    this.leases.set(id, { ...lease, ...change });
  }

  #setOrigin(host: string, change: (origin: Origin) => Origin): void {
    this.origins.set(host, change(this.origin(host)));
  }

  /** Bytes and slot go back, where it was open. */
  #end(lease: Lease, state: AssignmentState, nowMs: number, change: Partial<Lease> = {}): void {
    if (isOpenState(lease.state)) this.#setOrigin(lease.host, (origin) => returnSlots(origin, 1));
    this.#setLease(lease.id, {
      state,
      reservedBytes: 0,
      expiresAtMs: null,
      endedAtMs: nowMs,
      isSurplus: false,
      ...change,
    });
  }

  /** What the copies that are there say about each other. */
  #weigh(assetId: AssetId): void {
    const copies = this.leasesOfAsset(assetId).flatMap(({ nodeId, copy }) => {
      const operatorId = this.node(nodeId).operator as OperatorId;
      return copy === null || !this.isPresent(nodeId) ? [] : [{ nodeId, operatorId, ...copy }];
    });
    for (const { nodeId, trust, counts } of weighCopies(copies)) {
      const lease = this.leasesOfAsset(assetId).find((one) => one.nodeId === nodeId && one.copy !== null);
      if (lease !== undefined && lease.copy !== null)
        this.#setLease(lease.id, { copy: { ...lease.copy, trust, counts } });
    }
  }

  join(node: Node): void {
    this.nodes.set(node.id, node);
  }

  /** The ids of new assets are the database's. */
  importEntries(
    { dataset, copies }: { readonly dataset: string; readonly copies: CopyRange | null },
    entries: readonly (Content & Pick<Asset, "path" | "host" | "priority">)[],
    idOf: (path: string) => AssetId,
  ): { readonly taken: number; readonly updated: number; readonly unchanged: number; readonly skipped: number } {
    const before = this.datasets.get(dataset);
    const after = copies ?? before ?? SETTINGS.copies;
    this.datasets.set(dataset, after);
    const isChanged =
      before !== undefined && (before.min !== after.min || before.target !== after.target || before.max !== after.max);
    const outcome = { taken: 0, updated: 0, unchanged: 0, skipped: 0 };
    for (const entry of entries) {
      const known = [...this.assets.values()].find(({ path }) => path === entry.path);
      if (known === undefined) {
        const id = idOf(entry.path);
        this.assets.set(id, { id, dataset, state: "wanted", retryAtMs: null, seenBytes: null, isDue: false, ...entry });
        outcome.taken += 1;
        continue;
      }
      const isSameContent = known.sizeBytes === entry.sizeBytes && known.sha256 === entry.sha256;
      const priority = entry.priority ?? known.priority;
      if (isSameContent && known.host === entry.host && known.priority === priority) {
        outcome.unchanged += 1;
      } else if (!isSameContent && this.leasesOfAsset(known.id).some(holds)) {
        outcome.skipped += 1;
      } else {
        this.#setAsset(known.id, { ...entry, priority, seenBytes: null, isDue: false });
        this.#weigh(known.id);
        outcome.updated += 1;
      }
    }
    for (const asset of this.assets.values()) {
      if (isChanged && asset.dataset === dataset) this.#setAsset(asset.id, { isDue: true });
    }
    return outcome;
  }

  setState(assetId: AssetId, state: AssetState): void {
    this.#setAsset(assetId, { state });
  }

  /** Everything that was, was so much earlier. */
  step(ms: number): void {
    const back = (atMs: number | null): number | null => (atMs === null ? null : atMs - ms);
    for (const { id, retryAtMs } of this.assets.values()) this.#setAsset(id, { retryAtMs: back(retryAtMs) });
    for (const { id, heardAtMs } of this.nodes.values()) this.#setNode(id, { heardAtMs: heardAtMs - ms });
    for (const { id, grantedAtMs, expiresAtMs, endedAtMs } of this.leases.values()) {
      const times = { grantedAtMs: grantedAtMs - ms, expiresAtMs: back(expiresAtMs), endedAtMs: back(endedAtMs) };
      this.#setLease(id, times);
    }
    for (const host of this.origins.keys()) {
      this.#setOrigin(host, (origin) => ({
        ...origin,
        tokensAtMs: origin.tokensAtMs - ms,
        closedUntilMs: back(origin.closedUntilMs),
        cleanSinceMs: origin.cleanSinceMs - ms,
      }));
    }
  }

  // --- A sync ---

  /** One node speaks. */
  hear(nodeId: NodeId, input: SyncInput, nowMs: number): Heard {
    const node = this.node(nodeId);
    const inUse = this.heldBytes(nodeId) + this.reservedBytes(nodeId);
    const inventoryWanted = node.inventoryWanted || node.life === "lost";
    this.#setNode(nodeId, { offeredBytes: Math.max(input.offeredBytes, inUse), heardAtMs: nowMs });
    const stored = this.leasesOf(nodeId).filter(({ copy }) => copy !== null);
    const desk = { late: [] as AssetId[], copied: new Set<AssetId>(), failures: new Map<AssetId, FailureCode[]>() };
    const finished = input.finished.map((report) => this.#finish(nodeId, report, nowMs, desk));
    const answers = [
      ...finished,
      ...input.failed.map((report) => this.#fail(nodeId, report, nowMs, desk)),
      ...input.released.map((report) => this.#release(nodeId, report, nowMs)),
    ];
    // What is refused is no copy, whatever the node thinks: then nothing is compared.
    const isCompared = !finished.some((answer) => answer !== "accepted" && answer !== "repeated");
    const isSame = input.holding !== undefined && isSameHolding(input.holding, this.#holdingOf(nodeId));
    const isBack = isCompared && isSame && inventoryWanted;
    this.#setNode(nodeId, { life: "online", inventoryWanted: inventoryWanted && !isBack });
    const away = input.open.filter((report) => this.#progress(nodeId, report, nowMs));
    const listed = new Set(input.open.map(({ assignmentId }) => assignmentId));
    for (const lease of this.openOf(nodeId)) {
      if (!lease.isSurplus || listed.has(lease.id)) continue;
      this.#end(lease, lease.state === "granted" ? "cancelled" : "released", nowMs);
    }
    for (const [assetId, codes] of desk.failures) this.#settleFailures(assetId, codes, nowMs);
    for (const assetId of desk.copied) this.#weigh(assetId);
    // How those stand that it has just stored is known: it was written with them.
    if (isBack) for (const { assetId } of stored) this.#setAsset(assetId, { isDue: true });
    const inventory = isBack ? undefined : isCompared ? !isSame : inventoryWanted;
    return { answers, away, late: desk.late, inventoryWanted: inventory };
  }

  #holdingOf(nodeId: NodeId): Holding {
    const copies = this.leasesOf(nodeId).flatMap(({ assetId, copy }) => (copy === null ? [] : [{ assetId, ...copy }]));
    return holdingOf(copies, hashText);
  }

  /** The node's own lease under its term; or why there is nothing to report on. */
  #reported(nodeId: NodeId, { assignmentId, term }: { assignmentId: AssignmentId; term: number }): Lease | string {
    const lease = this.leases.get(assignmentId);
    if (lease === undefined || lease.nodeId !== nodeId) return "ASSIGNMENT_UNKNOWN";
    return lease.term === term ? lease : "LEASE_TERM_STALE";
  }

  #finish(
    nodeId: NodeId,
    report: Finished,
    nowMs: number,
    desk: { readonly late: AssetId[]; readonly copied: Set<AssetId>; readonly failures: Map<AssetId, FailureCode[]> },
  ): string {
    const lease = this.#reported(nodeId, report);
    if (typeof lease === "string") return lease;
    if (lease.state === "stored") return "repeated";
    if (lease.state === "failed") return "LEASE_ENDED";
    const asset = this.asset(lease.assetId);
    const { max } = this.copiesOf(asset);
    const isOpen = isOpenState(lease.state);
    const { sizeBytes, sha256 } = report;
    const isOtherSize = asset.sizeBytes !== null && asset.sizeBytes !== sizeBytes;
    if (isOtherSize || (asset.sha256 !== null && asset.sha256 !== sha256)) {
      if (isOpen) this.#fail(nodeId, { ...report, code: "BAD_DIGEST", message: "" }, nowMs, desk);
      return isOtherSize ? "SIZE_MISMATCH" : "DIGEST_MISMATCH";
    }
    const others = this.leasesOfAsset(asset.id).filter((one) => one.nodeId !== nodeId);
    const copies = others.filter((one) => one.copy !== null && this.isPresent(one.nodeId)).length;
    let given = lease;
    if (isOpen && copies >= max) {
      this.#end(lease, "released", nowMs);
      return "COPIES_FULL";
    }
    if (!isOpen) {
      const other = this.leasesOfAsset(asset.id).find(
        (one) => one.nodeId === nodeId && one.id !== lease.id && holds(one),
      );
      if (other?.state === "stored") return "COPIES_FULL";
      const running = others.filter(({ state }) => state === "running").length;
      if (other === undefined && copies + running >= max) return "COPIES_FULL";
      given = other ?? lease;
    }
    if (sizeBytes > this.room(nodeId) + given.reservedBytes) return "LEDGER_EXCEEDED";
    if (given !== lease) this.#end(given, "released", nowMs);
    const turn = isOpen ? lease.turn : this.lastTurn(asset.id) + 1;
    const trust = asset.sha256 === null ? "claimed" : "verified";
    const copy = { sizeBytes, sha256, trust, counts: true } as const;
    this.#end(lease, "stored", nowMs, { bytesDone: sizeBytes, copy, turn, failureCode: null });
    this.#see(asset.id, sizeBytes);
    this.#setOrigin(lease.host, (origin) => recordSuccess(origin, nowMs));
    const { quota, verifiedCopies } = this.node(nodeId);
    this.#setNode(nodeId, { quota: Math.min(SETTINGS.quotaMax, 2 * quota), verifiedCopies: verifiedCopies + 1 });
    desk.copied.add(asset.id);
    if (!isOpen) desk.late.push(asset.id);
    return "accepted";
  }

  #fail(
    nodeId: NodeId,
    report: Failed,
    nowMs: number,
    { failures }: { readonly failures: Map<AssetId, FailureCode[]> },
  ): string {
    const { code, retryAfterMs = null } = report;
    const lease = this.#reported(nodeId, report);
    if (typeof lease === "string") return lease;
    if (lease.state === "failed") return "repeated";
    if (!isOpenState(lease.state)) return "LEASE_ENDED";
    this.#end(lease, "failed", nowMs, { failureCode: code });
    failures.set(lease.assetId, [...(failures.get(lease.assetId) ?? []), code]);
    if (failureClassOf(code) === "node") this.#lowerQuota(nodeId);
    if (code === "THROTTLED") {
      this.#setOrigin(lease.host, (origin) => recordThrottle(origin, nowMs, retryAfterMs));
    } else if (code === "ORIGIN_ERROR" || code === "FORBIDDEN") {
      this.#setOrigin(lease.host, (origin) => recordFailure(origin, nowMs));
    }
    return "accepted";
  }

  #lowerQuota(nodeId: NodeId): void {
    this.#setNode(nodeId, { quota: Math.max(1, Math.floor(this.node(nodeId).quota / 2)) });
  }

  #settleFailures(assetId: AssetId, codes: readonly FailureCode[], nowMs: number): void {
    const all = this.leasesOfAsset(assetId);
    const failures = all.flatMap(({ nodeId, term, failureCode }) => {
      const isSaved = all.some((one) => one.copy !== null && one.term > term);
      return failureCode === null || isSaved ? [] : [{ nodeId, code: failureCode }];
    });
    const asset = this.asset(assetId);
    const { state, restMs } = judgeFailures(failures, codes, { baseMs: SETTINGS.retryBaseMs, jitter: 0.5 });
    this.#setAsset(assetId, {
      state: asset.state === "wanted" ? state : asset.state,
      retryAtMs: restMs === null ? asset.retryAtMs : nowMs + restMs,
    });
  }

  #release(nodeId: NodeId, report: SyncInput["released"][number], nowMs: number): string {
    const lease = this.#reported(nodeId, report);
    if (typeof lease === "string") return lease;
    if (lease.state === "released") return "repeated";
    if (!isOpenState(lease.state)) return "LEASE_ENDED";
    this.#end(lease, "released", nowMs);
    return "accepted";
  }

  /** True where the lease is over, and it goes on all the same. */
  #progress(nodeId: NodeId, report: Open, nowMs: number): boolean {
    const lease = this.#reported(nodeId, report);
    if (typeof lease === "string") return false;
    if (!isOpenState(lease.state) || lease.expiresAtMs === null) return lease.state === "expired";
    const more = this.asset(lease.assetId).sizeBytes === null ? (report.wantBytes ?? 0) - lease.reservedBytes : 0;
    const hasBegun = report.state === "running" || report.bytesDone > 0;
    if (lease.isSurplus && (!hasBegun || this.asset(lease.assetId).state === "withdrawn")) return false;
    this.#see(lease.assetId, report.wantBytes ?? 0);
    const hasMore = report.bytesDone > lease.bytesDone;
    const renewedAtMs = Math.min(nowMs + SETTINGS.leaseMs, lease.grantedAtMs + SETTINGS.capMs);
    this.#setLease(lease.id, {
      state: hasMore || report.state === "running" ? "running" : lease.state,
      bytesDone: Math.max(lease.bytesDone, report.bytesDone),
      isSurplus: false,
      expiresAtMs: hasMore ? Math.max(lease.expiresAtMs, renewedAtMs) : lease.expiresAtMs,
      reservedBytes: lease.reservedBytes + (more > 0 && more <= this.room(nodeId) ? more : 0),
    });
    return false;
  }

  #see(assetId: AssetId, bytes: number): void {
    const { sizeBytes, seenBytes } = this.asset(assetId);
    if (sizeBytes === null && bytes > (seenBytes ?? 0)) this.#setAsset(assetId, { seenBytes: bytes });
  }

  /** What it goes on with is granted anew, where it may be; answers what is paused. */
  goOn(nodeId: NodeId, away: readonly Open[], nowMs: number): readonly AssignmentId[] {
    return away.flatMap(({ assignmentId, bytesDone, wantBytes = 0 }) => {
      const lease = this.leases.get(assignmentId);
      if (lease === undefined) return [];
      const asset = this.asset(lease.assetId);
      const isHeld = this.leasesOf(nodeId).some((one) => one.assetId === asset.id && holds(one));
      const { operator, quota } = this.node(nodeId);
      const holders = this.holdersOf(asset.id);
      const isDouble = holders.some((holder) => holder.counts && holder.operator === operator);
      const isWelcome = asset.state === "wanted" && asset.host === lease.host && !isHeld && !isDouble;
      if (!isWelcome || placesOf(holders, this.copiesOf(asset)) <= 0) return [];
      const reservedBytes = Math.max(reservationOf(asset), wantBytes);
      const hasRoom = this.openOf(nodeId).length < quota && reservedBytes <= this.room(nodeId);
      if (!hasRoom || this.slots(lease.host, nowMs) === 0) return [assignmentId];
      const turn = this.lastTurn(asset.id) + 1;
      const state = bytesDone > 0 ? "running" : "granted";
      const times = { grantedAtMs: nowMs, expiresAtMs: nowMs + SETTINGS.leaseMs, endedAtMs: null };
      this.#setLease(lease.id, { state, term: turn, turn, bytesDone, reservedBytes, ...times });
      this.#setOrigin(lease.host, (origin) => takeSlots(origin, 1, nowMs));
      return [];
    });
  }

  /** Copies came late: leases that have not begun are surplus as far as they are not needed, the newest first. */
  markSurplus(assetIds: readonly AssetId[]): void {
    for (const assetId of new Set(assetIds)) {
      const { target } = this.copiesOf(this.asset(assetId));
      const unstarted = this.leasesOfAsset(assetId).filter(({ state, isSurplus }) => state === "granted" && !isSurplus);
      for (const lease of unstarted.toSorted((a, b) => b.term - a.term)) {
        const going = this.leasesOfAsset(assetId).filter(({ id, isSurplus }) => isSurplus || id === lease.id);
        const nodeIds = new Set(going.map(({ nodeId }) => nodeId));
        const others = this.holdersOf(assetId).filter(({ nodeId }) => !nodeIds.has(nodeId));
        if (independentOf(others) >= target) this.#setLease(lease.id, { isSurplus: true });
      }
    }
  }

  // --- Grants ---

  /** Write down a grant. @throws Disagreement where it is not lawful by any of the views */
  grant(
    ask: Ask,
    grant: Grant,
    row: Lease,
    {
      views,
      operatorCount,
      nowMs,
    }: { readonly views: readonly Model[]; readonly operatorCount: number; readonly nowMs: number },
  ): void {
    const { nodeId } = ask;
    const { name, quota } = this.node(nodeId);
    const asset = this.asset(grant.asset.id);
    const what = `${name} was granted ${asset.path} under term ${grant.term}`;
    const turn = this.lastTurn(asset.id) + 1;
    if (grant.term !== turn) disagree(`${what}, and turn ${turn} was the next.`);
    if (this.leasesOf(nodeId).some((one) => one.assetId === asset.id && holds(one))) disagree(`${what}, and holds it.`);
    if (this.openOf(nodeId).length >= quota) disagree(`${what}, beyond its quota of ${quota}.`);
    const missing = grant.reservedBytes - this.usable(ask);
    if (missing > 0) disagree(`${what}, and is short of ${missing} bytes.`);
    if (this.slots(row.host, nowMs) < 1) disagree(`${what}, and its origin has no slot.`);
    const reasons = views.map((view) => this.#whyNotBy(view, ask, asset.id, { operatorCount, nowMs, nearMs: NEAR_MS }));
    if (reasons.every((reason) => reason !== null)) disagree(`${what}, and ${reasons[0]}.`);
    const isSizeKnown = views.some((view) => view.reservation(asset.id) === grant.reservedBytes);
    if (!isSizeKnown) disagree(`${what}, with ${grant.reservedBytes} bytes reserved.`);
    const { path, sizeBytes, digest } = grant.asset;
    if (path !== asset.path || sizeBytes !== asset.sizeBytes || (digest?.hex ?? null) !== asset.sha256) {
      disagree(`${what}, with facts that are not the catalog's: ${JSON.stringify(grant.asset)}.`);
    }
    this.leases.set(grant.assignmentId, {
      id: grant.assignmentId,
      assetId: asset.id,
      nodeId,
      host: row.host,
      state: "granted",
      term: turn,
      turn,
      grantedAtMs: nowMs,
      expiresAtMs: grant.expiresAtMs,
      endedAtMs: null,
      reservedBytes: grant.reservedBytes,
      bytesDone: 0,
      failureCode: null,
      copy: null,
      isSurplus: false,
    });
    if (!isNear(grant.expiresAtMs, nowMs + SETTINGS.leaseMs))
      disagree(`${what}, until another time than a lease lasts.`);
    this.#setOrigin(row.host, (origin) => takeSlots(origin, 1, nowMs));
  }

  reservation(assetId: AssetId): number | null {
    const asset = this.assets.get(assetId);
    return asset === undefined ? null : reservationOf(asset);
  }

  /** By the ledger, and by the real disk once all that is open has arrived. */
  usable({ nodeId, freeBytes }: Ask): number {
    const toCome = this.openOf(nodeId).map(({ reservedBytes, bytesDone }) => Math.max(0, reservedBytes - bytesDone));
    return Math.max(0, Math.min(this.room(nodeId), freeBytes - sum(toCome)));
  }

  /**
   * Why the facts of a view keep an asset from a node; null when they do not. Who holds it is as of now, for whoever came
   * since has taken a turn; whether that counts is the view's.
   */
  #whyNotBy(
    view: Model,
    { nodeId }: Ask,
    assetId: AssetId,
    {
      operatorCount,
      nowMs,
      nearMs,
    }: { readonly operatorCount: number; readonly nowMs: number; readonly nearMs: number },
  ): string | null {
    const asset = view.assets.get(assetId);
    if (asset === undefined) return "it is not known";
    if (asset.state !== "wanted") return `it is ${asset.state}`;
    if (asset.retryAtMs !== null && asset.retryAtMs > nowMs + nearMs) return "it rests after a failure";
    const failed = this.leasesOfAsset(assetId).filter(
      ({ state, endedAtMs }) =>
        (state === "failed" || state === "expired") && (endedAtMs ?? 0) + AVOID_MS > nowMs + nearMs,
    );
    if (failed.some((one) => one.nodeId === nodeId && view.leases.get(one.id)?.state === one.state)) {
      return "it has failed on it lately";
    }
    const copies = view.copiesOf(asset);
    const holders = this.leasesOfAsset(assetId).flatMap((lease) => {
      const seen = view.leases.get(lease.id) ?? lease;
      const isHolder =
        lease.copy === null
          ? isOpenState(lease.state)
          : (view.nodes.has(lease.nodeId) ? view : this).isPresent(lease.nodeId);
      const counts = seen.copy?.counts ?? lease.copy?.counts ?? true;
      return isHolder ? [{ nodeId: lease.nodeId, operator: this.node(lease.nodeId).operator, counts }] : [];
    });
    // How it stands is not known again before a sweep.
    if (asset.isDue && nearMs > 0) return null;
    const places = placesOf(holders, copies);
    if (places <= 0) return `it has no place left: ${holders.length} hold it, of ${copies.target} to ${copies.max}`;
    const { operator } = this.node(nodeId);
    if (!holders.some((holder) => holder.counts && holder.operator === operator)) return null;
    const independent = independentOf(holders);
    const mayDouble = independent >= operatorCount && holders.length + 1 + copies.target - independent <= copies.max;
    return mayDouble ? null : "its operator holds it";
  }

  /** Assets that a node could be granted now, whatever a rule says that depends on a moment. */
  fitting(ask: Ask, nowMs: number): readonly Asset[] {
    const { nodeId } = ask;
    if (this.openOf(nodeId).length >= this.node(nodeId).quota) return [];
    return [...this.assets.values()].filter((asset) => {
      if (asset.isDue || this.leasesOf(nodeId).some((one) => one.assetId === asset.id && holds(one))) return false;
      // Copies are counted, and not what is on its way, where it is decided what stands in a queue.
      if (placesOf(this.holdersOf(asset.id, { copiesOnly: true }), this.copiesOf(asset)) <= 0) return false;
      if (reservationOf(asset) > this.usable(ask) || this.slots(asset.host, nowMs) < 1) return false;
      const { closedUntilMs } = this.origin(asset.host);
      if (closedUntilMs !== null && closedUntilMs > nowMs - NEAR_MS) return false;
      return this.#whyNotBy(this, ask, asset.id, { operatorCount: Infinity, nowMs, nearMs: -NEAR_MS }) === null;
    });
  }

  // --- Sweeps ---

  /** What is overdue ends. At the edge itself the database is followed. */
  expireLeases(rows: Rows): void {
    const stored = new Map(rows.leases.map((lease) => [lease.id, lease]));
    const faulty = new Set<NodeId>();
    for (const lease of this.leases.values()) {
      if (lease.expiresAtMs === null) continue;
      const overdueMs = rows.nowMs - lease.expiresAtMs - SETTINGS.graceMs;
      const isOver = Math.abs(overdueMs) < NEAR_MS ? stored.get(lease.id)?.state === "expired" : overdueMs >= 0;
      if (!isOver) continue;
      this.#end(lease, "expired", rows.nowMs);
      faulty.add(lease.nodeId);
    }
    for (const nodeId of faulty) this.#lowerQuota(nodeId);
  }

  moveSilentNodes(rows: Rows): void {
    const stored = new Map(rows.nodes.map((node) => [node.id, node]));
    for (const { id, life, heardAtMs } of this.nodes.values()) {
      const silentMs = rows.nowMs - heardAtMs;
      const [early, late] = [lifeAfter(life, silentMs - NEAR_MS), lifeAfter(life, silentMs + NEAR_MS)];
      const next = early === late ? early : (stored.get(id)?.life ?? early);
      const wasHere = life !== "lost" && life !== "retired";
      this.#setNode(id, { life: next });
      if (!wasHere || (next !== "lost" && next !== "retired")) continue;
      for (const { assetId, copy } of this.leasesOf(id)) if (copy !== null) this.#setAsset(assetId, { isDue: true });
    }
  }

  findDue(): readonly AssetId[] {
    return [...this.assets.values()].filter(({ isDue }) => isDue).map(({ id }) => id);
  }

  renewStandings(assetIds: readonly AssetId[]): void {
    for (const id of assetIds) {
      this.#weigh(id);
      this.#setAsset(id, { isDue: false });
      // They were granted by somebody who did not know it yet.
      if (this.asset(id).state !== "withdrawn") continue;
      for (const lease of this.leasesOfAsset(id)) {
        if (isOpenState(lease.state)) this.#setLease(lease.id, { isSurplus: true });
      }
    }
  }

  // --- Against the database ---

  /** Where the two do not agree; and the times that the database took, which the model can only guess, become its own. */
  compare(rows: Rows): readonly string[] {
    const faults: string[] = [];
    const differ = (what: string, model: unknown, database: unknown): void => {
      if (model !== database)
        faults.push(`${what} is ${String(database)} in the database and ${String(model)} in the model`);
    };
    const differAt = (what: string, model: number | null, database: number | null): void => {
      if (!isNear(model, database)) differ(what, model, database);
    };
    differ("the number of assignments", this.leases.size, rows.leases.length);
    for (const row of rows.leases) {
      const lease = this.leases.get(row.id);
      const { name } = this.node(row.nodeId);
      const what = `the assignment ${row.id} of ${this.asset(row.assetId).path} to ${name}`;
      if (lease === undefined) {
        faults.push(`${what} is in the database, and nobody was told`);
        continue;
      }
      for (const key of [
        "state",
        "term",
        "turn",
        "host",
        "reservedBytes",
        "bytesDone",
        "failureCode",
        "isSurplus",
      ] as const) {
        differ(`${what}: ${key}`, lease[key], row[key]);
      }
      differ(`${what}: copy`, JSON.stringify(lease.copy), JSON.stringify(row.copy));
      for (const key of ["grantedAtMs", "expiresAtMs", "endedAtMs"] as const)
        differAt(`${what}: ${key}`, lease[key], row[key]);
      const { grantedAtMs, expiresAtMs, endedAtMs } = row;
      this.#setLease(row.id, { grantedAtMs, expiresAtMs, endedAtMs });
    }
    for (const row of rows.nodes) {
      const node = this.node(row.id);
      for (const key of ["life", "quota", "offeredBytes", "verifiedCopies", "inventoryWanted"] as const) {
        differ(`${row.name}: ${key}`, node[key], row[key]);
      }
      differ(`${row.name}: heldBytes`, this.heldBytes(row.id), row.heldBytes);
      differ(`${row.name}: reservedBytes`, this.reservedBytes(row.id), row.reservedBytes);
      differAt(`${row.name}: heardAtMs`, node.heardAtMs, row.heardAtMs);
      this.#setNode(row.id, { heardAtMs: row.heardAtMs });
    }
    for (const row of rows.origins) {
      const origin = this.origin(row.host);
      for (const key of ["inUse", "concurrency", "failures"] as const)
        differ(`${row.host}: ${key}`, origin[key], row[key]);
      differAt(`${row.host}: closedUntilMs`, origin.closedUntilMs, row.closedUntilMs);
      const { closedUntilMs, cleanSinceMs } = row;
      this.origins.set(row.host, { ...origin, closedUntilMs, cleanSinceMs });
    }
    differ("the number of assets", this.assets.size, rows.assets.length);
    for (const row of rows.assets) this.#compareAsset(row, { faults, differ, differAt });
    for (const { key, min, target, max } of rows.datasets) {
      const range = this.datasets.get(key);
      differ(`${key}: copies`, `${range?.min}/${range?.target}/${range?.max}`, `${min}/${target}/${max}`);
    }
    return [...faults, ...rows.imbalances.filter((fault) => !this.#explains(fault))];
  }

  #compareAsset(
    row: Rows["assets"][number],
    {
      faults,
      differ,
      differAt,
    }: {
      readonly faults: string[];
      readonly differ: (what: string, model: unknown, database: unknown) => void;
      readonly differAt: (what: string, model: number | null, database: number | null) => void;
    },
  ): void {
    const asset = this.assets.get(row.id);
    if (asset === undefined) {
      faults.push(`${row.path} is in the database alone`);
      return;
    }
    for (const key of ["path", "host", "sizeBytes", "seenBytes", "sha256", "priority", "state", "dataset"] as const) {
      differ(`${row.path}: ${key}`, asset[key], row[key]);
    }
    differAt(`${row.path}: retryAtMs`, asset.retryAtMs, row.retryAtMs);
    this.#setAsset(row.id, { retryAtMs: row.retryAtMs });
    differ(`${row.path}: isDue`, asset.isDue, row.isDue);
    if (asset.isDue) return;
    const copies = this.holdersOf(asset.id, { copiesOnly: true });
    differ(`${row.path}: independentCopies`, independentOf(copies), row.independentCopies);
    differ(`${row.path}: placesLeft`, Math.max(0, placesOf(copies, this.copiesOf(asset))), row.placesLeft);
  }

  /** Lawful though it does not balance: a standing that waits for a sweep; copies of a node that came back, or of a lower maximum. */
  #explains(fault: string): boolean {
    const [, id = "", rest = ""] = /^asset (\d+) (says|has) .*/.exec(fault) ?? [];
    const asset = this.assets.get(id as AssetId);
    if (asset === undefined) return false;
    if (rest === "says") return asset.isDue;
    return fault.includes("copies and leases, above");
  }

  /** One line for each thing that there is, for people. */
  describe(): readonly string[] {
    const assets = [...this.assets.values()].map(({ path, state, isDue, retryAtMs, sizeBytes, id }) => {
      const holders = this.leasesOfAsset(id).map(
        (one) =>
          `${this.node(one.nodeId).name} ${one.state} (turn ${one.turn}${one.copy?.counts === false ? ", does not count" : ""})`,
      );
      const marks = [state, ...(isDue ? ["due"] : []), ...(retryAtMs === null ? [] : ["failed before"])].join(", ");
      return `${path} (${sizeBytes ?? "?"} bytes, ${marks}): ${holders.join("; ") || "nobody"}`;
    });
    const nodes = [...this.nodes.values()].map(
      ({ name, life, quota, id }) =>
        `${name} (${life}, quota ${quota}): holds ${this.heldBytes(id)} and reserves ${this.reservedBytes(id)} of ${this.node(id).offeredBytes} bytes`,
    );
    return [...assets, ...nodes];
  }
}

function independentOf(holders: readonly Holder[]): number {
  return new Set(holders.filter(({ counts }) => counts).map(({ operator }) => operator)).size;
}

function placesOf(holders: readonly Holder[], { target, max }: CopyRange): number {
  return Math.min(target - independentOf(holders), max - holders.length);
}

const LIVES: readonly NodeLife[] = ["online", "suspect", "offline", "lost", "retired"];

/** Silence makes it worse, or leaves it as it is. */
function lifeAfter(life: NodeLife, silentMs: number): NodeLife {
  const { suspectMs, offlineMs, lostMs, retiredMs } = SETTINGS;
  const reached = [0, suspectMs, offlineMs, lostMs, retiredMs].findLastIndex((limitMs) => silentMs >= limitMs);
  return LIVES[Math.max(reached, LIVES.indexOf(life))] ?? life;
}

/** By id, so that what is told does not depend on the order in which it was read. */
export function inOrder<One extends { readonly id: AssignmentId }>(all: readonly One[]): readonly One[] {
  return all.toSorted((a, b) => compareIds(a.id, b.id));
}
