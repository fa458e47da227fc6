import { DispatcherError } from "@dispatcher/core";
import type { AssetId } from "@dispatcher/core";
import type { z } from "zod";
import { listAssetSummaries } from "../db/queries/assets.ts";
import type { AssetListInput, AssetListOutput } from "../wire/asset.ts";
import type { Dependencies } from "./dependencies.ts";

type Position = { readonly urgency: number; readonly id: AssetId };

/** A place in the list. It is opaque outside: only what `next` gave may come back as `after`. */
function toCursor({ urgency, id }: Position): string {
  return Buffer.from(JSON.stringify([urgency, id])).toString("base64url");
}

function fromCursor(cursor: string): Position {
  try {
    const [urgency, id, ...rest]: unknown[] = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (typeof urgency === "number" && typeof id === "string" && /^\d{1,19}$/.test(id) && rest.length === 0) {
      return { urgency, id: id as AssetId };
    }
  } catch {
    // Falls through to the one error there is.
  }
  throw new DispatcherError("INPUT_INVALID", "`after` is not the `next` of a page of this list.", {
    details: { field: "after" },
  });
}

/**
 * A page of assets, highest urgency first. An asset whose urgency changes between two pages may be seen twice or not at
 * all; everything else is seen once.
 */
export async function listAssets(
  { db }: Dependencies,
  input: z.output<typeof AssetListInput>,
): Promise<z.output<typeof AssetListOutput>> {
  const { limit } = input;
  const rows = await listAssetSummaries(db.sql, {
    dataset: input.dataset ?? null,
    state: input.state ?? null,
    incomplete: input.incomplete ?? false,
    after: input.after === undefined ? null : fromCursor(input.after),
    limit: limit + 1,
  });
  const assets = rows.slice(0, limit);
  const last = assets.at(-1);
  return { assets, next: rows.length > limit && last !== undefined ? toCursor(last) : null };
}
