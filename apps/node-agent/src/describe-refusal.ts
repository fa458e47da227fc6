import type { RouterOutputs } from "@dispatcher/client";
import { describeSpan } from "./agent-status.ts";
import { formatByteSize } from "./byte-size.ts";

export type Refusal = NonNullable<RouterOutputs["node"]["sync"]["refusal"]>;

/** Why there is no more work, and when that may change, in a line for the volunteer. */
export function describeRefusal(refusal: Refusal): string {
  return `${reasonOf(refusal)}; asking again in ${describeSpan(refusal.retryAfterMs)}`;
}

function reasonOf(refusal: Refusal): string {
  switch (refusal.reason) {
    case "NODE_FULL":
      return `full: the next file needs ${formatByteSize(refusal.missingBytes)} more than this node has left to offer`;
    case "ORIGIN_SATURATED":
      return "the servers the files come from are asked as much as they can take";
    case "PEERS_NOT_READY":
      return "what is left comes from other nodes, which are still fetching it";
    case "NOTHING_LEFT":
      return "there is nothing left that needs a copy from this node";
    case "NODE_PAUSED":
      return "this node is paused by its coordinator";
    case "QUOTA":
      return `this node works on ${refusal.openLeases} files, and ${refusal.limit} is its limit for now`;
    case "HORIZON_FULL":
      return `this node has ${formatByteSize(refusal.openBytes)} of work, which is enough for its speed`;
    case "AGENT_TOO_OLD":
      return `this agent is too old: ${refusal.minimum} is the least`;
    case "SCHEME_UNSUPPORTED":
      return `what is left comes over ${refusal.scheme}, which this agent does not speak`;
    case "VETTING":
      return `new nodes hold up to ${formatByteSize(refusal.limitBytes)} until their copies have proved good`;
    case "TAG_REFUSED":
      return `what is left is tagged ${refusal.tag}, which this node does not take`;
    case "RETRY_PAUSE":
      break;
  }
  return "files that failed rest before they are tried again";
}
