/**
 * What a run is judged by. Everything is measured on what is true in the world, not on what a policy believes: a copy that
 * a lying node reports is none. Each measure is defined where it is computed.
 */
import { CopyTable } from "./copy-table.ts";
import { COPY_RANGES } from "./world/catalog.ts";
import { topDecile } from "./world/world.ts";
import type { World } from "./world/world.ts";

export type Measures = {
  /**
   * Hours until an asset of the most urgent tenth (`topDecile`) had its first good copy, from the beginning. Those that never
   * had one count with the whole span, so a policy does not gain by giving up.
   */
  readonly urgentFirstCopyHours: { readonly median: number; readonly p95: number; readonly never: number };
  /**
   * Share of all assets that have their target of good copies at different operators. The curve has one value every six
   * hours from 0; the area is their mean, and the end the last of them.
   */
  readonly targetShare: { readonly atEnd: number; readonly area: number; readonly curve: readonly number[] };
  /**
   * Bytes that came over a line and were no part of a wanted good copy when they had arrived: aborted partial files,
   * bytes that were not those of the file, and copies of assets that had their maximum of good copies already.
   */
  readonly wasted: {
    readonly bytes: number;
    /** Of all bytes downloaded. */
    readonly share: number;
    readonly abortedBytes: number;
    readonly corruptBytes: number;
    readonly surplusBytes: number;
  };
  /** Gini coefficient of held bytes over offered bytes, among the nodes online at the end: 0 for all alike. */
  readonly loadGini: number;
  /**
   * An origin's load in a minute: its fetches, averaged over the minute, and one more for each request that it had to answer
   * with 429. Overloaded: above the origin's true capacity. The share is of all minutes of all origins, while they live; the
   * peak is the largest load of any minute over the capacity.
   */
  readonly originOverload: { readonly share: number; readonly peak: number; readonly refusedRequests: number };
  /**
   * Assets without any good copy at the end whose origin is dead: nobody can save them any more. The weight is the sum of
   * their priorities.
   */
  readonly lost: { readonly assets: number; readonly weight: number };
  /** For orientation, not judged. */
  readonly volume: {
    readonly downloadedBytes: number;
    readonly fetches: number;
    readonly goodCopies: number;
    readonly withAnyCopyAtEnd: number;
    readonly moreThanMax: number;
  };
};

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
export const SAMPLE_MS: number = 6 * HOUR_MS;

/** The value below which `share` of the sorted values lie; the nearest rank. NaN for none. */
export function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** 0 when all are alike, near 1 when one has everything. Of nothing at all: 0. */
export function gini(values: readonly number[]): number {
  const sorted = Float64Array.from(values).toSorted();
  let sum = 0;
  let weighted = 0;
  sorted.forEach((value, place) => {
    sum += value;
    weighted += (2 * (place + 1) - sorted.length - 1) * value;
  });
  return sum === 0 ? 0 : weighted / (sorted.length * sum);
}

/** Adds up an origin's fetches by the minute: O(1) a fetch, however long it takes. */
class MinuteLoad {
  readonly #minutes: number;
  /** Seconds of fetches that only touch a minute. */
  readonly #touched: Float32Array;
  /** Change of the number of fetches that last for whole minutes. */
  readonly #change: Int32Array;
  readonly #refused: Uint32Array;

  constructor(origins: number, spanMs: number) {
    this.#minutes = Math.ceil(spanMs / MINUTE_MS) + 1;
    this.#touched = new Float32Array(origins * this.#minutes);
    this.#change = new Int32Array(origins * this.#minutes);
    this.#refused = new Uint32Array(origins * this.#minutes);
  }

