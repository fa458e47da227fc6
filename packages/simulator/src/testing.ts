/** Builders for tests: a world of a few assets and nodes in which everything is plain unless a test says otherwise. */
import type { OriginBudget } from "@dispatcher/core";
import type { Allocator, Desk } from "./allocators/allocator.ts";
import { HONEST } from "./world/fleet.ts";
import type { World } from "./world/world.ts";

const HOUR_MS = 3_600_000;

export type AssetFacts = {
  readonly sizeBytes: number;
  readonly origin: number;
  readonly priority: number;
  readonly rank: number;
  readonly hasDigest: boolean;
};

export type OriginFacts = {
  readonly capacity: number;
  readonly fetchBytesPerS: number;
  readonly throttles: boolean;
  readonly diesAtMs: number;
  readonly removeByMs: number | null;
  readonly budget: OriginBudget;
};

export type NodeFacts = {
  readonly operator: number;
  readonly joinsAtMs: number;
  readonly leavesAtMs: number;
  readonly saysGoodbye: boolean;
  readonly spellsMs: readonly number[];
  readonly window: readonly [number, number];
  readonly downBytesPerS: number;
  readonly upBytesPerS: number;
  readonly offeredBytes: number;
  readonly fillsAtMs: number;
  readonly honesty: number;
};

/**
 * Assets of 1,000 bytes at origin 0 with a digest, priority 5, wanted 3 times; origins that serve 10 fetches of 1,000 bytes a
 * second; nodes of an operator each that are there from the beginning and offer a million bytes. Nothing goes wrong by
 * chance: seed 1 does not, for the few assets and nodes of a test. 48 hours.
 */
export function aWorld(facts: {
  readonly assets?: readonly Partial<AssetFacts>[];
  readonly origins?: readonly Partial<OriginFacts>[];
  readonly nodes?: readonly Partial<NodeFacts>[];
  readonly spanMs?: number;
}): World {
  const assets = (facts.assets ?? [{}]).map((given): AssetFacts => ({
    sizeBytes: 1000,
    origin: 0,
    priority: 5,
    rank: 0,
    hasDigest: true,
    ...given,
  }));
  const origins = (facts.origins ?? [{}]).map((given): OriginFacts => ({
    capacity: 10,
    fetchBytesPerS: 1000,
    throttles: false,
    diesAtMs: Infinity,
    removeByMs: null,
    budget: { concurrencyMax: 10, requestsPerMinute: 600 },
    ...given,
  }));
  const nodes = (facts.nodes ?? [{}]).map((given, node): NodeFacts => ({
    operator: node,
    joinsAtMs: 0,
    leavesAtMs: Infinity,
    saysGoodbye: false,
    spellsMs: [],
    window: [0, 0],
    downBytesPerS: 1_000_000,
    upBytesPerS: 1_000_000,
    offeredBytes: 1_000_000,
    fillsAtMs: Infinity,
    honesty: HONEST,
    ...given,
  }));
  return {
    seed: 1,
    spanMs: facts.spanMs ?? 48 * HOUR_MS,
    catalog: {
      count: assets.length,
      sizeBytes: Float64Array.from(assets, (asset) => asset.sizeBytes),
      isSizeKnown: new Uint8Array(assets.length).fill(1),
      hasDigest: Uint8Array.from(assets, (asset) => Number(asset.hasDigest)),
      originOf: Uint16Array.from(assets, (asset) => asset.origin),
      datasetOf: new Uint32Array(assets.length),
      priority: Uint8Array.from(assets, (asset) => asset.priority),
      rank: Uint16Array.from(assets, (asset) => asset.rank),
      copiesOf: new Uint8Array(assets.length),
      askedForAtMs: new Float64Array(assets.length),
    },
    origins: {
      count: origins.length,
      capacity: Uint16Array.from(origins, (origin) => origin.capacity),
      fetchBytesPerS: Float64Array.from(origins, (origin) => origin.fetchBytesPerS),
      throttles: Uint8Array.from(origins, (origin) => Number(origin.throttles)),
      diesAtMs: Float64Array.from(origins, (origin) => origin.diesAtMs),
      removeByMs: origins.map((origin) => origin.removeByMs),
      budget: origins.map((origin) => origin.budget),
    },
    fleet: {
      count: nodes.length,
      operatorCount: Math.max(...nodes.map((node) => node.operator)) + 1,
      operatorOf: Int32Array.from(nodes, (node) => node.operator),
      joinsAtMs: Float64Array.from(nodes, (node) => node.joinsAtMs),
      leavesAtMs: Float64Array.from(nodes, (node) => node.leavesAtMs),
      saysGoodbye: Uint8Array.from(nodes, (node) => Number(node.saysGoodbye)),
      spellsMs: nodes.map((node) => Float64Array.from(node.spellsMs)),
      windowFrom: Uint16Array.from(nodes, (node) => node.window[0]),
      windowTo: Uint16Array.from(nodes, (node) => node.window[1]),
      downBytesPerS: Float64Array.from(nodes, (node) => node.downBytesPerS),
      upBytesPerS: Float64Array.from(nodes, (node) => node.upBytesPerS),
      offeredBytes: Float64Array.from(nodes, (node) => node.offeredBytes),
      fillsAtMs: Float64Array.from(nodes, (node) => node.fillsAtMs),
      honesty: Uint8Array.from(nodes, (node) => node.honesty),
    },
  };
}

/** Gives every node the assets that are listed for it when it asks for the first time, and nothing after that. */
export function planned(desk: Desk, assetsByNode: readonly (readonly number[])[], triesAfterThrottle = 0): Allocator {
  const hasAsked = new Set<number>();
  return {
    checksDigests: true,
    triesAfterThrottle,
    askersHeard: () => Infinity,
    answer: (askers) => {
      for (const node of askers) {
        const assets = hasAsked.has(node) ? [] : (assetsByNode[node] ?? []);
        hasAsked.add(node);
        for (const asset of assets) desk.grant(node, asset, "origin", 0);
        if (assets.length === 0) desk.refuse(node, HOUR_MS);
      }
    },
    finished: () => true,
    failed: () => {},
    joined: () => {},
    fellSilent: () => {},
    cameBack: () => {},
    saidGoodbye: () => {},
    wake: () => {},
    check: () => {},
  };
}
