import { z } from "zod";
import { CopiesShape, Cursor, DatasetIdShape, DatasetKey, PriorityShape, Reason, TimeMs } from "./common.ts";

export const DatasetView = z.object({
  id: DatasetIdShape,
  key: z.string(),
  title: z.string().nullable(),
  sourceUrl: z.string().nullable(),
  /** Of its assets that have none of their own. */
  priority: z.int(),
  copies: z.object({ min: z.int(), target: z.int(), max: z.int() }),
  createdAtMs: TimeMs,
});

export const DatasetListInput = z.object({ limit: z.int().min(1).max(1000).default(100), after: Cursor }).prefault({});
export const DatasetListOutput = z.object({
  /** By key. */
  datasets: z.array(DatasetView),
  next: z.string().nullable(),
});

export const DatasetGetInput = z.object({ key: DatasetKey });
export const DatasetUpdateInput = z
  .object({ key: DatasetKey, priority: PriorityShape.optional(), copies: CopiesShape.optional(), reason: Reason })
  .refine(({ priority, copies }) => priority !== undefined || copies !== undefined, "priority, copies or both");
