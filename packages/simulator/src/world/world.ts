import { asPriority, asRank, rescueFirst } from "@dispatcher/core";
import type { UrgencyFacts } from "@dispatcher/core";
import { COPY_RANGES, createCatalog } from "./catalog.ts";
import type { Catalog } from "./catalog.ts";
import { createFleet } from "./fleet.ts";
import type { Fleet } from "./fleet.ts";
import { createOrigins } from "./origins.ts";
import type { Origins } from "./origins.ts";

export type WorldOptions = {
  readonly nodes: number;
  readonly assets: number;
  readonly days: number;
  readonly seed: number;
};

/**
 * Everything that is so whatever a policy does: what there is to save, who comes when and goes when, which origin dies,
 * who lies. All policies of one run meet the same world (common random numbers), so that they differ by what they do alone.
 */
export type World = {
  readonly seed: number;
  readonly spanMs: number;
  readonly catalog: Catalog;
  readonly origins: Origins;
  readonly fleet: Fleet;
};

const DAY_MS = 86_400_000;

export function createWorld({ nodes, assets, days, seed }: WorldOptions): World {
  const spanMs = days * DAY_MS;
  const catalog = createCatalog({ assets, seed });
  const origins = createOrigins({ catalog, seed, spanMs });
  let wantedBytes = 0;
  for (let asset = 0; asset < assets; asset += 1) {
    wantedBytes += COPY_RANGES[catalog.copiesOf[asset]!]!.target * catalog.sizeBytes[asset]!;
  }
  return { seed, spanMs, catalog, origins, fleet: createFleet({ nodes, seed, spanMs, wantedBytes }) };
}

/** What an urgency policy is told about an asset with so many independent copies. */
export function urgencyFacts({ catalog, origins }: World, asset: number, independentCopies: number): UrgencyFacts {
  const rank = catalog.rank[asset]!;
  return {
    independentCopies,
    copies: COPY_RANGES[catalog.copiesOf[asset]!]!,
    priority: asPriority(catalog.priority[asset]!),
    rank: rank === 0 ? null : asRank(rank),
    removeByMs: origins.removeByMs[catalog.originOf[asset]!]!,
    askedForAtMs: catalog.askedForAtMs[asset]!,
  };
}

/**
 * The most urgent tenth of the assets as they are at the beginning, when none has a copy: by threat, priority, rank and
 * waiting, as coordinators mean these words. At least one asset.
 */
export function topDecile(world: World): Uint32Array {
  const { count } = world.catalog;
  const urgency = Float64Array.from(
    { length: count },
    (_, asset) => rescueFirst.urgencyOf(urgencyFacts(world, asset, 0), 0).value,
  );
  const least = urgency.toSorted()[Math.min(count - 1, Math.floor(0.9 * count))]!;
  const top: number[] = [];
  for (let asset = 0; asset < count; asset += 1) if (urgency[asset]! >= least) top.push(asset);
  return Uint32Array.from(top);
}
