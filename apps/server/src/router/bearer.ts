import { DispatcherError } from "@dispatcher/core";

/** A token of an issuer that lists a person's groups may take kilobytes; Node's own limit for all headers is 16 KB. */
const LENGTH_MAX = 8192;

/**
 * The key of an `Authorization: Bearer` header; null without one, or with another scheme, which may be a proxy's affair.
 * @throws DispatcherError KEY_INVALID for one that is there and cannot be read, so that its sender does not pass for a stranger
 */
export function bearerOf(authorization: string | undefined): string | null {
  if (authorization === undefined || !/^Bearer( |$)/i.test(authorization)) return null;
  const key = authorization.slice("Bearer".length).trim();
  if (!/^\S+$/.test(key) || key.length > LENGTH_MAX) {
    throw new DispatcherError("KEY_INVALID", "The Authorization header holds no key that can be read.");
  }
  return key;
}
