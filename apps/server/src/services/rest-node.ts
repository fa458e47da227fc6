/**
 * Nodes that speak REST: they ask for work and report it, and say nothing in between. A sync is made of what they say, so that
 * everything that holds for an agent holds for them.
 */
import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import { findOffer } from "../db/queries/rescues.ts";
import type { Offer } from "../db/queries/rescues.ts";
import { VERSION } from "../version.ts";
import type { Dependencies } from "./dependencies.ts";
import type { SyncCall } from "./sync/desk.ts";

/** What a program that fetches with curl or the like can do. */
export const REST_SCHEMES = ["http", "https", "ftp"] as const;

/** Of the protocol, where agents say theirs: what is refused to an old agent is not refused to a program of this server. */
export const REST_AGENT_VERSION = `${VERSION}+rest`;

/**
 * Bytes a second that such a node is taken to have, for the length of its leases alone. Too small: one that has gone away keeps
 * an origin's slot for days. Too large: a large file goes to somebody else as well before it is there.
 */
const RATE_ASSUMED_BYTES_PER_S = 2 ** 20;

/** @throws DispatcherError KEY_INVALID */
export async function requireOffer({ db }: Dependencies, nodeId: NodeId): Promise<Offer> {
  const offer = await findOffer(db.sql, nodeId);
  if (offer === null) throw new DispatcherError("KEY_INVALID", "This node is not known here any more.");
  return offer;
}

/** A sync of such a node, with nothing to say but what is given. */
export function restSync(
  { config }: Dependencies,
  { nodeId, network }: { readonly nodeId: NodeId; readonly network: string | null },
  said: Partial<SyncCall["input"]> & Pick<SyncCall["input"], "offeredBytes" | "marginBytes" | "freeBytes">,
): SyncCall {
  return {
    nodeId,
    network,
    // It cannot renew them by progress, so they are as long as what it is given at once should take.
    leaseFloor: { minMs: config.DISPATCHER_LEASE_HORIZON_MS, rateBytesPerS: RATE_ASSUMED_BYTES_PER_S },
    input: {
      agentVersion: REST_AGENT_VERSION,
      schemes: [...REST_SCHEMES],
      wants: 0,
      open: [],
      finished: [],
      failed: [],
      released: [],
      ...said,
    },
  };
}
