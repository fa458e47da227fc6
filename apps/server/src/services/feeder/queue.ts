/**
 * One queue of the database as this process knows it: loaded from its head down to a floor. Whatever stands above the floor
 * is here; what stands below is not, and nothing here that is less urgent than the floor may be given out, for there may be
 * something more urgent that was not loaded.
 */
import { compareIds } from "@dispatcher/core";
import type { AssetId, Candidate } from "@dispatcher/core";
import type { QueueId, QueuePlace } from "../../db/queries/standings.ts";

export class Queue {
  readonly id: QueueId;
  /** The last that was loaded; null for nothing yet. */
  floor: QueuePlace | null = null;
  /** Loaded to its end. */
  isWhole = false;
  /** In the pool, above the floor and with places left: what may be given out now. */
  ahead = 0;
  /** Loaded, but by what is on its way now less urgent than the floor: it waits until the floor has come down to it. */
  readonly parked = new Map<AssetId, Candidate>();

  constructor(id: QueueId) {
    this.id = id;
  }

  /** Whether an asset that stands at this place in the database is one of those that are loaded. */
  covers({ urgency, id }: QueuePlace): boolean {
    if (this.isWhole) return true;
    if (this.floor === null) return false;
    return urgency > this.floor.urgency || (urgency === this.floor.urgency && compareIds(id, this.floor.id) <= 0);
  }

  /** Whether something of this urgency may be given out before what is not loaded; by whole numbers alone for `isRough`. */
  mayGive(urgency: number, isRough: boolean): boolean {
    if (this.isWhole || this.floor === null) return this.isWhole;
    return urgency >= (isRough ? Math.floor(this.floor.urgency) : this.floor.urgency);
  }
}
