/**
 * What a group of syncs may change: read under lock once, changed in memory by one report after the other, written once.
 */
import { DispatcherError, changeOffer, isOpen, releaseBytes, returnSlots } from "@dispatcher/core";
import type {
  AssetId,
  Assignment,
  AssignmentId,
  ByteLedger,
  FailureCode,
  Holding,
  InventoryEntry,
  NodeId,
  Origin,
  OriginId,
} from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../../db/database.ts";
import { readAssignmentsOfNodes, readHoldingsOfNodes, readLastTurns } from "../../db/queries/assignments.ts";
import type { AssignmentChange, StoredAssignment } from "../../db/queries/assignments.ts";
import { holdingOfNode, ledgerOf } from "../../db/queries/nodes.ts";
import type { NodeRow } from "../../db/queries/nodes.ts";
import { lockAssets, readHolders } from "../../db/queries/standings.ts";
import type { AssetFacts, HolderRow } from "../../db/queries/standings.ts";
import type { NodeSyncInput } from "../../wire/node.ts";
import type { Dependencies } from "../dependencies.ts";
import type { LeaseFloor } from "../grant-assignments.ts";
import type { OriginChange } from "../origin-slots.ts";

export type Input = z.output<typeof NodeSyncInput>;
export type Open = Input["open"][number];

/** What one node says. */
export type SyncCall = {
  readonly nodeId: NodeId;
  readonly input: Input;
  readonly network: string | null;
  readonly leaseFloor?: LeaseFloor;
};

/** What is read and changed. */
export type Desk = {
  readonly dependencies: Dependencies;
  readonly nowMs: number;
  readonly stored: Map<AssignmentId, StoredAssignment>;
  /** Those of them that were not read, as this process knows them: whether they are surplus it does not know. */
  readonly remembered: ReadonlySet<AssignmentId>;
  /** By asset, what these nodes have, or had, of those that somebody comes late with. */
  readonly storedOfLate: ReadonlyMap<AssetId, readonly StoredAssignment[]>;
  readonly assets: ReadonlyMap<AssetId, AssetFacts>;
  /** Kept up to date: nodes of one group may speak of one asset. */
  readonly holders: Map<AssetId, readonly HolderRow[]>;
  /** What becomes of origins. They are locked last and for short, so it is kept until then, in its order. */
  readonly originChanges: OriginChange[];
  /** Origins of leases that are granted anew: a slot of each is to be taken. */
  readonly slotsTaken: OriginId[];
  /** How many slots of each come back by them. */
  readonly slotsBack: Map<OriginId, number>;
  readonly changed: Map<AssignmentId, Omit<AssignmentChange, "id">>;
  readonly failures: Map<AssetId, FailureCode[]>;
  /** The latest turn of the assets that somebody is late with. */
  readonly turns: Map<AssetId, number>;
  /** Assets of which somebody has a copy more. */
  readonly copied: Set<AssetId>;
  /** Sizes that the catalog does not know, where somebody has found more than was known. */
  readonly seenBytes: Map<AssetId, number>;
};

/** The node that speaks, as it changes. */
export type Speaker = {
  readonly node: NodeRow;
  readonly input: Input;
  ledger: ByteLedger;
  holding: Holding;
  /** What it reports in this sync, to be added to its holding. */
  readonly added: InventoryEntry[];
  quota: number;
  rateBytesPerS: number | null;
  verifiedCopies: number;
  /** Its copies count again once its holding is as it is on record. */
  inventoryWanted: boolean;
  /** It is to send its inventory, for this reason or another. */
  isAskedForInventory: boolean;
  /** What it says that it holds is what is on record. */
  isHoldingSame: boolean;
  openLeases: number;
  /** Assets of which a copy came late: there may be a lease too many elsewhere. */
  readonly late: Set<AssetId>;
  /** Assignments whose lease is over, and is not granted anew only for now: their bytes are kept. */
  readonly paused: Set<AssignmentId>;
  /** Leases that it is told to stop, and has until it no longer lists them. */
  readonly stopped: Set<AssignmentId>;
  /** What it lists as open and has no lease for any more. */
  readonly away: { readonly stored: StoredAssignment; readonly report: Open }[];
};

export function currentOf(desk: Desk, { id, assignment }: StoredAssignment): Assignment {
  return desk.changed.get(id)?.assignment ?? assignment;
}

export function changeOrigin(desk: Desk, id: OriginId, change: (origin: Origin) => Origin): void {
  desk.originChanges.push({ id, change });
}

/** Remember how large a file is that the catalog knows no size of: whoever gets it next needs the room. */
export function noteSize(desk: Desk, { id, sizeBytes, seenBytes }: AssetFacts, bytes: number): void {
  const known = desk.seenBytes.get(id) ?? seenBytes ?? 0;
  if (sizeBytes === null && bytes > known) desk.seenBytes.set(id, bytes);
}

