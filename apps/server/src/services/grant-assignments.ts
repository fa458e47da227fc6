/**
 * Allocation rounds on the database, each for all the nodes of a group that want work. Rounds of several servers take turns by an
 * advisory lock: what an origin or a node has left is then known, not guessed. Reports do not take that lock; what they
 * change meanwhile is checked again, under row locks, before a grant is written.
 */
import { allocateRound, leaseLengthMs, openSlots, takeSlots, usableBytes } from "@dispatcher/core";
import type {
  AssetId,
  Asker,
  Candidate,
  GrantDecision,
  NodeId,
  OriginSlots,
  Refusal,
  RoundInput,
  RoundResult,
} from "@dispatcher/core";
import type { Sql } from "../db/database.ts";
import { findCandidates, findMostUrgent, lockAssets, readAssets, readHolders } from "../db/queries/assets.ts";
import type { AssetFacts } from "../db/queries/assets.ts";
import { insertAssignments, readLateFailures, readOpenWork } from "../db/queries/assignments.ts";
import { ledgerOf, lockNodes, readFleet, updateNodes } from "../db/queries/nodes.ts";
import type { Fleet, NodeRow } from "../db/queries/nodes.ts";
import { lockOrigins, readQueuedOrigins, updateOrigins } from "../db/queries/origins.ts";
import { toHolders, writeAssetStandings } from "./asset-standing.ts";
import { leaseTimesOf, originBudgetOf } from "./dependencies.ts";
import type { Dependencies } from "./dependencies.ts";

export type Claim = {
  readonly nodeId: NodeId;
  readonly wants: number;
};

/** Bounds the window of candidates and the length of a transaction. */
const ASKERS_PER_ROUND = 50;
/** Looked at beyond the slots of an origin, because some will be refused by rules that SQL does not know. */
const SPARE_CANDIDATES = 8;
/** Closed origins that are looked at, so that the refusal can tell when they open. */
const CLOSED_ORIGINS_SEEN = 20;
/** An origin never yields more than this in one round, whatever its budget. */
const GRANTS_PER_ORIGIN_MAX = 200;
/** How much of what the fleet holds may lie on nodes on trial. */
const SHARE_ON_TRIAL = 0.05;
/** A node that failed on an asset is kept from it for so many first pauses: another tries meanwhile. */
const AVOID_PAUSES = 10;

/**
 * Give work to nodes that asked together; what they get is in the database then. Answers why a node got less than it
 * wanted. @throws DispatcherError DATABASE_UNAVAILABLE
 */
export async function grantAssignments(
  dependencies: Dependencies,
  claims: readonly Claim[],
): Promise<ReadonlyMap<NodeId, Refusal>> {
  const refusalByNode = new Map<NodeId, Refusal>();
  for (let start = 0; start < claims.length; start += ASKERS_PER_ROUND) {
    const refusals = await runRound(dependencies, claims.slice(start, start + ASKERS_PER_ROUND));
    for (const [nodeId, refusal] of refusals) refusalByNode.set(nodeId, refusal);
  }
  return refusalByNode;
}

function toAsker(
  node: NodeRow,
  wants: number,
  work: { readonly openLeases: number; readonly openBytes: number } | undefined,
  isVetting: boolean,
): Asker {
  return {
    nodeId: node.id,
    operatorId: node.operatorId,
    network: node.network,
    ledger: ledgerOf(node),
    freeBytes: node.freeBytes,
    openLeases: work?.openLeases ?? 0,
    openBytes: work?.openBytes ?? 0,
    quota: node.quota,
    wants,
    rateBytesPerS: node.rateBytesPerS,
    schemes: node.schemes,
    refusedTags: [],
    windows: [],
    paused: false,
    agentTooOldFor: null,
    isVetting,
  };
}

/** The trial rests in a small fleet, where nobody would be left to take the first copy. */
function isOnTrial(node: NodeRow, fleet: Fleet, { vetting }: Dependencies): boolean {
  if (fleet.vettedNodes < vetting.fleetMin) return false;
  return node.verifiedCopies < vetting.verifiedCopies || node.nowMs - node.createdAtMs < vetting.ageMs;
}

