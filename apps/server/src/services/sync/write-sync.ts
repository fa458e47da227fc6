/** What a group of syncs came to, written: its reports, its grants, and what follows from both. */
import { isOpen, judgeFailures, reserveBytes } from "@dispatcher/core";
import type { AssetId, Assignment, AssignmentId, NodeId, OpenAssignment } from "@dispatcher/core";
import type { Sql } from "../../db/database.ts";
import { readFailures, updateAssignments } from "../../db/queries/assignments.ts";
import type { OpenGrant, StoredAssignment } from "../../db/queries/assignments.ts";
import { appendEvents } from "../../db/queries/events.ts";
import type { NewEvent } from "../../db/queries/events.ts";
import { heldColumnsOf, leasesOf, updateSyncedNodes } from "../../db/queries/nodes.ts";
import { raiseSeenBytes, updateStandingsAfterFailure } from "../../db/queries/standings.ts";
import type { AssetFacts } from "../../db/queries/standings.ts";
import { writeAssetStandings } from "../asset-standing.ts";
import type { Weighed } from "../asset-standing.ts";
import { currentOf } from "./desk.ts";
import type { Desk, Speaker } from "./desk.ts";
import type { Heard } from "./reports.ts";

/** A lease as its node knows it, or will. */
export type Lease = { readonly id: AssignmentId; readonly assignment: OpenAssignment };

/** Assets with a copy more, with all their holders, and how they stand now. */
export type Copied = readonly ({ readonly asset: AssetFacts } & Weighed)[];

/** Write what the reports have changed, but for nodes and origins: no other group waits for these rows. */
export async function writeReports(sql: Sql, { desk }: Heard): Promise<Copied> {
  await updateAssignments(
    sql,
    [...desk.changed].map(([id, change]) => ({ id, ...change })),
  );
  await settleFailures(sql, desk);
  await raiseSeenBytes(sql, desk.seenBytes);
  const copied = [...desk.copied].flatMap((id) => desk.assets.get(id) ?? []);
  const weighed = await writeAssetStandings(sql, copied, { holders: desk.holders, nowMs: desk.nowMs });
  return copied.flatMap((asset) => {
    const own = weighed.get(asset.id);
    return own === undefined ? [] : [{ asset, ...own }];
  });
}

export type WrittenSync = {
  readonly eventIds: readonly number[];
  /** What each node had open before its new grants. */
  readonly openByNode: ReadonlyMap<NodeId, readonly Lease[]>;
  /** Assets that stand otherwise, though nobody has a copy more. */
  readonly otherwise: readonly AssetId[];
  /** Of the rows of these nodes, by which their leases are known again. */
  readonly version: string;
};

/** Write the rest but for the origins: what was granted, new or anew, the nodes, and the log. */
export async function writeOutcome(
  sql: Sql,
  { desk, speakers, networkByNode }: Heard,
  grants: readonly OpenGrant[],
): Promise<WrittenSync> {
  const anew = speakers.flatMap(({ away }) => away.map(({ stored }) => stored.id));
  await updateAssignments(
    sql,
    anew.flatMap((id) => {
      const change = desk.changed.get(id);
      return change === undefined ? [] : [{ id, ...change }];
    }),
  );
  const openByNode = openLeasesOf(desk);
  const grantsByNode = Map.groupBy(grants, (grant) => grant.nodeId);
  const version = await updateSyncedNodes(
    sql,
    speakers.map((speaker) => {
      const { id } = speaker.node;
      const given = grantsByNode.get(id) ?? [];
      const leases = leasesOf([
        ...(openByNode.get(id) ?? []),
        ...given.map((grant) => ({ id: grant.assignmentId, assignment: grant })),
      ]);
      return { ...rowOf(speaker, given), ...leases, network: networkByNode.get(id) ?? null };
    }),
  );
  const changes: { readonly stored: StoredAssignment; readonly assignment: Assignment }[] = [];
  for (const [id, { assignment }] of desk.changed) {
    const stored = desk.stored.get(id);
    // Progress alone is no event.
    const isEvent = !isOpen(assignment) || stored?.assignment.state === "expired";
    if (stored !== undefined && isEvent) changes.push({ stored, assignment });
  }
  const eventIds = await appendEvents(sql, toEvents(changes, grants));
  const otherwise = changes.map(({ stored }) => stored.assetId).filter((id) => !desk.copied.has(id));
  return { eventIds, openByNode, otherwise, version };
}

function openLeasesOf(desk: Desk): ReadonlyMap<NodeId, readonly Lease[]> {
  const openByNode = new Map<NodeId, Lease[]>();
  for (const stored of desk.stored.values()) {
    const assignment = currentOf(desk, stored);
    if (!isOpen(assignment)) continue;
    const lease = { id: stored.id, assignment };
    const others = openByNode.get(stored.nodeId);
    if (others === undefined) openByNode.set(stored.nodeId, [lease]);
    else others.push(lease);
  }
  return openByNode;
}

function rowOf(speaker: Speaker, given: readonly OpenGrant[]) {
  const { node, input, holding, quota, rateBytesPerS, verifiedCopies, inventoryWanted } = speaker;
  const { freeBytes, agentVersion, schemes } = input;
  const ledger = given.reduce((sum, grant) => reserveBytes(sum, grant.reservedBytes), speaker.ledger);
  return {
    id: node.id,
    ...ledger,
    ...heldColumnsOf(holding),
    quota,
    rateBytesPerS,
    verifiedCopies,
    inventoryWanted,
    freeBytes,
    agentVersion,
    schemes,
  };
}

/** After failures: whether the asset is wanted on, gone or for people to look at, and how long it rests. */
async function settleFailures(sql: Sql, desk: Desk): Promise<void> {
  if (desk.failures.size === 0) return;
  const { config, random } = desk.dependencies;
  const failuresByAsset = Map.groupBy(await readFailures(sql, [...desk.failures.keys()]), (row) => row.assetId);
  const outcomes = [...desk.failures].map(([id, newCodes]) => ({
    id,
    ...judgeFailures(failuresByAsset.get(id) ?? [], newCodes, {
      baseMs: config.DISPATCHER_RETRY_BASE_MS,
      jitter: random(),
    }),
  }));
  await updateStandingsAfterFailure(sql, outcomes);
}

/** One event a node: which of its assignments came to which state, and what it was granted. */
function toEvents(
  changes: readonly { readonly stored: StoredAssignment; readonly assignment: Assignment }[],
  grants: readonly OpenGrant[],
): readonly NewEvent[] {
  const detailByNode = new Map<NodeId, Record<string, AssignmentId[]>>();
  const assetsByNode = new Map<NodeId, AssetId[]>();
  const note = (nodeId: NodeId, state: string, id: AssignmentId, assetId: AssetId): void => {
    const detail = detailByNode.get(nodeId) ?? {};
    detailByNode.set(nodeId, detail);
    (detail[state] ??= []).push(id);
    const assets = assetsByNode.get(nodeId);
    if (assets === undefined) assetsByNode.set(nodeId, [assetId]);
    else assets.push(assetId);
  };
  for (const { stored, assignment } of changes) note(stored.nodeId, assignment.state, stored.id, stored.assetId);
  for (const { nodeId, assignmentId, asset } of grants) note(nodeId, "granted", assignmentId, asset.id);
  return [...detailByNode].map(([nodeId, detail]) => ({
    kind: "node.synced",
    actor: "node",
    nodeId,
    assetIds: assetsByNode.get(nodeId) ?? [],
    detail,
  }));
}