/** Take the asset's next turn: whoever grants it at the same time, without knowing of this, finds it taken. */
export function takeTurn(desk: Desk, assetId: AssetId): number {
  const turn = (desk.turns.get(assetId) ?? 0) + 1;
  desk.turns.set(assetId, turn);
  return turn;
}

/** Write down who holds an asset on this node from now on; null for nobody. */
export function setHolder(desk: Desk, { assetId, nodeId }: StoredAssignment, holder: HolderRow | null): void {
  const others = (desk.holders.get(assetId) ?? []).filter((row) => row.nodeId !== nodeId);
  desk.holders.set(assetId, holder === null ? others : [...others, holder]);
}

export function holderOf(
  speaker: Speaker,
  { assetId, nodeId, operatorId }: StoredAssignment,
  rest: Pick<HolderRow, "state" | "replica" | "turn" | "isSurplus">,
): HolderRow {
  const { network, life, isVetted } = speaker.node;
  return { assetId, nodeId, operatorId, network, life, inventoryWanted: speaker.inventoryWanted, isVetted, ...rest };
}

/** An open assignment ends: its reservation and its origin slot go back. */
export function endOpen(
  desk: Desk,
  speaker: Speaker,
  stored: StoredAssignment,
  next: Assignment,
  message?: string,
): void {
  const before = currentOf(desk, stored);
  if (isOpen(before)) {
    speaker.ledger = releaseBytes(speaker.ledger, before.reservedBytes);
    speaker.openLeases -= 1;
    changeOrigin(desk, stored.originId, (origin) => returnSlots(origin, 1));
    desk.slotsBack.set(stored.originId, (desk.slotsBack.get(stored.originId) ?? 0) + 1);
    setHolder(desk, stored, null);
  }
  desk.changed.set(stored.id, message === undefined ? { assignment: next } : { assignment: next, message });
}

export function find(desk: Desk, speaker: Speaker, id: AssignmentId): StoredAssignment {
  const stored = desk.stored.get(id);
  if (stored === undefined || stored.nodeId !== speaker.node.id) {
    throw new DispatcherError("ASSIGNMENT_UNKNOWN", `Assignment ${id} is not one of this node's.`);
  }
  return stored;
}

/** The other assignment by which this node holds the asset already, if there is one. */
export function otherHolding(desk: Desk, stored: StoredAssignment): StoredAssignment | undefined {
  return (desk.storedOfLate.get(stored.assetId) ?? [])
    .filter((other) => other.nodeId === stored.nodeId && other.id !== stored.id)
    .find((other) => isOpen(currentOf(desk, other)) || currentOf(desk, other).state === "stored");
}

/** What a node offers: no more than it has asked to, whatever its agent is set to. */
export function offeredBy({ offerLimitBytes }: NodeRow, { offeredBytes }: Input): number {
  return Math.min(offeredBytes, offerLimitBytes ?? offeredBytes);
}

export function toSpeaker(node: NodeRow, input: Input): Speaker {
  const inventoryWanted = node.inventoryWanted || node.life === "lost";
  return {
    node,
    input,
    ledger: changeOffer(ledgerOf(node), { ...input, offeredBytes: offeredBy(node, input) }),
    holding: holdingOfNode(node),
    added: [],
    quota: node.quota,
    rateBytesPerS: node.rateBytesPerS,
    verifiedCopies: node.verifiedCopies,
    inventoryWanted,
    isAskedForInventory: inventoryWanted,
    isHoldingSame: false,
    openLeases: node.openIds.length,
    late: new Set(),
    paused: new Set(),
    stopped: new Set(),
    away: [],
  };
}

