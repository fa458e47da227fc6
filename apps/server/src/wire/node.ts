import { FAILURE_CODES, compareIds } from "@dispatcher/core";
import { z } from "zod";
import {
  AssetIdShape,
  AssignmentIdShape,
  DigestShape,
  ReportedDigestShape,
  Name,
  NodeIdShape,
  Reason,
  Sha256Hex,
  SizeBytes,
  TimeMs,
  storableText,
} from "./common.ts";

/** What one sync may carry; an agent with more sends the rest with the next one. */
export const REPORTS_PER_SYNC_MAX = 1000;

const AgentVersion = z
  .string()
  .regex(/^\d+\.\d+\.\d+/, "a version such as 1.2.3")
  .max(50);
const Schemes = z.array(z.string().regex(/^[a-z][a-z0-9+.-]{0,15}$/)).max(10);

export const NodeJoinInput = z.object({
  joinToken: z.string().min(1).max(200),
  /** Unique among the operator's nodes. */
  name: Name,
  offeredBytes: SizeBytes,
  /** Kept free for the machine itself; part of the offer. */
  marginBytes: SizeBytes,
  schemes: Schemes,
  agentVersion: AgentVersion,
});

export const NodeJoinOutput = z.object({
  nodeId: NodeIdShape,
  /** Shown this once; the server keeps only its hash. */
  key: z.string(),
  operator: z.string(),
  nextSyncMs: z.int(),
});

/** The lease a report is about; `term` fences a node that was away while its lease went to another. */
const LeaseRef = z.object({ assignmentId: AssignmentIdShape, term: z.int().min(1) });

const OpenAssignment = LeaseRef.extend({
  state: z.enum(["waiting", "running"]),
  /** Bytes safely in the partial file. */
  bytesDone: SizeBytes,
  /** Asks for a reservation of so many bytes in all: the size was unknown and the origin has told it, or more came. */
  wantBytes: SizeBytes.optional(),
});

const FinishedAssignment = LeaseRef.extend({
  sizeBytes: SizeBytes,
  sha256: Sha256Hex,
  /** By the algorithm the catalog declares, computed from the stored bytes, where it is not SHA-256. */
  digest: ReportedDigestShape.nullable(),
  etag: storableText(500).nullable(),
  lastModified: storableText(100).nullable(),
  /** How long the bytes flowed, for the node's measured rate; `fetchedBytes` leaves out what a resume found on disk. */
  fetchMs: z.int().min(0),
  fetchedBytes: SizeBytes,
});

const FailedAssignment = LeaseRef.extend({
  code: z.enum(FAILURE_CODES),
  /** One line for people. */
  message: storableText(500),
  /** As the origin's Retry-After told, where it did. */
  retryAfterMs: z.int().min(0).max(86_400_000).optional(),
});

const ReleasedAssignment = LeaseRef.extend({ reason: storableText(200) });

/** What a node holds, in one line; `inventory.ts` of the core says what the digest is. */
const HoldingShape = z.object({ copies: z.int().min(0), bytes: SizeBytes, digest: Sha256Hex });

export const NodeSyncInput = z.object({
  agentVersion: AgentVersion,
  offeredBytes: SizeBytes,
  marginBytes: SizeBytes,
  /** What the real disk has free for this user, now. */
  freeBytes: SizeBytes,
  schemes: Schemes,
  /** How many more assignments it could take now; 0 while it stops or is full of work. */
  wants: z.int().min(0).max(1000),
  /**
   * Every assignment the node holds open, all of them: one the server has open that is missing here is sent again with
   * the reply, and one that is here but no longer open on the server comes back as a cancel, or is paused.
   */
  open: z.array(OpenAssignment).max(REPORTS_PER_SYNC_MAX),
  finished: z.array(FinishedAssignment).max(REPORTS_PER_SYNC_MAX),
  failed: z.array(FailedAssignment).max(REPORTS_PER_SYNC_MAX),
  released: z.array(ReleasedAssignment).max(REPORTS_PER_SYNC_MAX),
  /**
   * All copies that are on its disk, those it reports in this very sync among them; but none that an inventory was answered
   * is not counted. It is compared with what is on record once the reports are heard.
   */
  holding: HoldingShape.optional(),
});

const Grant = LeaseRef.extend({
  expiresAtMs: TimeMs,
  /** The node writes no more than this without asking for more (`wantBytes`). */
  reservedBytes: SizeBytes,
  asset: z.object({
    id: AssetIdShape,
    url: z.string(),
    dataset: z.string(),
    path: z.string(),
    sizeBytes: SizeBytes.nullable(),
    digest: DigestShape.nullable(),
  }),
});

