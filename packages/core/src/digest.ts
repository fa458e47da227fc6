/** Digests as catalogs declare them and nodes compute them: lower-case hex. */
export const DIGEST_ALGORITHMS = ["sha256", "sha512", "sha1", "md5"] as const;
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number];
export type Digest = { readonly algorithm: DigestAlgorithm; readonly hex: string };

const HEX_LENGTH = { sha256: 64, sha512: 128, sha1: 40, md5: 32 } as const satisfies Record<DigestAlgorithm, number>;

/**
 * Read a digest as catalogs write it: `sha1:6586…`, `sha256:…`, or bare hex, whose algorithm its length tells
 * (a bare hash is MD5 in Frictionless, and its 32 digits say so too). Upper case is accepted.
 * Returns null for anything else: an unreadable digest must not pass for a missing one without being told.
 */
export function parseDigest(text: string): Digest | null {
  const match = /^(?:([A-Za-z0-9-]+):)?([0-9A-Fa-f]+)$/.exec(text.trim());
  if (match === null) return null;
  const hex = (match[2] ?? "").toLowerCase();
  const named = match[1]?.toLowerCase().replace("-", "");
  const algorithm = DIGEST_ALGORITHMS.find((one) =>
    named === undefined ? HEX_LENGTH[one] === hex.length : one === named,
  );
  if (algorithm === undefined || HEX_LENGTH[algorithm] !== hex.length) return null;
  return { algorithm, hex };
}

/** `sha1:6586…`, the form parseDigest reads back. */
export function formatDigest({ algorithm, hex }: Digest): string {
  return `${algorithm}:${hex}`;
}

/**
 * How a node may have computed the digest it reports. `git-sha1` is git's id of a file: SHA-1 over `blob <size>`, a zero
 * byte and the bytes.
 */
export const REPORTED_ALGORITHMS = ["sha256", "sha512", "sha1", "md5", "git-sha1"] as const;
export type ReportedDigest = {
  readonly algorithm: (typeof REPORTED_ALGORITHMS)[number];
  readonly hex: string;
};

/** What a node has computed of a file. */
export type Computed = {
  readonly sha256: string;
  /** By the declared digest's algorithm; null where that is SHA-256 itself or none is declared. */
  readonly digest: ReportedDigest | null;
};

/**
 * Whether what was computed shows that the bytes are those that `declared` stands for. Catalogs made from git repositories
 * declare git's id of a file and call it `sha1`; both are SHA-1 over all the bytes, so either is as good a proof.
 */
export function provesDigest(declared: Digest, { sha256, digest }: Computed): boolean {
  if (declared.algorithm === "sha256") return sha256 === declared.hex;
  if (digest?.hex !== declared.hex) return false;
  return digest.algorithm === declared.algorithm || (declared.algorithm === "sha1" && digest.algorithm === "git-sha1");
}
