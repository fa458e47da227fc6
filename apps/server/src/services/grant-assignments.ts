/**
 * Allocation rounds on the database, each for all the nodes of a group that want work. A round decides over what the feeder
 * has in memory, and writes conditionally: nodes and, last, origins are locked, so ledgers and budgets hold whatever other
 * servers do, and a grant that another server has overtaken meets its term in the table and is not written.
 */
import { leaseLengthMs, openSlots, reserveBytes, roomBytes } from "@dispatcher/core";
import type { Asker, AssetId, AssignmentId, NodeId, Origin, OriginId, PoolRound, Refusal } from "@dispatcher/core";
import { insertAssignments } from "../db/queries/assignments.ts";
import type { NewAssignment, OpenGrant } from "../db/queries/assignments.ts";
import { appendEvents } from "../db/queries/events.ts";
import { ledgerOf, lockNodes, updateNodes } from "../db/queries/nodes.ts";
import type { Fleet, NodeRow } from "../db/queries/nodes.ts";
import type { Dependencies } from "./dependencies.ts";
import type { DecisionEnd, TermedGrant } from "./feeder/feeder.ts";
import { readOriginsInView, settleOrigins, transactionWithSlots } from "./origin-slots.ts";
import { leaseTimesOf } from "./settings.ts";

export type Claim = {
  readonly nodeId: NodeId;
  readonly wants: number;
  /** Bytes that its open leases have still to bring. */
  readonly openBytes: number;
  readonly leaseFloor?: LeaseFloor | undefined;
};

