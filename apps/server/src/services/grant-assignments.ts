/**
 * Allocation rounds on the database, each for all the nodes of a group that want work. A round decides over what the feeder
 * has in memory, and writes conditionally: nodes and origins are locked, so ledgers and budgets hold whatever other servers
 * do, and a grant that another server has overtaken meets its term in the table and is not written.
 */
import { leaseLengthMs, openSlots, reserveBytes, roomBytes, takeSlots } from "@dispatcher/core";
import type { Asker, AssignmentId, NodeId, Origin, OriginId, Refusal } from "@dispatcher/core";
import type { Sql } from "../db/database.ts";
import { insertAssignments } from "../db/queries/assignments.ts";
import type { OpenGrant } from "../db/queries/assignments.ts";
import { appendEvents } from "../db/queries/events.ts";
import { ledgerOf, lockNodes, updateNodes } from "../db/queries/nodes.ts";
import type { Fleet, NodeRow } from "../db/queries/nodes.ts";
import { lockOrigins, updateOrigins } from "../db/queries/origins.ts";
import type { Dependencies } from "./dependencies.ts";
import type { TermedGrant } from "./feeder/feeder.ts";
import { leaseTimesOf, originBudgetOf } from "./settings.ts";

export type Claim = {
  readonly nodeId: NodeId;
  readonly wants: number;
  /** Bytes that its open leases have still to bring. */
  readonly openBytes: number;
};

export type Granted = {
  /** Most urgent first. */
  readonly grants: readonly OpenGrant[];
  /** Why it got less than it wanted. */
  readonly refusal: Refusal | null;
};

/** How much of what the fleet holds may lie on nodes on trial. */
const SHARE_ON_TRIAL = 0.05;

/** Reasons about a node itself, which no other candidate would change. */
const ABOUT_NODE: ReadonlySet<Refusal["reason"]> = new Set(["AGENT_TOO_OLD", "NODE_PAUSED", "QUOTA"]);

