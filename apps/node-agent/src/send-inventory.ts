/**
 * The list of all copies on disk, told to the server page by page when a sync has shown that the two disagree. Each page is
 * settled by itself, so a death, of either side and at any moment, costs nothing but the pages that were not answered: the
 * next sync shows that the two still disagree, and the list is told again.
 */
import type { RouterInputs, RouterOutputs } from "@dispatcher/client";
import type { AssetId } from "@dispatcher/core";
import type { AssignmentJournal, Copy } from "./assignment-journal.ts";
import type { Inventory } from "./inventory.ts";
import type { Log } from "./log.ts";

export type InventoryPage = RouterInputs["node"]["inventory"];
export type InventoryAnswer = RouterOutputs["node"]["inventory"];
export type SendPage = (page: InventoryPage, signal: AbortSignal) => Promise<InventoryAnswer>;

/** What the server takes in one page. */
const PAGE_COPIES = 5000;

/** The pages of a list that is in the order of asset ids; they cover all ids, and there is one at least. Pure. */
export function composePages(
  copies: readonly Copy[],
  { asOfMs, pageCopies = PAGE_COPIES }: { readonly asOfMs: number; readonly pageCopies?: number },
): readonly InventoryPage[] {
  const pages = Math.max(1, Math.ceil(copies.length / pageCopies));
  return Array.from({ length: pages }, (_, index) => {
    const listed = copies.slice(index * pageCopies, (index + 1) * pageCopies);
    return {
      page: index + 1,
      pages,
      asOfMs,
      afterId: copies[index * pageCopies - 1]?.assetId ?? null,
      upToId: index + 1 === pages ? null : (listed.at(-1)?.assetId ?? null),
      copies: listed.map(({ assetId, sizeBytes, sha256, digest, etag, lastModified }) => ({
        assetId,
        sizeBytes,
        sha256,
        digest,
        etag,
        lastModified,
      })),
    };
  });
}

/**
 * Tell all pages and do what the answers say. `asOfMs` is the server's time in its last answer before this was called.
 * @throws DispatcherError when a page is not answered; the signal's reason. What was answered is done.
 */
export async function sendInventory(
  {
    inventory,
    journal,
    log,
    send,
  }: {
    readonly inventory: Inventory;
    readonly journal: AssignmentJournal;
    readonly log: Log;
    readonly send: SendPage;
  },
  { asOfMs, signal }: { readonly asOfMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const startedAtMs = performance.now();
  logMissing(log, inventory, await inventory.rescan(signal));
  // What is on its way into the inventory is reported first, and belongs to the holding from then on.
  const arriving = new Set(journal.listIn("verified").map(({ grant }) => grant.asset.id));
  const copies = inventory.listOnDisk().filter(({ assetId }) => !arriving.has(assetId));
  const copyById = new Map<string, Copy>(copies.map((copy) => [copy.assetId, copy]));
  const pages = composePages(copies, { asOfMs });
  log.info(
    { event: "inventory.started", copies: copies.length, pages: pages.length },
    `The server asks what this node holds: ${copies.length} copies are listed.`,
  );
  const sums = { adopted: 0, dropped: 0, notCounted: 0, deleted: 0 };
  for (const page of pages) {
    const answer = await send(page, signal);
    sums.adopted += answer.adopted.length;
    sums.dropped += answer.dropped.length;
    sums.notCounted += answer.notCounted.length;
    await applyAnswer({ inventory, journal, log, copyById }, page, answer, sums);
    if (page.page < page.pages) {
      const { page: number } = page;
      log.info(
        { event: "inventory.page", page: number, pages: pages.length },
        `Listed page ${number} of ${pages.length}.`,
      );
    }
  }
  log.info(
    { event: "inventory.sent", copies: copies.length, ...sums, ms: Math.round(performance.now() - startedAtMs) },
    `Listed ${copies.length} copies: ${sums.adopted} are new to the server, ${sums.dropped} are not here any more, ` +
      `${sums.deleted} were deleted, ${sums.notCounted} are not counted.`,
  );
}

export function logMissing(log: Log, inventory: Inventory, missing: readonly Copy[]): void {
  const [first] = missing;
  if (first === undefined) return;
  log.warn(
    { event: "copies.missing", copies: missing.length, path: inventory.pathOf(first) },
    `Files of ${missing.length} copies are missing or cut short, such as ${inventory.pathOf(first)}.`,
  );
}

async function applyAnswer(
  {
    inventory,
    journal,
    log,
    copyById,
  }: {
    readonly inventory: Inventory;
    readonly journal: AssignmentJournal;
    readonly log: Log;
    readonly copyById: ReadonlyMap<string, Copy>;
  },
  page: InventoryPage,
  { notCounted, deletePermits }: InventoryAnswer,
  sums: { deleted: number },
): Promise<void> {
  const uncounted = new Set<string>([...notCounted, ...deletePermits].map(({ assetId }) => assetId));
  for (const { assetId } of page.copies) {
    const copy = copyById.get(assetId);
    // What was stored in its place since is another copy, and none of this is about it.
    if (copy !== undefined && inventory.get(copy.assetId) === copy) {
      inventory.setCounted(copy.assetId, !uncounted.has(assetId));
    }
  }
  for (const { assetId, reason } of notCounted) {
    log.warn({ event: "copy.not-counted", assetId, reason }, `The server does not count the copy of asset ${assetId}.`);
  }
  // A file that was not listed is not deleted, whoever asks for it.
  const listed = deletePermits.filter(({ assetId }) => {
    const copy = copyById.get(assetId);
    return copy !== undefined && inventory.get(copy.assetId) === copy;
  });
  sums.deleted += await deletePermitted({ inventory, journal, log }, listed);
}

/** Delete copies by the word of the server, but for those that an assignment is about; answers how many. */
export async function deletePermitted(
  {
    inventory,
    journal,
    log,
  }: { readonly inventory: Inventory; readonly journal: AssignmentJournal; readonly log: Log },
  permits: InventoryAnswer["deletePermits"],
): Promise<number> {
  const busy = new Set<AssetId>(journal.list().map(({ grant }) => grant.asset.id));
  let deleted = 0;
  for (const { assetId, reason } of permits) {
    const copy = inventory.get(assetId);
    if (copy === undefined || busy.has(assetId)) continue;
    try {
      await inventory.remove(assetId);
      deleted += 1;
      log.info(
        { event: "copy.deleted", assetId, reason, sizeBytes: copy.sizeBytes },
        `Deleted ${copy.name}: ${reason === "WITHDRAWN" ? "nobody wants it any more" : "enough others have it"}.`,
      );
    } catch (error) {
      log.error({ event: "copy.undeletable", assetId, err: error }, `Cannot delete ${inventory.pathOf(copy)}.`);
    }
  }
  return deleted;
}
