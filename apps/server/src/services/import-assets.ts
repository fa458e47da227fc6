import { asPriority, placesLeft, urgencyOf } from "@dispatcher/core";
import type { AssetId, Digest, OriginId } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { findKnownAssets, insertAssets, updateAssetFacts, upsertDataset } from "../db/queries/assets.ts";
import type { AssetToWrite, DatasetRow, KnownAsset } from "../db/queries/assets.ts";
import { appendEvents } from "../db/queries/events.ts";
import { ensureOrigins } from "../db/queries/origins.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import { markDatasetDue } from "../db/queries/standings.ts";
import type { AssetImportInput, AssetImportOutput } from "../wire/asset.ts";
import { eventOf } from "./act.ts";
import { refreshAssetStandings } from "./asset-standing.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import type { Manager } from "./rights.ts";

type Input = z.output<typeof AssetImportInput>;
type Output = z.output<typeof AssetImportOutput>;
type Entry = Input["entries"][number];
type Skipped = Output["skipped"][number];

const SCHEMES: ReadonlySet<string> = new Set(["http:", "https:"]);
const PRIORITY_DEFAULT = 5;

function skip(entry: Entry, code: string, message: string): Skipped {
  return { place: entry.place, code, message };
}

/** The URL as it is stored and compared; or why it cannot be taken. */
function parseUrl(entry: Entry): { readonly url: URL } | { readonly skipped: Skipped } {
  const url = URL.parse(entry.url);
  if (url === null) return { skipped: skip(entry, "BAD_URL", `"${entry.url}" is not a URL.`) };
  if (!SCHEMES.has(url.protocol)) {
    return { skipped: skip(entry, "SCHEME_UNSUPPORTED", `${url.protocol} cannot be fetched; http and https can.`) };
  }
  if (url.username !== "" || url.password !== "") {
    return {
      skipped: skip(entry, "CREDENTIALS_IN_URL", "A URL with a user name or password would be shown to every node."),
    };
  }
  url.hash = "";
  return { url };
}

/** Why a path cannot be taken: it names a file, on one line, wherever it is shown or stored. */
function refusePath(entry: Entry): Skipped | null {
  return /\p{Cc}/u.test(entry.path) ? skip(entry, "BAD_NAME", "The path has control characters.") : null;
}

/** Host and port: two ports are two servers, and http and https on their own ports are too. */
function hostOf(url: URL): string {
  return `${url.hostname}:${url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port}`;
}

function isSameDigest(a: Digest | null, b: Digest | null): boolean {
  return a?.algorithm === b?.algorithm && a?.hex === b?.hex;
}

/** The bytes would be others than those that somebody holds or fetches now. */
function changesContent(known: KnownAsset, entry: Entry): boolean {
  return known.sizeBytes !== entry.sizeBytes || !isSameDigest(known.digest, entry.digest);
}

function isUnchanged(known: KnownAsset, entry: Entry, url: string): boolean {
  return (
    known.path === entry.path &&
    known.url === url &&
    known.mediaType === entry.mediaType &&
    // One that names none leaves what people have given it.
    (entry.priority === null || known.priority === entry.priority) &&
    known.removeByMs === entry.removeByMs &&
    !changesContent(known, entry)
  );
}

/**
 * Take a batch of a catalog in. Importing the same again changes nothing; changed facts are updated, except those that would
 * turn an asset into another one while somebody holds it; a priority that is not named stays. All or nothing for the batch as far as the database goes; each
 * entry that is not taken is named with its place. O(entries), in a handful of statements.
 */
export async function importAssets(
  { db, config, vetting }: Dependencies,
  input: Input,
  admin: Manager = ADMIN_COMMAND,
): Promise<Output> {
  return db.transaction(async (sql) => {
    const nowMs = await readDatabaseTime(sql);
    const { key, title, sourceUrl } = input.dataset;
    const dataset = await upsertDataset(
      sql,
      { key, title, sourceUrl, priority: input.dataset.priority ?? null, copies: input.dataset.copies ?? null },
      {
        priority: PRIORITY_DEFAULT,
        copies: {
          min: config.DISPATCHER_COPIES_MIN,
          target: config.DISPATCHER_COPIES_TARGET,
          max: config.DISPATCHER_COPIES_MAX,
        },
      },
    );
    const skipped: Skipped[] = [];
    const parsed = input.entries.flatMap((entry) => {
      const result = parseUrl(entry);
      const refused = "skipped" in result ? result.skipped : refusePath(entry);
      if (refused === null && "url" in result) return [{ entry, url: result.url }];
      if (refused !== null) skipped.push(refused);
      return [];
    });
    const originIds = await ensureOrigins(sql, [...new Set(parsed.map(({ url }) => hostOf(url)))]);
    const toWrite = parsed.map(({ entry, url }) => ({ entry, asset: toAsset(entry, url, originIds) }));
    const sorted = await sortEntries(sql, dataset, toWrite, skipped);

    // First, since an entry may be new under a path that a known file gives up.
    await updateAssetFacts(sql, sorted.changed);
    const insertedIds = await insertAssets(
      sql,
      dataset.id,
      sorted.fresh.map((asset) => ({ ...asset, ...standingOf(asset, dataset, nowMs) })),
    );
    const changedIds = [...insertedIds, ...sorted.changed.map((asset) => asset.id)];
    await refreshAssetStandings(sql, changedIds, { vetting, nowMs });
    if (dataset.isChanged) await markDatasetDue(sql, dataset.id);
    if (changedIds.length > 0 || dataset.isChanged) {
      const detail = { dataset: key, taken: insertedIds.length, updated: sorted.changed.length };
      await appendEvents(sql, [
        eventOf({ actor: admin, reason: input.reason }, "assets.imported", { assetIds: changedIds, detail }),
      ]);
    }
    return {
      taken: insertedIds.length,
      updated: sorted.changed.length,
      unchanged: sorted.unchanged + sorted.fresh.length - insertedIds.length,
      skipped,
    };
  });
}

