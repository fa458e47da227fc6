import { stopLeasesOfWithdrawn } from "../db/queries/asset-acts.ts";
import { findDueAssets } from "../db/queries/standings.ts";
import { appendEvents } from "../db/queries/events.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import { refreshAssetStandings } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";

/**
 * Compute anew how assets stand that are due: their threat has come nearer, their dataset has changed, or a node that holds
 * them was lost or came back. Answers how many were due.
 */
export async function renewStandings({ db, vetting }: Dependencies, limit: number): Promise<number> {
  const due = await findDueAssets(db.sql, limit);
  if (due.length === 0) return 0;
  await db.transaction(async (sql) => {
    const nowMs = await readDatabaseTime(sql);
    await refreshAssetStandings(sql, due, { vetting, nowMs });
    await stopLeasesOfWithdrawn(sql, due);
    await appendEvents(sql, [{ kind: "assets.renewed", actor: "server", assetIds: due }]);
  });
  return due.length;
}
