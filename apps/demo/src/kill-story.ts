/**
 * The heart of the demo: one node dies in the middle of its work, others do it, and it comes back. Told step by step, a
 * step for each look at the server, so that nothing here waits.
 */
import type { AssetId } from "@dispatcher/core";
import type { AssetFacts, Takeover, Victim } from "./victim.ts";
import { chooseVictim, findTakeover } from "./victim.ts";
import type { Kill } from "./report.ts";
import { countOf, formatBytes } from "./format.ts";
import type { Snapshot } from "./snapshot.ts";
import { progressOf } from "./snapshot.ts";

export type KillTools = {
  readonly kill: (node: string) => Promise<void>;
  readonly start: (node: string) => Promise<void>;
  /** Every asset with an open lease. */
  readonly readOpenAssets: () => Promise<readonly AssetFacts[]>;
  readonly readAssets: (ids: readonly AssetId[]) => Promise<readonly AssetFacts[]>;
  readonly tell: (text: string) => void;
};

export type KillRule = {
  /** Share of the copies, 0 to 1, from which on a node may be killed. */
  readonly fromProgress: number;
  readonly bytesLeftMin: number;
  /** How long the victim stays down at most: then the report says that its work was not taken over. */
  readonly takeoverPatienceMs: number;
};

type State =
  | { readonly at: "waiting" }
  | { readonly at: "down"; readonly victim: Victim; readonly sinceMs: number }
  | { readonly at: "back"; readonly victim: Victim; readonly takeover: Takeover | null; readonly startedMs: number }
  | { readonly at: "over"; readonly victim: Victim; readonly takeover: Takeover | null };

export class KillStory {
  readonly #tools: KillTools;
  readonly #rule: KillRule;
  #state: State = { at: "waiting" };

  constructor(tools: KillTools, rule: KillRule) {
    this.#tools = tools;
    this.#rule = rule;
  }

  /** What has been shown so far. */
  get kill(): Kill | null {
    const state = this.#state;
    if (state.at === "waiting") return null;
    return {
      node: state.victim.node,
      path: state.victim.path,
      takeover: state.at === "down" ? null : state.takeover,
      isBack: state.at === "over",
    };
  }

  get hasBegun(): boolean {
    return this.#state.at !== "waiting";
  }

  get isOver(): boolean {
    return this.#state.at === "over";
  }

  async step(snapshot: Snapshot): Promise<void> {
    const state = this.#state;
    switch (state.at) {
      case "waiting":
        this.#state = await this.#waiting(state, snapshot);
        return;
      case "down":
        this.#state = await this.#down(state, snapshot);
        return;
      case "back":
        this.#state = this.#back(state, snapshot);
        return;
      case "over":
    }
  }

  async #waiting(state: State & { at: "waiting" }, snapshot: Snapshot): Promise<State> {
    if (progressOf(snapshot) < this.#rule.fromProgress) return state;
    const nodeNames = snapshot.nodes.map(({ name }) => name);
    const assets = await this.#tools.readOpenAssets();
    const victim = chooseVictim(assets, { nodeNames, bytesLeftMin: this.#rule.bytesLeftMin });
    if (victim === null) return state;
    await this.#tools.kill(victim.node);
    const { node, path, bytesDone, sizeBytes, leasedAssetIds } = victim;
    this.#tools.tell(
      `${node} killed (SIGKILL) in the middle of ${path}, ${formatBytes(bytesDone)} of ${formatBytes(sizeBytes)}; open leases: ${leasedAssetIds.length}`,
    );
    return { at: "down", victim, sinceMs: snapshot.elapsedMs };
  }

  async #down(state: State & { at: "down" }, snapshot: Snapshot): Promise<State> {
    const { victim, sinceMs } = state;
    // The victim's own leases say who took over; the server's count has to say so too before the victim may come back.
    const takeover =
      snapshot.reassigned === 0 ? null : findTakeover(await this.#tools.readAssets(victim.leasedAssetIds), victim.node);
    if (takeover === null && snapshot.elapsedMs - sinceMs < this.#rule.takeoverPatienceMs) return state;
    this.#tools.tell(
      takeover === null
        ? `no lease of ${victim.node} was granted to another node in time`
        : `the lease of ${victim.node} on ${takeover.path} ran out; ${takeover.node} does it now`,
    );
    await this.#tools.start(victim.node);
    this.#tools.tell(`${victim.node} started again`);
    return { at: "back", victim, takeover, startedMs: snapshot.elapsedMs };
  }

  #back(state: State & { at: "back" }, snapshot: Snapshot): State {
    const { victim, takeover, startedMs } = state;
    const row = snapshot.nodes.find(({ name }) => name === victim.node);
    const hasSynced = row !== undefined && row.sinceSyncMs !== null && snapshot.elapsedMs - row.sinceSyncMs > startedMs;
    if (!hasSynced || row.life !== "online") return state;
    this.#tools.tell(`${victim.node} is back, with ${countOf(row.copies, "file")} from before`);
    return { at: "over", victim, takeover };
  }
}
