/** Nodes that claim and finish, as agents with endless disks and instant networks would. */
import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { readConfig } from "../../src/config.ts";
import type { ServerConfig } from "../../src/config.ts";
import type { Database } from "../../src/db/database.ts";
import type { Services } from "../../src/services/index.ts";
import type { NodeSyncInput, NodeSyncOutput } from "../../src/wire/node.ts";
import { ADMIN_COMMAND } from "../../src/services/authenticate.ts";

export type SyncInput = z.output<typeof NodeSyncInput>;
export type SyncOutput = z.output<typeof NodeSyncOutput>;
type Grant = SyncOutput["grants"][number];

/** Settings under which no rule but the fleet's own demand limits the rate. */
export const SETTINGS = {
  DISPATCHER_ORIGIN_CONCURRENCY: "1000",
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "1000000",
  DISPATCHER_LEASE_HORIZON_MS: "31536000000",
  DISPATCHER_QUOTA_MAX: "1000",
  DISPATCHER_HOST: "127.0.0.1",
  DISPATCHER_PORT: "0",
  // All calls come from one address.
  DISPATCHER_RATE_READS_PER_MINUTE: "0",
  DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
  DISPATCHER_RATE_JOINS_PER_MINUTE: "0",
} as const;

export const config: ServerConfig = readConfig(SETTINGS);

const OFFERED_BYTES = 1e13;
const FACTS = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: OFFERED_BYTES };

/** A sync with nothing to say. */
export const IDLE: SyncInput = {
  ...FACTS,
  freeBytes: OFFERED_BYTES,
  wants: 0,
  open: [],
  finished: [],
  failed: [],
  released: [],
};

export type FleetNode = { readonly nodeId: NodeId; readonly key: string };

/** So many nodes, each of an operator of its own, trusted for long and with a quota that never binds. */
export async function joinFleet(db: Database, services: Services, count: number): Promise<readonly FleetNode[]> {
  const nodes: FleetNode[] = [];
  for (let index = 0; index < count; index += 1) {
    const { joinToken } = await services.createJoinToken(
      { operator: `operator ${index}`, uses: 1, lifeMs: 60_000 },
      ADMIN_COMMAND,
    );
    nodes.push(await services.joinNode({ joinToken, name: "n", ...FACTS }, null));
  }
  await db.sql`
    update nodes set quota = 1000, verified_copies = 1000, created_at = now() - interval '30 days', last_sync_at = now()`;
  await db.sql.unsafe("vacuum (analyze) nodes");
  return nodes;
}

/** How a sync reaches the server: through the services in this process, or over HTTP. */
export type Send = (node: FleetNode, input: SyncInput) => Promise<SyncOutput>;

export function throughServices(services: Services): Send {
  return ({ nodeId }, input) => services.syncNode({ nodeId, input, network: null });
}

function toFinished({ assignmentId, term, asset }: Grant): SyncInput["finished"][number] {
  if (asset.digest === null || asset.sizeBytes === null) throw new Error("The catalog of the bench declares both.");
  const sent = { etag: null, lastModified: null, fetchMs: 1000, fetchedBytes: asset.sizeBytes };
  return { assignmentId, term, sizeBytes: asset.sizeBytes, sha256: asset.digest.hex, digest: null, ...sent };
}

/** A node of the fleet at work: each sync reports all that the one before granted, and asks for as many again. */
export class WorkingNode {
  readonly #node: FleetNode;
  readonly #send: Send;
  readonly #perCall: number;
  #finished: SyncInput["finished"] = [];

  constructor(node: FleetNode, send: Send, perCall: number) {
    this.#node = node;
    this.#send = send;
    this.#perCall = perCall;
  }

  /** Answers how many files were claimed; as many were finished, but for the first sync of a node. */
  async sync(): Promise<number> {
    const finished = this.#finished;
    const wants = this.#perCall;
    const { grants, reports, refusal } = await this.#send(this.#node, { ...IDLE, wants, finished });
    const rejected = reports.find((report) => report.outcome === "rejected");
    if (rejected !== undefined) throw new Error(`A report was rejected: ${rejected.code}.`);
    if (reports.length !== finished.length) throw new Error("A report was not answered.");
    if (grants.length === 0 && refusal?.reason === "NOTHING_LEFT") {
      throw new Error("The catalog ran out: the rate would be wrong. Measure for fewer --seconds.");
    }
    this.#finished = grants.map(toFinished);
    return grants.length;
  }
}

/** Lanes of nodes: of each lane one syncs at a time, in turn. */
export type Crew = readonly (readonly WorkingNode[])[];

export function makeCrew(
  nodes: readonly FleetNode[],
  send: Send,
  { inFlight, perCall }: { readonly inFlight: number; readonly perCall: number },
): Crew {
  const workers = nodes.map((node) => new WorkingNode(node, send, perCall));
  return Array.from({ length: inFlight }, (_, lane) => workers.filter((_worker, index) => index % inFlight === lane));
}

/**
 * Every node syncs twice at least, so that from now on each sync reports as much as it claims, and connections, plans and
 * machine code are there.
 */
export async function warmUp(crew: Crew, forMs: number, onFailure?: (error: unknown) => void): Promise<void> {
  const lane = async (workers: readonly WorkingNode[]): Promise<void> => {
    for (const worker of [...workers, ...workers]) {
      try {
        await worker.sync();
      } catch (error) {
        if (onFailure === undefined) throw error;
        onFailure(error);
      }
    }
  };
  await Promise.all(crew.map(lane));
  await work(crew, { forMs, ...(onFailure === undefined ? {} : { onFailure }) });
}

/** Let a crew work for so long, or until it has claimed so many; answers files claimed and finished a second. */
export async function work(
  crew: Crew,
  {
    forMs,
    files = Number.POSITIVE_INFINITY,
    onFailure,
  }: { readonly forMs: number; readonly files?: number; readonly onFailure?: (error: unknown) => void },
): Promise<{ readonly claimed: number; readonly rate: number }> {
  const begunAt = performance.now();
  let claimed = 0;
  const lane = async (workers: readonly WorkingNode[]): Promise<void> => {
    for (let turn = 0; performance.now() - begunAt < forMs && claimed < files; turn += 1) {
      try {
        const got = await workers[turn % workers.length]?.sync();
        claimed += got ?? 0;
      } catch (error) {
        if (onFailure === undefined) throw error;
        onFailure(error);
      }
    }
  };
  await Promise.all(crew.map(lane));
  return { claimed, rate: (claimed / (performance.now() - begunAt)) * 1000 };
}

/** Milliseconds that each sync took, lane by lane, for at most so many calls and so long. */
export async function latenciesOf(
  crew: Crew,
  { forMs, calls }: { readonly forMs: number; readonly calls: number },
): Promise<readonly number[]> {
  const begunAt = performance.now();
  const latencies: number[] = [];
  const lane = async (workers: readonly WorkingNode[]): Promise<void> => {
    for (let turn = 0; performance.now() - begunAt < forMs && latencies.length < calls; turn += 1) {
      const syncAt = performance.now();
      await workers[turn % workers.length]?.sync();
      latencies.push(performance.now() - syncAt);
    }
  };
  await Promise.all(crew.map(lane));
  return latencies;
}
