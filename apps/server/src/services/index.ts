import type { NodeLife } from "@dispatcher/core";
import { readOverview } from "../db/queries/stats.ts";
import type { Overview } from "../db/queries/stats.ts";
import { authenticate } from "./authenticate.ts";
import { checkHealth } from "./check-health.ts";
import { createJoinToken } from "./create-join-token.ts";
import type { Dependencies } from "./dependencies.ts";
import { getAsset } from "./get-asset.ts";
import { createRounds } from "./grant-assignments.ts";
import { importAssets } from "./import-assets.ts";
import { joinNode } from "./join-node.ts";
import { listAssets } from "./list-assets.ts";
import { listNodes } from "./list-nodes.ts";
import { syncNode } from "./sync-node.ts";

type Rest<Use extends (dependencies: Dependencies, ...rest: never[]) => unknown> =
  Parameters<Use> extends [Dependencies, ...infer More] ? More : never;

/** Every use case, bound to what it stands on. tRPC, REST and the admin command meet here. */
export type Services = ReturnType<typeof createServices>;

export function createServices(dependencies: Dependencies) {
  const rounds = createRounds(dependencies);
  let overview: Promise<Overview> | null = null;
  return {
    authenticate: (key: string | null) => authenticate(dependencies, key),
    checkHealth: () => checkHealth(dependencies),
    createJoinToken: (...rest: Rest<typeof createJoinToken>) => createJoinToken(dependencies, ...rest),
    getAsset: (...rest: Rest<typeof getAsset>) => getAsset(dependencies, ...rest),
    importAssets: (...rest: Rest<typeof importAssets>) => importAssets(dependencies, ...rest),
    joinNode: (...rest: Rest<typeof joinNode>) => joinNode(dependencies, ...rest),
    listAssets: (...rest: Rest<typeof listAssets>) => listAssets(dependencies, ...rest),
    listNodes: (life: NodeLife | null) => listNodes(dependencies, life),
    // It reads every asset: those who ask while one is read get that one.
    readOverview: () => (overview ??= readOverview(dependencies.db.sql).finally(() => (overview = null))),
    syncNode: (call: Parameters<typeof syncNode>[2]) => syncNode(dependencies, rounds, call),
  };
}
