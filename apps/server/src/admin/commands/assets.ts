import type { RouterInputs } from "../caller.ts";
import type { Caller } from "../caller.ts";
import { showBytes, showTable } from "../show.ts";

/** `admin assets`: a page of the catalog, most urgent first. */
export async function showAssets(
  caller: Caller,
  filter: NonNullable<RouterInputs["asset"]["list"]>,
): Promise<{ readonly data: unknown; readonly text: string }> {
  const page = await caller.asset.list(filter);
  const rows = page.assets.map((asset) => [
    asset.id,
    asset.dataset,
    asset.path,
    showBytes(asset.sizeBytes),
    `${asset.copies}/${asset.copiesTarget}`,
    asset.openLeases,
    asset.state,
    asset.priority,
  ]);
  const table = showTable(["id", "dataset", "path", "size", "copies", "leases", "state", "priority"], rows);
  const more = page.next === null ? "" : `\nMore: add --after ${page.next}`;
  return { data: page, text: rows.length === 0 ? "No asset matches." : `${table}${more}` };
}
