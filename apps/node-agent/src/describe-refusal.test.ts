import { expect, test } from "vitest";
import { describeRefusal } from "./describe-refusal.ts";

test("a refusal says why in the node's own numbers, and when it asks again", () => {
  expect(describeRefusal({ reason: "NODE_FULL", missingBytes: 3 * 1024 ** 3, retryAfterMs: 3_600_000 })).toBe(
    "full: the next file needs 3 GB more than this node has left to offer; asking again in 60 min",
  );
  expect(describeRefusal({ reason: "QUOTA", openLeases: 2, limit: 2, retryAfterMs: 60_000 })).toBe(
    "this node works on 2 files, and 2 is its limit for now; asking again in 60 s",
  );
  expect(describeRefusal({ reason: "RETRY_PAUSE", retryAfterMs: 86_400_000 * 3 })).toBe(
    "files that failed rest before they are tried again; asking again in 3 days",
  );
});

test("every reason has words of its own", () => {
  const texts = [
    describeRefusal({ reason: "NODE_FULL", missingBytes: 1, retryAfterMs: 0 }),
    describeRefusal({ reason: "ORIGIN_SATURATED", retryAfterMs: 0 }),
    describeRefusal({ reason: "PEERS_NOT_READY", retryAfterMs: 0 }),
    describeRefusal({ reason: "NOTHING_LEFT", retryAfterMs: 0 }),
    describeRefusal({ reason: "NODE_PAUSED", retryAfterMs: 0 }),
    describeRefusal({ reason: "QUOTA", openLeases: 1, limit: 1, retryAfterMs: 0 }),
    describeRefusal({ reason: "HORIZON_FULL", openBytes: 1, limitBytes: 1, retryAfterMs: 0 }),
    describeRefusal({ reason: "AGENT_TOO_OLD", minimum: "1.0.0", retryAfterMs: 0 }),
    describeRefusal({ reason: "SCHEME_UNSUPPORTED", scheme: "ftp", retryAfterMs: 0 }),
    describeRefusal({ reason: "VETTING", limitBytes: 1, retryAfterMs: 0 }),
    describeRefusal({ reason: "TAG_REFUSED", tag: "video", retryAfterMs: 0 }),
    describeRefusal({ reason: "RETRY_PAUSE", retryAfterMs: 0 }),
  ];
  expect(new Set(texts).size).toBe(texts.length);
});