function toAsset(entry: Entry, url: URL, originIds: ReadonlyMap<string, OriginId>): AssetToWrite {
  const originId = originIds.get(hostOf(url));
  if (originId === undefined) throw new Error(`No origin for ${hostOf(url)}.`);
  const { path, sizeBytes, digest, mediaType, priority, removeByMs } = entry;
  const scheme = url.protocol.slice(0, -1);
  return { path, url: url.href, scheme, originId, sizeBytes, digest, mediaType, priority, removeByMs };
}

/** Which entries are new, which change a known asset, and which are left alone. */
async function sortEntries(
  sql: Sql,
  dataset: DatasetRow,
  entries: readonly { readonly entry: Entry; readonly asset: AssetToWrite }[],
  skipped: Skipped[],
): Promise<{
  readonly fresh: readonly AssetToWrite[];
  readonly changed: readonly (AssetToWrite & { readonly id: AssetId })[];
  readonly unchanged: number;
}> {
  const known = await findKnownAssets(sql, {
    datasetId: dataset.id,
    urls: entries.map(({ asset }) => asset.url),
    paths: entries.map(({ asset }) => asset.path),
  });
  const knownByUrl = new Map(known.map((asset) => [asset.url, asset]));
  const knownByPath = new Map(
    known.filter((asset) => asset.datasetId === dataset.id).map((asset) => [asset.path, asset]),
  );
  // A file that stands under another path now is still that file: its old path is free for another entry.
  const claimedByUrl = new Set(entries.flatMap(({ asset }) => knownByUrl.get(asset.url)?.id ?? []));
  const urls = new Set<string>();
  const paths = new Set<string>();
  const fresh: AssetToWrite[] = [];
  const changed: (AssetToWrite & { readonly id: AssetId })[] = [];
  let unchanged = 0;
  for (const { entry, asset } of entries) {
    const byUrl = knownByUrl.get(asset.url);
    const underPath = knownByPath.get(asset.path);
    const isFreed = underPath !== undefined && underPath.id !== byUrl?.id && claimedByUrl.has(underPath.id);
    const byPath = isFreed ? undefined : underPath;
    const before = byUrl ?? byPath;
    if (urls.has(asset.url)) {
      skipped.push(skip(entry, "DUPLICATE_URL", `${asset.url} stands in this catalog twice.`));
    } else if (paths.has(asset.path)) {
      skipped.push(skip(entry, "DUPLICATE_PATH", `"${asset.path}" stands in this catalog twice.`));
    } else if (byUrl !== undefined && byUrl.datasetId !== dataset.id) {
      skipped.push(skip(entry, "URL_KNOWN", `${asset.url} is part of the dataset ${byUrl.dataset} already.`));
    } else if (byUrl !== undefined && byPath !== undefined && byUrl.id !== byPath.id) {
      skipped.push(skip(entry, "DUPLICATE_PATH", `"${asset.path}" is another file of this dataset already.`));
    } else if (before === undefined) {
      fresh.push(asset);
    } else if (isUnchanged(before, entry, asset.url)) {
      unchanged += 1;
    } else if (before.isHeld && changesContent(before, entry)) {
      skipped.push(
        skip(entry, "CONTENT_CHANGED", "Size or digest differ from those of the copies there are; these are kept."),
      );
    } else {
      changed.push({ ...asset, id: before.id });
    }
    urls.add(asset.url);
    paths.add(asset.path);
  }
  return { fresh, changed, unchanged };
}

/** How an asset without any holder stands. */
function standingOf(
  asset: AssetToWrite,
  dataset: DatasetRow,
  nowMs: number,
): { readonly placesLeft: number; readonly urgency: number } {
  const { copies } = dataset;
  const priority = asset.priority === null ? dataset.priority : asPriority(asset.priority);
  const facts = {
    independentCopies: 0,
    copies,
    priority,
    rank: null,
    removeByMs: asset.removeByMs,
    askedForAtMs: nowMs,
  };
  return { placesLeft: placesLeft([], copies), urgency: urgencyOf(facts, nowMs).value };
}
