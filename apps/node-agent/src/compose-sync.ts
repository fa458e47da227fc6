import type { RouterInputs } from "@dispatcher/client";
import type { AssignmentId } from "@dispatcher/core";
import type { Copy, JournalRecord } from "./assignment-journal.ts";
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
  readonly heldBytes: number;
  readonly wants: number;
  /** All copies on disk, when the server has asked for them. */
  readonly inventory: readonly Copy[] | null;
};

/** What the node has to say, in one call. Pure. */
export function composeSync(facts: SyncFacts): SyncInput {
  const { records, bytesDoneById, running, wantedBytesById, capacityBytes, marginBytes, freeBytes, heldBytes } = facts;
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
  const partialBytes = open.reduce((sum, { bytesDone }) => sum + bytesDone, 0);
  return {
    agentVersion: AGENT_VERSION,
    // Never more than the disk can give: what is free on it, and what of it is ours already.
    offeredBytes: Math.min(capacityBytes, freeBytes + heldBytes + partialBytes),
    marginBytes,
    freeBytes,
    schemes: SCHEMES,
    wants: facts.wants,
    open,
    ...composeReports(records),
    ...(facts.inventory === null
      ? {}
      : { inventory: facts.inventory.map(({ assetId, sizeBytes, sha256 }) => ({ assetId, sizeBytes, sha256 })) }),
  };
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
