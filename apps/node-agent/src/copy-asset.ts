import type { AssignmentId } from "@dispatcher/core";
import { fetchAsset } from "./fetch-asset.ts";
import type { FetchTools } from "./fetch-asset.ts";
import type { AssignmentJournal, Copy, RecordIn } from "./assignment-journal.ts";
import { partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import type { Inventory } from "./inventory.ts";
import { safeName } from "./safe-name.ts";
import { storeCopy } from "./store-copy.ts";

export type HomeParts = { readonly home: Home; readonly inventory: Inventory; readonly journal: AssignmentJournal };

/**
 * Make the copy an open assignment asks for, resuming what is there: fetch, verify, store, each noted before the next
 * begins. Once the copy is verified an abort comes too late.
 * @throws what `fetchAsset` throws; AssetFailure or the system's error when the disk fails. Nothing is tidied up.
 */
export async function copyAsset(
  record: RecordIn<"open">,
  { home, inventory, journal }: HomeParts,
  tools: Pick<FetchTools, "dispatcher" | "signal" | "onProgress" | "ensureRoom">,
): Promise<Copy> {
  const { assignmentId, asset } = record.grant;
  const { etag, lastModified, sizeBytes, sha256, digest, fetchMs, fetchedBytes } = await fetchAsset(
    {
      url: asset.url,
      path: asset.path,
      declared: { sizeBytes: asset.sizeBytes, digest: asset.digest },
      partialPath: partialPath(home, assignmentId),
      version: record.version,
    },
    { ...tools, onVersion: (version) => changeOpen(journal, assignmentId, (open) => ({ ...open, version })) },
  );
  const copy: Copy = { assetId: asset.id, name: safeName(asset.path), sizeBytes, sha256, digest, etag, lastModified };
  await changeOpen(journal, assignmentId, ({ grant }) => ({ state: "verified", grant, copy, fetchMs, fetchedBytes }));
  const verified = journal.get(assignmentId);
  if (verified?.state !== "verified") throw new Error(`Assignment ${assignmentId} is not noted as verified.`);
  await storeCopy(verified, { home, inventory, journal });
  return copy;
}

/** The grant in the record may have been renewed meanwhile, so the record is changed as it is now. */
function changeOpen(
  journal: AssignmentJournal,
  id: AssignmentId,
  next: (record: RecordIn<"open">) => RecordIn<"open" | "verified">,
): Promise<void> {
  return journal.change(id, (record) => (record?.state === "open" ? next(record) : record));
}