  fetch(origin: number, startMs: number, endMs: number): void {
    const base = origin * this.#minutes;
    const lastMs = Math.min(endMs, (this.#minutes - 1) * MINUTE_MS);
    if (lastMs <= startMs) return;
    const first = Math.floor(startMs / MINUTE_MS);
    const last = Math.floor(lastMs / MINUTE_MS);
    if (first === last) {
      this.#touched[base + first]! += (lastMs - startMs) / 1000;
      return;
    }
    this.#touched[base + first]! += ((first + 1) * MINUTE_MS - startMs) / 1000;
    this.#touched[base + last]! += (lastMs - last * MINUTE_MS) / 1000;
    this.#change[base + first + 1]! += 1;
    this.#change[base + last]! -= 1;
  }

  refusal(origin: number, atMs: number): void {
    this.#refused[origin * this.#minutes + Math.floor(atMs / MINUTE_MS)]! += 1;
  }

  judge({ origins, spanMs }: World): Measures["originOverload"] {
    let alive = 0;
    let over = 0;
    let peak = 0;
    let refusedRequests = 0;
    for (let origin = 0; origin < origins.count; origin += 1) {
      const base = origin * this.#minutes;
      const minutes = Math.floor(Math.min(spanMs, origins.diesAtMs[origin]!) / MINUTE_MS);
      const capacity = origins.capacity[origin]!;
      let whole = 0;
      for (let minute = 0; minute < minutes; minute += 1) {
        whole += this.#change[base + minute]!;
        const refused = this.#refused[base + minute]!;
        const load = whole + this.#touched[base + minute]! / 60 + refused;
        refusedRequests += refused;
        // A hair of room for the rounding of the sums.
        if (load > capacity * 1.001) over += 1;
        peak = Math.max(peak, load / capacity);
      }
      alive += minutes;
    }
    return { share: alive === 0 ? 0 : over / alive, peak, refusedRequests };
  }
}

export type Waste = "aborted" | "corrupt" | "surplus";

/** Keeps the books of a run; the simulation tells it what happens. */
export class Observer {
  readonly copies: CopyTable;
  readonly #world: World;
  readonly #load: MinuteLoad;
  readonly #firstCopyMs: Float64Array;
  readonly #isAtTarget: Uint8Array;
  readonly #curve: number[] = [];
  readonly #wasted: Record<Waste, number> = { aborted: 0, corrupt: 0, surplus: 0 };
  #atTarget = 0;
  #downloadedBytes = 0;
  #fetches = 0;
  #goodCopies = 0;

  constructor(world: World) {
    const { catalog, fleet, origins, spanMs } = world;
    this.#world = world;
    this.copies = new CopyTable({ assets: catalog.count, operatorOf: fleet.operatorOf });
    this.#load = new MinuteLoad(origins.count, spanMs);
    this.#firstCopyMs = new Float64Array(catalog.count).fill(Infinity);
    this.#isAtTarget = new Uint8Array(catalog.count);
  }

  get targetShare(): number {
    return this.#atTarget / this.#world.catalog.count;
  }

  originFetch(origin: number, startMs: number, endMs: number): void {
    this.#load.fetch(origin, startMs, endMs);
  }

  requestRefused(origin: number, atMs: number): void {
    this.#load.refusal(origin, atMs);
  }

  downloaded(bytes: number): void {
    this.#downloadedBytes += bytes;
    this.#fetches += 1;
  }

  wasted(why: Waste, bytes: number): void {
    this.#wasted[why] += bytes;
  }

  /** A node has all bytes of an asset now, and they are the right ones. */
  goodCopy(asset: number, node: number, nowMs: number): void {
    const { catalog } = this.#world;
    const { max } = COPY_RANGES[catalog.copiesOf[asset]!]!;
    if (this.copies.countOf(asset) >= max) this.wasted("surplus", catalog.sizeBytes[asset]!);
    this.copies.add(asset, node);
    this.#goodCopies += 1;
    if (this.#firstCopyMs[asset] === Infinity) this.#firstCopyMs[asset] = nowMs;
    this.#weigh(asset);
  }

  nodeLeft(node: number): void {
    this.copies.removeNode(node, (asset) => this.#weigh(asset));
  }

  /** To be called every SAMPLE_MS, from 0 to the end of the span. */
  sample(): void {
    this.#curve.push(this.targetShare);
  }

  #weigh(asset: number): void {
    const { target } = COPY_RANGES[this.#world.catalog.copiesOf[asset]!]!;
    const isAtTarget = this.copies.independentOf(asset, target) >= target ? 1 : 0;
    this.#atTarget += isAtTarget - this.#isAtTarget[asset]!;
    this.#isAtTarget[asset] = isAtTarget;
  }

  /** @param loads Held over offered bytes of each node that is online at the end. */
  measures(loads: readonly number[]): Measures {
    const { catalog, origins, spanMs } = this.#world;
    const urgent = topDecile(this.#world);
    const hours = Float64Array.from(
      urgent,
      (asset) => Math.min(spanMs, this.#firstCopyMs[asset]!) / HOUR_MS,
    ).toSorted();
    const never = urgent.reduce((count, asset) => count + (this.#firstCopyMs[asset] === Infinity ? 1 : 0), 0);
    let lostAssets = 0;
    let lostWeight = 0;
    let withAnyCopyAtEnd = 0;
    let moreThanMax = 0;
    for (let asset = 0; asset < catalog.count; asset += 1) {
      const copies = this.copies.countOf(asset);
      if (copies > COPY_RANGES[catalog.copiesOf[asset]!]!.max) moreThanMax += 1;
      if (copies > 0) {
        withAnyCopyAtEnd += 1;
      } else if (origins.diesAtMs[catalog.originOf[asset]!]! < spanMs) {
        lostAssets += 1;
        lostWeight += catalog.priority[asset]!;
      }
    }
    const { aborted, corrupt, surplus } = this.#wasted;
    const bytes = aborted + corrupt + surplus;
    return {
      urgentFirstCopyHours: { median: quantile(hours, 0.5), p95: quantile(hours, 0.95), never },
      targetShare: {
        atEnd: this.#curve.at(-1) ?? 0,
        area: this.#curve.reduce((sum, share) => sum + share, 0) / Math.max(1, this.#curve.length),
        curve: this.#curve,
      },
      wasted: {
        bytes,
        share: this.#downloadedBytes === 0 ? 0 : bytes / this.#downloadedBytes,
        abortedBytes: aborted,
        corruptBytes: corrupt,
        surplusBytes: surplus,
      },
      loadGini: gini(loads),
      originOverload: this.#load.judge(this.#world),
      lost: { assets: lostAssets, weight: lostWeight },
      volume: {
        downloadedBytes: this.#downloadedBytes,
        fetches: this.#fetches,
        goodCopies: this.#goodCopies,
        withAnyCopyAtEnd,
        moreThanMax,
      },
    };
  }
}
