import type { z } from "zod";
import { listKeySummaries } from "../db/queries/keys.ts";
import type { KeyListInput, KeyListOutput } from "../wire/key.ts";
import type { Dependencies } from "./dependencies.ts";
import { scopeOf } from "./rights.ts";
import type { Manager } from "./rights.ts";

/** A page of keys by id, without their secrets: all, or an operator's own and those of its nodes. */
export async function listKeys(
  { db }: Dependencies,
  { all, after, limit }: z.output<typeof KeyListInput>,
  manager: Manager,
): Promise<z.output<typeof KeyListOutput>> {
  const page = { operatorId: scopeOf(manager), all, after: after ?? null, limit: limit + 1 };
  const found = await listKeySummaries(db.sql, page);
  const keys = found.slice(0, limit);
  return { keys, next: found.length > limit ? (keys.at(-1)?.id ?? null) : null };
}