function toAsker(node: NodeRow, { wants, openBytes }: Claim, isVetting: boolean): Asker {
  return {
    nodeId: node.id,
    operatorId: node.operatorId,
    network: node.network,
    ledger: ledgerOf(node),
    freeBytes: node.freeBytes,
    openLeases: node.openIds.length,
    openBytes,
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

type Decision = { readonly grants: TermedGrant[]; readonly refusalByNode: Map<NodeId, Refusal> };

/**
 * Decide; where that leaves somebody short, hear of what changed, look further, and decide again for these. So the head of
 * the queue may be full of what a node cannot have, and still costs the others nothing.
 */
async function decide(
  { config, feeder }: Dependencies,
  { askers, fleet, nowMs }: { readonly askers: readonly Asker[]; readonly fleet: Fleet; readonly nowMs: number },
): Promise<Decision> {
  const settings = {
    horizonMs: config.DISPATCHER_LEASE_HORIZON_MS,
    // Half of the longest lease: twice the time expected is what a lease allows.
    assetMaxMs: config.DISPATCHER_LEASE_CAP_MS / 2,
    idleRetryMs: config.DISPATCHER_SYNC_INTERVAL_MS,
    operatorCount: fleet.operatorCount,
    vettingBytes: Math.max(0, Math.floor(fleet.busyBytes * SHARE_ON_TRIAL) - fleet.busyBytesOnTrial),
  };
  const grants: TermedGrant[] = [];
  const refusalByNode = new Map<NodeId, Refusal>();
  const run = (round: readonly Asker[]): readonly Asker[] => {
    const result = feeder.decide({ nowMs, askers: round, settings });
    grants.push(...result.grants);
    for (const { nodeId } of round) refusalByNode.delete(nodeId);
    for (const [nodeId, refusal] of result.refusalByNode) refusalByNode.set(nodeId, refusal);
    const given = Map.groupBy(result.grants, (grant) => grant.nodeId);
    return round.flatMap((asker) => {
      const refusal = refusalByNode.get(asker.nodeId);
      if (refusal === undefined || ABOUT_NODE.has(refusal.reason)) return [];
      return [(given.get(asker.nodeId) ?? []).reduce(withGrant, asker)];
    });
  };
  const wanted = askers.reduce((sum, { wants }) => sum + wants, 0);
  let short = run(askers);
  if (short.length === 0) return { grants, refusalByNode };
  await feeder.prepare(wanted, { isFresh: true });
  short = run(short);
  if (short.length === 0) return { grants, refusalByNode };
  const found = await feeder.search(short);
  if (found.length > 0) {
    run(short);
    feeder.forget(found);
  }
  return { grants, refusalByNode };
}

/** The node as it asks on after a grant of this round. */
function withGrant(asker: Asker, { reservedBytes }: TermedGrant): Asker {
  return {
    ...asker,
    wants: asker.wants - 1,
    openLeases: asker.openLeases + 1,
    openBytes: asker.openBytes + reservedBytes,
    ledger: reserveBytes(asker.ledger, reservedBytes),
  };
}

type Written = {
  readonly grants: readonly OpenGrant[];
  readonly origins: ReadonlyMap<OriginId, Origin>;
  readonly eventIds: readonly number[];
};

/** Write those of the grants that hold under the locks of nodes and origins. */
async function writeGrants(
  { config }: Dependencies,
  sql: Sql,
  {
    decided,
    nodes,
    nowMs,
  }: { readonly decided: readonly TermedGrant[]; readonly nodes: readonly NodeRow[]; readonly nowMs: number },
): Promise<Written> {
  if (decided.length === 0) return { grants: [], origins: new Map(), eventIds: [] };
  const locked = await lockOrigins(sql, [...new Set(decided.map((grant) => grant.originId))], originBudgetOf(config));
  const slots = new Map([...locked].map(([id, origin]) => [id, openSlots(origin, nowMs).slots]));
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  const roomByNode = new Map(nodes.map((node) => [node.id, roomBytes(ledgerOf(node))]));
  const times = leaseTimesOf(config);
  const candidates = decided.flatMap(({ assetId, nodeId, originId, reservedBytes, term, sizeBytes }) => {
    const node = nodeById.get(nodeId);
    const open = slots.get(originId) ?? 0;
    const room = roomByNode.get(nodeId) ?? -1;
    // It was decided for a transaction that was repeated: what it looked at may have changed.
    if (node === undefined || open === 0 || reservedBytes > room) return [];
    slots.set(originId, open - 1);
    roomByNode.set(nodeId, room - reservedBytes);
    const leaseMs = leaseLengthMs({ bytesLeft: sizeBytes, rateBytesPerS: node.rateBytesPerS }, times);
    return [{ assetId, nodeId, originId, reservedBytes, operatorId: node.operatorId, term, leaseMs }];
  });
  const written = await insertAssignments(sql, candidates, nowMs);
  const rankByAsset = new Map(decided.map((grant, rank) => [`${grant.assetId} ${grant.nodeId}`, rank]));
  const rankOf = ({ asset, nodeId }: OpenGrant): number => rankByAsset.get(`${asset.id} ${nodeId}`) ?? 0;
  const grants = written.toSorted((a, b) => rankOf(a) - rankOf(b));
  const grantsByNode = Map.groupBy(grants, (grant) => grant.nodeId);
  await updateNodes(
    sql,
    [...grantsByNode].flatMap(([nodeId, given]) => {
      const node = nodeById.get(nodeId);
      return node === undefined ? [] : [withLeases(node, given)];
    }),
  );
  const originByAsset = new Map(decided.map((grant) => [grant.assetId, grant.originId]));
  const takenByOrigin = Map.groupBy(grants, (grant) => originByAsset.get(grant.asset.id));
  const origins = new Map(
    [...locked].map(([id, origin]) => [id, takeSlots(origin, takenByOrigin.get(id)?.length ?? 0, nowMs)]),
  );
  await updateOrigins(sql, origins);
  const eventIds = await appendEvents(
    sql,
    [...grantsByNode].map(([nodeId, given]) => ({
      kind: "node.granted" as const,
      actor: "node" as const,
      nodeId,
      assetIds: given.map((grant) => grant.asset.id),
    })),
  );
  return { grants, origins, eventIds };
}

function withLeases(node: NodeRow, given: readonly OpenGrant[]): NodeRow {
  const openIds: AssignmentId[] = [...node.openIds, ...given.map((grant) => grant.assignmentId)];
  const leaseDueAtMs = Math.min(node.leaseDueAtMs ?? Infinity, ...given.map((grant) => grant.expiresAtMs));
  const reservedBytes = given.reduce((sum, grant) => sum + grant.reservedBytes, node.reservedBytes);
  return { ...node, openIds, leaseDueAtMs, reservedBytes };
}

/** One round and its transaction. Answers what was written, and how many grants of each node were overtaken. */
async function runRound(
  dependencies: Dependencies,
  claims: readonly Claim[],
): Promise<{ readonly written: Written; readonly decision: Decision; readonly lost: readonly TermedGrant[] }> {
  const { db, vetting, feeder } = dependencies;
  const claimByNode = new Map(claims.map((claim) => [claim.nodeId, claim]));
  await feeder.prepare(claims.reduce((sum, { wants }) => sum + wants, 0));
  const fleet = await feeder.fleet();
  // Decided once: a transaction that is repeated writes what still holds.
  let decision: Decision = { grants: [], refusalByNode: new Map() };
  let isDecided = false;
  let lost: readonly TermedGrant[] = [];
  try {
    const written = await db.transaction(async (sql) => {
      const nodes = await lockNodes(sql, [...claimByNode.keys()], vetting);
      const nowMs = nodes[0]?.nowMs ?? 0;
      const askers = nodes.flatMap((node) => {
        const claim = claimByNode.get(node.id);
        return claim === undefined ? [] : [toAsker(node, claim, isOnTrial(node, fleet, dependencies))];
      });
      if (!isDecided) decision = await decide(dependencies, { askers, fleet, nowMs });
      isDecided = true;
      lost = decision.grants;
      return writeGrants(dependencies, sql, { decided: decision.grants, nodes, nowMs });
    });
    const done = new Set(written.grants.map(({ asset, nodeId }) => `${asset.id} ${nodeId}`));
    lost = decision.grants.filter((grant) => !done.has(`${grant.assetId} ${grant.nodeId}`));
    feeder.own(written.eventIds);
    return { written, decision, lost };
  } finally {
    feeder.takeBack(lost);
  }
}

/** Rounds in which grants that were overtaken are tried again from what is known then. */
const ROUNDS_MAX = 3;

/**
 * Give work to nodes that asked together; what they get is in the database then. For each, its grants and why it got less
 * than it wanted. @throws DispatcherError DATABASE_UNAVAILABLE
 */
export async function grantAssignments(
  dependencies: Dependencies,
  claims: readonly Claim[],
): Promise<ReadonlyMap<NodeId, Granted>> {
  const granted = new Map<NodeId, Granted>();
  let left = claims;
  for (let round = 1; round <= ROUNDS_MAX && left.length > 0; round += 1) {
    const { written, decision, lost } = await runRound(dependencies, left);
    dependencies.feeder.putOrigins(written.origins);
    const given = Map.groupBy(written.grants, (grant) => grant.nodeId);
    for (const { nodeId } of left) {
      const before = granted.get(nodeId)?.grants ?? [];
      const refusal = decision.refusalByNode.get(nodeId) ?? null;
      granted.set(nodeId, { grants: [...before, ...(given.get(nodeId) ?? [])], refusal });
    }
    const lostByNode = Map.groupBy(lost, (grant) => grant.nodeId);
    left = left.flatMap((claim) => {
      const wants = lostByNode.get(claim.nodeId)?.length ?? 0;
      const bytes = (given.get(claim.nodeId) ?? []).reduce((sum, grant) => sum + grant.reservedBytes, 0);
      return wants === 0 ? [] : [{ ...claim, wants, openBytes: claim.openBytes + bytes }];
    });
  }
  return granted;
}
