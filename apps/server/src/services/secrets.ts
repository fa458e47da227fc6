import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** 256 random bits behind a prefix that tells people, and scanners for leaked secrets, what it opens. */
export function newSecret(prefix: "dsp_node" | "dsp_join"): string {
  return `${prefix}_${randomBytes(32).toString("base64url")}`;
}

/** What is stored in place of a secret. A plain hash suffices: there is nothing to guess in 256 random bits. */
export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret, "utf8").digest();
}

/** Compare in constant time, whatever the lengths. */
export function isSameSecret(a: string, b: string): boolean {
  return timingSafeEqual(hashSecret(a), hashSecret(b));
}
