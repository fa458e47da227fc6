import { DispatcherError } from "@dispatcher/core";
import { errors, jwtVerify } from "jose";
import type { JWTPayload, JWTVerifyGetKey } from "jose";

/** Signatures by the issuer's private key alone: never `none`, never a shared secret (HS256). */
const ALGORITHMS = ["EdDSA", "ES256", "RS256"];
/** Clocks of issuers may be wrong by so much. Longer keeps tokens alive that are over. */
const CLOCK_TOLERANCE_S = 30;
/** Of a name that is stored with every act. */
const SUBJECT_MAX = 200;

export type JwtCaller =
  | { readonly role: "admin" | "viewer"; readonly who: string; readonly operator: null }
  | { readonly role: "operator"; readonly who: string; readonly operator: string };

export type JwtRules = {
  readonly issuer: string;
  readonly audience: string;
  /** `a.b` for b within a; a claim that is called so as a whole comes first. */
  readonly roleClaim: string;
  readonly operatorClaim: string;
};

function invalid(detail: string, cause?: unknown): DispatcherError {
  return new DispatcherError("KEY_INVALID", detail, { cause });
}

/**
 * Who a token speaks for, once its signature, issuer, audience and times are found right. The highest of several roles counts.
 * @throws DispatcherError KEY_INVALID, KEY_EXPIRED, FORBIDDEN (no role here), JWKS_UNAVAILABLE
 */
export async function verifyJwt(token: string, keyOf: JWTVerifyGetKey, rules: JwtRules): Promise<JwtCaller> {
  const { payload } = await jwtVerify(token, keyOf, {
    algorithms: ALGORITHMS,
    issuer: rules.issuer,
    audience: rules.audience,
    clockTolerance: CLOCK_TOLERANCE_S,
    requiredClaims: ["exp", "sub"],
  }).catch((error: unknown) => {
    throw refusalOf(error);
  });
  const who = `jwt ${storable(String(payload.sub))}`;
  const roles = new Set([claimOf(payload, rules.roleClaim)].flat());
  if (roles.has("admin")) return { role: "admin", who, operator: null };
  if (roles.has("operator")) {
    const operator = claimOf(payload, rules.operatorClaim);
    if (typeof operator === "string" && operator !== "") return { role: "operator", who, operator: storable(operator) };
    throw invalid(`This token is an operator's, and its claim "${rules.operatorClaim}" names none.`);
  }
  if (roles.has("viewer")) return { role: "viewer", who, operator: null };
  throw new DispatcherError(
    "FORBIDDEN",
    `This token has no role in its claim "${rules.roleClaim}" that is known here.`,
  );
}

/** What is wrong with a token, without a word of it. */
function refusalOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return new DispatcherError("KEY_EXPIRED", "This token is past its time.");
  if (error instanceof errors.JWTClaimValidationFailed) {
    return invalid(`The claim "${error.claim}" of this token is missing or not the one that is asked for here.`, error);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return invalid(`This token is not signed in one of the ways that are taken here: ${ALGORITHMS.join(", ")}.`, error);
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return invalid("This token does not name one of its issuer's keys.", error);
  }
  if (error instanceof errors.JOSEError) return invalid("This token is malformed, or its signature is wrong.", error);
  return error;
}

function claimOf(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  return name.split(".").reduce<unknown>((value, part) => {
    const isInside = typeof value === "object" && value !== null && Object.hasOwn(value, part);
    return isInside ? (value as Readonly<Record<string, unknown>>)[part] : undefined;
  }, payload);
}

/** Text that PostgreSQL and one line of a list can hold. */
function storable(text: string): string {
  return text
    .slice(0, SUBJECT_MAX)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, "\uFFFD");
}
