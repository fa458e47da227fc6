import { z } from "zod";
import {
  AssetIdShape,
  CopiesShape,
  Cursor,
  DatasetKey,
  DigestShape,
  Name,
  NodeIdShape,
  PriorityShape,
  Reason,
  SizeBytes,
  TimeMs,
  storableText,
} from "./common.ts";

/** Entries a call may carry: few enough for one transaction, enough to make a large catalog quick. */
export const ENTRIES_PER_IMPORT_MAX = 1000;

/** One file of a catalog. */
export const CatalogEntryShape = z.object({
  /** Where in the catalog it stands, for messages: `resources[12]`, `line 13`. */
  place: storableText(200),
  /** The name of the file within its dataset; unique there. */
  path: z
    .string()
    .min(1)
    .max(1024)
    .transform((text) => text.toWellFormed()),
  url: storableText(4096),
  sizeBytes: SizeBytes.nullable(),
  digest: DigestShape.nullable(),
  mediaType: storableText(255).nullable(),
  priority: PriorityShape.nullable(),
  removeByMs: TimeMs.nullable(),
});

export const AssetImportInput = z.object({
  dataset: z.object({
    /** The dataset's lasting name, unique in this dispatcher: importing under it again updates it. */
    key: DatasetKey,
    title: Name.nullable(),
    sourceUrl: storableText(4096).nullable(),
    priority: PriorityShape.optional(),
    copies: CopiesShape.optional(),
  }),
  entries: z.array(CatalogEntryShape).max(ENTRIES_PER_IMPORT_MAX),
  reason: Reason,
});

export const AssetImportOutput = z.object({
  /** New in this dispatcher. */
  taken: z.int(),
  /** Known, and changed by this call. */
  updated: z.int(),
  /** Known, and the same. */
  unchanged: z.int(),
  /** Not taken, each with its place and why. */
  skipped: z.array(z.object({ place: z.string(), code: z.string(), message: z.string() })),
});

const AssetState = z.enum(["wanted", "gone", "review", "withdrawn"]);

export const AssetView = z.object({
  id: AssetIdShape,
  dataset: z.string(),
  path: z.string(),
  url: z.string(),
  sizeBytes: SizeBytes.nullable(),
  digest: DigestShape.nullable(),
  mediaType: z.string().nullable(),
  priority: z.int(),
  urgency: z.number(),
  state: AssetState,
  /** Verified copies held by different operators. */
  copies: z.int(),
  /** Fewer than this is danger. */
  copiesMin: z.int(),
  copiesTarget: z.int(),
  openLeases: z.int(),
  /** When its origin is expected to remove it; null where nobody said so. */
  removeByMs: TimeMs.nullable(),
});

/** Which assets are meant: all conditions that are given hold. */
const AssetFilterShape = z.object({
  dataset: DatasetKey.optional(),
  /** Host and port: `data.example.org:443`. */
  origin: storableText(300).optional(),
  state: AssetState.optional(),
  /** Only assets with fewer independent copies than their target. */
  incomplete: z.boolean().optional(),
  /** Only assets with fewer than their minimum. */
  belowMin: z.boolean().optional(),
  /** How the path begins, or the URL where this has `://` in it; capitals matter. */
  startsWith: storableText(200).pipe(z.string().min(1)).optional(),
});

export const AssetListInput = AssetFilterShape.extend({
  /** `urgency`, the default: the most urgent first. `id`: the oldest first, and a list of one dataset or origin is quick. */
  order: z.enum(["urgency", "id"]).optional(),
  limit: z.int().min(1).max(1000).default(100),
  after: Cursor,
}).prefault({});

export const AssetListOutput = z.object({
  /**
   * In the order asked for, then by id; with `startsWith` in that of the path or URL. A page looks at 20,000 assets at most,
   * so where few pass the filter it may have fewer than `limit`, or none, and a `next` all the same.
   */
  assets: z.array(AssetView),
  /** Pass it as `after` for the following page; null on the last. */
  next: z.string().nullable(),
});

export const AssetGetInput = z.object({ id: AssetIdShape });

export const AssetGetOutput = AssetView.extend({
  replicas: z.array(
    z.object({
      nodeId: NodeIdShape,
      /** Who holds it is told to administrators and viewers; null for others. */
      node: z.string().nullable(),
      operator: z.string().nullable(),
      sizeBytes: SizeBytes,
      sha256: z.string(),
      trust: z.enum(["verified", "claimed", "agreed"]),
      counts: z.boolean(),
      storedAtMs: TimeMs,
    }),
  ),
  assignments: z.array(
    z.object({
      nodeId: NodeIdShape,
      /** As above. */
      node: z.string().nullable(),
      state: z.string(),
      term: z.int(),
      bytesDone: SizeBytes,
      grantedAtMs: TimeMs,
      endedAtMs: TimeMs.nullable(),
      failureCode: z.string().nullable(),
      /** For administrators and viewers; null for others. */
      failureMessage: z.string().nullable(),
    }),
  ),
  /** What people did to it: the latest hundred of the days that the log is kept, newest first. */
  acts: z.array(
    z.object({
      id: z.int(),
      atMs: TimeMs,
      kind: z.string(),
      /** For an administrator; null for others. */
      reason: z.string().nullable(),
    }),
  ),
});

/** Assets that one call may change: few enough for one transaction. */
export const ASSETS_PER_ACT_MAX = 1000;

