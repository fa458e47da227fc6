/**
 * Leases that their nodes do not end: overdue ones expire, and the node hears of it at its next sync, which lists what it
 * holds open; surplus ones are taken back, which the node hears first.
 */
import { expireAssignment, independentCopies, isOpen, loweredQuota, releaseBytes, returnSlots } from "@dispatcher/core";
import type { AssetId, Assignment, AssignmentId, NodeId } from "@dispatcher/core";
import type { Sql } from "../db/database.ts";
import { appendEvents } from "../db/queries/events.ts";
import { lockAssets, readHolders } from "../db/queries/standings.ts";
import {
  findOverdue,
  markSurplus,
  readAssignmentsOfNodes,
  readUnstartedOfAssets,
  updateAssignments,
} from "../db/queries/assignments.ts";
import type { StoredAssignment } from "../db/queries/assignments.ts";
import { leasesOf, ledgerOf, lockNodes, updateNodes } from "../db/queries/nodes.ts";
import { lockOrigins, updateOrigins } from "../db/queries/origins.ts";
import { readMercy } from "../db/queries/service-state.ts";
import { toHolders } from "./asset-standing.ts";
import type { Dependencies } from "./dependencies.ts";
import { leaseTimesOf, originBudgetOf } from "./settings.ts";

type Pick = { readonly id: AssignmentId; readonly nodeId: NodeId };

/**
 * End those of the picked leases that `decide` ends, under lock: a report that came first wins. An expired lease is a fault
 * of its node, which may hold fewer from then on. Answers what ended.
 */
export async function endLeases(
  { config, vetting }: Dependencies,
  sql: Sql,
  picks: readonly Pick[],
  decide: (assignment: Assignment, nowMs: number) => Assignment,
): Promise<readonly StoredAssignment[]> {
  const nodes = await lockNodes(sql, [...new Set(picks.map((pick) => pick.nodeId))], vetting);
  const nowMs = nodes[0]?.nowMs;
  if (nowMs === undefined) return [];
  const nodeIds = nodes.map((node) => node.id);
  const openIds = nodes.flatMap((node) => node.openIds);
  const read = await readAssignmentsOfNodes(sql, nodeIds, [...new Set([...openIds, ...picks.map((pick) => pick.id)])]);
  const storedById = new Map(read.map((one) => [one.id, one]));
  const ended = picks
    .flatMap(({ id }) => storedById.get(id) ?? [])
    .filter((one) => isOpen(one.assignment))
    .map((stored) => ({ stored, assignment: decide(stored.assignment, nowMs) }))
    .filter(({ assignment }) => !isOpen(assignment));
  if (ended.length === 0) return [];

  const originIds = [...new Set(ended.map((one) => one.stored.originId))];
  const origins = new Map(await lockOrigins(sql, originIds, originBudgetOf(config)));
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  for (const { stored } of ended) {
    const node = nodeById.get(stored.nodeId);
    const origin = origins.get(stored.originId);
    if (node === undefined || origin === undefined || !isOpen(stored.assignment)) continue;
    nodeById.set(node.id, { ...node, ...releaseBytes(ledgerOf(node), stored.assignment.reservedBytes) });
    origins.set(stored.originId, returnSlots(origin, 1));
  }
  // Once a node, however many ran out: they ran out together, from one cause.
  const faulty = new Set(ended.filter((one) => one.assignment.state === "expired").map((one) => one.stored.nodeId));
  await updateAssignments(
    sql,
    ended.map(({ stored: { id }, assignment }) => ({ id, assignment })),
  );
  const endedIds = new Set(ended.map((one) => one.stored.id));
  const stillOpen = Map.groupBy(
    read.flatMap(({ id, nodeId, assignment }) =>
      isOpen(assignment) && !endedIds.has(id) ? [{ id, nodeId, assignment }] : [],
    ),
    (one) => one.nodeId,
  );
  await updateNodes(
    sql,
    [...nodeById.values()].map((node) => ({
      ...node,
      ...leasesOf(stillOpen.get(node.id)),
      quota: faulty.has(node.id) ? loweredQuota(node.quota) : node.quota,
    })),
  );
  await updateOrigins(sql, origins);
  const assetIdsEnded = ended.map((one) => one.stored.assetId);
  const detail = { [ended[0]?.assignment.state ?? "ended"]: ended.map((one) => one.stored.id) };
  await appendEvents(sql, [{ kind: "leases.ended", actor: "server", assetIds: assetIdsEnded, detail }]);
  return ended.map((one) => one.stored);
}

/** Reclaim up to `limit` overdue leases, oldest first; answers how many. Safe on several servers at once. */
export async function expireLeases(dependencies: Dependencies, limit: number): Promise<number> {
  const { db, config, log } = dependencies;
  const times = leaseTimesOf(config);
  const overdue = await findOverdue(db.sql, times.graceMs, limit);
  if (overdue.length === 0) return 0;
  const ended = await db.transaction(async (sql) => {
    // Read here and not by the sweep alone: another server may have started since that began.
    const mercyUntilMs = await readMercy(sql);
    return endLeases(dependencies, sql, overdue, (assignment, nowMs) =>
      expireAssignment(assignment, nowMs, times, { mercyUntilMs }),
    );
  });
  for (const { id, nodeId, assetId } of ended) {
    log.info({ event: "lease.expired", assignmentId: id, nodeId, assetId }, "a lease ran out without progress");
  }
  return ended.length;
}

/**
 * Copies came late, so leases of the same assets elsewhere may be one too many: those that have not begun are surplus, the
 * newest first, as long as the target is met without them. They end once their nodes have been told and no longer list
 * them; a fetch that has begun by then goes on. Answers how many leases became surplus.
 */
export async function cancelSurplus({ db, vetting }: Dependencies, assetIds: readonly AssetId[]): Promise<number> {
  if (assetIds.length === 0) return 0;
  const unstarted = await readUnstartedOfAssets(db.sql, assetIds);
  if (unstarted.length === 0) return 0;
  return db.transaction(async (sql) => {
    const nodes = await lockNodes(sql, [...new Set(unstarted.map((pick) => pick.nodeId))], vetting);
    const nodeIds = nodes.map((node) => node.id);
    const ids = unstarted.map((pick) => pick.id);
    const storedById = new Map((await readAssignmentsOfNodes(sql, nodeIds, ids)).map((one) => [one.id, one]));
    const open = ids
      .flatMap((id) => storedById.get(id) ?? [])
      .filter(({ assignment, isSurplus }) => assignment.state === "granted" && !isSurplus);
    const assets = new Map(
      (await lockAssets(sql, [...new Set(open.map((one) => one.assetId))])).map((one) => [one.id, one]),
    );
    const holdersByAsset = Map.groupBy(await readHolders(sql, [...assets.keys()], vetting), (row) => row.assetId);
    const surplus = new Set<AssignmentId>();
    const going = new Set<string>();
    for (const { id, assetId, nodeId } of open) {
      const others = (holdersByAsset.get(assetId) ?? []).filter(
        (row) => row.nodeId !== nodeId && !row.isSurplus && !going.has(`${assetId}/${row.nodeId}`),
      );
      const target = assets.get(assetId)?.copies.target ?? 0;
      if (independentCopies(toHolders(others)) < target) continue;
      surplus.add(id);
      going.add(`${assetId}/${nodeId}`);
    }
    await markSurplus(sql, [...surplus]);
    return surplus.size;
  });
}
