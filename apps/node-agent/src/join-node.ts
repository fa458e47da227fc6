import { createDispatcherClient } from "@dispatcher/client";
import { DispatcherError } from "@dispatcher/core";
import { formatByteSize } from "./byte-size.ts";
import { freeBytesOf, prepareHome } from "./home.ts";
import type { Home } from "./home.ts";
import { lockHome } from "./lock-home.ts";
import { readNodeFile, writeNodeFile } from "./node-file.ts";
import type { NodeFile } from "./node-file.ts";
import { AGENT_VERSION } from "./version.ts";

export type JoinOrder = {
  readonly home: Home;
  readonly url: string;
  readonly joinToken: string;
  readonly name: string;
  readonly capacityBytes: number;
  readonly marginBytes: number;
};

/**
 * Make this home a node of a dispatcher. The home is proved writable before the server is asked, because the key comes
 * once: a death between the server's answer and the write leaves, on the server, a node without an agent, which it will
 * count as lost and then retire, and here nothing; the volunteer joins again under another name. Nothing was stored yet,
 * so nothing but a use of the token is lost.
 * @throws DispatcherError CONFIG_INVALID when the home has joined already or the offer is more than the disk has;
 * HOME_IN_USE, HOME_UNUSABLE; what the server answers
 */
export async function joinNode(order: JoinOrder): Promise<NodeFile> {
  const { home } = order;
  await prepareHome(home);
  const lock = await lockHome(home);
  try {
    return await joinLocked(order);
  } finally {
    lock.release();
  }
}

async function joinLocked({ home, url, joinToken, name, capacityBytes, marginBytes }: JoinOrder): Promise<NodeFile> {
  const before = await readNodeFile(home);
  if (before !== null) {
    throw new DispatcherError(
      "CONFIG_INVALID",
      `${home.path} has joined ${before.url} already, as ${before.name}; another node needs another --home.`,
    );
  }
  requireOffer({ capacityBytes, marginBytes, freeBytes: await freeBytesOf(home) });
  const client = createDispatcherClient({ url });
  const { nodeId, key, operator } = await client.node.join.mutate({
    joinToken,
    name,
    offeredBytes: capacityBytes,
    marginBytes,
    schemes: ["http", "https"],
    agentVersion: AGENT_VERSION,
  });
  const node = { url, nodeId, key, name, operator, capacityBytes, marginBytes, joinedAtMs: Date.now() };
  await writeNodeFile(home, node);
  return node;
}

type Offer = { readonly capacityBytes: number; readonly marginBytes: number; readonly freeBytes: number };

/** @throws DispatcherError CONFIG_INVALID */
function requireOffer({ capacityBytes, marginBytes, freeBytes }: Offer): void {
  if (capacityBytes > freeBytes) {
    throw new DispatcherError(
      "CONFIG_INVALID",
      `--capacity is ${formatByteSize(capacityBytes)}, and the disk of the home has ${formatByteSize(freeBytes)} free.`,
    );
  }
  if (marginBytes >= capacityBytes) {
    throw new DispatcherError(
      "CONFIG_INVALID",
      `--margin (${formatByteSize(marginBytes)}) is kept free out of --capacity (${formatByteSize(capacityBytes)}), and leaves nothing.`,
    );
  }
}
