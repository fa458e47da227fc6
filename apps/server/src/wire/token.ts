import { z } from "zod";
import { Name, TimeMs } from "./common.ts";

export const TokenCreateInput = z.object({
  /** Every node that joins with this token belongs to this operator; made if it does not exist. */
  operator: Name,
  uses: z.int().min(1).max(10_000).default(1),
  lifeMs: z
    .int()
    .min(1000)
    .max(365 * 86_400_000)
    .default(7 * 86_400_000),
});

export const TokenCreateOutput = z.object({
  /** Shown this once; the server keeps only its hash. */
  joinToken: z.string(),
  operator: z.string(),
  uses: z.int(),
  expiresAtMs: TimeMs,
});
