/**
 * What this node owes the dispatcher, one file an assignment, so that a death at any instant loses nothing that was said
 * and repeats nothing that was done.
 *
 *   open ------ whole and durable ------> verified --- in its place, in the inventory ---> stored ---+
 *     |                                                                                              |- answered -> (no record)
 *     +-- failed, its partial file gone, or released ------------------------------------------------+
 *
 * Where a death can fall, and what the next start makes of it (recover-home.ts does it):
 *
 *  1. granted, record not yet written      the server sends a grant again that the next sync does not list
 *  2. `open`, no version noted             no byte is on disk: the fetch begins
 *  3. `open`, in the middle of the bytes   the partial file is a true beginning: it is hashed, and the fetch goes on behind it
 *  4. `open`, all bytes there              the same, with nothing left to fetch
 *  5. `verified`, partial file there       it is moved to its place
 *  6. `verified`, moved, not in inventory  the file in place has the size noted: it is entered
 *  7. `verified`, in the inventory         entered once more, the same
 *  8. `stored`, `failed`, `released`       reported with the next sync
 *  9. answered, record not yet removed     reported again; the server says `repeated`
 * 10. `failed`, `released`, partial there  the partial file is removed
 * 11. cancelled, record not yet removed    the server cancels again what it does not have open
 *
 * `verified` is written before the move because the move takes the partial file away, and with it the proof of the work.
 */
import { DIGEST_ALGORITHMS, FAILURE_CODES, REPORTED_ALGORITHMS } from "@dispatcher/core";
import type { AssetId, AssignmentId } from "@dispatcher/core";
import { z } from "zod";
import { assignmentPath } from "./home.ts";
import type { Home } from "./home.ts";
import { readStates, removeDurably, writeDurably } from "./write-durably.ts";

const Bytes = z.int().min(0);
const DigestShape = z.object({ algorithm: z.enum(DIGEST_ALGORITHMS), hex: z.string().regex(/^[0-9a-f]{32,128}$/) });
// Ids become file names, so their form matters here, whoever sent them.
const IdShape = z.string().regex(/^\d{1,19}$/);

/** The part of a grant that the work needs. When the lease ends is the server's to judge, and late work is welcome. */
export const GrantShape = z.object({
  assignmentId: IdShape.transform((id) => id as AssignmentId),
  term: z.int().min(1),
  reservedBytes: Bytes,
  asset: z.object({
    id: IdShape.transform((id) => id as AssetId),
    url: z.string(),
    dataset: z.string(),
    path: z.string(),
    sizeBytes: Bytes.nullable(),
    digest: DigestShape.nullable(),
  }),
});
export type Grant = z.output<typeof GrantShape>;

const VersionShape = z.object({
  etag: z.string().nullable(),
  lastModified: z.string().nullable(),
  ifRange: z.string().nullable(),
  sizeBytes: Bytes.nullable(),
});

/** A verified file, and under which name it is stored. */
export const CopyShape = z.object({
  assetId: IdShape.transform((id) => id as AssetId),
  name: z.string(),
  sizeBytes: Bytes,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  digest: DigestShape.extend({ algorithm: z.enum(REPORTED_ALGORITHMS) }).nullable(),
  etag: z.string().nullable(),
  lastModified: z.string().nullable(),
});
export type Copy = z.output<typeof CopyShape>;

const CopyMade = { copy: CopyShape, fetchMs: z.int().min(0), fetchedBytes: Bytes };

const RecordShape = z.discriminatedUnion("state", [
  /** `version`: what the bytes in the partial file came with; null before the first. */
  z.object({ state: z.literal("open"), grant: GrantShape, version: VersionShape.nullable() }),
  z.object({ state: z.literal("verified"), grant: GrantShape, ...CopyMade }),
  z.object({ state: z.literal("stored"), grant: GrantShape, ...CopyMade }),
  z.object({
    state: z.literal("failed"),
    grant: GrantShape,
    code: z.enum(FAILURE_CODES),
    message: z.string(),
    retryAfterMs: z.int().min(0).nullable(),
  }),
  z.object({ state: z.literal("released"), grant: GrantShape, reason: z.string() }),
]);
export type JournalRecord = z.output<typeof RecordShape>;
export type RecordIn<State extends JournalRecord["state"]> = Extract<JournalRecord, { readonly state: State }>;

export class AssignmentJournal {
  readonly #home: Home;
  readonly #records = new Map<AssignmentId, JournalRecord>();
  /** The last write of each assignment: two at once would write one file. */
  readonly #writes = new Map<AssignmentId, Promise<void>>();

  private constructor(home: Home) {
    this.#home = home;
  }

  /** @throws DispatcherError STATE_UNREADABLE */
  static async open(home: Home): Promise<AssignmentJournal> {
    const journal = new AssignmentJournal(home);
    for (const record of await readStates(home.assignmentsFolder, RecordShape)) {
      journal.#records.set(record.grant.assignmentId, record);
    }
    return journal;
  }

  get(id: AssignmentId): JournalRecord | undefined {
    return this.#records.get(id);
  }

  /** In the order they were granted to this process, those from before it first. */
  list(): readonly JournalRecord[] {
    return [...this.#records.values()];
  }

  listIn<State extends JournalRecord["state"]>(state: State): readonly RecordIn<State>[] {
    return this.list().filter((record): record is RecordIn<State> => record.state === state);
  }

  /**
   * Write a record; it counts, for `get` and after a death, once this has resolved.
   * @throws the system's error, and then nothing has changed
   */
  put(record: JournalRecord): Promise<void> {
    return this.change(record.grant.assignmentId, () => record);
  }

  /** Write what `next` makes of the record as it is when its turn comes. Nothing happens when `next` returns the same. */
  change(id: AssignmentId, next: (record: JournalRecord | undefined) => JournalRecord | undefined): Promise<void> {
    return this.#inTurn(id, async () => {
      const before = this.#records.get(id);
      const after = next(before);
      if (after === undefined || after === before) return;
      await writeDurably(assignmentPath(this.#home, id), JSON.stringify(after));
      this.#records.set(id, after);
    });
  }

  /**
   * As `put`, for an end that is true whether or not the disk can note it: after a death the older record is taken up again,
   * and comes to the same or a better end. @throws the system's error, with the record in memory all the same
   */
  async end(record: RecordIn<"failed" | "released">): Promise<void> {
    try {
      await this.put(record);
    } catch (error) {
      this.#records.set(record.grant.assignmentId, record);
      throw error;
    }
  }

  /** Nothing is owed any more. */
  remove(id: AssignmentId): Promise<void> {
    return this.#inTurn(id, async () => {
      await removeDurably(assignmentPath(this.#home, id));
      this.#records.delete(id);
    });
  }

  #inTurn(id: AssignmentId, write: () => Promise<void>): Promise<void> {
    const written = (this.#writes.get(id) ?? Promise.resolve()).then(write);
    const settled = written
      .catch(() => {})
      .finally(() => {
        if (this.#writes.get(id) === settled) this.#writes.delete(id);
      });
    this.#writes.set(id, settled);
    return written;
  }
}
