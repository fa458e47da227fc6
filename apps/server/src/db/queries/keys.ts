import type { KeyId, NodeId, NodeLife, OperatorId } from "@dispatcher/core";
import type { Sql } from "../database.ts";

/** What a key lets its bearer do; see `docs/security.md`. */
export const KEY_ROLES = ["admin", "operator", "node", "viewer"] as const;
export type KeyRole = (typeof KEY_ROLES)[number];

/** What is looked for to learn who calls: by a node's key, by the id in a key that was made, or by an operator's name. */
export type Sought =
  | { readonly kind: "node key"; readonly hash: Buffer }
  | { readonly kind: "key"; readonly id: KeyId }
  | { readonly kind: "operator"; readonly name: string };

export type FoundNode = { readonly nodeId: NodeId; readonly operatorId: OperatorId; readonly life: NodeLife };

export type FoundKey = {
  readonly id: KeyId;
  readonly secretHash: Buffer;
  readonly role: KeyRole;
  /** Of an operator's key. */
  readonly operatorId: OperatorId | null;
  /** Of a node's. */
  readonly node: FoundNode | null;
  readonly isExpired: boolean;
  readonly isRevoked: boolean;
  /** Its last use is on record with an earlier minute. */
  readonly isUseDue: boolean;
};

export type Found = {
  readonly nodeByHash: ReadonlyMap<string, FoundNode>;
  readonly keyById: ReadonlyMap<KeyId, FoundKey>;
  readonly operatorIdByName: ReadonlyMap<string, OperatorId>;
};

/** A key's last use is written at most this often. Shorter: more writes. Longer: a forgotten key looks unused for longer. */
const USE_MS = 60_000;

/** How a hash is a key of a map. */
export function hexOf(hash: Buffer): string {
  return hash.toString("hex");
}

type FoundRow = {
  readonly hash: Buffer | null;
  readonly keyId: KeyId | null;
  readonly operator: string | null;
  readonly role: KeyRole | null;
  readonly operatorId: OperatorId | null;
  readonly nodeId: NodeId | null;
  readonly life: NodeLife | null;
  readonly isExpired: boolean;
  readonly isRevoked: boolean;
  readonly isUseDue: boolean;
};

/** All that are sought, in one statement, each by an index: this is asked for with every call that carries a key. */
export async function findCallers(sql: Sql, sought: readonly Sought[]): Promise<Found> {
  const hashes = sought.flatMap((one) => (one.kind === "node key" ? [one.hash] : []));
  const ids = [...new Set(sought.flatMap((one) => (one.kind === "key" ? [one.id] : [])))];
  const names = [...new Set(sought.flatMap((one) => (one.kind === "operator" ? [one.name] : [])))];
  const rows = await sql<FoundRow[]>`
    select key_hash as hash, null as "keyId", null as operator, 'node' as role, operator_id::text as "operatorId",
           id::text as "nodeId", life, false as "isExpired", false as "isRevoked", false as "isUseDue"
      from nodes where key_hash = any(${hashes}::bytea[])
    union all
    select k.secret_hash, k.id::text, null, k.role, coalesce(k.operator_id, n.operator_id)::text, n.id::text, n.life,
           coalesce(k.expires_at <= now(), false), k.revoked_at is not null,
           coalesce(k.last_used_at <= now() - ${USE_MS} * interval '1 millisecond', true)
      from keys k left join nodes n on n.id = k.node_id where k.id = any(${ids}::bigint[])
    union all
    select null, null, name, null, id::text, null, null, false, false, false
      from operators where name = any(${names}::text[])`;
  const nodeByHash = new Map<string, FoundNode>();
  const keyById = new Map<KeyId, FoundKey>();
  const operatorIdByName = new Map<string, OperatorId>();
  for (const { hash, keyId, operator, role, operatorId, nodeId, life, ...state } of rows) {
    const node = nodeId === null || operatorId === null || life === null ? null : { nodeId, operatorId, life };
    if (operator !== null && operatorId !== null) operatorIdByName.set(operator, operatorId);
    else if (keyId !== null && hash !== null && role !== null) {
      keyById.set(keyId, { id: keyId, secretHash: hash, role, operatorId, node, ...state });
    } else if (hash !== null && node !== null) nodeByHash.set(hexOf(hash), node);
  }
  return { nodeByHash, keyById, operatorIdByName };
}

/** Put down that these were used; those that another server has put down within the minute stay as they are. */
export async function recordKeyUse(sql: Sql, ids: readonly KeyId[]): Promise<void> {
  await sql`
    update keys set last_used_at = now()
     where id = any(${[...ids]}::bigint[])
       and coalesce(last_used_at <= now() - ${USE_MS} * interval '1 millisecond', true)`;
}

