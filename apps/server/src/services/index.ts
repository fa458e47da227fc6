import type { KeyId } from "@dispatcher/core";
import type { Found, Sought } from "../db/queries/keys.ts";
import { authenticate, findSought } from "./authenticate.ts";
import type { Actor } from "./authenticate.ts";
import { claimAssignments, renewAssignment, reportAssignment } from "./assignment-calls.ts";
import type { Caller } from "./assignment-calls.ts";
import { pauseOrigin, setBudget } from "./change-origin.ts";
import { changeDuty, unblockNode } from "./change-duty.ts";
import { checkHealth } from "./check-health.ts";
import type { Health } from "./check-health.ts";
import { createJoinToken } from "./create-join-token.ts";
import { createKey } from "./create-key.ts";
import type { Dependencies } from "./dependencies.ts";
import { dispatchAssets } from "./dispatch-assets.ts";
import { explainAssetNow } from "./explain-asset.ts";
import { EventFeed } from "./event-feed.ts";
import { followEvents } from "./follow-events.ts";
import { getNode } from "./get-node.ts";
import { getAsset } from "./get-asset.ts";
import { createGroup } from "./group.ts";
import { importAssets } from "./import-assets.ts";
import { joinByToken } from "./join-by-token.ts";
import { joinNode } from "./join-node.ts";
import { createIssuer } from "./jwt/issuer.ts";
import { KeyUse } from "./key-use.ts";
import { listJoinTokens } from "./list-join-tokens.ts";
import { listKeys } from "./list-keys.ts";
import { makeFirstAdminKey } from "./make-first-admin-key.ts";
import { recordDownloads } from "./record-downloads.ts";
import { revokeJoinToken } from "./revoke-join-token.ts";
import { revokeKey } from "./revoke-key.ts";
import { mayRead } from "./rights.ts";
import { giveBack, leaveNode } from "./leave-node.ts";
import { listAssets } from "./list-assets.ts";
import { getDataset, listDatasets } from "./list-datasets.ts";
import { listNodes } from "./list-nodes.ts";
import { listEvents } from "./list-events.ts";
import { getOrigin, listOrigins } from "./list-origins.ts";
import { messageNode } from "./message-node.ts";
import { prioritizeAssets } from "./prioritize-assets.ts";
import { createOverviews } from "./overview.ts";
import { readAtRisk } from "./read-at-risk.ts";
import { readLeaderboardShown } from "./read-leaderboard.ts";
import { readThroughput } from "./read-throughput.ts";
import { readVersion } from "./read-version.ts";
import { reconcileInventory } from "./reconcile-inventory.ts";
import { readMetrics } from "./read-metrics.ts";
import { countGroup } from "./sync/count-group.ts";
import { requeueAssets } from "./requeue-assets.ts";
import { retireNode } from "./retire-node.ts";
import { restoreAssets } from "./restore-assets.ts";
import type { SyncCall } from "./sync/desk.ts";
import { syncNodes } from "./sync/sync-nodes.ts";
import type { SyncReply } from "./sync/sync-nodes.ts";
import { updateDataset } from "./update-dataset.ts";
import { withdrawAssets } from "./withdraw-assets.ts";

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
    run: async (calls, tell) => {
      const beganAtMs = performance.now();
      const replies = await syncNodes(dependencies, calls, tell);
      dependencies.metrics?.groupSynced(countGroup(calls, replies, performance.now() - beganAtMs));
      return replies;
    },
  });
  let seekers = 0;
  const find = createGroup<Sought, Found>({
    // Nothing is changed by it: a key that hundreds use at once is looked up for all of them together.
    keyOf: () => String((seekers += 1)),
    sizeMax: SYNCS_AT_ONCE,
    lanes: SYNC_LANES,
    run: (sought) => findSought(dependencies, sought),
  });
  let health: Promise<Health> | null = null;
  const keyUse = new KeyUse(dependencies);
  const issuer = createIssuer(dependencies);
  const authentication = {
    find,
    verifyJwt: issuer?.verify ?? null,
    noteUse: (id: KeyId) => keyUse.note(id),
  };
  const feed = new EventFeed(dependencies);
  const overviews = createOverviews(dependencies);
  return {
    authenticate: (key: string | null) => authenticate(dependencies, key, authentication),
    checkIssuer: async () => issuer?.check(),
    changeDuty: (...rest: Rest<typeof changeDuty>) => changeDuty(dependencies, ...rest),
    // Probes of anybody, as often as they like: those who ask at once are one.
    checkHealth: () => (health ??= checkHealth(dependencies).finally(() => (health = null))),
    createJoinToken: (...rest: Rest<typeof createJoinToken>) => createJoinToken(dependencies, ...rest),
    createKey: (...rest: Rest<typeof createKey>) => createKey(dependencies, ...rest),
    dispatchAssets: (node: Parameters<typeof dispatchAssets>[2]) => dispatchAssets(dependencies, syncNode, node),
    explainAsset: (...rest: Rest<typeof explainAssetNow>) => explainAssetNow(dependencies, ...rest),
    claimAssignments: (caller: Omit<Caller, "syncNode">, input: Parameters<typeof claimAssignments>[2]) =>
      claimAssignments(dependencies, { ...caller, syncNode }, input),
    renewAssignment: (caller: Omit<Caller, "syncNode">, input: Parameters<typeof renewAssignment>[2]) =>
      renewAssignment(dependencies, { ...caller, syncNode }, input),
    reportAssignment: (caller: Omit<Caller, "syncNode">, report: Parameters<typeof reportAssignment>[2]) =>
      reportAssignment(dependencies, { ...caller, syncNode }, report),
    /** Cut those who listen, so that a server which stops need not wait for them. */
    closeFeed: () => feed.close(),
    followEvents: (input: Parameters<typeof followEvents>[2], options: Parameters<typeof followEvents>[3]) =>
      followEvents(dependencies, feed, input, options),
    getAsset: (...rest: Rest<typeof getAsset>) => getAsset(dependencies, ...rest),
    getDataset: (...rest: Rest<typeof getDataset>) => getDataset(dependencies, ...rest),
    getNode: (...rest: Rest<typeof getNode>) => getNode(dependencies, ...rest),
    getOrigin: (...rest: Rest<typeof getOrigin>) => getOrigin(dependencies, ...rest),
    giveBack: (...rest: Rest<typeof giveBack>) => giveBack(dependencies, ...rest),
    importAssets: (...rest: Rest<typeof importAssets>) => importAssets(dependencies, ...rest),
    joinByToken: (...rest: Rest<typeof joinByToken>) => joinByToken(dependencies, ...rest),
    joinNode: (...rest: Rest<typeof joinNode>) => joinNode(dependencies, ...rest),
    leaveNode: (...rest: Rest<typeof leaveNode>) => leaveNode(dependencies, ...rest),
    listAssets: (...rest: Rest<typeof listAssets>) => listAssets(dependencies, ...rest),
    listJoinTokens: (...rest: Rest<typeof listJoinTokens>) => listJoinTokens(dependencies, ...rest),
    listKeys: (...rest: Rest<typeof listKeys>) => listKeys(dependencies, ...rest),
    listNodes: (...rest: Rest<typeof listNodes>) => listNodes(dependencies, ...rest),
    makeFirstAdminKey: () => makeFirstAdminKey(dependencies),
    mayRead: (actor: Actor) => mayRead(dependencies, actor),
    recordDownloads: (call: Parameters<typeof recordDownloads>[2]) => recordDownloads(dependencies, syncNode, call),
    revokeJoinToken: (...rest: Rest<typeof revokeJoinToken>) => revokeJoinToken(dependencies, ...rest),
    revokeKey: (...rest: Rest<typeof revokeKey>) => revokeKey(dependencies, ...rest),
    listEvents: (...rest: Rest<typeof listEvents>) => listEvents(dependencies, ...rest),
    listDatasets: (...rest: Rest<typeof listDatasets>) => listDatasets(dependencies, ...rest),
    listOrigins: (...rest: Rest<typeof listOrigins>) => listOrigins(dependencies, ...rest),
    messageNode: (...rest: Rest<typeof messageNode>) => messageNode(dependencies, ...rest),
    pauseOrigin: (...rest: Rest<typeof pauseOrigin>) => pauseOrigin(dependencies, ...rest),
    prioritizeAssets: (...rest: Rest<typeof prioritizeAssets>) => prioritizeAssets(dependencies, ...rest),
    reconcileInventory: (...rest: Rest<typeof reconcileInventory>) => reconcileInventory(dependencies, ...rest),
    requeueAssets: (...rest: Rest<typeof requeueAssets>) => requeueAssets(dependencies, ...rest),
    retireNode: (...rest: Rest<typeof retireNode>) => retireNode(dependencies, ...rest),
    restoreAssets: (...rest: Rest<typeof restoreAssets>) => restoreAssets(dependencies, ...rest),
    setBudget: (...rest: Rest<typeof setBudget>) => setBudget(dependencies, ...rest),
    unblockNode: (...rest: Rest<typeof unblockNode>) => unblockNode(dependencies, ...rest),
    updateDataset: (...rest: Rest<typeof updateDataset>) => updateDataset(dependencies, ...rest),
    withdrawAssets: (...rest: Rest<typeof withdrawAssets>) => withdrawAssets(dependencies, ...rest),
    readAtRisk: (...rest: Rest<typeof readAtRisk>) => readAtRisk(dependencies, ...rest),
    readCopies: () => overviews.readCopies(),
    readLeaderboard: (...rest: Rest<typeof readLeaderboardShown>) => readLeaderboardShown(dependencies, ...rest),
    readOverview: () => overviews.readOverview(),
    readThroughput: (...rest: Rest<typeof readThroughput>) => readThroughput(dependencies, ...rest),
    readVersion: () => readVersion(dependencies),
    readMetrics: () => readMetrics(dependencies),
    /** @throws DispatcherError NODE_RETIRED, KEY_INVALID, DATABASE_UNAVAILABLE */
    syncNode,
  };
}
