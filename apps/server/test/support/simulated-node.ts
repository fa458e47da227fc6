import { NO_COPIES, addCopy } from "@dispatcher/core";
import type { z } from "zod";
import { hashText } from "../../src/services/hash-text.ts";
import type { NodeJoinOutput, NodeSyncInput, NodeSyncOutput } from "../../src/wire/node.ts";
import { mutate } from "./mutate.ts";
import { SHA256 } from "./test-dispatcher.ts";

type SyncInput = z.output<typeof NodeSyncInput>;
type SyncOutput = z.output<typeof NodeSyncOutput>;
type Grant = SyncOutput["grants"][number];
type Finished = SyncInput["finished"][number];

/**
 * A node that speaks the protocol over HTTP as an agent does and has no disk: what it is granted it has. It keeps a log of
 * its own of all that the server acknowledged, to be held against the database afterwards.
 */
export class SimulatedNode {
  readonly name: string;
  readonly nodeId: string;
  /** Assignments whose copy the server acknowledged. */
  readonly acknowledged = new Set<string>();
  /** Every grant ever received, by assignment. */
  readonly granted = new Map<string, Grant>();
  /** Answers that say a report was refused. */
  readonly rejected: string[] = [];
  /** Syncs after which the server found that it has other copies on record than this node has. */
  inventoriesWanted = 0;
  readonly #url: string;
  readonly #key: string;
  readonly #open = new Map<string, Grant>();
  readonly #unreported = new Map<string, Finished>();
  #holding = NO_COPIES;

  private constructor(url: string, name: string, { nodeId, key }: z.output<typeof NodeJoinOutput>) {
    this.#url = url;
    this.name = name;
    this.nodeId = nodeId;
    this.#key = key;
  }

  static async join(url: string, name: string, joinToken: string): Promise<SimulatedNode> {
    const facts = { agentVersion: "1.0.0", schemes: ["http", "https"], marginBytes: 0, offeredBytes: 1e9 };
    return new SimulatedNode(url, name, await mutate(url, "node.join", { joinToken, name, ...facts }, {}));
  }

  /** One sync: report what is finished, ask for more. Rejects when the server is away; nothing is forgotten then. */
  async sync(wants: number): Promise<SyncOutput> {
    const finished = [...this.#unreported.values()];
    const input: SyncInput = {
      agentVersion: "1.0.0",
      schemes: ["http", "https"],
      marginBytes: 0,
      offeredBytes: 1e9,
      freeBytes: 1e9,
      wants,
      open: [...this.#open.values()].map(({ assignmentId, term }) => ({
        assignmentId,
        term,
        state: "running",
        bytesDone: 1,
      })),
      finished,
      failed: [],
      released: [],
      holding: this.#holding,
    };
    const reply = await mutate<SyncOutput>(this.#url, "node.sync", input, { key: this.#key });
    if (reply.inventoryWanted) this.inventoriesWanted += 1;
    for (const { assignmentId, outcome, code } of reply.reports) {
      if (outcome === "rejected") this.rejected.push(`${assignmentId}: ${code}`);
      else this.acknowledged.add(assignmentId);
      this.#unreported.delete(assignmentId);
    }
    for (const { assignmentId } of reply.cancels) this.#open.delete(assignmentId);
    for (const grant of reply.grants) {
      this.granted.set(grant.assignmentId, grant);
      this.#open.set(grant.assignmentId, grant);
    }
    return reply;
  }

  /** The files of all open assignments are there now; the next sync reports them. */
  finishAll(): void {
    for (const { assignmentId, term, asset } of this.#open.values()) {
      const sizeBytes = asset.sizeBytes ?? 100;
      const sent = { etag: null, lastModified: null, fetchMs: 1, fetchedBytes: sizeBytes };
      this.#holding = addCopy(this.#holding, { assetId: asset.id, sizeBytes, sha256: SHA256 }, hashText);
      this.#unreported.set(assignmentId, { assignmentId, term, sizeBytes, sha256: SHA256, digest: null, ...sent });
    }
    this.#open.clear();
  }

  get isIdle(): boolean {
    return this.#open.size === 0 && this.#unreported.size === 0;
  }
}
