/**
 * Reading catalogs: Frictionless Data Packages and plain lists in JSON, NDJSON and CSV, from a file or a URL.
 * docs/catalogs.md describes them for the people who keep them.
 *
 * A catalog is read twice. The first reading checks it to its end and gathers what it says of itself, which may stand
 * behind its list; only then does the second hand out entries. So nothing is imported from a catalog that is cut off or
 * broken somewhere, and the caller knows beforehand how much is to come. Neither reading holds more than one entry and a
 * few bytes for each path and URL seen.
 */
import { DispatcherError } from "@dispatcher/core";
import { datasetOf } from "./dataset.ts";
import { itemOf } from "./entry.ts";
import type { CatalogDataset, CatalogItem } from "./entry.ts";
import { readCsv } from "./csv.ts";
import { FingerprintSet } from "./fingerprint-set.ts";
import { kindOfText } from "./format.ts";
import type { CatalogFormat } from "./format.ts";
import { isFrictionlessField, readFrictionlessResource } from "./frictionless-entry.ts";
import { readJsonLines } from "./json-lines.ts";
import { readJson } from "./json.ts";
import type { ListKey } from "./json.ts";
import { listFieldOf, readListEntry } from "./list-entry.ts";
import { baseOf } from "./locate.ts";
import { quote } from "./quote.ts";
import { openSource, unreadable } from "./source.ts";
import type { Source } from "./source.ts";
import { readText } from "./text.ts";

/** Far above any catalog known; without an end a broken server could fill the disk. */
const SIZE_MAX_BYTES = 4 * 2 ** 30;
/** Shorter gives up on archives that build a catalog while they send it; longer leaves the user before a dead line. */
const STALL_TIMEOUT_MS = 30_000;

export type CatalogProgress = {
  readonly phase: "downloading" | "checking";
  readonly bytesDone: number;
  /** Null when the server does not say. */
  readonly bytesTotal: number | null;
};

export type ReadCatalogOptions = {
  /** A path, or an http or https URL. */
  readonly source: string;
  /** The URL of the folder that relative paths start from. Default: the URL the catalog came from, redirects followed. */
  readonly baseUrl?: string | undefined;
  /** Default: the name in the catalog, or that of its file. */
  readonly datasetKey?: string | undefined;
  readonly format?: CatalogFormat | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: CatalogProgress) => void;
  readonly fetch?: typeof globalThis.fetch;
  readonly stallTimeoutMs?: number;
  /** Bounds the file, and what it unpacks to. */
  readonly sizeMaxBytes?: number;
};

/** An open catalog; dispose it after reading. */
export type Catalog = AsyncDisposable & {
  readonly dataset: CatalogDataset;
  /** How many items `entries` will yield. */
  readonly itemCount: number;
  /** In the order of the catalog. Every entry keeps to CatalogEntryShape, and no path or URL comes twice. */
  readonly entries: AsyncIterable<CatalogItem>;
};

/**
 * Open a catalog and check it to its end. Cost: two readings of the text; memory does not grow with it, but for 16 to 32
 * bytes for each path and each URL.
 * @throws DispatcherError CATALOG_UNREADABLE with what is wrong and where; INPUT_INVALID for a base URL or dataset key
 * that cannot be used, and when every path is relative and nothing says to what. The signal's reason once it is aborted
 */
