/**
 * What nodes did and heard, held against what the database says. Every answer is a line for a fault, with the names it
 * takes to look further; none when all is well.
 *
 * The nodes' logs are the witnesses: whatever a server acknowledged or granted is in one of them, even if the server that
 * said it was killed the moment after. A log knows for sure that a lease was open from the moment the grant was heard until
 * its fetch had ended or its deadline had come: nothing is taken back before its node has been told. Of one that its node was
 * told to stop, or that was granted anew, it is known only that it was open when the node last asked and was told so.
 *
 * A node that no server answers may go on with a fetch beyond the deadline: late work is welcome. That part of a fetch is on
 * no origin's budget, which counts leases.
 */
import type { Sql } from "../../src/db/database.ts";
import { findImbalances } from "./find-imbalances.ts";
import { hostOf } from "./fleet-catalog.ts";
import type { FleetEntry, FleetEvent } from "./fleet-log.ts";
import { readFleetRows } from "./fleet-rows.ts";
import type { FleetRows } from "./fleet-rows.ts";

/** Compare the books of the database with its rows, and the rows with the logs. At rest: nothing may be open any more. */
export async function checkFleet(sql: Sql, entries: readonly FleetEntry[]): Promise<readonly string[]> {
  const imbalances = await findImbalances(sql, 0);
  return [...imbalances, ...checkLogs(entries, await readFleetRows(sql))];
}

/** As above, without the books. */
export function checkLogs(entries: readonly FleetEntry[], rows: FleetRows): readonly string[] {
  const story = readStory(entries);
  return [
    ...findLost(entries, rows),
    ...findUnknownGrants(story, rows),
    ...findUnearnedCopies(entries, rows),
    ...findDoubles(story),
    ...findTermFaults(story, rows),
    ...findOverspent(story, rows),
    ...findOverfull(story, rows),
    ...findUndone(rows),
    ...findRefusals(entries),
  ];
}

type Granted = Extract<FleetEntry, { event: "granted" }>;
/** Half open: from `fromMs` up to, and without, `toMs`. */
type Span = { readonly fromMs: number; readonly toMs: number };

/** One lease, as its node knew it. */
type KnownLease = Span & {
  readonly assignmentId: string;
  readonly term: number;
  readonly node: string;
  readonly assetId: string;
  readonly origin: string;
  /** When its node heard that the copy is accepted; null for never. */
  readonly storedMs: number | null;
};
type Fetched = Span & {
  readonly assignmentId: string;
  readonly node: string;
  readonly origin: string;
  readonly isResumed: boolean;
};
type Story = {
  readonly grants: readonly Granted[];
  /** By the time at which they were heard of. */
  readonly leases: readonly KnownLease[];
  readonly fetches: readonly Fetched[];
};

type OpenLease = {
  readonly grant: Granted;
  readonly term: number;
  readonly fromMs: number;
  expiresAtMs: number;
  /** A call that was sent then was told that the lease is open. */
  confirmedMs: number;
  fetchFromMs: number | null;
};

