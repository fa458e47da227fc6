import { z } from "zod";
import { KeyIdShape, Name, NodeIdShape, Reason, TimeMs } from "./common.ts";

const KeyRole = z.enum(["admin", "operator", "node", "viewer"]);

export const KeyCreateInput = z
  .object({
    role: KeyRole,
    /** For lists: who or what uses it. */
    name: Name,
    /** Of the role operator: whose nodes it manages; made if it does not exist. */
    operator: Name.optional(),
    /** Of the role node: for which one it speaks. */
    nodeId: NodeIdShape.optional(),
    /** Without it the key has no end. */
    lifeMs: z
      .int()
      .min(1000)
      .max(10 * 365 * 86_400_000)
      .optional(),
    reason: Reason,
  })
  .refine(({ role, operator }) => (role === "operator") === (operator !== undefined), {
    path: ["operator"],
    error: "named with the role operator, and with no other",
  })
  .refine(({ role, nodeId }) => (role === "node") === (nodeId !== undefined), {
    path: ["nodeId"],
    error: "named with the role node, and with no other",
  });

export const KeyCreateOutput = z.object({
  id: KeyIdShape,
  /** Shown this once; the server keeps only a hash. */
  key: z.string(),
  role: KeyRole,
  name: z.string(),
  expiresAtMs: TimeMs.nullable(),
});

export const KeyListInput = z
  .object({
    /** Those that are over as well. */
    all: z.boolean().default(false),
    limit: z.int().min(1).max(1000).default(100),
    /** The `next` of the page before. */
    after: KeyIdShape.optional(),
  })
  .prefault({});

export const KeyListOutput = z.object({
  /** By id. The keys that nodes got when they joined are not among them. */
  keys: z.array(
    z.object({
      id: KeyIdShape,
      name: z.string(),
      role: KeyRole,
      state: z.enum(["valid", "expired", "revoked"]),
      /** Whose nodes it manages, or whose node it speaks for. */
      operator: z.string().nullable(),
      nodeId: NodeIdShape.nullable(),
      node: z.string().nullable(),
      /** `key 7`, `jwt alice`, `admin command`, `first start`. */
      madeBy: z.string(),
      createdAtMs: TimeMs,
      expiresAtMs: TimeMs.nullable(),
      revokedAtMs: TimeMs.nullable(),
      /** To the minute; null for one that was never used. */
      lastUsedAtMs: TimeMs.nullable(),
    }),
  ),
  /** Pass it as `after` for the following page; null on the last. */
  next: KeyIdShape.nullable(),
});

export const KeyRevokeInput = z
  .object({
    id: KeyIdShape.optional(),
    /** All keys of this node, with the one it got when it joined: it can say nothing more until it has another. */
    nodeId: NodeIdShape.optional(),
    reason: Reason,
  })
  .refine(({ id, nodeId }) => (id === undefined) !== (nodeId === undefined), {
    path: ["id"],
    error: "either a key or a node is named",
  });

export const KeyRevokeOutput = z.object({
  /** Those that were not revoked before. */
  revoked: z.array(KeyIdShape),
});
