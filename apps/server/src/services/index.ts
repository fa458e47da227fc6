import type { KeyId } from "@dispatcher/core";
import { readOverview } from "../db/queries/stats.ts";
import type { Overview } from "../db/queries/stats.ts";
import type { Found, Sought } from "../db/queries/keys.ts";
import { authenticate, findSought } from "./authenticate.ts";
import type { Actor } from "./authenticate.ts";
import { checkHealth } from "./check-health.ts";
import { createJoinToken } from "./create-join-token.ts";
import { createKey } from "./create-key.ts";
import type { Dependencies } from "./dependencies.ts";
import { getAsset } from "./get-asset.ts";
import { createGroup } from "./group.ts";
import { importAssets } from "./import-assets.ts";
import { joinNode } from "./join-node.ts";
import { createIssuer } from "./jwt/issuer.ts";
import { KeyUse } from "./key-use.ts";
import { listAssets } from "./list-assets.ts";
import { listJoinTokens } from "./list-join-tokens.ts";
import { listKeys } from "./list-keys.ts";
import { listNodes } from "./list-nodes.ts";
import { makeFirstAdminKey } from "./make-first-admin-key.ts";
import { reconcileInventory } from "./reconcile-inventory.ts";
import { revokeJoinToken } from "./revoke-join-token.ts";
import { revokeKey } from "./revoke-key.ts";
import { mayRead } from "./rights.ts";
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
  let seekers = 0;
  const find = createGroup<Sought, Found>({
    // Nothing is changed by it: a key that hundreds use at once is looked up for all of them together.
    keyOf: () => String((seekers += 1)),
    sizeMax: SYNCS_AT_ONCE,
    lanes: SYNC_LANES,
    run: (sought) => findSought(dependencies, sought),
  });
  const keyUse = new KeyUse(dependencies);
  const issuer = createIssuer(dependencies);
  const authentication = {
    find,
    verifyJwt: issuer?.verify ?? null,
    noteUse: (id: KeyId) => keyUse.note(id),
  };
  let overview: Promise<Overview> | null = null;
  return {
    authenticate: (key: string | null) => authenticate(dependencies, key, authentication),
    checkIssuer: async () => issuer?.check(),
    checkHealth: () => checkHealth(dependencies),
    createJoinToken: (...rest: Rest<typeof createJoinToken>) => createJoinToken(dependencies, ...rest),
    createKey: (...rest: Rest<typeof createKey>) => createKey(dependencies, ...rest),
    getAsset: (...rest: Rest<typeof getAsset>) => getAsset(dependencies, ...rest),
    importAssets: (...rest: Rest<typeof importAssets>) => importAssets(dependencies, ...rest),
    joinNode: (...rest: Rest<typeof joinNode>) => joinNode(dependencies, ...rest),
    listAssets: (...rest: Rest<typeof listAssets>) => listAssets(dependencies, ...rest),
    listJoinTokens: (...rest: Rest<typeof listJoinTokens>) => listJoinTokens(dependencies, ...rest),
    listKeys: (...rest: Rest<typeof listKeys>) => listKeys(dependencies, ...rest),
    listNodes: (...rest: Rest<typeof listNodes>) => listNodes(dependencies, ...rest),
    makeFirstAdminKey: () => makeFirstAdminKey(dependencies),
    mayRead: (actor: Actor) => mayRead(dependencies, actor),
    reconcileInventory: (...rest: Rest<typeof reconcileInventory>) => reconcileInventory(dependencies, ...rest),
    // It reads every asset: those who ask while one is read get that one.
    readOverview: () => (overview ??= readOverview(dependencies.db.sql).finally(() => (overview = null))),
    revokeJoinToken: (...rest: Rest<typeof revokeJoinToken>) => revokeJoinToken(dependencies, ...rest),
    revokeKey: (...rest: Rest<typeof revokeKey>) => revokeKey(dependencies, ...rest),
    /** @throws DispatcherError NODE_RETIRED, KEY_INVALID, DATABASE_UNAVAILABLE */
    syncNode,
  };
}