/** Play the logs once more, node by node. */
function readStory(entries: readonly FleetEntry[]): Story {
  const storedMsById = new Map(
    entries
      .filter(isStoredAnswer)
      .map(({ assignmentId, atMs }) => [assignmentId, atMs] as const)
      .toReversed(),
  );
  const grants = entries.filter((entry) => entry.event === "granted");
  const leases: KnownLease[] = [];
  const fetches: Fetched[] = [];
  for (const own of Map.groupBy(entries, (entry) => entry.node).values()) {
    const open = new Map<string, OpenLease>();
    const begun = new Set<string>();
    const endFetch = (lease: OpenLease, toMs: number): void => {
      if (lease.fetchFromMs === null) return;
      const { grant, term, fetchFromMs } = lease;
      const { assignmentId, node } = grant;
      const name = `${assignmentId}/${term}`;
      const span = { fromMs: fetchFromMs, toMs: Math.max(fetchFromMs, Math.min(toMs, lease.expiresAtMs)) };
      fetches.push({ ...span, assignmentId, node, origin: hostOf(grant.url), isResumed: begun.has(name) });
      begun.add(name);
      lease.fetchFromMs = null;
    };
    const close = (lease: OpenLease, endMs: number): void => {
      const { grant, term, fromMs, expiresAtMs } = lease;
      const { assignmentId, node, assetId } = grant;
      const toMs = Math.max(fromMs, Math.min(endMs, expiresAtMs));
      endFetch(lease, toMs);
      const storedMs = storedMsById.get(assignmentId) ?? null;
      leases.push({ assignmentId, term, node, assetId, origin: hostOf(grant.url), fromMs, toMs, storedMs });
      open.delete(assignmentId);
    };
    const begin = (grant: Granted, lease: Extract<FleetEvent, { event: "granted" | "leased" }>, atMs: number): void => {
      const { term, expiresAtMs, sentAtMs } = lease;
      open.set(grant.assignmentId, {
        grant,
        term,
        fromMs: atMs,
        expiresAtMs,
        confirmedMs: sentAtMs,
        fetchFromMs: null,
      });
    };
    let lastMs = 0;
    for (const entry of own) {
      const lease = "assignmentId" in entry ? open.get(entry.assignmentId) : undefined;
      switch (entry.event) {
        case "granted":
          if (lease !== undefined) close(lease, lease.confirmedMs);
          begin(entry, entry, entry.atMs);
          break;
        case "leased":
          if (lease === undefined || entry.term < lease.term) break;
          if (entry.term === lease.term) {
            lease.expiresAtMs = Math.max(lease.expiresAtMs, entry.expiresAtMs);
            lease.confirmedMs = Math.max(lease.confirmedMs, entry.sentAtMs);
          } else {
            // The old one had ended before; its fetch went on, and is the new one's from here.
            const isFetching = lease.fetchFromMs !== null;
            close(lease, lease.confirmedMs);
            begin(lease.grant, entry, entry.atMs);
            const anew = open.get(entry.assignmentId);
            if (isFetching && anew !== undefined) anew.fetchFromMs = entry.atMs;
          }
          break;
        case "fetching":
          if (lease !== undefined) lease.fetchFromMs ??= entry.atMs;
          break;
        case "ended":
          if (lease !== undefined) close(lease, entry.atMs);
          break;
        case "cancelled":
          if (lease !== undefined) close(lease, lease.confirmedMs);
          break;
        case "died":
          for (const one of open.values()) endFetch(one, entry.atMs);
          break;
        case "started":
          // Killed without a word: what it did last is all that is known.
          for (const one of open.values()) endFetch(one, lastMs);
          break;
        case "joined":
        case "answered":
        case "faulted":
          break;
      }
      lastMs = entry.atMs;
    }
    for (const lease of open.values()) close(lease, lastMs);
  }
  return { grants, leases: leases.toSorted((a, b) => a.fromMs - b.fromMs), fetches };
}

function isStoredAnswer(entry: FleetEntry): entry is Extract<FleetEntry, { event: "answered" }> {
  return entry.event === "answered" && entry.kind === "finished" && entry.outcome !== "rejected";
}

/** What was acknowledged has to be in the database; nothing here ever drops a copy. */
function findLost(entries: readonly FleetEntry[], rows: FleetRows): string[] {
  const rowById = new Map(rows.assignments.map((row) => [row.id, row]));
  return entries.flatMap((entry) => {
    if (entry.event !== "answered" || entry.outcome === "rejected") return [];
    const row = rowById.get(entry.assignmentId);
    const what = `node ${entry.node}: ${entry.kind} assignment ${entry.assignmentId} was acknowledged by ${entry.server}`;
    if (row === undefined) return [`${what} and is unknown: a lost acknowledgement`];
    if (entry.kind === "finished") {
      if (row.state !== "stored" || row.counts === null)
        return [`${what} and is ${row.state}, without a copy: a lost acknowledgement`];
      return row.counts ? [] : [`${what} and its copy does not count`];
    }
    if (entry.kind === "failed")
      return row.state === "failed" ? [] : [`${what} and is ${row.state}: a lost acknowledgement`];
    const isGivenBack = row.state === "released" || row.state === "stored";
    return isGivenBack ? [] : [`${what} and is ${row.state}: a lost acknowledgement`];
  });
}

/** A lease that a node was told of was committed before. */
function findUnknownGrants({ grants }: Story, rows: FleetRows): string[] {
  const rowById = new Map(rows.assignments.map((row) => [row.id, row]));
  return grants.flatMap(({ assignmentId, node, assetId, term }) => {
    const row = rowById.get(assignmentId);
    const what = `node ${node}: the grant of asset ${assetId}, assignment ${assignmentId}, term ${term}`;
    if (row === undefined) return [`${what}, is not in the database: a lost grant`];
    if (row.nodeId !== node || row.assetId !== assetId)
      return [`${what}, is in the database for node ${row.nodeId} and asset ${row.assetId}`];
    return row.term < term ? [`${what}, has only term ${row.term} in the database: a lost grant`] : [];
  });
}

