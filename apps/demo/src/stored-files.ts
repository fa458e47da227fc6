/**
 * What really lies on the disks of the nodes, read back and hashed. Nothing here asks the server or its database which
 * copies there are; it only tells which file of the catalog an asset id stands for.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { CatalogFile } from "./catalog.ts";
import { gitBlobId } from "./catalog.ts";

export type NodeHome = { readonly name: string; readonly operator: string; readonly home: string };

export type StoredFile = {
  readonly node: string;
  readonly operator: string;
  /** Below the node's home. */
  readonly place: string;
  /** In the catalog; null where the node keeps something that the catalog does not have. */
  readonly path: string | null;
  readonly sizeBytes: number;
  /** Its size and every byte are as the catalog declares. */
  readonly isIntact: boolean;
};

const FILES = "files";

/** Every stored file of every home, in the order of homes, then of asset ids and names. A home without files has none.
 * @throws the signal's reason */
export async function readStoredFiles(
  homes: readonly NodeHome[],
  files: readonly CatalogFile[],
  pathByAssetId: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<readonly StoredFile[]> {
  const fileByPath = new Map(files.map((file) => [file.path, file]));
  const stored: StoredFile[] = [];
  for (const { name: node, operator, home } of homes) {
    for (const assetId of await namesIn(join(home, FILES))) {
      const path = pathByAssetId.get(assetId) ?? null;
      const declared = path === null ? undefined : fileByPath.get(path);
      for (const name of await namesIn(join(home, FILES, assetId))) {
        signal.throwIfAborted();
        const place = join(FILES, assetId, name);
        const { size: sizeBytes } = await stat(join(home, place));
        const isIntact =
          declared !== undefined &&
          declared.sizeBytes === sizeBytes &&
          declared.gitBlobId === (await gitBlobId(join(home, place), sizeBytes));
        stored.push({ node, operator, place, path: declared === undefined ? null : path, sizeBytes, isIntact });
      }
    }
  }
  return stored;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
