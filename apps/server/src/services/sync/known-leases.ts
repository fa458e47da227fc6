/**
 * The open leases of nodes as this process wrote them last. They are open for as long as nobody has written the node's row
 * since, which every transaction does that grants or ends one; so what a node ends at the server that granted it is not read
 * again. Whether a lease is surplus is written without the node's row: of those that go on it has to be read.
 */
import type { NodeId } from "@dispatcher/core";
import type { StoredAssignment } from "../../db/queries/assignments.ts";
import type { NodeRow } from "../../db/queries/nodes.ts";

/** Leases that are remembered at most, some 250 bytes each; those of the nodes that were longest silent are forgotten first. */
const LEASES_MAX = 100_000;

type Known = { readonly version: string; readonly leases: readonly StoredAssignment[] };

export class KnownLeases {
  readonly #byNode = new Map<NodeId, Known>();
  #count = 0;

  /** All that a locked node has open; null where that has to be read. */
  of({ id, version }: Pick<NodeRow, "id" | "version">): readonly StoredAssignment[] | null {
    const known = this.#byNode.get(id);
    return known?.version === version ? known.leases : null;
  }

  /** What a node has open since the transaction that gave its row this version, and that has been committed. */
  put(id: NodeId, known: Known): void {
    this.#forget(id);
    this.#byNode.set(id, known);
    this.#count += known.leases.length;
    for (const oldest of this.#byNode.keys()) {
      if (this.#count <= LEASES_MAX) break;
      this.#forget(oldest);
    }
  }

  #forget(id: NodeId): void {
    this.#count -= this.#byNode.get(id)?.leases.length ?? 0;
    this.#byNode.delete(id);
  }
}