/** A copy in the database that no node ever said it has. */
function findUnearnedCopies(entries: readonly FleetEntry[], rows: FleetRows): string[] {
  const finished = new Set(
    entries.flatMap((entry) =>
      entry.event === "ended" && entry.kind === "finished" ? [`${entry.assignmentId}/${entry.node}`] : [],
    ),
  );
  return rows.assignments
    .filter((row) => row.counts !== null && !finished.has(`${row.id}/${row.nodeId}`))
    .map((row) => `assignment ${row.id} has a copy on node ${row.nodeId}, which never said so`);
}

/** Of a node and an asset, one lease at a time, and none once there is a copy. */
function findDoubles({ leases }: Story): string[] {
  const faults: string[] = [];
  for (const own of Map.groupBy(leases, (lease) => `node ${lease.node}: asset ${lease.assetId}`)) {
    const [name, spans] = own;
    for (const [index, lease] of spans.entries()) {
      for (const later of spans.slice(index + 1)) {
        const isOpen = later.fromMs < lease.toMs;
        const isOtherCopy = lease.storedMs !== null && later.storedMs !== null;
        if (lease.assignmentId === later.assignmentId || !(isOpen || isOtherCopy)) continue;
        const ids = `assignments ${lease.assignmentId} and ${later.assignmentId}`;
        faults.push(isOpen ? `${name} was leased twice at once, by ${ids}` : `${name} has two copies, by ${ids}`);
      }
    }
  }
  return faults;
}

/** The grants of an asset are numbered: no number twice, and to each node growing ones. */
function findTermFaults({ leases, grants }: Story, rows: FleetRows): string[] {
  const faults = new Set<string>();
  const seen = new Map<string, { readonly id: string; readonly node: string }>();
  const note = (assetId: string, term: number, { id, node }: { readonly id: string; readonly node: string }): void => {
    const name = `${assetId}/${term}`;
    const first = seen.get(name);
    if (first !== undefined && first.id !== id) {
      faults.add(`asset ${assetId}: term ${term} was used twice, by assignments ${first.id} and ${id}`);
    }
    seen.set(name, { id, node });
  };
  for (const lease of leases) note(lease.assetId, lease.term, { id: lease.assignmentId, node: lease.node });
  for (const row of rows.assignments) note(row.assetId, row.term, { id: row.id, node: row.nodeId });

  const lastTermByAsset = new Map(rows.assets.map((asset) => [asset.id, asset.lastTerm]));
  for (const { assetId, term } of leases) {
    const lastTerm = lastTermByAsset.get(assetId) ?? 0;
    if (term > lastTerm)
      faults.add(`asset ${assetId}: a lease had term ${term}, and the last one given is ${lastTerm}`);
  }
  for (const own of Map.groupBy(grants, (grant) => `node ${grant.node}: asset ${grant.assetId}`)) {
    const [name, heard] = own;
    for (const [index, grant] of heard.entries()) {
      const before = heard[index - 1];
      if (before === undefined || grant.assignmentId === before.assignmentId || grant.term > before.term) continue;
      faults.add(`${name} was granted at term ${before.term}, and later at term ${grant.term}`);
    }
  }
  return [...faults];
}

const MINUTE_MS = 60_000;

/** Leases and fetches of an origin at once, and requests begun in any minute. */
function findOverspent({ leases, fetches }: Story, rows: FleetRows): string[] {
  const leasesByOrigin = Map.groupBy(leases, (lease) => lease.origin);
  const fetchesByOrigin = Map.groupBy(fetches, (fetch) => fetch.origin);
  const rowsByOrigin = Map.groupBy(rows.assignments, (row) => row.origin);
  return rows.origins.flatMap(({ host, concurrencyMax, requestsPerMinute }) => {
    const ownFetches = fetchesByOrigin.get(host) ?? [];
    const leased = widestOf(leasesByOrigin.get(host) ?? []);
    const fetching = widestOf(ownFetches);
    // A lease that was granted before the minute began may be fetched in it, and there are no more of these than slots.
    const mayBegin = requestsPerMinute + concurrencyMax;
    const begun = mostInAMinute(ownFetches.filter((fetch) => !fetch.isResumed).map((fetch) => fetch.fromMs));
    const granted = mostInAMinute((rowsByOrigin.get(host) ?? []).map((row) => row.grantedAtMs));
    const overBudget = `origin ${host} is over its budget:`;
    return [
      ...(leased.length > concurrencyMax
        ? [`${overBudget} ${leased.length} leases at once, ${concurrencyMax} allowed: ${namesOf(leased)}`]
        : []),
      ...(fetching.length > concurrencyMax
        ? [`${overBudget} ${fetching.length} fetches at once, ${concurrencyMax} allowed: ${namesOf(fetching)}`]
        : []),
      ...(begun > mayBegin ? [`${overBudget} ${begun} fetches begun in a minute, ${mayBegin} at most`] : []),
      ...(granted > requestsPerMinute
        ? [`${overBudget} ${granted} leases granted in a minute, ${requestsPerMinute} allowed`]
        : []),
    ];
  });
}

