/**
 * The catalog and the files of the demo: the npm package `vega-datasets`, 73 real files with the package's own
 * datapackage.json. The demo reads that file itself, so that its check at the end owes nothing to what was imported.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

export type CatalogFile = {
  readonly path: string;
  readonly sizeBytes: number;
  /** 40 hex digits. The catalog calls it `sha1:`, and it is git's id of the file: see `gitBlobId`. */
  readonly gitBlobId: string;
};

export type Catalog = {
  /** The datapackage.json. */
  readonly source: string;
  /** The folder its paths are relative to. */
  readonly folder: string;
  readonly files: readonly CatalogFile[];
  readonly bytes: number;
};

export async function openCatalog(): Promise<Catalog> {
  const entry = import.meta.resolve("vega-datasets");
  const source = fileURLToPath(new URL("../datapackage.json", entry));
  const files = readFiles(JSON.parse(await readFile(source, "utf8")));
  return {
    source,
    folder: fileURLToPath(new URL("../data", entry)),
    files,
    bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** The resources of a datapackage.json. @throws Error at one that lacks what the check at the end needs */
export function readFiles(datapackage: unknown): readonly CatalogFile[] {
  const resources = isRecord(datapackage) ? datapackage["resources"] : undefined;
  if (!Array.isArray(resources)) throw new Error("The catalog has no list of resources.");
  return resources.map((resource: unknown, index) => {
    const { path, bytes, hash } = isRecord(resource) ? resource : {};
    const match = typeof hash === "string" ? /^sha1:([0-9a-f]{40})$/.exec(hash) : null;
    if (typeof path !== "string" || typeof bytes !== "number" || match?.[1] === undefined) {
      throw new Error(`resources[${index}] of the catalog lacks its path, its bytes or its SHA-1.`);
    }
    return { path, sizeBytes: bytes, gitBlobId: match[1] };
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** SHA-1 over `blob <size>`, a zero byte and the file: what `git hash-object` prints. */
export async function gitBlobId(path: string, sizeBytes: number): Promise<string> {
  const hash = createHash("sha1").update(`blob ${sizeBytes}\0`);
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
