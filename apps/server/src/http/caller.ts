import { hash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { bearerOf } from "../router/bearer.ts";

/** Who calls, as far as the request itself says. */
export type Caller = {
  readonly key: string | null;
  /** What the key is known by where it is kept: never in the clear, in memory neither. */
  readonly keyHash: string | null;
  /** The proxy's word where that is trusted. */
  readonly address: string | undefined;
};

declare module "fastify" {
  interface FastifyRequest {
    caller: Caller;
  }
}

/** Null where there is none, or none that can be read: that is refused where the caller is looked up. */
function keyOf(request: FastifyRequest): string | null {
  try {
    return bearerOf(request.headers.authorization);
  } catch {
    return null;
  }
}

export function callerOf(request: FastifyRequest): Caller {
  const key = keyOf(request);
  return { key, keyHash: key === null ? null : hashOfKey(key), address: request.ip };
}

export function hashOfKey(key: string): string {
  return hash("sha256", key, "base64");
}
