import { DispatcherError } from "@dispatcher/core";
import { formatBytes } from "./format.ts";

export type PlannedNode = { readonly name: string; readonly operator: string; readonly capacityBytes: number };

export type FleetWish = {
  readonly nodeCount: number;
  readonly copies: number;
  readonly catalogBytes: number;
  /** On the disk that all the nodes of the demo share. */
  readonly freeBytes: number;
};

/** Every node is its own process with its own database connections behind it: more says nothing new on one machine. */
export const NODES_MAX = 12;

const PLACES = [
  "attic",
  "basement",
  "cabin",
  "depot",
  "farm",
  "garage",
  "harbor",
  "island",
  "kiosk",
  "library",
  "mill",
  "office",
];
const PEOPLE = [
  "Ada",
  "Bashir",
  "Carmen",
  "Dmitri",
  "Esi",
  "Farah",
  "Goran",
  "Hana",
  "Ines",
  "Jonas",
  "Kavita",
  "Liam",
];

/**
 * Times the catalog. Different, so that the spread shows; above 1, so that any node may end up with every file and no
 * order of grants can leave a file without a place.
 */
const CAPACITY_FACTORS = [2.25, 1.5, 1.125];

const MB = 1024 ** 2;
/** PostgreSQL's cluster and its journal. */
const DATABASE_BYTES = 200 * MB;

/**
 * The nodes of the demo, each with an operator of its own.
 * @throws DispatcherError INPUT_INVALID when they could not give every file its copies, or could not show it
 */
export function planFleet({ nodeCount, copies, catalogBytes, freeBytes }: FleetWish): readonly PlannedNode[] {
  if (nodeCount > NODES_MAX) refuse(`--nodes ${nodeCount}: the demo starts at most ${NODES_MAX} on one machine.`);
  if (copies > nodeCount) {
    refuse(
      `--copies ${copies} with --nodes ${nodeCount}: copies count when different operators hold them, and there are only ${nodeCount}.`,
    );
  }
  // With a node to spare, one that neither has the file nor fetches it is certain to be there when a lease is reclaimed.
  if (copies === nodeCount) {
    refuse(
      `--copies ${copies} with --nodes ${nodeCount}: a node is killed and another does its work, which takes one node more than copies.`,
    );
  }
  const neededBytes = copies * catalogBytes + DATABASE_BYTES;
  if (freeBytes < neededBytes) {
    refuse(
      `--copies ${copies} needs ${formatBytes(neededBytes)} on disk, and ${formatBytes(freeBytes)} are free there (TMPDIR chooses the place).`,
    );
  }
  return Array.from({ length: nodeCount }, (_, index) => ({
    name: PLACES[index] ?? `node-${index + 1}`,
    operator: PEOPLE[index] ?? `Operator ${index + 1}`,
    capacityBytes: Math.ceil((catalogBytes * (CAPACITY_FACTORS[index % CAPACITY_FACTORS.length] ?? 1)) / MB) * MB,
  }));
}

function refuse(detail: string): never {
  throw new DispatcherError("INPUT_INVALID", detail);
}
