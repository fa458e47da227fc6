import type { Digest, DigestAlgorithm } from "@dispatcher/core";

/** A digest as it stands in a row. */
export type DigestColumns = { readonly digestAlgorithm: DigestAlgorithm | null; readonly digestHex: string | null };

export function toDigest({ digestAlgorithm, digestHex }: DigestColumns): Digest | null {
  return digestAlgorithm === null || digestHex === null ? null : { algorithm: digestAlgorithm, hex: digestHex };
}