/** Read, and lock, what the nodes speak of; nodes are locked already. */
export async function openDesk(
  dependencies: Dependencies,
  sql: Sql,
  calls: readonly { readonly node: NodeRow; readonly input: Input }[],
): Promise<Desk> {
  const inputs = calls.map(({ input }) => input);
  const nodeIds = calls.map(({ node }) => node.id);
  const ending = inputs.flatMap((input) => [...input.finished, ...input.failed, ...input.released]);
  const open = inputs.flatMap((input) => input.open);
  const reported = [...ending, ...open].map((report) => report.assignmentId);
  const nodes = calls.map(({ node }) => node);
  const endingIds = new Set(ending.map((report) => report.assignmentId));
  const { mentioned, remembered } = await findMentioned(dependencies, sql, { nodes, reported, endingIds });
  // Only reports that end or revive something look at the asset; plain progress touches no shared row.
  const involvedIds = new Set(
    [
      ...inputs.flatMap((input) => [...input.finished, ...input.failed]),
      ...open.filter((report) => report.wantBytes !== undefined),
    ].map((report) => report.assignmentId),
  );
  const reportedIds = new Set(reported);
  const isRevived = ({ id, assignment }: StoredAssignment): boolean =>
    assignment.state === "expired" && reportedIds.has(id);
  // Whether a surplus lease goes on once it has begun depends on its asset.
  const isAsked = (one: StoredAssignment): boolean => involvedIds.has(one.id) || one.isSurplus || isRevived(one);
  const involved = mentioned.filter(isAsked);
  const assetIds = [...new Set(involved.map((one) => one.assetId))];
  const locked = await lockAssets(sql, assetIds, (id) => dependencies.feeder.factsOf(id));
  const assets = new Map(locked.map((asset) => [asset.id, asset]));
  const lateAssets = new Set(involved.filter((one) => !isOpen(one.assignment)).map((one) => one.assetId));
  const lateIds = [...lateAssets];
  // Before the holders: whoever comes between the two is seen as a holder, or has taken the turn.
  const turns = await readLastTurns(sql, lateIds);
  const holders = await findHolders(dependencies, sql, { nodes, mentioned, assetIds });
  // Work that comes late may meet another lease, or a copy, that the same node has of the asset since.
  const held = lateIds.length === 0 ? [] : await readHoldingsOfNodes(sql, nodeIds, lateIds);
  const stored = new Map([...held, ...mentioned].map((one) => [one.id, one]));
  return {
    dependencies,
    nowMs: Math.max(...calls.map(({ node }) => node.nowMs)),
    stored,
    remembered,
    storedOfLate: Map.groupBy(
      [...stored.values()].filter((one) => lateAssets.has(one.assetId)),
      (one) => one.assetId,
    ),
    assets,
    holders,
    originChanges: [],
    slotsTaken: [],
    slotsBack: new Map(),
    changed: new Map(),
    failures: new Map(),
    turns: new Map(turns),
    copied: new Set(),
    seenBytes: new Map(),
  };
}

/** What the nodes have open, and what else they report on. */
async function findMentioned(
  { knownLeases }: Dependencies,
  sql: Sql,
  {
    nodes,
    reported,
    endingIds,
  }: {
    readonly nodes: readonly NodeRow[];
    readonly reported: readonly AssignmentId[];
    readonly endingIds: ReadonlySet<AssignmentId>;
  },
): Promise<{ readonly mentioned: readonly StoredAssignment[]; readonly remembered: ReadonlySet<AssignmentId> }> {
  const known = nodes.flatMap((node) => knownLeases.of(node) ?? []).filter(({ id }) => endingIds.has(id));
  const remembered = new Set(known.map(({ id }) => id));
  const wanted = new Set([...nodes.flatMap((node) => node.openIds), ...reported]);
  const unknownIds = [...wanted].filter((id) => !remembered.has(id));
  const nodeIds = nodes.map(({ id }) => id);
  return { mentioned: [...known, ...(await readAssignmentsOfNodes(sql, nodeIds, unknownIds))], remembered };
}

/** Who has the assets, or has leased them. What these nodes have open is known already. */
async function findHolders(
  { vetting }: Dependencies,
  sql: Sql,
  {
    nodes,
    mentioned,
    assetIds,
  }: {
    readonly nodes: readonly NodeRow[];
    readonly mentioned: readonly StoredAssignment[];
    readonly assetIds: readonly AssetId[];
  },
): Promise<Map<AssetId, HolderRow[]>> {
  const wanted = new Set(assetIds);
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  const ownIds: AssignmentId[] = [];
  const own = mentioned.flatMap(({ id, assetId, nodeId, operatorId, isSurplus, assignment }): readonly HolderRow[] => {
    const node = nodeById.get(nodeId);
    if (node === undefined || !isOpen(assignment) || !wanted.has(assetId)) return [];
    ownIds.push(id);
    const { network, life, inventoryWanted, isVetted } = node;
    const { state, term: turn } = assignment;
    return [
      { assetId, nodeId, operatorId, network, life, inventoryWanted, isVetted, state, isSurplus, turn, replica: null },
    ];
  });
  const others = await readHolders(sql, assetIds, vetting, ownIds);
  return Map.groupBy([...others, ...own], (row) => row.assetId);
}

/** Its sync has shown that the node lives: so it is seen in what follows from the holders of assets. */
export function showAsPresent(desk: Desk, { node, inventoryWanted }: Speaker): void {
  const { id } = node;
  if (node.life === "online" && node.inventoryWanted === inventoryWanted) return;
  for (const [assetId, rows] of desk.holders) {
    if (!rows.some((row) => row.nodeId === id)) continue;
    desk.holders.set(
      assetId,
      rows.map((row) => (row.nodeId === id ? { ...row, life: "online", inventoryWanted } : row)),
    );
  }
}
