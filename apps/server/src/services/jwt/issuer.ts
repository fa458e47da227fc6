import { DispatcherError } from "@dispatcher/core";
import type { Dependencies } from "../dependencies.ts";
import { KeySet } from "./key-set.ts";
import { verifyJwt } from "./verify-jwt.ts";
import type { JwtCaller } from "./verify-jwt.ts";

export type Issuer = {
  readonly verify: (token: string) => Promise<JwtCaller>;
  /** When a server starts: a file that is not there is a fault of the settings, an issuer that is away comes back. */
  readonly check: () => Promise<void>;
};

/** The token issuer that the settings trust; null for none. */
export function createIssuer({ config, log }: Pick<Dependencies, "config" | "log">): Issuer | null {
  const { DISPATCHER_JWT_ISSUER: issuer, DISPATCHER_JWT_AUDIENCE: audience, DISPATCHER_JWT_JWKS: source } = config;
  if (issuer === undefined || audience === undefined || source === undefined) return null;
  const { DISPATCHER_JWT_ROLE_CLAIM: roleClaim, DISPATCHER_JWT_OPERATOR_CLAIM: operatorClaim } = config;
  const keySet = new KeySet({ source, log });
  const rules = { issuer, audience, roleClaim, operatorClaim };
  return {
    verify: (token) => verifyJwt(token, keySet.keyOf, rules),
    check: async () => {
      try {
        await keySet.load();
      } catch (error) {
        if (!(error instanceof DispatcherError)) throw error;
        // The key set has logged what is wrong with a URL.
        if (!/^https?:/i.test(source)) {
          throw new DispatcherError("CONFIG_INVALID", `DISPATCHER_JWT_JWKS=${source}: ${error.detail}`, {
            cause: error,
          });
        }
      }
    },
  };
}