export type KeyToInsert = {
  readonly secretHash: Uint8Array;
  readonly role: KeyRole;
  readonly name: string;
  readonly operatorId: OperatorId | null;
  readonly nodeId: NodeId | null;
  readonly madeBy: string;
  /** Null for one without an end. */
  readonly lifeMs: number | null;
};

type MadeKey = { readonly id: KeyId; readonly expiresAtMs: number | null };

export async function insertKey(sql: Sql, key: KeyToInsert): Promise<MadeKey> {
  const [row] = await sql<[MadeKey]>`
    insert into keys (secret_hash, role, name, operator_id, node_id, made_by, expires_at)
    values (${key.secretHash}, ${key.role}, ${key.name}, ${key.operatorId}, ${key.nodeId}, ${key.madeBy},
            now() + ${key.lifeMs}::bigint * interval '1 millisecond')
    returning id::text as id, expires_at as "expiresAtMs"`;
  return row;
}

/** Whether there is, or ever was, a key for administrators. Asked under a lock that lets one server ask at a time. */
export async function hasAdminKeyEver(sql: Sql): Promise<boolean> {
  await sql`select from service_state for update`;
  const [row] = await sql<[{ found: boolean }]>`select exists (select from keys where role = 'admin') as found`;
  return row.found;
}

/** Whose a key is, locked for a change; null when there is none. */
export async function lockKey(sql: Sql, id: KeyId): Promise<{ readonly operatorId: OperatorId | null } | null> {
  const [row] = await sql<{ operatorId: OperatorId | null }[]>`
    select coalesce(k.operator_id, n.operator_id)::text as "operatorId"
      from keys k left join nodes n on n.id = k.node_id where k.id = ${id} for no key update of k`;
  return row ?? null;
}

/** Revoke these; answers those that were not before. */
export async function revokeKeys(sql: Sql, ids: readonly KeyId[]): Promise<readonly KeyId[]> {
  const rows = await sql<{ id: KeyId }[]>`
    update keys set revoked_at = now() where id = any(${[...ids]}::bigint[]) and revoked_at is null
    returning id::text as id`;
  return rows.map(({ id }) => id);
}

/** All keys that were made for a node, but for revoked ones. */
export async function findKeysOfNode(sql: Sql, nodeId: NodeId): Promise<readonly KeyId[]> {
  const rows = await sql<{ id: KeyId }[]>`
    select id::text as id from keys where node_id = ${nodeId} and revoked_at is null order by id for no key update`;
  return rows.map(({ id }) => id);
}

/** Let a node's first key open nothing any more: `hash` is that of a secret nobody has. */
export async function replaceNodeKey(sql: Sql, nodeId: NodeId, hash: Uint8Array): Promise<void> {
  await sql`update nodes set key_hash = ${hash} where id = ${nodeId}`;
}

export type KeySummary = {
  readonly id: KeyId;
  readonly name: string;
  readonly role: KeyRole;
  readonly operator: string | null;
  readonly nodeId: NodeId | null;
  readonly node: string | null;
  readonly madeBy: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly lastUsedAtMs: number | null;
  readonly state: "valid" | "expired" | "revoked";
};

/** A page of keys by id, without their secrets; of one operator, its own and those of its nodes. */
export async function listKeySummaries(
  sql: Sql,
  page: {
    readonly operatorId: OperatorId | null;
    readonly all: boolean;
    readonly after: KeyId | null;
    readonly limit: number;
  },
): Promise<readonly KeySummary[]> {
  return sql<KeySummary[]>`
    select k.id::text as id, k.name, k.role, o.name as operator, k.node_id::text as "nodeId", n.name as node,
           k.made_by as "madeBy", k.created_at as "createdAtMs", k.expires_at as "expiresAtMs",
           k.revoked_at as "revokedAtMs", k.last_used_at as "lastUsedAtMs",
           case when k.revoked_at is not null then 'revoked' when k.expires_at <= now() then 'expired' else 'valid' end as state
      from keys k left join nodes n on n.id = k.node_id
      left join operators o on o.id = coalesce(k.operator_id, n.operator_id)
     where k.id > ${page.after ?? "0"}
       and (${page.operatorId}::bigint is null or o.id = ${page.operatorId})
       and (${page.all} or (k.revoked_at is null and coalesce(k.expires_at > now(), true)))
     order by k.id limit ${page.limit}`;
}
