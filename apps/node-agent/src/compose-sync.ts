import type { RouterInputs } from "@dispatcher/client";
import { removeCopy } from "@dispatcher/core";
import type { AssetId, AssignmentId, Holding } from "@dispatcher/core";
import type { JournalRecord } from "./assignment-journal.ts";
import { hashText } from "./inventory.ts";
import type { Inventory } from "./inventory.ts";
import { AGENT_VERSION } from "./version.ts";

type SyncInput = RouterInputs["node"]["sync"];

/** What one sync may carry; the rest goes with the next one. */
const REPORTS_PER_SYNC_MAX = 1000;
const SCHEMES = ["http", "https"];

export type SyncFacts = {
  readonly records: readonly JournalRecord[];
  readonly bytesDoneById: ReadonlyMap<AssignmentId, number>;
  /** Assignments that are being fetched. */
  readonly running: ReadonlySet<AssignmentId>;
  readonly wantedBytesById: ReadonlyMap<AssignmentId, number>;
  readonly capacityBytes: number;
  readonly marginBytes: number;
  readonly freeBytes: number;
  readonly wants: number;
  readonly inventory: Pick<Inventory, "heldBytes" | "holding" | "isHeld">;
};

/** What the node has to say, in one call. Pure. */
export function composeSync(facts: SyncFacts): SyncInput {
  const { records, bytesDoneById, running, wantedBytesById, capacityBytes, marginBytes, freeBytes, inventory } = facts;
  // A verified file is on its way to its place: still open, or the server would send its grant again.
  const open = records.flatMap((record) => {
    if (record.state !== "open" && record.state !== "verified") return [];
    const { assignmentId, term } = record.grant;
    const wantBytes = wantedBytesById.get(assignmentId);
    const isRunning = record.state === "verified" || running.has(assignmentId);
    return {
      assignmentId,
      term,
      state: isRunning ? ("running" as const) : ("waiting" as const),
      bytesDone: bytesDoneById.get(assignmentId) ?? 0,
      ...(wantBytes === undefined ? {} : { wantBytes }),
    };
  });
  const reports = composeReports(records);
  const partialBytes = open.reduce((sum, { bytesDone }) => sum + bytesDone, 0);
  return {
    agentVersion: AGENT_VERSION,
    // Never more than the disk can give: what is free on it, and what of it is ours already.
    offeredBytes: Math.min(capacityBytes, freeBytes + inventory.heldBytes + partialBytes),
    marginBytes,
    freeBytes,
    schemes: SCHEMES,
    wants: facts.wants,
    open,
    ...reports,
    holding: composeHolding(facts, new Set(reports.finished.map(({ assignmentId }) => assignmentId))),
  };
}

/**
 * What the server has on record once it has heard this sync, if nothing is wrong: the copies it knows, as it answered their
 * reports, and those that are `told` now. Others that are here already are told, and counted, with a later sync.
 */
function composeHolding({ inventory, records }: SyncFacts, told: ReadonlySet<string>): Holding {
  const untold = new Set<AssetId>();
  let { holding } = inventory;
  for (const record of records) {
    if (record.state !== "verified" && record.state !== "stored") continue;
    const { copy, grant } = record;
    if (told.has(grant.assignmentId) || untold.has(copy.assetId) || !inventory.isHeld(copy)) continue;
    untold.add(copy.assetId);
    holding = removeCopy(holding, copy, hashText);
  }
  return holding;
}

function composeReports(records: readonly JournalRecord[]): Pick<SyncInput, "finished" | "failed" | "released"> {
  const finished: SyncInput["finished"] = [];
  const failed: SyncInput["failed"] = [];
  const released: SyncInput["released"] = [];
  for (const record of records) {
    const { assignmentId, term } = record.grant;
    const lease = { assignmentId, term };
    switch (record.state) {
      case "stored": {
        const { copy, fetchMs, fetchedBytes } = record;
        const { sizeBytes, sha256, digest, etag, lastModified } = copy;
        finished.push({ ...lease, sizeBytes, sha256, digest, etag, lastModified, fetchMs, fetchedBytes });
        break;
      }
      case "failed": {
        const { code, message, retryAfterMs } = record;
        failed.push({ ...lease, code, message, ...(retryAfterMs === null ? {} : { retryAfterMs }) });
        break;
      }
      case "released":
        released.push({ ...lease, reason: record.reason });
        break;
      case "open":
      case "verified":
        break;
    }
  }
  return {
    finished: finished.slice(0, REPORTS_PER_SYNC_MAX),
    failed: failed.slice(0, REPORTS_PER_SYNC_MAX),
    released: released.slice(0, REPORTS_PER_SYNC_MAX),
  };
}
