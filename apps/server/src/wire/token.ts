import { z } from "zod";
import { JoinTokenIdShape, Name, Reason, TimeMs } from "./common.ts";

export const TokenCreateInput = z.object({
  /**
   * Every node that joins with this token belongs to this operator; made if it does not exist. An operator may leave it out:
   * it can only be itself.
   */
  operator: Name.optional(),
  uses: z.int().min(1).max(10_000).default(1),
  lifeMs: z
    .int()
    .min(1000)
    .max(365 * 86_400_000)
    .default(7 * 86_400_000),
  reason: Reason,
});

export const TokenCreateOutput = z.object({
  id: JoinTokenIdShape,
  /** Shown this once; the server keeps only its hash. */
  joinToken: z.string(),
  operator: z.string(),
  uses: z.int(),
  expiresAtMs: TimeMs,
});

export const TokenListInput = z
  .object({
    /** Those that let nobody in any more as well. */
    all: z.boolean().default(false),
    limit: z.int().min(1).max(1000).default(100),
    /** The `next` of the page before. */
    after: JoinTokenIdShape.optional(),
  })
  .prefault({});

export const TokenListOutput = z.object({
  /** By id. */
  tokens: z.array(
    z.object({
      id: JoinTokenIdShape,
      operator: z.string(),
      state: z.enum(["valid", "used up", "expired", "revoked"]),
      usesLeft: z.int(),
      usesTaken: z.int(),
      /** Null where a server of an earlier release made it. */
      madeBy: z.string().nullable(),
      createdAtMs: TimeMs,
      expiresAtMs: TimeMs,
      revokedAtMs: TimeMs.nullable(),
    }),
  ),
  /** Pass it as `after` for the following page; null on the last. */
  next: JoinTokenIdShape.nullable(),
});

export const TokenRevokeInput = z.object({ id: JoinTokenIdShape, reason: Reason });

export const TokenRevokeOutput = z.object({
  /** The token, unless it was revoked before. */
  revoked: z.array(JoinTokenIdShape),
});
