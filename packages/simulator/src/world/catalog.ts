import type { CopyRange } from "@dispatcher/core";
import { Random, zipf } from "../random.ts";

/** The wishes about copies that occur; `copiesOf` holds a place in here. The default ones, and those of a few datasets. */
export const COPY_RANGES: readonly CopyRange[] = [
  { min: 2, target: 3, max: 5 },
  { min: 3, target: 5, max: 7 },
];

/** All assets, one number each; the arrays are read by that number and never written after the world is made. */
export type Catalog = {
  readonly count: number;
  readonly sizeBytes: Float64Array;
  /** Whether the catalog declares the size. */
  readonly isSizeKnown: Uint8Array;
  /** Whether the catalog declares a digest. */
  readonly hasDigest: Uint8Array;
  readonly originOf: Uint16Array;
  readonly datasetOf: Uint32Array;
  readonly priority: Uint8Array;
  /** Place in the Priorizer's list from 1; 0 for none. */
  readonly rank: Uint16Array;
  /** Place in COPY_RANGES. */
  readonly copiesOf: Uint8Array;
  readonly askedForAtMs: Float64Array;
};

const MB = 1_000_000;
const GB = 1000 * MB;
const SIZE_MIN_BYTES = 200;
const SIZE_MAX_BYTES = 256 * GB;
/** One in so many files is a giant: a whole model run in one archive. */
const GIANT_EVERY = 1000;
const RANKED_MAX = 899;
const MINUTE_MS = 60_000;

/** One origin for so many assets, by the root: catalogs of ten times the files have three times the publishers. */
export function originCount(assets: number): number {
  return Math.min(2000, Math.max(4, Math.round(0.4 * Math.sqrt(assets))));
}

/**
 * Datasets of very different size (Pareto), each at one origin (Zipf: the first has as much as all from the tenth on). The
 * files of a dataset resemble each other in size (lognormal around the dataset's median, medians lognormal again), so half
 * of all files are below 4 MB and one in a thousand is a giant of 1 to 256 GB (Pareto), which together are near a tenth of
 * the bytes. Priorities are the datasets'; most are low, one in twenty is 10. The Priorizer ranks up to 899 single files.
 * Catalogs were imported one dataset after the other, a minute each, before the simulation begins.
 */
export function createCatalog({ assets, seed }: { readonly assets: number; readonly seed: number }): Catalog {
  const random = Random.fromSeed(seed, "catalog");
  const drawOrigin = zipf(random, originCount(assets));
  const catalog: Catalog = {
    count: assets,
    sizeBytes: new Float64Array(assets),
    isSizeKnown: new Uint8Array(assets),
    hasDigest: new Uint8Array(assets),
    originOf: new Uint16Array(assets),
    datasetOf: new Uint32Array(assets),
    priority: new Uint8Array(assets),
    rank: new Uint16Array(assets),
    copiesOf: new Uint8Array(assets),
    askedForAtMs: new Float64Array(assets),
  };
  let asset = 0;
  for (let dataset = 0; asset < assets; dataset += 1) {
    const files = Math.floor(random.pareto({ low: 1, high: Math.max(2, assets / 50), alpha: 0.7 }));
    const origin = drawOrigin();
    const medianBytes = random.logNormal(4 * MB, 2);
    const priority = Math.min(10, 1 + Math.floor(10 * random.uniform() ** 2));
    const copies = random.uniform() < 0.05 ? 1 : 0;
    const hasDigest = random.uniform() < 0.6 ? 1 : 0;
    const end = Math.min(assets, asset + files);
    for (; asset < end; asset += 1) {
      const isGiant = random.below(GIANT_EVERY) === 0;
      const bytes = isGiant
        ? random.pareto({ low: GB, high: SIZE_MAX_BYTES, alpha: 0.8 })
        : random.logNormal(medianBytes, 1.5);
      catalog.sizeBytes[asset] = Math.round(Math.min(SIZE_MAX_BYTES, Math.max(SIZE_MIN_BYTES, bytes)));
      catalog.isSizeKnown[asset] = random.uniform() < 0.95 ? 1 : 0;
      catalog.hasDigest[asset] = hasDigest;
      catalog.originOf[asset] = origin;
      catalog.datasetOf[asset] = dataset;
      catalog.priority[asset] = priority;
      catalog.copiesOf[asset] = copies;
      catalog.askedForAtMs[asset] = dataset * MINUTE_MS;
    }
  }
  const ranked = Math.min(RANKED_MAX, Math.floor(assets / 20));
  for (let rank = 1; rank <= ranked; rank += 1) catalog.rank[random.below(assets)] = rank;
  return catalog;
}
