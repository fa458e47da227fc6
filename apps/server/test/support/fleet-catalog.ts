/**
 * The files of a fleet's catalog. None of them exists: what a node would find at a URL follows from the URL, so that every
 * node finds the same, has the right digest, and moves no byte.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import type { AssetImportInput } from "../../src/wire/asset.ts";
import { between, pick } from "./random.ts";

type ImportInput = z.input<typeof AssetImportInput>;

export type OriginPlan = {
  /** As the server names it: with the port. */
  readonly host: string;
  readonly concurrencyMax: number;
  readonly requestsPerMinute: number;
};

/** In datasets that differ in their wishes: one that takes no copy beyond its target, and two that do. */
const COPIES = [
  { key: "single", copies: { min: 1, target: 1, max: 2 } },
  { key: "exact", copies: { min: 2, target: 2, max: 2 } },
  { key: "wide", copies: { min: 2, target: 3, max: 4 } },
] as const;

/** Sizes in bytes, from nothing to large, and how many files in a hundred have one up to there. */
const SIZES = [
  { share: 2, least: 0, most: 0 },
  { share: 68, least: 1, most: 1e6 },
  { share: 25, least: 1e6, most: 2e7 },
  { share: 5, least: 2e7, most: 2e8 },
] as const;
/** So many of a hundred are of a size that the catalog does not know, and as many have no digest there. */
const UNKNOWN_SHARE = 5;

export function urlOf({ host }: OriginPlan, index: number, sizeBytes: number): string {
  return `https://${host.replace(/:443$/, "")}/${index}/${sizeBytes}`;
}

/** What is found at a URL. */
export function contentOf(url: string): { readonly sizeBytes: number; readonly sha256: string } {
  return {
    sizeBytes: Number(new URL(url).pathname.split("/").at(-1)),
    sha256: createHash("sha256").update(url).digest("hex"),
  };
}

/** The origin of a URL, as the server names it. */
export function hostOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port === "" ? 443 : port}`;
}

/** Copies that a file of the catalog takes in the mean, to reckon with. */
export const COPIES_IN_THE_MEAN = COPIES.reduce((sum, { copies }) => sum + copies.target, 0) / COPIES.length;

/** The files with these numbers, at these origins, as calls of `asset.import`; a number is always the same file. */
export function catalogBatches(
  files: readonly { readonly index: number; readonly origin: OriginPlan }[],
  random: () => number,
): readonly ImportInput[] {
  const entries = files.map(({ index, origin }) => ({
    key: pick(random, COPIES).key,
    entry: entryOf(origin, index, random),
  }));
  return COPIES.map(({ key, copies }) => ({
    dataset: { key, title: null, sourceUrl: null, copies },
    entries: entries.filter((one) => one.key === key).map((one) => one.entry),
  })).filter((batch) => batch.entries.length > 0);
}

function entryOf(origin: OriginPlan, index: number, random: () => number): ImportInput["entries"][number] {
  const sizeBytes = sizeFrom(random);
  const url = urlOf(origin, index, sizeBytes);
  const isKnown = (): boolean => random() * 100 >= UNKNOWN_SHARE;
  return {
    place: `[${index}]`,
    path: `f${index}`,
    url,
    sizeBytes: isKnown() ? sizeBytes : null,
    digest: isKnown() ? { algorithm: "sha256", hex: contentOf(url).sha256 } : null,
    mediaType: null,
    priority: 1 + Math.floor(random() * 10),
    removeByMs: null,
  };
}

function sizeFrom(random: () => number): number {
  let share = random() * 100;
  for (const range of SIZES) {
    if (share < range.share) return Math.floor(between(random, range.least, range.most));
    share -= range.share;
  }
  return 0;
}