/** The one main reason why a node got less than it wanted. `retryAfterMs` tells when asking again may help. */
export const RefusalShape = z.discriminatedUnion("reason", [
  z.object({ reason: z.literal("NODE_FULL"), missingBytes: SizeBytes, retryAfterMs: z.int() }),
  z.object({ reason: z.literal("ORIGIN_SATURATED"), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("PEERS_NOT_READY"), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("NOTHING_LEFT"), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("NODE_PAUSED"), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("QUOTA"), openLeases: z.int(), limit: z.int(), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("HORIZON_FULL"), openBytes: SizeBytes, limitBytes: SizeBytes, retryAfterMs: z.int() }),
  z.object({ reason: z.literal("AGENT_TOO_OLD"), minimum: z.string(), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("SCHEME_UNSUPPORTED"), scheme: z.string(), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("VETTING"), limitBytes: SizeBytes, retryAfterMs: z.int() }),
  z.object({ reason: z.literal("TAG_REFUSED"), tag: z.string(), retryAfterMs: z.int() }),
  z.object({ reason: z.literal("RETRY_PAUSE"), retryAfterMs: z.int() }),
]);

const JudgedCopy = z.object({ assetId: AssetIdShape, reason: z.string() });

export const NodeSyncOutput = z.object({
  /** Database time. */
  nowMs: TimeMs,
  /** Sync again in so many ms, or sooner when something has finished; the jitter is in it already. */
  nextSyncMs: z.int().min(0),
  /** One answer for each finished, failed and released report, in that order. A report answered is never sent again. */
  reports: z.array(
    LeaseRef.extend({
      outcome: z.enum(["accepted", "repeated", "rejected"]),
      /** An error code; present when rejected. */
      code: z.string().optional(),
      message: z.string().optional(),
    }),
  ),
  /**
   * Each listed open assignment as it stands now. The term may be higher than the node knew: the lease had ended while the
   * node was away, and was granted to it anew; it goes on from its partial file under the new term.
   *
   * A listed one that is neither here nor in `cancels` is paused: its lease is over, and there is no slot, room or quota for
   * a new one now. The node stops fetching it, keeps its bytes and lists it again; it goes on when it stands here again.
   */
  leases: z.array(LeaseRef.extend({ expiresAtMs: TimeMs, reservedBytes: SizeBytes })),
  grants: z.array(Grant),
  /** Stop work on these and drop what was partly written. What is paused is not among them. */
  cancels: z.array(z.object({ assignmentId: AssignmentIdShape, reason: z.string() })),
  refusal: RefusalShape.nullable(),
  /** The holding is not as it is on record: the server wants the list of all copies, by `node.inventory`. */
  inventoryWanted: z.boolean(),
  /**
   * Copies that are not on record any more, and are to be deleted: they have been replaced, or nobody wants them. They come
   * again until the node's holding shows that they are gone.
   */
  deletePermits: z.array(JudgedCopy),
  /** A line for the volunteer. */
  message: z.string().nullable(),
});

/** Copies that one page of an inventory may list. */
export const INVENTORY_PAGE_MAX = 5000;

const ListedCopy = z.object({
  assetId: AssetIdShape,
  sizeBytes: SizeBytes,
  sha256: Sha256Hex,
  /** As with a finished assignment: proof of what the catalog declares, for a copy that is not on record. */
  digest: ReportedDigestShape.nullable(),
  etag: storableText(500).nullable(),
  lastModified: storableText(100).nullable(),
});

export const NodeInventoryInput = z
  .object({
    /** From 1, for the log; with the last one the server counts the node's copies anew. */
    page: z.int().min(1),
    pages: z.int().min(1),
    /** `nowMs` of the last sync answered before the list was made: copies stored later are not missed in it. */
    asOfMs: TimeMs,
    /** The page lists all copies of assets behind the one, null for the first, ... */
    afterId: AssetIdShape.nullable(),
    /** ... and up to the other, null for the last. */
    upToId: AssetIdShape.nullable(),
    /** In the order of asset ids, each once. */
    copies: z.array(ListedCopy).max(INVENTORY_PAGE_MAX),
  })
  .refine(({ page, pages }) => page <= pages, "page <= pages")
  .refine(
    ({ copies, afterId, upToId }) =>
      copies.every(({ assetId }, index) => {
        const before = copies[index - 1]?.assetId ?? afterId;
        return (
          (before === null || compareIds(before, assetId) < 0) && (upToId === null || compareIds(assetId, upToId) <= 0)
        );
      }),
    "copies in the order of asset ids, behind afterId and up to upToId",
  );

