import { mkdir, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { AssetFailure } from "./asset-failure.ts";
import type { AssignmentJournal, RecordIn } from "./assignment-journal.ts";
import { fileSize, partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import type { Inventory } from "./inventory.ts";
import { syncFolder } from "./write-durably.ts";

/**
 * Bring a verified file to its place: move, enter, note as stored. Each step may have been done before a death already;
 * done again it changes nothing.
 * @throws AssetFailure DISK_ERROR when the bytes are in neither place; the system's error
 */
export async function storeCopy(
  record: RecordIn<"verified">,
  {
    home,
    inventory,
    journal,
  }: { readonly home: Home; readonly inventory: Inventory; readonly journal: AssignmentJournal },
): Promise<void> {
  const { copy } = record;
  const partial = partialPath(home, record.grant.assignmentId);
  const target = inventory.pathOf(copy);
  if ((await fileSize(partial)) === copy.sizeBytes) {
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    await syncFolder(home.filesFolder);
    // A copy of an earlier version under the same name is replaced in one step.
    await rename(partial, target);
    await syncFolder(dirname(target));
    await syncFolder(home.partialFolder);
  } else if (!(await inventory.isOnDisk(copy))) {
    throw new AssetFailure("DISK_ERROR", "A verified file has vanished from the disk.");
  }
  await inventory.add(copy);
  await journal.put({ ...record, state: "stored" });
}
