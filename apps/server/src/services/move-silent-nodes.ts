import { countsAsHolder, lifeAfterSilence } from "@dispatcher/core";
import { appendEvents } from "../db/queries/events.ts";
import { markNodesAssetsDue } from "../db/queries/standings.ts";
import { findSilentNodes, lockNodes, moveNodeLife } from "../db/queries/nodes.ts";
import type { Dependencies } from "./dependencies.ts";
import { lifeThresholdsOf } from "./settings.ts";

/**
 * Move nodes that have been silent on through their life: suspect, offline, lost, retired. When one becomes lost, what it
 * holds stops counting and its assets are due: those that miss a copy now are wanted again. Answers how many silent nodes were moved.
 */
export async function moveSilentNodes({ db, config, log, vetting }: Dependencies, limit: number): Promise<number> {
  const thresholds = lifeThresholdsOf(config);
  const silent = await findSilentNodes(db.sql, thresholds, limit);
  let moved = 0;
  for (const { id, life, silentMs } of silent) {
    const next = lifeAfterSilence(life, silentMs, thresholds);
    if (next === life) continue;
    const isMoved = await db.transaction(async (sql) => {
      const [node] = await lockNodes(sql, [id], vetting);
      if (node === undefined || !(await moveNodeLife(sql, { id, from: life, to: next, silentMs }))) return false;
      if (countsAsHolder(life) && !countsAsHolder(next)) {
        await markNodesAssetsDue(sql, id);
      }
      await appendEvents(sql, [
        { kind: "node.moved", actor: "server", nodeId: id, detail: { from: life, to: next, silentMs } },
      ]);
      return true;
    });
    if (!isMoved) continue;
    moved += 1;
    log.info({ event: "node.moved", nodeId: id, from: life, to: next }, `a node that is silent is now ${next}`);
  }
  return moved;
}
