import type { z } from "zod";
import type { AssetImportInput, CatalogEntryShape } from "../wire/asset.ts";

/** One file of a catalog, in the shape that `asset.import` takes. */
export type CatalogEntry = z.output<typeof CatalogEntryShape>;

/** What a catalog says of itself, as `asset.import` takes it. */
export type CatalogDataset = Pick<z.output<typeof AssetImportInput>["dataset"], "key" | "title" | "sourceUrl">;

/** Why an entry was not taken. docs/catalogs.md tells each to the people who keep catalogs. */
export type FaultCode =
  | "BAD_DIGEST"
  | "BAD_ENTRY"
  | "BAD_NAME"
  | "BAD_PRIORITY"
  | "BAD_REMOVE_BY"
  | "BAD_SIZE"
  | "BAD_URL"
  | "CREDENTIALS_IN_URL"
  | "DUPLICATE_PATH"
  | "DUPLICATE_URL"
  | "INLINE_DATA"
  | "NO_BASE_URL"
  | "NO_PATH"
  | "SCHEME_UNSUPPORTED";

/** An entry, or where one stood and why it could not be taken. */
export type CatalogItem =
  | { readonly ok: true; readonly entry: CatalogEntry }
  | { readonly ok: false; readonly place: string; readonly code: FaultCode; readonly message: string };

/** Thrown while one entry is read and caught before the next: it never leaves this folder. */
export class EntryFault extends Error {
  override readonly name = "EntryFault";
  readonly code: FaultCode;

  /** `message` is a sentence that names the value; the place is told beside it. */
  constructor(code: FaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Read one entry; a fault of its own becomes an item, and anything else is a bug and goes on up. */
export function itemOf(place: string, read: () => Omit<CatalogEntry, "place">): CatalogItem {
  try {
    return { ok: true, entry: { place, ...read() } };
  } catch (error) {
    if (error instanceof EntryFault) return { ok: false, place, code: error.code, message: error.message };
    throw error;
  }
}