/** The window of a round, as the core takes it. */
async function readCandidates(
  { config, vetting }: Dependencies,
  sql: Sql,
  { ids, askers }: { readonly ids: readonly AssetId[]; readonly askers: readonly Asker[] },
): Promise<readonly Candidate[]> {
  const assets = await readAssets(sql, ids);
  const holdersByAsset = Map.groupBy(await readHolders(sql, ids, vetting), (row) => row.assetId);
  const failures = await readLateFailures(sql, {
    assetIds: ids,
    nodeIds: askers.map((asker) => asker.nodeId),
    withinMs: config.DISPATCHER_RETRY_BASE_MS * AVOID_PAUSES,
  });
  const failuresByAsset = Map.groupBy(failures, (failure) => failure.assetId);
  return assets.map((asset) => ({
    assetId: asset.id,
    originId: asset.originId,
    scheme: asset.scheme,
    tags: [],
    sizeBytes: asset.sizeBytes,
    urgency: asset.urgency,
    copies: asset.copies,
    holders: toHolders(holdersByAsset.get(asset.id) ?? []),
    avoid: (failuresByAsset.get(asset.id) ?? []).map((failure) => failure.nodeId),
    // Agents fetch from origins alone.
    originFetches: 0,
    seeds: 0,
  }));
}

/** What is most urgent, whoever asks: enough for all in most rounds, and cheap. */
async function findShared(
  sql: Sql,
  { askers, origins }: { readonly askers: readonly Asker[]; readonly origins: readonly OriginSlots[] },
): Promise<readonly AssetId[]> {
  const wanted = askers.reduce((sum, { wants }) => sum + wants, 0);
  const open = origins.filter((origin) => origin.slots > 0);
  return findMostUrgent(sql, {
    origins: open.map(({ originId, slots }) => ({ id: originId, take: Math.min(slots, wanted) + SPARE_CANDIDATES })),
    limit: wanted + SPARE_CANDIDATES * open.length,
  });
}

/** What each of these askers could take, wherever in the queues it stands, and why they cannot have what they cannot. */
async function findFitting(
  { config }: Dependencies,
  sql: Sql,
  {
    askers,
    origins,
    fleet,
  }: { readonly askers: readonly Asker[]; readonly origins: readonly OriginSlots[]; readonly fleet: Fleet },
): Promise<readonly AssetId[]> {
  const open = origins.filter((origin) => origin.slots > 0);
  const closed = origins.filter((origin) => origin.slots === 0).slice(0, CLOSED_ORIGINS_SEEN);
  return findCandidates(sql, {
    origins: [
      ...open.map(({ originId, slots }) => ({ id: originId, take: slots + SPARE_CANDIDATES })),
      ...closed.map(({ originId }) => ({ id: originId, take: 1 })),
    ],
    askers: askers.map((asker) => ({
      id: asker.nodeId,
      operatorId: asker.operatorId,
      usableBytes: usableBytes(asker),
    })),
    unknownSizeBytes: config.DISPATCHER_UNKNOWN_SIZE_BYTES,
    avoidMs: config.DISPATCHER_RETRY_BASE_MS * AVOID_PAUSES,
    operatorCount: fleet.operatorCount,
  });
}

/** Reasons about a node itself, which no other candidate would change. */
const ABOUT_NODE: ReadonlySet<Refusal["reason"]> = new Set(["AGENT_TOO_OLD", "NODE_PAUSED", "QUOTA"]);

/**
 * Decide over what is most urgent for everybody; where that leaves somebody short, decide again with what that node could
 * take besides. So the head of the queue may be full of what a node cannot have, and still costs the others nothing.
 */
async function decide(
  dependencies: Dependencies,
  sql: Sql,
  { fleet, ...round }: Omit<RoundInput, "candidates"> & { readonly askers: readonly Asker[]; readonly fleet: Fleet },
): Promise<RoundResult> {
  const { askers, origins } = round;
  const shared = await findShared(sql, { askers, origins });
  const candidates = await readCandidates(dependencies, sql, { ids: shared, askers });
  const first = allocateRound({ ...round, candidates });
  const short = askers.filter(({ nodeId }) => {
    const refusal = first.refusalByNode.get(nodeId);
    return refusal !== undefined && !ABOUT_NODE.has(refusal.reason);
  });
  if (short.length === 0) return first;
  const known = new Set(shared);
  const ids = (await findFitting(dependencies, sql, { askers: short, origins, fleet })).filter((id) => !known.has(id));
  const others = await readCandidates(dependencies, sql, { ids, askers });
  return allocateRound({ ...round, candidates: [...candidates, ...others] });
}

/**
 * Write those of the round's grants that still hold under row locks. A report may have filled an asset or throttled an
 * origin since the round looked; what falls away is asked for again at the next claim.
 */
