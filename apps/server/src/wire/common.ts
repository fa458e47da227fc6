import { DIGEST_ALGORITHMS, REPORTED_ALGORITHMS } from "@dispatcher/core";
import type { AssetId, AssignmentId, DatasetId, JoinTokenId, KeyId, NodeId, OriginId } from "@dispatcher/core";
import { z } from "zod";

/** Integer bytes, 0 to 2^53 - 1: exact in JSON, in JavaScript and in SQL. */
export const SizeBytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
/** Milliseconds since the Unix epoch, to the end of the year 9999. */
export const TimeMs = z.int().min(0).max(253_402_300_799_999);

/** Text that PostgreSQL can store, whatever was sent: half characters and NUL become the replacement character. */
export function storableText(maxLength: number) {
  return z
    .string()
    .max(maxLength)
    .transform((text) => text.toWellFormed().replaceAll("\0", "\uFFFD"));
}

const ID_MAX = 2n ** 63n - 1n;
const id = z
  .string()
  .regex(/^[0-9]{1,19}$/, "an id is a decimal number of at most 19 digits")
  .refine((text) => /^[0-9]{1,19}$/.test(text) && BigInt(text) <= ID_MAX, "an id is at most 9223372036854775807");
export const AssetIdShape = id.transform((value) => value as AssetId);
export const AssignmentIdShape = id.transform((value) => value as AssignmentId);
export const DatasetIdShape = id.transform((value) => value as DatasetId);
export const OriginIdShape = id.transform((value) => value as OriginId);
export const JoinTokenIdShape = id.transform((value) => value as JoinTokenId);
export const KeyIdShape = id.transform((value) => value as KeyId);
export const NodeIdShape = id.transform((value) => value as NodeId);

/** 1 to 10, 10 is most urgent. */
export const PriorityShape = z.int().min(1).max(10);

/** A dataset's lasting name. */
export const DatasetKey = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "letters, digits, dot, dash, underscore; 1 to 100 of them");

export const CopiesShape = z
  .object({ min: z.int().min(1), target: z.int().min(1), max: z.int().min(1).max(100) })
  .refine(({ min, target, max }) => min <= target && target <= max, "min <= target <= max");

/** Why somebody does what he does: for the log of events, which keeps it. */
export const Reason = storableText(500).optional();

/** Where a page begins: the `next` of the one before. It is opaque. */
export const Cursor = z.string().max(2000).optional();

/** A name people read: one line, no control characters, 1 to 100 characters; half characters are mended as in texts. */
export const Name = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[^\p{Cc}]*$/u, "no control characters")
  .transform((text) => text.toWellFormed());

export const DigestShape = z
  .object({ algorithm: z.enum(DIGEST_ALGORITHMS), hex: z.string().regex(/^[0-9a-f]{32,128}$/) })
  .readonly();

/** As DigestShape, with the one more way in which a node may have computed it. */
export const ReportedDigestShape = DigestShape.unwrap()
  .extend({ algorithm: z.enum(REPORTED_ALGORITHMS) })
  .readonly();

/** Lower-case hex, as every node computes it of every file it stores. */
export const Sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, "a SHA-256 is 64 lower-case hex digits");