export async function readCatalog(options: ReadCatalogOptions): Promise<Catalog> {
  const { signal, onProgress = () => {}, sizeMaxBytes = SIZE_MAX_BYTES } = options;
  baseOf(options.baseUrl, null); // a base URL that cannot be used is told before a long download
  signal.throwIfAborted();
  const source = await openSource(options.source, {
    signal,
    onBytes: (bytesDone, bytesTotal) => onProgress({ phase: "downloading", bytesDone, bytesTotal }),
    fetch: options.fetch ?? globalThis.fetch,
    stallTimeoutMs: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
    sizeMaxBytes,
  });
  try {
    const base = baseOf(options.baseUrl, source.url);
    const asked = options.format ?? "auto";
    const openText = (onBytes?: (bytesDone: number) => void): AsyncIterable<string> =>
      readText(source, { signal, sizeMaxBytes, ...(onBytes && { onBytes }) });
    const head = await firstPiece(openText());
    const read = (onBytes?: (bytesDone: number) => void): AsyncIterable<Part> =>
      readParts(source, asked, head, () => openText(onBytes), base);
    const survey = await surveyOf(
      read((bytesDone) => onProgress({ phase: "checking", bytesDone, bytesTotal: source.sizeBytes })),
    );
    if (survey.baselessCount > 0 && survey.entryCount === 0) {
      throw new DispatcherError(
        "INPUT_INVALID",
        `Every path in ${source.label} is relative: pass --base-url with the URL of the folder its files are in.`,
      );
    }
    return {
      dataset: datasetOf(survey.facts, source, options.datasetKey),
      itemCount: survey.itemCount,
      entries: { [Symbol.asyncIterator]: () => withoutRepeats(read()) },
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    };
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

type Part =
  | { readonly kind: "fact"; readonly key: string; readonly value: unknown }
  | { readonly kind: "item"; readonly item: CatalogItem };

async function firstPiece(text: AsyncIterable<string>): Promise<string> {
  for await (const piece of text) return piece;
  return "";
}

function readParts(
  source: Source,
  asked: CatalogFormat,
  head: string,
  openText: () => AsyncIterable<string>,
  base: URL | null,
): AsyncIterable<Part> {
  const kind = kindOfText(source.label, head, asked);
  if (kind === "json") return readJsonParts(source, asked, openText, base);
  return kind === "lines" ? readLineParts(source, openText, base) : readCsvParts(source, head, openText, base);
}

async function* readJsonParts(
  { label }: Source,
  asked: CatalogFormat,
  openText: () => AsyncIterable<string>,
  base: URL | null,
): AsyncGenerator<Part> {
  let list: ListKey | null | undefined;
  for await (const part of readJson(label, openText, isField)) {
    if (part.kind === "fact") yield part;
    else if (part.kind === "list") list = allowedList(label, asked, part.key);
    else if (part.value === null) yield brokenEntry(part.place, "It is not an object.");
    else if (list === "resources") yield* itemParts(readFrictionlessResource(part.place, part.value, base));
    else yield listItem(part.place, Object.entries(part.value), base);
  }
  if (list === undefined) throw unreadable(`${label} is a JSON object with neither "resources" nor "assets".`);
}

function isField(list: ListKey | null, name: string): boolean {
  return list === "resources" ? isFrictionlessField(name) : listFieldOf(name) !== null;
}

function allowedList(label: string, asked: CatalogFormat, list: ListKey | null): ListKey | null {
  if (asked === "frictionless" && list !== "resources")
    throw unreadable(`${label} is not a Frictionless data package: it has no "resources".`);
  if (asked === "json" && list === "resources")
    throw unreadable(`${label} is a Frictionless data package, not a plain list.`);
  return list;
}

async function* readLineParts(
  { label }: Source,
  openText: () => AsyncIterable<string>,
  base: URL | null,
): AsyncGenerator<Part> {
  for await (const { place, value, isValid } of readJsonLines(label, openText())) {
    if (!isValid) yield brokenEntry(place, "It is not valid JSON.");
    else if (typeof value !== "object" || value === null) yield brokenEntry(place, "It is not an object.");
    else yield listItem(place, Object.entries(value), base);
  }
}

async function* readCsvParts(
  { label }: Source,
  head: string,
  openText: () => AsyncIterable<string>,
  base: URL | null,
): AsyncGenerator<Part> {
  const firstLine = head.trimStart().split(/[\r\n]/, 1)[0] ?? "";
  for await (const { place, cells, cellCount, columnCount } of readCsv(label, firstLine, openText())) {
    if (cells === null)
      yield brokenEntry(place, `It has ${cellCount} cells where the header names ${columnCount} columns.`);
    else yield listItem(place, cells, base);
  }
}

function listItem(place: string, named: Iterable<readonly [string, unknown]>, base: URL | null): Part {
  return { kind: "item", item: itemOf(place, () => readListEntry(named, base)) };
}

function brokenEntry(place: string, message: string): Part {
  return { kind: "item", item: { ok: false, place, code: "BAD_ENTRY", message } };
}

function* itemParts(items: Iterable<CatalogItem>): Generator<Part> {
  for (const item of items) yield { kind: "item", item };
}

type Survey = {
  readonly facts: ReadonlyMap<string, unknown>;
  readonly itemCount: number;
  /** Items that are entries, repeats included. */
  readonly entryCount: number;
  /** Items that a base URL might mend. */
  readonly baselessCount: number;
};

async function surveyOf(parts: AsyncIterable<Part>): Promise<Survey> {
  const facts = new Map<string, unknown>();
  let itemCount = 0;
  let entryCount = 0;
  let baselessCount = 0;
  for await (const part of parts) {
    if (part.kind === "fact") {
      facts.set(part.key, part.value);
      continue;
    }
    itemCount += 1;
    if (part.item.ok) entryCount += 1;
    else if (part.item.code === "NO_BASE_URL") baselessCount += 1;
  }
  return { facts, itemCount, entryCount, baselessCount };
}

/** The first entry of a path or URL is kept; later ones are told. One that is not kept does not count as seen. */
async function* withoutRepeats(parts: AsyncIterable<Part>): AsyncGenerator<CatalogItem> {
  const paths = new FingerprintSet();
  const urls = new FingerprintSet();
  for await (const part of parts) {
    if (part.kind === "fact") continue;
    const { item } = part;
    if (!item.ok) yield item;
    else if (paths.has(item.entry.path))
      yield repeat("DUPLICATE_PATH", item.entry.place, `path ${quote(item.entry.path)}`);
    else if (urls.has(item.entry.url)) yield repeat("DUPLICATE_URL", item.entry.place, `URL ${quote(item.entry.url)}`);
    else {
      paths.add(item.entry.path);
      urls.add(item.entry.url);
      yield item;
    }
  }
}

function repeat(code: "DUPLICATE_PATH" | "DUPLICATE_URL", place: string, what: string): CatalogItem {
  return { ok: false, place, code, message: `An entry before it has the same ${what}.` };
}