/** The spans over the moment that most of them lie over; one that ends as another begins does not overlap it. */
function widestOf<S extends Span>(spans: readonly S[]): readonly S[] {
  // Ends before beginnings: so one without length would end before it has begun.
  const steps = spans
    .flatMap(({ fromMs, toMs }) =>
      toMs > fromMs
        ? [
            { atMs: fromMs, by: 1 },
            { atMs: toMs, by: -1 },
          ]
        : [],
    )
    .toSorted((a, b) => a.atMs - b.atMs || a.by - b.by);
  let now = 0;
  let peak = { count: 0, atMs: 0 };
  for (const { by, atMs } of steps) {
    now += by;
    if (now > peak.count) peak = { count: now, atMs };
  }
  return spans.filter(({ fromMs, toMs }) => fromMs <= peak.atMs && peak.atMs < toMs);
}

function namesOf(spans: readonly (Span & { readonly assignmentId: string; readonly node: string })[]): string {
  const names = spans.map(({ assignmentId, node, fromMs, toMs }) => {
    return `assignment ${assignmentId} of node ${node} from ${fromMs} to ${toMs}`;
  });
  return names.join(", ");
}

function mostInAMinute(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [index, atMs] of sorted.entries()) {
    while (atMs - (sorted[first] ?? atMs) >= MINUTE_MS) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

/** Copies and leases of an asset, at any time as the nodes knew it, and in the end as the database knows it. */
function findOverfull({ leases }: Story, rows: FleetRows): string[] {
  const leasesByAsset = Map.groupBy(leases, (lease) => lease.assetId);
  const copiesByAsset = Map.groupBy(
    rows.assignments.filter((row) => row.counts !== null),
    (row) => row.assetId,
  );
  return rows.assets.flatMap(({ id, copiesMax }) => {
    const copies = copiesByAsset.get(id)?.length ?? 0;
    if (copies > copiesMax) return [`asset ${id} has ${copies} copies, ${copiesMax} allowed`];
    const own = leasesByAsset.get(id) ?? [];
    const storedMsById = new Map(own.map(({ assignmentId, storedMs }) => [assignmentId, storedMs]));
    // A copy that was accepted stays.
    const kept = [...storedMsById.values()].flatMap((fromMs) => (fromMs === null ? [] : [{ fromMs, toMs: Infinity }]));
    const peak = widestOf([...own, ...kept]).length;
    return peak > copiesMax ? [`asset ${id} had ${peak} copies and leases at once, ${copiesMax} allowed`] : [];
  });
}

/** Every asset has its copies, on nodes of as many operators, and nothing is under way any more. */
function findUndone(rows: FleetRows): string[] {
  const byAsset = Map.groupBy(rows.assignments, (row) => row.assetId);
  const undone = rows.assets.flatMap(({ id, state, copiesTarget }) => {
    const counting = (byAsset.get(id) ?? []).filter((row) => row.counts === true);
    const operators = new Set(counting.map((row) => row.operatorId)).size;
    if (state !== "wanted") return [`asset ${id} is ${state}, and should be wanted and done`];
    return operators < copiesTarget ? [`asset ${id} has ${operators} independent copies of ${copiesTarget}`] : [];
  });
  const open = rows.assignments.filter((row) => row.state === "granted" || row.state === "running");
  return [...undone, ...open.map((row) => `assignment ${row.id} of node ${row.nodeId} is still ${row.state}`)];
}

/** Refusals that a node may meet when its lease ended without it; any other tells that a server forgot or erred. */
const LAWFUL_REFUSALS: ReadonlySet<string> = new Set([
  "COPIES_FULL",
  "LEASE_ENDED",
  "LEASE_TERM_STALE",
  "LEDGER_EXCEEDED",
]);

function findRefusals(entries: readonly FleetEntry[]): string[] {
  return entries.flatMap((entry) => {
    if (entry.event === "faulted") return [`node ${entry.node}: ${entry.server} answered a fault: ${entry.message}`];
    if (entry.event !== "answered" || entry.outcome !== "rejected" || LAWFUL_REFUSALS.has(entry.code ?? "")) return [];
    const { node, kind, assignmentId, server, code } = entry;
    return [`node ${node}: ${kind} assignment ${assignmentId} was refused by ${server}: ${code}`];
  });
}
