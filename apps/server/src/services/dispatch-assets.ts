import { DispatcherError } from "@dispatcher/core";
import type { ErrorDetails, NodeId } from "@dispatcher/core";
import type { Dependencies } from "./dependencies.ts";
import { requireOffer, restSync } from "./rest-node.ts";
import type { SyncCall } from "./sync/desk.ts";
import type { SyncReply } from "./sync/sync-nodes.ts";

export type SyncNode = (call: SyncCall) => Promise<SyncReply>;

/**
 * Give work to a node that has so much free: what it has open and has not reported is listed again, with what is granted now.
 * Free space lies beside the copies it holds, so it offers both. Never answers an empty list.
 * @throws DispatcherError NOTHING_FITS with the refusal's reason and numbers, NODE_RETIRED, KEY_INVALID
 */
export async function dispatchAssets(
  dependencies: Dependencies,
  syncNode: SyncNode,
  node: { readonly nodeId: NodeId; readonly freeBytes: number; readonly network: string | null },
): Promise<Pick<SyncReply, "grants" | "refusal">> {
  const { heldBytes } = await requireOffer(dependencies, node.nodeId);
  const { freeBytes } = node;
  const offeredBytes = Math.min(Number.MAX_SAFE_INTEGER, heldBytes + freeBytes);
  const wants = dependencies.config.DISPATCHER_QUOTA_MAX;
  const said = { offeredBytes, marginBytes: 0, freeBytes, wants };
  const { grants, refusal } = await syncNode(restSync(dependencies, node, said));
  if (grants.length > 0) return { grants, refusal };
  const reason = refusal?.reason ?? "NOTHING_LEFT";
  const details: ErrorDetails = { ...refusal, reason, nodeId: node.nodeId };
  throw new DispatcherError("NOTHING_FITS", `There is nothing for this node now (${reason}).`, { details });
}
