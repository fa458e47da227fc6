/**
 * One node of a fleet: it behaves as an agent does and has neither disk nor network to its origins. Whatever it hears or
 * does it appends to its log before it acts upon it, and it knows nothing that is not in there: so one that is killed, in
 * whatever way, goes on from its log as an agent goes on from its journal.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import type { NodeSyncInput, NodeSyncOutput } from "../../src/wire/node.ts";
import { contentOf } from "./fleet-catalog.ts";
import type { FleetEntry, FleetEvent, FleetLog, ReportKind } from "./fleet-log.ts";
import { Refused } from "./mutate.ts";
import { between, pick } from "./random.ts";

type SyncInput = z.input<typeof NodeSyncInput>;
type SyncOutput = z.output<typeof NodeSyncOutput>;

/** Calls `node.sync` of one server with this node's key. */
export type CallSync = (server: string, key: string, input: SyncInput, signal: AbortSignal) => Promise<SyncOutput>;

/** How the nodes of a fleet behave, all together; may change while they run. */
export type FleetMood = {
  readonly servers: readonly string[];
  /** Copies that a node works on at once. */
  readonly copiesAtOnce: number;
  /** Of a hundred fetches, how many fail, and as many are given back. */
  readonly failureShare: number;
  /** How long a fetch of so many bytes takes. */
  readonly fetchMs: (sizeBytes: number) => number;
  /** Ask for no more work, and leave when everything is said. */
  readonly isLeaving: () => boolean;
};

/** A server that is away is asked again, or another one, after so long: as in an agent, with jitter. */
const AGAIN_MS = { least: 100, most: 1_000 };
/** A node with nothing to say asks no sooner than this, whatever the server says. */
const PAUSE_MIN_MS = 200;
/** A node with open leases tells of its progress so often: well within a lease. */
const PROGRESS_MS = 2_000;
const SYNC_PATIENCE_MS = 20_000;

type OpenCopy = {
  readonly assignmentId: string;
  readonly url: string;
  readonly term: number;
  readonly reservedBytes: number;
  readonly expiresAtMs: number;
  /** There is a partial file, maybe from before the node's last death. */
  readonly hasBegun: boolean;
};
type Report = { readonly assignmentId: string; readonly term: number; readonly url: string; readonly kind: ReportKind };

/** What a node knows, from its log alone. */
class Memory {
  key = "";
  offeredBytes = 0;
  readonly open = new Map<string, OpenCopy>();
  readonly reports = new Map<string, Report>();

  learn(entry: FleetEvent): void {
    switch (entry.event) {
      case "joined":
        this.key = entry.key;
        this.offeredBytes = entry.offeredBytes;
        return;
      case "granted": {
        const { assignmentId, term, url, reservedBytes, expiresAtMs } = entry;
        const hasBegun = this.open.get(assignmentId)?.hasBegun ?? false;
        this.open.set(assignmentId, { assignmentId, url, term, reservedBytes, expiresAtMs, hasBegun });
        return;
      }
      case "leased": {
        const { assignmentId, term, reservedBytes, expiresAtMs } = entry;
        const copy = this.open.get(assignmentId);
        if (copy !== undefined) this.open.set(assignmentId, { ...copy, term, reservedBytes, expiresAtMs });
        return;
      }
      case "fetching": {
        const copy = this.open.get(entry.assignmentId);
        if (copy !== undefined) this.open.set(entry.assignmentId, { ...copy, hasBegun: true });
        return;
      }
      case "ended": {
        const { assignmentId, term, kind } = entry;
        const copy = this.open.get(assignmentId);
        if (copy === undefined) return;
        this.open.delete(assignmentId);
        this.reports.set(assignmentId, { assignmentId, term, kind, url: copy.url });
        return;
      }
      case "answered":
        this.reports.delete(entry.assignmentId);
        return;
      case "cancelled":
        this.open.delete(entry.assignmentId);
        return;
      case "started":
      case "died":
      case "faulted":
    }
  }
}

type Fetch = { readonly beganMs: number; readonly lengthMs: number; readonly timer: NodeJS.Timeout };

export type FleetNodeParts = {
  readonly nodeId: string;
  readonly log: FleetLog;
  readonly call: CallSync;
  readonly mood: FleetMood;
  readonly random: () => number;
};