/**
 * Assets to do something to: by their ids, or by a filter with one condition at least. By a filter a call does as many as
 * `limit`, in the order of ids, and goes on with `after`: call until `next` is null.
 */
const AssetSelectionShape = z.object({
  ids: z.array(AssetIdShape).min(1).max(ASSETS_PER_ACT_MAX).optional(),
  filter: AssetFilterShape.refine(
    (filter) => Object.values(filter).some((value) => value !== undefined && value !== false),
    "one condition at least",
  ).optional(),
  limit: z.int().min(1).max(ASSETS_PER_ACT_MAX).default(ASSETS_PER_ACT_MAX),
  after: Cursor,
  reason: Reason,
});

const isOneChoice = ({ ids, filter }: { readonly ids?: unknown; readonly filter?: unknown }): boolean =>
  (ids === undefined) !== (filter === undefined);
const ONE_CHOICE = "either ids or filter";

const AssetActOutput = z.object({
  /** Meant by this call. */
  matched: z.int(),
  /** Of these, those that were otherwise before. */
  changed: z.int(),
  /** Pass it as `after` to go on; null at the end. */
  next: z.string().nullable(),
});

export const AssetPrioritizeInput = AssetSelectionShape.extend({
  /** Null: the dataset's. */
  priority: PriorityShape.nullable(),
}).refine(isOneChoice, ONE_CHOICE);
export const AssetPrioritizeOutput = AssetActOutput;

export const AssetWithdrawInput = AssetSelectionShape.extend({
  /** Let every node delete its copy, the last one too. Without it copies stay where they are. */
  deleteCopies: z.boolean().default(false),
}).refine(isOneChoice, ONE_CHOICE);
export const AssetWithdrawOutput = AssetActOutput.extend({
  /** Leases that their nodes are told to stop with their next sync. */
  leasesStopped: z.int(),
  /** Copies that their nodes are told to delete. */
  copiesLeaving: z.int(),
});

export const AssetRestoreInput = AssetSelectionShape.refine(isOneChoice, ONE_CHOICE);
export const AssetRestoreOutput = AssetActOutput;

export const AssetRequeueInput = z.object({
  /** Where they wait. */
  state: z.enum(["review", "gone"]).default("review"),
  dataset: DatasetKey.optional(),
  /** The node that failed on it last. */
  nodeId: NodeIdShape.optional(),
  /** Whose fault the last failure was. */
  failureClass: z.enum(["origin", "network", "node", "asset"]).optional(),
  /** Only those whose last failure is so long ago. */
  olderThanMs: z.int().min(0).optional(),
  /** Only those whose last failure is no longer ago. */
  newerThanMs: z.int().min(0).optional(),
  limit: z.int().min(1).max(ASSETS_PER_ACT_MAX).default(ASSETS_PER_ACT_MAX),
  /** Tell what would be wanted again, and change nothing. */
  dryRun: z.boolean().default(false),
  reason: Reason,
});

export const AssetRequeueOutput = z.object({
  dryRun: z.boolean(),
  /** Wanted again; with `dryRun`, would be. The most urgent first. */
  assets: z.array(
    z.object({
      id: AssetIdShape,
      path: z.string(),
      failureCode: z.string().nullable(),
      failedAtMs: TimeMs.nullable(),
    }),
  ),
  /** There may be more: call again. */
  hasMore: z.boolean(),
});

/** The numbers of a reason go by its name: docs/allocation.md has them. */
const RefusalView = z.looseObject({ reason: z.string(), retryAfterMs: z.number() });
const FindingView = z.object({
  rule: z.string(),
  reason: z.string(),
  passes: z.boolean(),
  refusal: RefusalView.nullable(),
  facts: z.looseObject({ rule: z.string() }),
  /** What would make it pass; null when it does. */
  change: z.string().nullable(),
});

export const AssetExplainInput = z.object({
  id: AssetIdShape,
  /** With it, every rule about this node and the asset. */
  nodeId: NodeIdShape.optional(),
});

export const AssetExplainOutput = z.object({
  id: AssetIdShape,
  state: AssetState,
  /** It rests after a failure until then; null for not. */
  restsUntilMs: TimeMs.nullable(),
  urgency: z.number(),
  /** What the urgency is made of, the weightiest first. */
  terms: z.array(z.looseObject({})).nullable(),
  changesAtMs: z.number().nullable(),
  copies: z.object({
    min: z.int(),
    target: z.int(),
    max: z.int(),
    independent: z.int(),
    holders: z.int(),
    placesLeft: z.int(),
  }),
  /** Nodes that were asked: those that are there. */
  nodesAsked: z.int(),
  /** Whom a round with this asset alone would choose; null for nobody. */
  chosen: NodeIdShape.nullable(),
  eligible: z.array(NodeIdShape),
  refused: z.array(
    z.object({
      reason: z.string(),
      nodes: z.int(),
      nearest: NodeIdShape,
      refusal: RefusalView,
      change: z.string(),
    }),
  ),
  /** What would change that nobody may have it; null when somebody may. */
  change: z.string().nullable(),
  /** About the node that was named; null where none was. */
  node: z
    .object({
      nodeId: NodeIdShape,
      verdict: z.enum(["eligible", "refused"]),
      primary: RefusalView.nullable(),
      refusals: z.array(RefusalView),
      findings: z.array(FindingView),
    })
    .nullable(),
});
