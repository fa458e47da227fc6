import { z } from "zod";
import { AssetIdShape, DigestShape, Name, NodeIdShape, Reason, SizeBytes, TimeMs, storableText } from "./common.ts";

/** Entries a call may carry: few enough for one transaction, enough to make a large catalog quick. */
export const ENTRIES_PER_IMPORT_MAX = 1000;

const Priority = z.int().min(1).max(10);

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
  priority: Priority.nullable(),
  removeByMs: TimeMs.nullable(),
});

export const AssetImportInput = z.object({
  dataset: z.object({
    /** The dataset's lasting name, unique in this dispatcher: importing under it again updates it. */
    key: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "letters, digits, dot, dash, underscore; 1 to 100 of them"),
    title: Name.nullable(),
    sourceUrl: storableText(4096).nullable(),
    priority: Priority.optional(),
    copies: z
      .object({ min: z.int().min(1), target: z.int().min(1), max: z.int().min(1).max(100) })
      .refine(({ min, target, max }) => min <= target && target <= max, "min <= target <= max")
      .optional(),
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
  copiesTarget: z.int(),
  openLeases: z.int(),
});

export const AssetListInput = z
  .object({
    dataset: z.string().optional(),
    state: AssetState.optional(),
    /** Only assets with fewer independent copies than their target. */
    incomplete: z.boolean().optional(),
    limit: z.int().min(1).max(1000).default(100),
    /** The `next` of the page before. */
    after: z.string().max(200).optional(),
  })
  .prefault({});

export const AssetListOutput = z.object({
  /** Highest urgency first, then by id. */
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
});
