import type { NodeLife } from "@dispatcher/core";
import { readOverview } from "../db/queries/stats.ts";
import type { Overview } from "../db/queries/stats.ts";
import { authenticate, findNodesOfKeys } from "./authenticate.ts";
import type { KnownNode, NodeKey } from "./authenticate.ts";
import { checkHealth } from "./check-health.ts";
import { createJoinToken } from "./create-join-token.ts";
import type { Dependencies } from "./dependencies.ts";
import { getAsset } from "./get-asset.ts";
import { createGroup } from "./group.ts";
import { importAssets } from "./import-assets.ts";
import { joinNode } from "./join-node.ts";
import { listAssets } from "./list-assets.ts";
import { listNodes } from "./list-nodes.ts";
import { reconcileInventory } from "./reconcile-inventory.ts";
import type { SyncCall } from "./sync/desk.ts";
import { syncNodes } from "./sync/sync-nodes.ts";
import type { SyncReply } from "./sync/sync-nodes.ts";

type Rest<Use extends (dependencies: Dependencies, ...rest: never[]) => unknown> =
  Parameters<Use> extends [Dependencies, ...infer More] ? More : never;

/** Syncs that are written in one transaction: it bounds how long one of them waits for the others. */
const SYNCS_AT_ONCE = 200;
/** While PostgreSQL works for one group, this process works for the other; a third would wait for the locks of the two. */
const SYNC_LANES = 2;

/** Every use case, bound to what it stands on. tRPC, REST and the admin command meet here. */
export type Services = ReturnType<typeof createServices>;

export function createServices(dependencies: Dependencies) {
  const syncNode = createGroup<SyncCall, SyncReply>({
    keyOf: ({ nodeId }: SyncCall) => nodeId,
    sizeMax: SYNCS_AT_ONCE,
    lanes: SYNC_LANES,
    run: (calls) => syncNodes(dependencies, calls),
  });
  const findNode = createGroup<NodeKey, KnownNode>({
    keyOf: ({ keyHash }) => keyHash.toString("hex"),
    sizeMax: SYNCS_AT_ONCE,
    lanes: SYNC_LANES,
    run: (keys) => findNodesOfKeys(dependencies, keys),
  });
  let overview: Promise<Overview> | null = null;
  return {
    authenticate: (key: string | null) => authenticate(dependencies, key, findNode),
    checkHealth: () => checkHealth(dependencies),
    createJoinToken: (...rest: Rest<typeof createJoinToken>) => createJoinToken(dependencies, ...rest),
    getAsset: (...rest: Rest<typeof getAsset>) => getAsset(dependencies, ...rest),
    importAssets: (...rest: Rest<typeof importAssets>) => importAssets(dependencies, ...rest),
    joinNode: (...rest: Rest<typeof joinNode>) => joinNode(dependencies, ...rest),
    listAssets: (...rest: Rest<typeof listAssets>) => listAssets(dependencies, ...rest),
    listNodes: (life: NodeLife | null) => listNodes(dependencies, life),
    reconcileInventory: (...rest: Rest<typeof reconcileInventory>) => reconcileInventory(dependencies, ...rest),
    // It reads every asset: those who ask while one is read get that one.
    readOverview: () => (overview ??= readOverview(dependencies.db.sql).finally(() => (overview = null))),
    /** @throws DispatcherError NODE_RETIRED, KEY_INVALID, DATABASE_UNAVAILABLE */
    syncNode,
  };
}