async function writeGrants(
  { config, vetting }: Dependencies,
  sql: Sql,
  {
    decided,
    nodes,
    nowMs,
  }: { readonly decided: readonly GrantDecision[]; readonly nodes: readonly NodeRow[]; readonly nowMs: number },
): Promise<void> {
  if (decided.length === 0) return;
  const assets = new Map<AssetId, AssetFacts>();
  for (const asset of await lockAssets(sql, [...new Set(decided.map((grant) => grant.assetId))]))
    assets.set(asset.id, asset);
  const origins = new Map(
    await lockOrigins(sql, [...new Set(decided.map((grant) => grant.originId))], originBudgetOf(config)),
  );
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  const termByAsset = new Map([...assets].map(([id, asset]) => [id, asset.lastTerm]));
  const placesByAsset = new Map(
    [...assets].map(([id, asset]) => [id, asset.state === "wanted" ? asset.placesLeft : 0]),
  );
  const times = leaseTimesOf(config);

  const grants = decided.flatMap((grant) => {
    const { assetId, nodeId, originId, reservedBytes } = grant;
    const node = nodeById.get(nodeId);
    const origin = origins.get(originId);
    const places = placesByAsset.get(assetId) ?? 0;
    if (node === undefined || origin === undefined || places === 0 || openSlots(origin, nowMs).slots === 0) return [];
    origins.set(originId, takeSlots(origin, 1, nowMs));
    placesByAsset.set(assetId, places - 1);
    const term = (termByAsset.get(assetId) ?? 0) + 1;
    termByAsset.set(assetId, term);
    nodeById.set(nodeId, { ...node, reservedBytes: node.reservedBytes + reservedBytes });
    const bytesLeft = assets.get(assetId)?.sizeBytes ?? null;
    const leaseMs = leaseLengthMs({ bytesLeft, rateBytesPerS: node.rateBytesPerS }, times);
    return [{ assetId, nodeId, originId, reservedBytes, operatorId: node.operatorId, term, leaseMs }];
  });
  await insertAssignments(sql, grants, nowMs);
  await updateNodes(sql, [...nodeById.values()]);
  const grantedAssets = [...new Set(grants.map((grant) => grant.assetId))];
  // As they are with the new leases in, and under lock: the round saw them as they were before it.
  const holders = Map.groupBy(await readHolders(sql, grantedAssets, vetting), (row) => row.assetId);
  const standing = grantedAssets.flatMap((id) => assets.get(id) ?? []);
  await writeAssetStandings(sql, standing, { holders, terms: termByAsset, nowMs });
  await updateOrigins(sql, origins);
}

async function runRound(dependencies: Dependencies, claims: readonly Claim[]): Promise<ReadonlyMap<NodeId, Refusal>> {
  const { db, config, vetting } = dependencies;
  const wantsByNode = new Map(claims.map((claim) => [claim.nodeId, claim.wants]));
  return db.transaction(async (sql) => {
    await sql`select pg_advisory_xact_lock(hashtext('dispatcher.allocation'))`;
    const nodes = await lockNodes(sql, [...wantsByNode.keys()], vetting);
    const nowMs = nodes[0]?.nowMs;
    if (nowMs === undefined) return new Map();
    const fleet = await readFleet(sql, vetting);
    const work = await readOpenWork(
      sql,
      nodes.map((node) => node.id),
    );
    const askers = nodes.map((node) =>
      toAsker(node, wantsByNode.get(node.id) ?? 0, work.get(node.id), isOnTrial(node, fleet, dependencies)),
    );
    const origins = (await readQueuedOrigins(sql, originBudgetOf(config))).map(({ id, origin }): OriginSlots => {
      const { slots, retryAfterMs } = openSlots(origin, nowMs);
      return { originId: id, slots: Math.min(slots, GRANTS_PER_ORIGIN_MAX), retryAfterMs };
    });
    const settings = {
      unknownSizeBytes: config.DISPATCHER_UNKNOWN_SIZE_BYTES,
      horizonMs: config.DISPATCHER_LEASE_HORIZON_MS,
      // Half of the longest lease: twice the time expected is what a lease allows.
      assetMaxMs: config.DISPATCHER_LEASE_CAP_MS / 2,
      idleRetryMs: config.DISPATCHER_SYNC_INTERVAL_MS,
      operatorCount: fleet.operatorCount,
      originFetchesMax: null,
      vettingBytes: Math.max(0, Math.floor(fleet.busyBytes * SHARE_ON_TRIAL) - fleet.busyBytesOnTrial),
    };
    const { grants, refusalByNode } = await decide(dependencies, sql, { nowMs, askers, origins, settings, fleet });
    await writeGrants(dependencies, sql, { decided: grants, nodes, nowMs });
    return refusalByNode;
  });
}
