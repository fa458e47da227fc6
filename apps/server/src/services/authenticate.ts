/**
 * Who calls, by what they carry: a key of ours, the administrator's key from the settings, or a token (JWT) of an issuer that
 * is trusted. What is not valid is refused even where nothing would be needed, so that nobody goes on as a stranger unseen.
 */
import { DispatcherError } from "@dispatcher/core";
import type { KeyId, NodeId, OperatorId } from "@dispatcher/core";
import { findCallers, hexOf } from "../db/queries/keys.ts";
import type { Found, FoundKey, FoundNode, Sought } from "../db/queries/keys.ts";
import type { Dependencies } from "./dependencies.ts";
import type { JwtCaller } from "./jwt/verify-jwt.ts";
import { hasHash, hashSecret, isNodeKey, isSameSecret, parseKey } from "./secrets.ts";

/**
 * Who calls. `who` names them in the log of events: `key 7`, `jwt alice`, `admin command`. A node can speak for itself
 * alone, an operator for its nodes; a viewer sees what an administrator sees of assets and nodes, and changes nothing.
 */
export type Actor =
  | { readonly kind: "anyone" }
  | { readonly kind: "admin"; readonly who: string }
  | { readonly kind: "operator"; readonly who: string; readonly operatorId: OperatorId }
  | { readonly kind: "node"; readonly who: string; readonly nodeId: NodeId; readonly operatorId: OperatorId }
  | { readonly kind: "viewer"; readonly who: string };

/** The admin command, and whoever else has the database itself. */
export const ADMIN_COMMAND = { kind: "admin", who: "admin command" } as const satisfies Actor;

/** Those who are meant by each: what is sought together is one look-up. @throws DispatcherError DATABASE_UNAVAILABLE */
export async function findSought({ db }: Dependencies, sought: readonly Sought[]): Promise<readonly Found[]> {
  const found = await findCallers(db.sql, sought);
  return sought.map(() => found);
}

export type Authentication = {
  /** In company: what comes back may hold what others sought. */
  readonly find: (sought: Sought) => Promise<Found>;
  /** Null where no issuer is trusted. */
  readonly verifyJwt: ((token: string) => Promise<JwtCaller>) | null;
  /** Called for a key whose last use is on record with an earlier minute. */
  readonly noteUse: (id: KeyId) => void;
};

function invalid(detail: string): DispatcherError {
  return new DispatcherError("KEY_INVALID", detail);
}

/** @throws DispatcherError NODE_RETIRED */
function asNode({ nodeId, operatorId, life }: FoundNode, who = `node ${nodeId}`): Actor {
  if (life === "retired") {
    throw new DispatcherError("NODE_RETIRED", "This node was silent for so long that it has been retired.");
  }
  return { kind: "node", who, nodeId, operatorId };
}

/** @throws DispatcherError NODE_RETIRED */
function asHolder({ id, role, operatorId, node }: FoundKey): Actor {
  const who = `key ${id}`;
  if (role === "admin" || role === "viewer") return { kind: role, who };
  if (role === "node" && node !== null) return asNode(node, who);
  if (role === "operator" && operatorId !== null) return { kind: "operator", who, operatorId };
  throw new Error(`Key ${id} has the role ${role} and says not of whom.`);
}

/**
 * The actor that a key or token stands for; none is anyone. One look-up, in company with others that come at once; a token
 * for an administrator or viewer needs none.
 * @throws DispatcherError KEY_INVALID, KEY_EXPIRED, KEY_REVOKED, NODE_RETIRED, FORBIDDEN (a token without a role),
 * JWKS_UNAVAILABLE, DATABASE_UNAVAILABLE
 */
export async function authenticate(
  { config }: Dependencies,
  key: string | null,
  { find, verifyJwt, noteUse }: Authentication,
): Promise<Actor> {
  if (key === null) return { kind: "anyone" };
  const adminKey = config.DISPATCHER_ADMIN_KEY;
  if (adminKey !== undefined && isSameSecret(key, adminKey)) return { kind: "admin", who: "DISPATCHER_ADMIN_KEY" };

  if (isNodeKey(key)) {
    const hash = hashSecret(key);
    const node = (await find({ kind: "node key", hash })).nodeByHash.get(hexOf(hash));
    if (node === undefined) throw invalid("This node's key is not known here.");
    return asNode(node);
  }

  const made = parseKey(key);
  if (made !== null) {
    const found = (await find({ kind: "key", id: made.id })).keyById.get(made.id);
    // Whether there is a key of this id is told to those alone who have its secret.
    if (found === undefined || !hasHash(made.secret, found.secretHash)) throw invalid("This key is not known here.");
    if (found.isRevoked) throw new DispatcherError("KEY_REVOKED", `Key ${made.id} has been revoked.`);
    if (found.isExpired) throw new DispatcherError("KEY_EXPIRED", `Key ${made.id} is past its time.`);
    const actor = asHolder(found);
    if (found.isUseDue) noteUse(made.id);
    return actor;
  }

  if (!/^[\w-]+\.[\w-]+\.[\w-]*$/.test(key)) throw invalid("This is no key of a Dispatcher.");
  if (verifyJwt === null) throw invalid("Tokens of other issuers are not taken here.");
  const { role, who, operator } = await verifyJwt(key);
  if (role !== "operator") return { kind: role, who };
  const operatorId = (await find({ kind: "operator", name: operator })).operatorIdByName.get(operator);
  if (operatorId === undefined) throw invalid(`The operator "${operator}" of this token is not known here.`);
  return { kind: "operator", who, operatorId };
}
