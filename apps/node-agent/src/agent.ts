/**
 * The daemon: it syncs, takes what it is granted, makes the copies, and reports them with the next sync. The server may be
 * away for any time: running fetches go on, ends are kept in the journal, and the syncs find it again when it is back.
 */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import type { RouterInputs, RouterOutputs } from "@dispatcher/client";
import { DispatcherError, provesDigest } from "@dispatcher/core";
import type { AssignmentId } from "@dispatcher/core";
import type { Dispatcher } from "undici";
import { describeAgent } from "./agent-status.ts";
import type { AgentStatus } from "./agent-status.ts";
import { AssetFailure, diskFailure } from "./asset-failure.ts";
import { GrantShape } from "./assignment-journal.ts";
import type { Copy, Grant, JournalRecord, RecordIn } from "./assignment-journal.ts";
import { composeSync } from "./compose-sync.ts";
import { copyAsset } from "./copy-asset.ts";
import { describeRefusal } from "./describe-refusal.ts";
import type { Refusal } from "./describe-refusal.ts";
import { createOriginDispatcher } from "./fetch-asset.ts";
import { copyFolder, freeBytesOf, partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import { lockHome } from "./lock-home.ts";
import type { Log } from "./log.ts";
import type { NodeFile } from "./node-file.ts";
import { recoverHome } from "./recover-home.ts";
import type { RecoveredHome } from "./recover-home.ts";
import { deletePermitted, logMissing, sendInventory } from "./send-inventory.ts";
import type { SendPage } from "./send-inventory.ts";
import { serveStatus } from "./status-socket.ts";
import { SyncSchedule } from "./sync-schedule.ts";
import { AGENT_VERSION } from "./version.ts";

type SyncInput = RouterInputs["node"]["sync"];
type SyncOutput = RouterOutputs["node"]["sync"];

export type AgentOptions = {
  readonly home: Home;
  readonly node: NodeFile;
  readonly capacityBytes: number;
  readonly marginBytes: number;
  /** Fetches at once. */
  readonly concurrency: number;
  /** No byte for so long is a stall. */
  readonly patienceMs: number;
  /** Origins in one's own network as well. */
  readonly mayFetchPrivate: boolean;
  /** How long running fetches may go on when the agent is told to stop. */
  readonly stopAfterMs: number;
  readonly pid: number;
  readonly log: Log;
  /** One attempt. @throws DispatcherError; the signal's reason */
  readonly sync: (input: SyncInput, signal: AbortSignal) => Promise<SyncOutput>;
  /** One page of the inventory, tried as often as makes sense. @throws DispatcherError; the signal's reason */
  readonly sendPage: SendPage;
  /** 0 up to 1, for jitter. */
  readonly random: () => number;
};

/** Leases held beyond those being fetched, so that the next fetch need not wait for a sync. */
const LEASES_PER_FETCH = 2;
/** How often a growing file looks at the disk: rarer overshoots the margin, oftener slows small files. */
const ROOM_STEP_BYTES = 64 * 1024 * 1024;
/** For a sync under way and the last one, when the agent stops: an orderly stop must not hang on a dead server. */
const LAST_SYNC_MS = 5000;

/** How often the files of all copies are looked for. Rarer: what somebody deleted is missed for longer. Oftener: a disk is woken. */
const RESCAN_MS = 3_600_000;
/** After an inventory that settled nothing the next one waits so long, then twice as long, ... */
const INVENTORY_PAUSE_MS = 60_000;
/** ... up to this: what the two disagree about is then for people to find, in the log. */
const INVENTORY_PAUSE_MAX_MS = 3_600_000;

/** Answers that asking again does not change. */
const FATAL_CODES: ReadonlySet<string> = new Set([
  "KEY_EXPIRED",
  "KEY_INVALID",
  "KEY_MISSING",
  "KEY_REVOKED",
  "NODE_RETIRED",
]);
/** The server says that these bytes are not the asset's. Any other refusal of a finished copy leaves the bytes alone. */
const WRONG_BYTES_CODES: ReadonlySet<string> = new Set(["DIGEST_MISMATCH", "SIZE_MISMATCH"]);

/** Why a fetch is stopped from outside. `kept`: nothing is undone, and the next start resumes it. */
class FetchStopped extends Error {
  override readonly name = "FetchStopped";
  readonly outcome: "cancelled" | "released" | "kept";

  constructor(outcome: FetchStopped["outcome"], reason: string) {
    super(reason);
    this.outcome = outcome;
  }
}

/** The server does not reserve what the file needs: another node may have the room. */
class NoRoom extends Error {
  override readonly name = "NoRoom";
}

type Run = { readonly controller: AbortController; readonly ended: Promise<void> };
type Wanted = { readonly bytes: number; readonly answered: (reservedBytes: number) => void };

/**
 * Run until `stop` aborts and everything is finished or given back in order.
 * @throws DispatcherError HOME_IN_USE, HOME_UNUSABLE, STATE_UNREADABLE; one of FATAL_CODES when the
 * server will not have this node, with all work kept on disk
 */
export async function runAgent(options: AgentOptions, stop: AbortSignal): Promise<void> {
  const lock = await lockHome(options.home);
  try {
    await runLocked(options, stop);
  } finally {
    lock.release();
  }
}

async function runLocked(options: AgentOptions, stop: AbortSignal): Promise<void> {
  const { home, node, log, patienceMs, concurrency, capacityBytes, marginBytes } = options;
  const parts = await recoverHome(home, log);
  const dispatcher = createOriginDispatcher({ patienceMs, mayBePrivate: options.mayFetchPrivate });
  const agent = new Agent(options, parts, dispatcher);
  const statusServer = await serveStatus(home.socket, () => agent.status()).catch((error: unknown) => {
    log.warn({ event: "status.unavailable", err: error }, "The status command will not see this agent run.");
    return null;
  });
  try {
    const facts = { nodeId: node.nodeId, name: node.name, url: node.url, home: home.path, version: AGENT_VERSION };
    log.info(
      { event: "agent.started", ...facts, concurrency, capacityBytes, marginBytes, copies: parts.inventory.size },
      `The agent ${node.name} runs; it holds ${parts.inventory.size} copies.`,
    );
    await agent.run(stop);
    log.info({ event: "agent.stopped" }, "The agent has stopped.");
  } finally {
    await statusServer?.close();
    await dispatcher.destroy();
  }
}

class Agent {
  readonly #options: AgentOptions;
  readonly #parts: RecoveredHome;
  readonly #dispatcher: Dispatcher;
  readonly #schedule: SyncSchedule;
  readonly #runs = new Map<AssignmentId, Run>();
  /** Fetches that wait for more room than their lease reserves. */
  readonly #wanted = new Map<AssignmentId, Wanted>();
  /** Open without a lease: not fetched, and kept until the server grants them anew or cancels them. */
  readonly #paused = new Set<AssignmentId>();
  readonly #startedAtMs = Date.now();
  /** Rung when a sync may be due sooner than thought. */
  #bell = new AbortController();
  #isStopping = false;
  /** Null when none is under way. */
  #listing: Promise<void> | null = null;
  readonly #listingStop = new AbortController();
  /** Inventories that have ended: an answer to what was said before one of them speaks of the past. */
  #listings = 0;
  /** The latest of them that a sync has not yet found to have settled everything. */
  #listingsInVain = 0;
  #listingAfterMs = -Infinity;
  #scannedAtMs = performance.now();
  #lastSyncAtMs: number | null = null;
  #syncFailure: string | null = null;
  #refusal: Refusal | null = null;
  #message: string | null = null;

  constructor(options: AgentOptions, parts: RecoveredHome, dispatcher: Dispatcher) {
    this.#options = options;
    this.#parts = parts;
    this.#dispatcher = dispatcher;
    this.#schedule = new SyncSchedule(performance.now(), options.random);
  }

  async run(stop: AbortSignal): Promise<void> {
    /** Aborts when nothing is left but the last sync ... */
    const idle = new AbortController();
    /** ... and when that, too, has had its time. */
    const tooLate = new AbortController();
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    try {
      // What is on disk is resumed once a sync has told which leases still stand: one that ran out meanwhile may have gone
      // to another node, and two fetches would be more than the origin's budget allows.
      const syncing = this.#syncUntil(idle.signal, tooLate.signal).finally(() => over.abort());
      // Awaited below; until then its failure is known by `over`.
      syncing.catch(() => {});
      await aborted(AbortSignal.any([stop, over.signal]));
      if (stop.aborted) await this.#finishInOrder();
      timer = setTimeout(() => tooLate.abort(), LAST_SYNC_MS);
      idle.abort();
      await syncing;
      if (this.#listReports().length > 0) await this.#sync(tooLate.signal);
    } finally {
      clearTimeout(timer);
      this.#listingStop.abort();
      await this.#listing;
      await this.#stopFetches(new FetchStopped("kept", "The agent stops."));
    }
  }

  async status(): Promise<AgentStatus> {
    const { home, node, capacityBytes, marginBytes, pid } = this.#options;
    return describeAgent({
      home,
      node,
      capacityBytes,
      marginBytes,
      freeBytes: await freeBytesOf(home),
      records: this.#parts.journal.list(),
      inventory: this.#parts.inventory,
      bytesDoneOf: ({ grant }) => this.#parts.bytesDoneById.get(grant.assignmentId) ?? 0,
      isRunning: ({ grant }) => this.#runs.has(grant.assignmentId),
      live: {
        pid,
        startedAtMs: this.#startedAtMs,
        isStopping: this.#isStopping,
        lastSyncAtMs: this.#lastSyncAtMs,
        syncFailure: this.#syncFailure,
        refusal: this.#refusal === null ? null : describeRefusal(this.#refusal),
        message: this.#message,
      },
    });
  }

  // --- stopping

  /** Give back what has not begun, let what runs finish in its time, give back the rest. */
  async #finishInOrder(): Promise<void> {
    const { log, stopAfterMs } = this.#options;
    this.#isStopping = true;
    log.info(
      { event: "agent.stopping", running: this.#runs.size },
      "The agent stops: it finishes what it can and gives back the rest.",
    );
    for (const record of this.#parts.journal.listIn("open")) {
      const { assignmentId } = record.grant;
      // Of what is paused there is no lease to give back, and the next start may go on with its bytes.
      if (this.#runs.has(assignmentId) || this.#paused.has(assignmentId)) continue;
      await this.#release(record, "The node stops.");
    }
    const tooLong = new AbortController();
    const allEnded = Promise.all([...this.#runs.values()].map(({ ended }) => ended));
    await Promise.race([allEnded, wait(stopAfterMs, undefined, { signal: tooLong.signal }).catch(() => {})]);
    tooLong.abort();
    await this.#stopFetches(new FetchStopped("released", "The node stops."));
  }

  async #stopFetches(reason: FetchStopped): Promise<void> {
    this.#isStopping = true;
    const runs = [...this.#runs.values()];
    for (const { controller } of runs) controller.abort(reason);
    await Promise.all(runs.map(({ ended }) => ended));
  }

  // --- syncing

  async #syncUntil(idle: AbortSignal, tooLate: AbortSignal): Promise<void> {
    for (;;) {
      while (!idle.aborted && this.#schedule.dueAtMs > performance.now()) {
        const signal = AbortSignal.any([idle, this.#bell.signal]);
        await wait(Math.max(0, this.#schedule.dueAtMs - performance.now()), undefined, { signal }).catch(() => {});
      }
      if (idle.aborted) return;
      await this.#sync(tooLate);
    }
  }

  /** Something is to be told soon. */
  #ring(): void {
    this.#schedule.hasNews(performance.now());
    this.#bell.abort();
    this.#bell = new AbortController();
  }

  /** @throws DispatcherError where asking again does not help */
  async #sync(signal: AbortSignal): Promise<void> {
    const { log, sync } = this.#options;
    const listings = this.#listings;
    const input = await this.#composeSync();
    let output: SyncOutput;
    try {
      output = await sync(input, signal);
    } catch (error) {
      if (!(error instanceof DispatcherError)) {
        if (signal.aborted) return;
        throw error;
      }
      if (FATAL_CODES.has(error.code)) throw error;
      this.#schedule.failed(performance.now());
      this.#syncFailure = error.message;
      const retryInMs = Math.round(this.#schedule.dueAtMs - performance.now());
      log.warn({ event: "sync.failed", code: error.code, retryInMs }, error.detail);
      return;
    }
    await this.#apply(input, output);
    if (listings === this.#listings) this.#answerInventoryWanted(output);
  }

  async #composeSync(): Promise<SyncInput> {
    const { home, capacityBytes, marginBytes } = this.#options;
    const { journal, inventory, bytesDoneById } = this.#parts;
    // A disk that does not even tell what it has free has nothing to give.
    const freeBytes = await freeBytesOf(home).catch(() => 0);
    return composeSync({
      records: journal.list(),
      bytesDoneById,
      running: new Set(this.#runs.keys()),
      wantedBytesById: new Map([...this.#wanted].map(([id, { bytes }]) => [id, bytes])),
      capacityBytes,
      marginBytes,
      freeBytes,
      wants: this.#leasesWanted(),
      inventory,
    });
  }

  /** Begin to list what is here, where that is asked for, beside the syncs: a long list takes its time. */
  #answerInventoryWanted({ inventoryWanted, nowMs }: SyncOutput): void {
    const { log, sendPage } = this.#options;
    const { inventory, journal } = this.#parts;
    if (!inventoryWanted) this.#listingsInVain = 0;
    if (this.#listing !== null || this.#isStopping) return;
    const isDue = inventoryWanted && performance.now() >= this.#listingAfterMs;
    if (!isDue && performance.now() - this.#scannedAtMs < RESCAN_MS) return;
    const { signal } = this.#listingStop;
    const listed = isDue
      ? sendInventory({ inventory, journal, log, send: sendPage }, { asOfMs: nowMs, signal })
      : inventory.rescan(signal).then((missing) => logMissing(log, inventory, missing));
    this.#listing = listed
      .catch((error: unknown) => {
        if (signal.aborted) return;
        const code = error instanceof DispatcherError ? error.code : null;
        log.warn({ event: "inventory.failed", code, err: error }, "The inventory was not told to its end.");
      })
      .finally(() => {
        this.#listing = null;
        this.#scannedAtMs = performance.now();
        if (!isDue) return;
        this.#listings += 1;
        const pauseMs = Math.min(INVENTORY_PAUSE_MAX_MS, INVENTORY_PAUSE_MS * 2 ** this.#listingsInVain);
        this.#listingAfterMs = performance.now() + (this.#listingsInVain === 0 ? 0 : pauseMs);
        this.#listingsInVain += 1;
        this.#ring();
      });
  }

  #leasesWanted(): number {
    if (this.#isStopping) return 0;
    const open = this.#parts.journal.listIn("open").length;
    return Math.max(0, LEASES_PER_FETCH * this.#options.concurrency - open);
  }

  /** Ends that the server has not answered. */
  #listReports(): readonly JournalRecord[] {
    return this.#parts.journal.list().filter(({ state }) => state !== "open" && state !== "verified");
  }

  async #apply(input: SyncInput, output: SyncOutput): Promise<void> {
    const { log } = this.#options;
    const { journal } = this.#parts;
    this.#lastSyncAtMs = Date.now();
    this.#syncFailure = null;
    const { refusal, message, nextSyncMs } = output;
    const hasRoom = input.wants > output.grants.length;
    this.#schedule.answered(performance.now(), {
      nextSyncMs,
      retryAfterMs: hasRoom ? (refusal?.retryAfterMs ?? null) : null,
    });
    // What came up while this sync was under way has rung for nothing.
    if (this.#hasMoreToTellThan(input)) this.#ring();

    await this.#pauseUnleased(input, output);
    for (const report of output.reports) await this.#settle(report);
    for (const lease of output.leases) {
      await this.#tryDisk(() => journal.change(lease.assignmentId, (record) => withLease(record, lease)));
    }
    for (const grant of output.grants) await this.#accept(grant);
    for (const { assignmentId, reason } of output.cancels) await this.#cancel(assignmentId, reason);
    // A server of before says nothing of them.
    const permits = (output as Partial<SyncOutput>).deletePermits ?? [];
    await deletePermitted({ inventory: this.#parts.inventory, journal, log }, permits);
    this.#answerWanted(input);
    this.#startFetches();

    if (refusal !== null && refusal.reason !== this.#refusal?.reason) {
      log.info({ event: "work.refused", ...refusal }, `No more work: ${describeRefusal(refusal)}`);
    }
    if (message !== null && message !== this.#message) log.info({ event: "server.message" }, message);
    this.#refusal = refusal;
    this.#message = message;
    log.debug(
      { event: "sync.answered", grants: output.grants.length, reports: output.reports.length, nextSyncMs },
      "Synced.",
    );
  }

  #hasMoreToTellThan(input: SyncInput): boolean {
    const told = new Set([...input.finished, ...input.failed, ...input.released].map((report) => report.assignmentId));
    const asked = new Set(input.open.filter((open) => open.wantBytes !== undefined).map((open) => open.assignmentId));
    const hasReports = this.#listReports().some(({ grant }) => !told.has(grant.assignmentId));
    return hasReports || [...this.#wanted.keys()].some((id) => !asked.has(id));
  }

  /** A report that was answered is never sent again. */
  async #settle({ assignmentId, outcome, code, message }: SyncOutput["reports"][number]): Promise<void> {
    const { log } = this.#options;
    const { journal, inventory } = this.#parts;
    const record = journal.get(assignmentId);
    if (record === undefined || record.state === "open" || record.state === "verified") return;
    if (outcome === "rejected") {
      log.warn(
        { event: "report.rejected", assignmentId, state: record.state, code },
        message ?? "The server rejects a report.",
      );
    }
    await this.#tryDisk(async () => {
      if (outcome === "rejected" && record.state === "stored" && WRONG_BYTES_CODES.has(code ?? "")) {
        await inventory.remove(record.copy.assetId);
      }
      await journal.remove(assignmentId);
      this.#parts.bytesDoneById.delete(assignmentId);
    });
  }

  /** A new grant, or one sent again because its first answer never arrived. */
  async #accept(sent: SyncOutput["grants"][number]): Promise<void> {
    const { log } = this.#options;
    const { journal } = this.#parts;
    const parsed = GrantShape.safeParse(sent);
    if (!parsed.success) {
      log.error({ event: "grant.unreadable", issues: parsed.error.issues }, "A grant is not as this agent knows it.");
      return;
    }
    const grant = parsed.data;
    const { assignmentId, asset } = grant;
    const known = journal.get(assignmentId);
    await this.#tryDisk(async () => {
      if (known !== undefined) return journal.change(assignmentId, (record) => withLease(record, grant));
      if (this.#isStopping) return journal.put({ state: "released", grant, reason: "The node stops." });
      const copy = await this.#heldCopyOf(grant);
      if (copy !== null) {
        // It may have been missing for a while, or not been counted.
        await this.#parts.inventory.add(copy);
        return journal.put({ state: "stored", grant, copy, fetchMs: 0, fetchedBytes: 0 });
      }
      await journal.put({ state: "open", grant, version: null });
      log.info(
        { event: "asset.granted", assignmentId, assetId: asset.id, path: asset.path, sizeBytes: asset.sizeBytes },
        `Granted: ${asset.path}`,
      );
    });
  }

  /** The bytes may be here already, from a report that the server could not take: they are not fetched twice. */
  async #heldCopyOf({ asset }: Grant): Promise<Copy | null> {
    const { inventory } = this.#parts;
    const copy = inventory.get(asset.id);
    if (copy === undefined || asset.digest === null) return null;
    return provesDigest(asset.digest, copy) && (await inventory.isOnDisk(copy)) ? copy : null;
  }

  /**
   * What was listed as open and is in no part of the reply has no lease for now: its fetch stops, and its bytes stay. What
   * has a lease again is paused no longer.
   */
  async #pauseUnleased({ open }: SyncInput, { leases, grants, cancels }: SyncOutput): Promise<void> {
    const { journal } = this.#parts;
    const listed = new Set<string>(open.map(({ assignmentId }) => assignmentId));
    const answered = new Set([...leases, ...grants, ...cancels].map(({ assignmentId }) => assignmentId));
    for (const { assignmentId } of [...leases, ...grants]) this.#paused.delete(assignmentId);
    const unleased = journal
      .listIn("open")
      .filter(({ grant: { assignmentId: id } }) => listed.has(id) && !answered.has(id) && !this.#paused.has(id));
    // All of them first: when one fetch has stopped, the next in line starts.
    for (const { grant } of unleased) this.#paused.add(grant.assignmentId);
    for (const { grant } of unleased) await this.#pause(grant);
  }

  async #pause({ assignmentId, asset }: Grant): Promise<void> {
    const run = this.#runs.get(assignmentId);
    run?.controller.abort(new FetchStopped("kept", "There is no lease for it now."));
    await run?.ended;
    if (this.#parts.journal.get(assignmentId)?.state !== "open") {
      // It came to its end before it could be stopped.
      this.#paused.delete(assignmentId);
      return;
    }
    const bytesDone = this.#parts.bytesDoneById.get(assignmentId) ?? 0;
    this.#options.log.info(
      { event: "asset.paused", assignmentId, assetId: asset.id, bytesDone },
      `Paused ${asset.path}: its lease is over, and there is no new one yet.`,
    );
  }

  /** The server has it open no longer. What is verified by now is reported all the same: late work may still be welcome. */
  async #cancel(assignmentId: AssignmentId, reason: string): Promise<void> {
    const run = this.#runs.get(assignmentId);
    if (run !== undefined) {
      run.controller.abort(new FetchStopped("cancelled", reason));
      await run.ended;
    }
    const record = this.#parts.journal.get(assignmentId);
    if (record?.state === "open") await this.#forget(record, reason);
    this.#paused.delete(assignmentId);
  }

  /** Fetches that wait for room go on, or end, by what the sync that asked for it has brought. */
  #answerWanted(input: SyncInput): void {
    const asked = new Set<string>(
      input.open.filter((open) => open.wantBytes !== undefined).map((open) => open.assignmentId),
    );
    for (const [assignmentId, { answered }] of this.#wanted) {
      const record = this.#parts.journal.get(assignmentId);
      if (asked.has(assignmentId) && record !== undefined) answered(record.grant.reservedBytes);
    }
  }

  // --- fetching

  #startFetches(): void {
    if (this.#isStopping) return;
    for (const { grant } of this.#parts.journal.listIn("open")) {
      const { assignmentId } = grant;
      if (this.#runs.size >= this.#options.concurrency) return;
      if (this.#runs.has(assignmentId) || this.#paused.has(assignmentId)) continue;
      const controller = new AbortController();
      const ended = this.#fetch(assignmentId, controller.signal).finally(() => {
        this.#runs.delete(assignmentId);
        this.#startFetches();
        this.#ring();
      });
      this.#runs.set(assignmentId, { controller, ended });
    }
  }

  /** Never rejects: whatever happens becomes an end of the assignment. */
  async #fetch(assignmentId: AssignmentId, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const { journal, bytesDoneById } = this.#parts;
    const record = journal.get(assignmentId);
    if (record?.state !== "open") return;
    const { asset } = record.grant;
    log.info(
      {
        event: "asset.started",
        assignmentId,
        assetId: asset.id,
        url: asset.url,
        bytesDone: bytesDoneById.get(assignmentId) ?? 0,
      },
      `Fetching ${asset.path}`,
    );
    try {
      const copy = await copyAsset(
        record,
        { ...this.#parts, home: this.#options.home },
        {
          dispatcher: this.#dispatcher,
          signal,
          onProgress: (bytes) => void bytesDoneById.set(assignmentId, bytes),
          ensureRoom: (need) => this.#ensureRoom(assignmentId, need, signal),
        },
      );
      const { sizeBytes, sha256 } = copy;
      log.info({ event: "asset.stored", assignmentId, assetId: asset.id, sizeBytes, sha256 }, `Stored ${asset.path}`);
    } catch (error) {
      const isOpen = journal.get(assignmentId)?.state === "open";
      // Once verified an abort is not heeded, and what failed then is a failure.
      await this.#endFetch(assignmentId, isOpen && signal.aborted ? signal.reason : error);
    }
  }

  async #endFetch(assignmentId: AssignmentId, error: unknown): Promise<void> {
    const record = this.#parts.journal.get(assignmentId);
    if (record?.state !== "open" && record?.state !== "verified") return;
    if (record.state === "verified") return this.#fail(record, error);
    if (error instanceof NoRoom) return this.#release(record, error.message);
    if (!(error instanceof FetchStopped)) return this.#fail(record, error);
    if (error.outcome === "cancelled") return this.#forget(record, error.message);
    if (error.outcome === "released") return this.#release(record, error.message);
  }

  async #forget(record: RecordIn<"open">, reason: string): Promise<void> {
    const { assignmentId, asset } = record.grant;
    this.#options.log.info(
      { event: "asset.cancelled", assignmentId, assetId: asset.id, reason },
      `Cancelled ${asset.path}: ${reason}`,
    );
    await this.#tryDisk(async () => {
      await this.#dropBytes(record);
      await this.#parts.journal.remove(assignmentId);
    });
  }

  async #release(record: RecordIn<"open">, reason: string): Promise<void> {
    const { grant } = record;
    const { assignmentId, asset } = grant;
    this.#options.log.info(
      { event: "asset.released", assignmentId, assetId: asset.id, reason },
      `Given back ${asset.path}: ${reason}`,
    );
    await this.#tryDisk(() => this.#dropBytes(record));
    await this.#tryDisk(() => this.#parts.journal.end({ state: "released", grant, reason }));
  }

  /**
   * The bytes go, whatever the failure: the asset may never be granted to this node again, and nothing would tell when to
   * tidy up. They go first, because it may be for lack of space that the journal cannot be written.
   */
  async #fail(record: RecordIn<"open"> | RecordIn<"verified">, error: unknown): Promise<void> {
    const { log } = this.#options;
    const { grant } = record;
    const { assignmentId, asset } = grant;
    const failure = toFailure(error);
    const { code, message, retryAfterMs } = failure;
    const cause = failure === error ? failure.cause : error;
    log.warn(
      { event: "asset.failed", assignmentId, assetId: asset.id, code, retryAfterMs, err: cause },
      `Failed ${asset.path}: ${message}`,
    );
    await this.#tryDisk(() => this.#dropBytes(record));
    await this.#tryDisk(() => this.#parts.journal.end({ state: "failed", grant, code, message, retryAfterMs }));
  }

  async #dropBytes({ grant, state }: JournalRecord): Promise<void> {
    const { assignmentId, asset } = grant;
    const { home } = this.#options;
    await rm(partialPath(home, assignmentId), { force: true });
    this.#parts.bytesDoneById.delete(assignmentId);
    // It may have been moved to its place without having been entered.
    if (state === "verified" && this.#parts.inventory.get(asset.id) === undefined) {
      await rm(copyFolder(home, asset.id), { recursive: true, force: true });
    }
  }

  /** @throws NoRoom; AssetFailure DISK_FULL */
  async #ensureRoom(
    assignmentId: AssignmentId,
    { bytes, totalBytes }: { readonly bytes: number; readonly totalBytes: number | null },
    signal: AbortSignal,
  ): Promise<number> {
    const { home, marginBytes } = this.#options;
    const { journal, bytesDoneById } = this.#parts;
    const reservedNow = (): number => journal.get(assignmentId)?.grant.reservedBytes ?? 0;
    const neededBytes = totalBytes ?? bytes;
    if (neededBytes > reservedNow()) {
      // Of a file of unknown size, twice as much: room is asked for a few times, not with every piece.
      const answeredBytes = await this.#askForRoom(
        assignmentId,
        totalBytes ?? Math.max(bytes, 2 * reservedNow()),
        signal,
      );
      if (neededBytes > answeredBytes)
        throw new NoRoom(`It needs ${neededBytes} bytes; ${answeredBytes} are reserved.`);
    }
    const freeBytes = (await freeBytesOf(home)) - marginBytes;
    const doneBytes = bytesDoneById.get(assignmentId) ?? 0;
    if (neededBytes - doneBytes > freeBytes) {
      throw new AssetFailure(
        "DISK_FULL",
        `It needs ${neededBytes - doneBytes} bytes more; the disk has ${Math.max(0, freeBytes)} to give.`,
      );
    }
    return Math.max(bytes, Math.min(reservedNow(), bytes + ROOM_STEP_BYTES, doneBytes + freeBytes));
  }

  /** Resolves with what is reserved once a sync that asked has been answered; rejects with the signal's reason. */
  async #askForRoom(assignmentId: AssignmentId, bytes: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    this.#wanted.set(assignmentId, { bytes, answered: resolve });
    this.#ring();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#wanted.delete(assignmentId);
    }
  }

  /** State that cannot be written is told, and is no reason to stop the work: what was written before stays true. */
  async #tryDisk(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#options.log.error({ event: "state.unwritable", err: error }, "The agent cannot write its state.");
    }
  }
}

/** The same record under a newer term or with another reservation; itself when neither has changed. */
function withLease(
  record: JournalRecord | undefined,
  { term, reservedBytes }: { readonly term: number; readonly reservedBytes: number },
): JournalRecord | undefined {
  if (record === undefined || record.grant.term > term) return record;
  if (record.grant.term === term && record.grant.reservedBytes === reservedBytes) return record;
  return { ...record, grant: { ...record.grant, term, reservedBytes } };
}

/** An error of the disk, or of our own making, is this node's failure and nobody else's. */
function toFailure(error: unknown): AssetFailure {
  if (error instanceof AssetFailure) return error;
  if (error instanceof Error && "syscall" in error) return diskFailure(error);
  return new AssetFailure("DISK_ERROR", "The agent failed; its log has the cause.", { cause: error });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}
