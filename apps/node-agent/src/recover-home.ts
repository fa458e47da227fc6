/** What a death has left, taken up again; the crash points are listed in assignment-journal.ts. */
import { rm } from "node:fs/promises";
import type { AssignmentId } from "@dispatcher/core";
import { AssetFailure, diskFailure } from "./asset-failure.ts";
import { AssignmentJournal } from "./assignment-journal.ts";
import { fileSize, listPartials, partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import { Inventory } from "./inventory.ts";
import type { Log } from "./log.ts";
import { logMissing } from "./send-inventory.ts";
import { storeCopy } from "./store-copy.ts";
import { sweepTemporaries } from "./write-durably.ts";

export type RecoveredHome = {
  readonly journal: AssignmentJournal;
  readonly inventory: Inventory;
  /** Of each open assignment, the bytes its partial file holds. */
  readonly bytesDoneById: Map<AssignmentId, number>;
};

/** Needs the home's lock. @throws DispatcherError STATE_UNREADABLE; the system's error when the disk cannot be written */
export async function recoverHome(home: Home, log: Log): Promise<RecoveredHome> {
  for (const folder of [home.path, home.assignmentsFolder, home.inventoryFolder]) await sweepTemporaries(folder);
  const journal = await AssignmentJournal.open(home);
  const inventory = await Inventory.open(home);
  const bytesDoneById = new Map<AssignmentId, number>();

  for (const record of journal.listIn("verified")) {
    try {
      await storeCopy(record, { home, inventory, journal });
    } catch (error) {
      const { code, message, retryAfterMs } = error instanceof AssetFailure ? error : diskFailure(error);
      log.error({ event: "asset.failed", assignmentId: record.grant.assignmentId, code }, message);
      await journal.put({ state: "failed", grant: record.grant, code, message, retryAfterMs });
    }
  }
  for (const id of await listPartials(home)) {
    // Of an assignment that ended, was cancelled, or was never granted to this home.
    if (journal.get(id)?.state !== "open") await rm(partialPath(home, id), { force: true });
  }
  for (const { grant } of journal.listIn("open")) {
    bytesDoneById.set(grant.assignmentId, (await fileSize(partialPath(home, grant.assignmentId))) ?? 0);
  }
  logMissing(log, inventory, await inventory.rescan());
  return { journal, inventory, bytesDoneById };
}
