import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { KeyId } from "@dispatcher/core";

/** 256 random bits, as base64url writes them. */
const SECRET = "[A-Za-z0-9_-]{43}";
const MADE_KEY = new RegExp(`^dsp_([0-9]{1,19})_(${SECRET})$`);
const NODE_KEY = new RegExp(`^dsp_node_${SECRET}$`);

/** 256 random bits, 43 characters. */
export function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** A secret behind a prefix that tells people, and scanners for leaked secrets, what it opens. */
export function newPrefixedSecret(prefix: "dsp_node" | "dsp_join"): string {
  return `${prefix}_${newSecret()}`;
}

/** A key as its bearer sends it. The id is no secret: it finds the row, and names the key in lists and logs. */
export function formatKey(id: KeyId, secret: string): string {
  return `dsp_${id}_${secret}`;
}

/** What `formatKey` made; null for anything else. */
export function parseKey(text: string): { readonly id: KeyId; readonly secret: string } | null {
  const [, id, secret] = MADE_KEY.exec(text) ?? [];
  if (id === undefined || secret === undefined || BigInt(id) > 2n ** 63n - 1n) return null;
  return { id: id as KeyId, secret };
}

/** Whether a text has the form of the key that a node gets when it joins. */
export function isNodeKey(text: string): boolean {
  return NODE_KEY.test(text);
}

/** What is stored in place of a secret. A plain hash suffices: there is nothing to guess in 256 random bits. */
export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret, "utf8").digest();
}

/** Compare with what is stored, in constant time. */
export function hasHash(secret: string, hash: Buffer): boolean {
  return timingSafeEqual(hashSecret(secret), hash);
}

/** Compare in constant time, whatever the lengths. */
export function isSameSecret(a: string, b: string): boolean {
  return hasHash(a, hashSecret(b));
}