export class FleetNode {
  readonly nodeId: string;
  readonly #parts: FleetNodeParts;
  readonly #memory = new Memory();
  readonly #fetches = new Map<string, Fetch>();
  #wake = Promise.withResolvers<void>();
  #askAgainMs = 0;

  /** As its log says it was left. */
  constructor(parts: FleetNodeParts) {
    this.#parts = parts;
    this.nodeId = parts.nodeId;
    for (const entry of parts.log.entriesOf(parts.nodeId)) this.#memory.learn(entry);
  }

  /** Do not wait for the next sync: the mood has changed. */
  wake(): void {
    this.#wake.resolve();
  }

  /** Live until the fleet leaves and everything is said, or until `death`, as at a SIGKILL: what is not in the log is lost. */
  async live(death: AbortSignal): Promise<void> {
    this.#note({ event: "started" });
    try {
      for (;;) {
        const isLeaving = this.#parts.mood.isLeaving();
        const pauseMs = await this.#sync(isLeaving ? 0 : this.#wants(), death);
        if (death.aborted) return;
        if (isLeaving && pauseMs !== null && this.#isIdle) return;
        this.#beginFetches();
        const { least, most } = AGAIN_MS;
        await this.#rest(pauseMs ?? between(this.#parts.random, least, most), death);
      }
    } finally {
      for (const { timer } of this.#fetches.values()) clearTimeout(timer);
      if (death.aborted) this.#note({ event: "died" });
    }
  }

  /** One call to any of the servers; how long to rest after it, or null when there was no answer. */
  async #sync(wants: number, death: AbortSignal): Promise<number | null> {
    const { call, mood, random } = this.#parts;
    const server = pick(random, mood.servers);
    const sentAtMs = Date.now();
    const reports = [...this.#memory.reports.values()];
    try {
      const signal = AbortSignal.any([death, AbortSignal.timeout(SYNC_PATIENCE_MS)]);
      const reply = await call(server, this.#memory.key, this.#said(wants, reports), signal);
      if (death.aborted) return null;
      this.#hear(reply, { reports, server, sentAtMs });
      return this.#pauseAfter(reply);
    } catch (error) {
      const isDatabaseAway = error instanceof Refused && error.code === "DATABASE_UNAVAILABLE";
      if (error instanceof Refused && !isDatabaseAway && !death.aborted) {
        this.#note({ event: "faulted", message: error.message, server });
      }
      return null;
    }
  }

  #said(wants: number, reports: readonly Report[]): SyncInput {
    const { offeredBytes, open } = this.#memory;
    const of = (kind: ReportKind): readonly Report[] => reports.filter((report) => report.kind === kind);
    const lease = ({ assignmentId, term }: Report) => ({ assignmentId, term });
    return {
      agentVersion: "1.0.0",
      schemes: ["https"],
      marginBytes: 0,
      offeredBytes,
      freeBytes: offeredBytes,
      wants,
      open: [...open.values()].map((copy) => this.#progressOf(copy)),
      finished: of("finished").map((report) => ({ ...lease(report), ...fetched(report.url) })),
      failed: of("failed").map((report) => ({
        ...lease(report),
        code: "CONNECTION_CUT",
        message: "cut in the middle",
      })),
      released: of("released").map((report) => ({ ...lease(report), reason: "not wanted here" })),
    };
  }

  #progressOf(copy: OpenCopy): SyncInput["open"][number] {
    const { assignmentId, term, reservedBytes, url, hasBegun } = copy;
    const { sizeBytes } = contentOf(url);
    const fetch = this.#fetches.get(assignmentId);
    const part = fetch === undefined ? 0 : Math.min(1, (Date.now() - fetch.beganMs) / fetch.lengthMs);
    return {
      assignmentId,
      term,
      state: hasBegun ? "running" : "waiting",
      bytesDone: Math.floor(Math.min(sizeBytes, reservedBytes) * part),
      ...(sizeBytes > reservedBytes ? { wantBytes: sizeBytes } : {}),
    };
  }

  #hear(
    reply: SyncOutput,
    {
      reports,
      server,
      sentAtMs,
    }: { readonly reports: readonly Report[]; readonly server: string; readonly sentAtMs: number },
  ): void {
    const kinds = new Map(reports.map(({ assignmentId, kind }) => [assignmentId, kind]));
    this.#note(
      ...reply.reports.map(({ assignmentId, term, outcome, code }): FleetEvent => {
        const kind = kinds.get(assignmentId) ?? "finished";
        return {
          event: "answered",
          assignmentId,
          term,
          kind,
          outcome,
          server,
          ...(code === undefined ? {} : { code }),
        };
      }),
      ...reply.leases.map((lease): FleetEvent => ({ event: "leased", sentAtMs, ...lease })),
      ...reply.cancels.map(({ assignmentId }): FleetEvent => ({ event: "cancelled", assignmentId, sentAtMs })),
      // What has ended here since this call was sent, or was reported by it and refused, is told again by the next reply.
      ...reply.grants
        .filter(({ assignmentId }) => !this.#memory.reports.has(assignmentId) && !kinds.has(assignmentId))
        .map(({ assignmentId, term, reservedBytes, expiresAtMs, asset: { id: assetId, url } }): FleetEvent => {
          return { event: "granted", assignmentId, term, assetId, url, reservedBytes, expiresAtMs, sentAtMs };
        }),
    );
    for (const [assignmentId, { timer }] of this.#fetches) {
      if (this.#memory.open.has(assignmentId)) continue;
      clearTimeout(timer);
      this.#fetches.delete(assignmentId);
    }
    this.#askAgainMs = Date.now() + (reply.refusal?.retryAfterMs ?? 0);
  }

  #beginFetches(): void {
    const { mood, random } = this.#parts;
    for (const { assignmentId, term, url, expiresAtMs } of this.#memory.open.values()) {
      if (this.#fetches.has(assignmentId)) continue;
      const lengthMs = mood.fetchMs(contentOf(url).sizeBytes);
      // A lease that may be over by now is nobody's right to fetch: the next sync tells.
      if (Date.now() >= expiresAtMs) continue;
      this.#note({ event: "fetching", assignmentId, term });
      const chance = random() * 100;
      const kind: ReportKind =
        chance < mood.failureShare ? "failed" : chance < 2 * mood.failureShare ? "released" : "finished";
      const timer = setTimeout(() => this.#endFetch(assignmentId, kind), lengthMs);
      this.#fetches.set(assignmentId, { beganMs: Date.now(), lengthMs, timer });
    }
  }

  #endFetch(assignmentId: string, kind: ReportKind): void {
    this.#fetches.delete(assignmentId);
    const copy = this.#memory.open.get(assignmentId);
    if (copy === undefined) return;
    // More bytes than are reserved may not be written: without the room the copy is given back.
    const isTooLarge = contentOf(copy.url).sizeBytes > copy.reservedBytes;
    this.#note({ event: "ended", assignmentId, term: copy.term, kind: isTooLarge ? "released" : kind });
    this.wake();
  }

  #wants(): number {
    if (Date.now() < this.#askAgainMs) return 0;
    return Math.max(0, this.#parts.mood.copiesAtOnce - this.#memory.open.size);
  }

  #pauseAfter({ nextSyncMs }: SyncOutput): number {
    const wanted = this.#memory.open.size > 0 ? Math.min(nextSyncMs, PROGRESS_MS) : nextSyncMs;
    return Math.max(PAUSE_MIN_MS, wanted * between(this.#parts.random, 0.8, 1));
  }

  get #isIdle(): boolean {
    return this.#memory.open.size === 0 && this.#memory.reports.size === 0;
  }

  /** Until the time is over or something has happened. */
  async #rest(ms: number, death: AbortSignal): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([death, over.signal]);
    await Promise.race([this.#wake.promise, sleep(ms, undefined, { signal }).catch(() => {})]);
    over.abort();
    this.#wake = Promise.withResolvers();
  }

  #note(...events: readonly FleetEvent[]): void {
    const atMs = Date.now();
    this.#parts.log.append(events.map((event): FleetEntry => ({ ...event, atMs, node: this.nodeId })));
    for (const event of events) this.#memory.learn(event);
  }
}

function fetched(url: string): Omit<SyncInput["finished"][number], "assignmentId" | "term"> {
  const { sizeBytes, sha256 } = contentOf(url);
  return { sizeBytes, sha256, digest: null, etag: null, lastModified: null, fetchMs: 1000, fetchedBytes: sizeBytes };
}
