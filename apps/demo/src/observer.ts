import type { DispatcherClient } from "@dispatcher/client";
import type { AssetId } from "@dispatcher/core";
import type { Origin } from "@dispatcher/testbed";
import type { Catalog } from "./catalog.ts";
import type { Fleet } from "./fleet.ts";
import { countOf } from "./format.ts";
import type { Snapshot } from "./snapshot.ts";
import type { AssetFacts } from "./victim.ts";

export type ObserverOptions = {
  readonly client: DispatcherClient;
  readonly origin: Origin;
  readonly fleet: Fleet;
  readonly catalog: Catalog;
  readonly copies: number;
  readonly originBudget: number;
  /** Of the clock that `performance.now` reads. */
  readonly startedMs: number;
  readonly signal: AbortSignal;
};

export type Observation = {
  readonly snapshot: Snapshot;
  /** Every asset has its copies. */
  readonly isComplete: boolean;
  /** Something that will not mend by itself, in a sentence. */
  readonly trouble: string | null;
};

/** Long enough to be steady, short enough to show a node's death. */
const RATE_WINDOW_MS = 3000;
/** More than the catalog has. */
const ASSETS_MAX = 1000;

/** The demo asks with the admin key, and names are left out for others alone. */
function withName<Part extends { readonly node: string | null }>(part: Part): Part & { readonly node: string } {
  if (part.node === null) throw new Error("The server does not tell the demo the names of its nodes.");
  return { ...part, node: part.node };
}

/** Looks at the server as an administrator may, and at the origin from the other side. */
export class Observer {
  readonly #options: ObserverOptions;
  /** Oldest first. */
  #served: readonly { readonly atMs: number; readonly bytes: number }[] = [];
  #reassignedMost = 0;

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  /**
   * The most reassigned leases that the server has counted. Its count goes back when a node that was away delivers its
   * copy after all, and what was reassigned has been reassigned all the same.
   */
  get reassignedMost(): number {
    return this.#reassignedMost;
  }

  async look(): Promise<Observation> {
    const { client, origin, fleet, catalog, copies, originBudget, startedMs, signal } = this.#options;
    const [overview, { nodes }] = await Promise.all([
      client.stats.overview.query(undefined, { signal }),
      client.node.list.query({}, { signal }),
    ]);
    const elapsedMs = performance.now() - startedMs;
    const { assets, leases } = overview;
    this.#reassignedMost = Math.max(this.#reassignedMost, leases.reassigned);
    const stuck = assets.gone + assets.review + assets.withdrawn;
    return {
      isComplete: assets.complete === catalog.files.length,
      trouble: stuck === 0 ? null : `The server has given up ${countOf(stuck, "file")} (gone, in review or withdrawn).`,
      snapshot: {
        elapsedMs,
        copies: { done: overview.copies.counting, open: leases.open, wanted: catalog.files.length * copies },
        bytes: { done: overview.bytes.copied, wanted: catalog.bytes * copies },
        bytesPerSecond: this.#rate(elapsedMs),
        reassigned: leases.reassigned,
        // The admin key is told all names.
        nodes: nodes.map(({ name, operator, ...node }) => ({
          name: name ?? "",
          operator: operator ?? "",
          life: node.life,
          isKilled: fleet.isKilled(name ?? ""),
          offeredBytes: node.offeredBytes,
          heldBytes: node.heldBytes,
          copies: node.copies,
          openLeases: node.openLeases,
          sinceSyncMs: node.lastSyncMs === null ? null : overview.nowMs - node.lastSyncMs,
        })),
        origin: { fetches: origin.concurrency, peak: origin.concurrencyPeak, budget: originBudget },
      },
    };
  }

  /** The catalog as the server has it. */
  async listAssets() {
    const { client, signal } = this.#options;
    const { assets } = await client.asset.list.query({ limit: ASSETS_MAX }, { signal });
    return assets;
  }

  async readOpenAssets(): Promise<readonly AssetFacts[]> {
    const open = (await this.listAssets()).filter(({ openLeases }) => openLeases > 0);
    return this.readAssets(open.map(({ id }) => id));
  }

  readAssets(ids: readonly AssetId[]): Promise<readonly AssetFacts[]> {
    const { client, signal } = this.#options;
    return Promise.all(
      ids.map(async (id) => {
        const asset = await client.asset.get.query({ id }, { signal });
        return { ...asset, replicas: asset.replicas.map(withName), assignments: asset.assignments.map(withName) };
      }),
    );
  }

  /** Bytes a second that left the origin, over the window that ends now. */
  #rate(nowMs: number): number {
    this.#served = [
      ...this.#served.filter(({ atMs }) => nowMs - atMs <= RATE_WINDOW_MS),
      { atMs: nowMs, bytes: this.#options.origin.bytesServed },
    ];
    const [first, last] = [this.#served[0], this.#served.at(-1)];
    if (first === undefined || last === undefined || last.atMs === first.atMs) return 0;
    return ((last.bytes - first.bytes) / (last.atMs - first.atMs)) * 1000;
  }
}