/** What is said of no copy here is on record as the node lists it. */
export const NodeInventoryOutput = z.object({
  /** On record from now on. */
  adopted: z.array(AssetIdShape),
  /** Were on record, and are not listed, or with other bytes. */
  dropped: z.array(AssetIdShape),
  /**
   * Listed and not on record: kept or given up as the node likes, and left out of its holding. The reason is OTHER_BYTES
   * (than it was stored with), or the code of an error: SIZE_MISMATCH, DIGEST_MISMATCH, ASSET_UNKNOWN, COPIES_FULL,
   * LEDGER_EXCEEDED.
   */
  notCounted: z.array(JudgedCopy),
  /** Not on record any more, and to be deleted: enough others stay. The reason is one of `TRIM_REASONS`. */
  deletePermits: z.array(JudgedCopy),
});

export const NodeView = z.object({
  id: NodeIdShape,
  /** Who it is is told to administrators, viewers and its own operator; null for others. */
  name: z.string().nullable(),
  operator: z.string().nullable(),
  life: z.enum(["online", "suspect", "offline", "lost", "retired"]),
  lastSyncMs: TimeMs.nullable(),
  agentVersion: z.string(),
  offeredBytes: SizeBytes,
  marginBytes: SizeBytes,
  heldBytes: SizeBytes,
  reservedBytes: SizeBytes,
  freeBytes: SizeBytes,
  copies: z.int(),
  openLeases: z.int(),
  quota: z.int(),
  rateBytesPerS: z.number().nullable(),
  /**
   * active: takes part. draining: no new work. leaving: as draining, then it is retired. blocked: no new work, and its copies
   * do not count.
   */
  duty: z.enum(["active", "draining", "leaving", "blocked"]),
  /** What its volunteer is told with each sync. */
  message: z.string().nullable(),
});

export const NodeListInput = z.object({ life: NodeView.shape.life.optional() }).default({});
export const NodeListOutput = z.object({ nodes: z.array(NodeView) });

export const NodeGetInput = z.object({ id: NodeIdShape });
export const NodeGetOutput = NodeView.extend({
  network: z.string().nullable(),
  schemes: z.array(z.string()),
  createdAtMs: TimeMs,
  /** Copies that it made and that were right. */
  verifiedCopies: z.int(),
  /** Its copies count only once it has shown that it holds them. */
  inventoryWanted: z.boolean(),
  /** What would be missing without it, as far as its copies count now. */
  loss: z.object({
    copies: z.int(),
    bytes: SizeBytes,
    /** Assets that would come below their minimum of copies. */
    belowMin: z.int(),
    /** Assets of which it has the last copy. */
    lastCopies: z.int(),
  }),
  /** The soonest to end first. */
  open: z.array(
    z.object({
      assignmentId: AssignmentIdShape,
      assetId: AssetIdShape,
      path: z.string(),
      state: z.enum(["granted", "running"]),
      bytesDone: SizeBytes,
      reservedBytes: SizeBytes,
      expiresAtMs: TimeMs,
    }),
  ),
});

export const NodeLeaveInput = z.object({
  /** `immediately`: it does not wait until its copies are elsewhere. */
  how: z.enum(["gracefully", "immediately"]),
  /** Tell what would be missing, and change nothing. */
  dryRun: z.boolean().default(false),
  reason: Reason,
});

export const NodeLeaveOutput = z.object({
  dryRun: z.boolean(),
  duty: NodeView.shape.duty,
  /** It is over: the node's key is refused from now on. */
  isRetired: z.boolean(),
  /** What is missing if it goes at once: as `node.get` tells it. */
  loss: NodeGetOutput.shape.loss,
});

export const NodeGiveBackInput = z.object({
  /** What it wants to offer at most; null takes the wish back. */
  offeredBytes: SizeBytes.nullable(),
  reason: Reason,
});
export const NodeGiveBackOutput = z.object({
  /** Held above that, and to be moved elsewhere. */
  bytesToFree: SizeBytes,
});

export const NodeActInput = z.object({ id: NodeIdShape, reason: Reason });
export const NodeActOutput = z.object({
  node: NodeView,
  /** It was otherwise before. */
  changed: z.boolean(),
});

export const NodeMessageInput = z.object({
  id: NodeIdShape,
  /** One line; null takes it away. */
  message: storableText(500)
    .pipe(
      z
        .string()
        .trim()
        .min(1)
        .regex(/^[^\p{Cc}]*$/u, "one line, without control characters"),
    )
    .nullable(),
  reason: Reason,
});