/** For a node that tells no progress, by which leases are renewed: its leases last so long at least, and at this rate. */
export type LeaseFloor = {
  readonly minMs: number;
  /** Taken for its rate while that has not been measured. */
  readonly rateBytesPerS: number;
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

/** A node as a round sees it, from its row or from what it has just said. */
export function toAsker(
  dependencies: Dependencies,
  fleet: Fleet,
  node: Pick<
    Asker,
    "operatorId" | "network" | "ledger" | "freeBytes" | "openLeases" | "quota" | "rateBytesPerS" | "schemes"
  > &
    Pick<NodeRow, "verifiedCopies" | "createdAtMs" | "nowMs" | "duty">,
  { nodeId, wants, openBytes }: Claim,
): Asker {
  const { operatorId, network, ledger, freeBytes, openLeases, quota, rateBytesPerS, schemes, duty } = node;
  return {
    nodeId,
    operatorId,
    network,
    ledger,
    freeBytes,
    openLeases,
    openBytes,
    quota,
    wants,
    rateBytesPerS,
    schemes,
    refusedTags: [],
    windows: [],
    paused: duty !== "active",
    agentTooOldFor: null,
    isVetting: isOnTrial(node, fleet, dependencies),
  };
}

/** The trial rests in a small fleet, where nobody would be left to take the first copy. */
function isOnTrial(
  node: Pick<NodeRow, "verifiedCopies" | "createdAtMs" | "nowMs">,
  fleet: Fleet,
  { vetting }: Dependencies,
): boolean {
  if (fleet.vettedNodes < vetting.fleetMin) return false;
  return node.verifiedCopies < vetting.verifiedCopies || node.nowMs - node.createdAtMs < vetting.ageMs;
}

/** By which a round decides, and an explanation tells. */
export function roundSettingsOf({ config }: Pick<Dependencies, "config">, fleet: Fleet): PoolRound["settings"] {
  return {
    horizonMs: config.DISPATCHER_LEASE_HORIZON_MS,
    // Half of the longest lease: twice the time expected is what a lease allows.
    assetMaxMs: config.DISPATCHER_LEASE_CAP_MS / 2,
    quickNodes: fleet.quickNodes,
    idleRetryMs: config.DISPATCHER_SYNC_INTERVAL_MS,
    operatorCount: fleet.operatorCount,
    vettingBytes: Math.max(0, Math.floor(fleet.busyBytes * SHARE_ON_TRIAL) - fleet.busyBytesOnTrial),
  };
}

export type Decision = { readonly grants: TermedGrant[]; readonly refusalByNode: Map<NodeId, Refusal> };

/**
 * Decide; where that leaves somebody short, hear of what changed, look further, and decide again for these. So the head of
 * the queue may be full of what a node cannot have, and still costs the others nothing.
 */
export async function decideGrants(
  dependencies: Dependencies,
  { askers, fleet, nowMs }: { readonly askers: readonly Asker[]; readonly fleet: Fleet; readonly nowMs: number },
): Promise<Decision> {
  const { feeder } = dependencies;
  const settings = roundSettingsOf(dependencies, fleet);
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
  try {
    await feeder.prepare(wanted, { isFresh: true });
    short = run(short);
    const found = short.length === 0 ? [] : await feeder.search(short);
    if (found.length > 0) run(short);
    feeder.forget(found);
    return { grants, refusalByNode };
  } catch (error) {
    feeder.settle({ decided: grants, lost: [], isUndone: true });
    throw error;
  }
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

/**
 * Which of the grants hold under the locks of the nodes, as they are to be written. Without `origins` they have the slots
 * that they were decided with.
 */
export function admitGrants(
  { config }: Dependencies,
  decided: readonly TermedGrant[],
  {
    origins,
    nodes,
    nowMs,
  }: {
    readonly origins: ReadonlyMap<OriginId, Origin> | null;
    readonly nodes: ReadonlyMap<
      NodeId,
      Pick<Asker, "ledger" | "operatorId" | "rateBytesPerS"> & Pick<Claim, "leaseFloor">
    >;
    readonly nowMs: number;
  },
): readonly NewAssignment[] {
  const slots =
    origins === null ? null : new Map([...origins].map(([id, origin]) => [id, openSlots(origin, nowMs).slots]));
  const roomByNode = new Map([...nodes].map(([id, { ledger }]) => [id, roomBytes(ledger)]));
  const times = leaseTimesOf(config);
  return decided.flatMap(({ assetId, nodeId, originId, reservedBytes, term, asset, factsVersion, after }) => {
    const node = nodes.get(nodeId);
    const open = slots === null ? 1 : (slots.get(originId) ?? 0);
    const room = roomByNode.get(nodeId) ?? -1;
    // What was decided on a view, or for a transaction that is repeated, may not hold any more.
    if (node === undefined || open === 0 || reservedBytes > room) return [];
    slots?.set(originId, open - 1);
    roomByNode.set(nodeId, room - reservedBytes);
    const { operatorId, leaseFloor } = node;
    const minMs = Math.min(times.capMs, Math.max(times.minMs, leaseFloor?.minMs ?? 0));
    const rateBytesPerS = node.rateBytesPerS ?? leaseFloor?.rateBytesPerS ?? null;
    const lengthMs = leaseLengthMs({ bytesLeft: asset.sizeBytes, rateBytesPerS }, { ...times, minMs });
    const expiresAtMs = Math.round(nowMs + lengthMs);
    return [{ assetId, nodeId, originId, reservedBytes, operatorId, term, expiresAtMs, asset, factsVersion, after }];
  });
}

/** Whose slots grants of these assets take. */
export function originsOfGrants(admitted: readonly NewAssignment[]): ReadonlyMap<AssetId, OriginId> {
  return new Map(admitted.map((grant) => [grant.assetId, grant.originId]));
}

/** Those of the decided grants that were not written. */
export function lostGrants(decided: readonly TermedGrant[], grants: readonly OpenGrant[]): readonly TermedGrant[] {
  if (grants.length === decided.length) return [];
  const done = new Set(grants.map(({ asset, nodeId }) => `${asset.id} ${nodeId}`));
  return decided.filter((grant) => !done.has(`${grant.assetId} ${grant.nodeId}`));
}

function withLeases(node: NodeRow, given: readonly OpenGrant[]): NodeRow {
  const openIds: AssignmentId[] = [...node.openIds, ...given.map((grant) => grant.assignmentId)];
  const leaseDueAtMs = Math.min(node.leaseDueAtMs ?? Infinity, ...given.map((grant) => grant.expiresAtMs));
  const reservedBytes = given.reduce((sum, grant) => sum + grant.reservedBytes, node.reservedBytes);
  return { ...node, openIds, leaseDueAtMs, reservedBytes };
}

type Round = {
  readonly grants: readonly OpenGrant[];
  readonly refusalByNode: ReadonlyMap<NodeId, Refusal>;
  readonly lost: readonly TermedGrant[];
};

/** One round and its transaction. */
async function runRound(dependencies: Dependencies, claims: readonly Claim[]): Promise<Round> {
  const { db, vetting, feeder } = dependencies;
  const claimByNode = new Map(claims.map((claim) => [claim.nodeId, claim]));
  await feeder.prepare(claims.reduce((sum, { wants }) => sum + wants, 0));
  const fleet = await feeder.fleet();
  // Decided once: a transaction that is repeated writes what still holds.
  let decision: Decision | null = null;
  const end: DecisionEnd = { decided: [], lost: [], isUndone: true };
  try {
    const { ownEvents, originsAfter, ...round } = await transactionWithSlots(db, async (sql, view) => {
      const nodes = await lockNodes(sql, [...claimByNode.keys()], vetting);
      const nowMs = nodes[0]?.nowMs ?? 0;
      const askers = nodes.flatMap((node) => {
        const claim = claimByNode.get(node.id);
        const openLeases = node.openIds.length;
        return claim === undefined
          ? []
          : [toAsker(dependencies, fleet, { ...node, ledger: ledgerOf(node), openLeases }, claim)];
      });
      decision ??= await decideGrants(dependencies, { askers, fleet, nowMs });
      end.decided = decision.grants;
      const originIds = decision.grants.map((grant) => grant.originId);
      const origins = view.isFirst ? null : await readOriginsInView(dependencies, sql, originIds, view);
      const askerById = new Map(
        askers.map((asker) => [asker.nodeId, { ...asker, leaseFloor: claimByNode.get(asker.nodeId)?.leaseFloor }]),
      );
      const admitted = admitGrants(dependencies, decision.grants, { origins, nodes: askerById, nowMs });
      const grants = await insertAssignments(sql, admitted, nowMs);
      const grantsByNode = Map.groupBy(grants, (grant) => grant.nodeId);
      await updateNodes(
        sql,
        nodes.flatMap((node) => {
          const given = grantsByNode.get(node.id);
          return given === undefined ? [] : [withLeases(node, given)];
        }),
      );
      const eventIds = await appendEvents(
        sql,
        [...grantsByNode].map(([nodeId, given]) => ({
          kind: "node.granted",
          actor: "node",
          nodeId,
          assetIds: given.map(({ asset }) => asset.id),
          detail: { granted: given.map(({ assignmentId }) => assignmentId) },
        })),
      );
      const originByAsset = originsOfGrants(admitted);
      const taken = grants.flatMap(({ asset }) => originByAsset.get(asset.id) ?? []);
      const originsNow = await settleOrigins(dependencies, sql, { changes: [], taken, nowMs });
      const lost = lostGrants(decision.grants, grants);
      end.lost = lost;
      return { grants, refusalByNode: decision.refusalByNode, lost, ownEvents: eventIds, originsAfter: originsNow };
    });
    end.isUndone = false;
    feeder.own(ownEvents);
    feeder.putOrigins(originsAfter);
    return round;
  } finally {
    feeder.settle(end);
  }
}

/** Rounds in which grants that were overtaken are tried again from what is known then. */
const ROUNDS_MAX = 6;

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
    const { grants, refusalByNode, lost } = await runRound(dependencies, left);
    const given = Map.groupBy(grants, (grant) => grant.nodeId);
    for (const { nodeId } of left) {
      const before = granted.get(nodeId)?.grants ?? [];
      const refusal = refusalByNode.get(nodeId) ?? null;
      granted.set(nodeId, { grants: [...before, ...(given.get(nodeId) ?? [])], refusal });
    }
    left = claimsAfterLoss(left, { grants, lost });
  }
  return granted;
}

/**
 * What is to be asked again for grants that were overtaken: by nodes that got less than they lost. The others have work for
 * now and ask again with their next sync, which costs nobody another transaction.
 */
export function claimsAfterLoss(
  claims: readonly Claim[],
  { grants, lost }: { readonly grants: readonly OpenGrant[]; readonly lost: readonly TermedGrant[] },
): readonly Claim[] {
  if (lost.length === 0) return [];
  const given = Map.groupBy(grants, (grant) => grant.nodeId);
  const lostByNode = Map.groupBy(lost, (grant) => grant.nodeId);
  return claims.flatMap((claim) => {
    const wants = lostByNode.get(claim.nodeId)?.length ?? 0;
    const own = given.get(claim.nodeId) ?? [];
    if (wants <= own.length) return [];
    const bytes = own.reduce((sum, grant) => sum + grant.reservedBytes, 0);
    return [{ ...claim, wants, openBytes: claim.openBytes + bytes }];
  });
}
