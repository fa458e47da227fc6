import type { z } from "zod";
import { listJoinTokenSummaries } from "../db/queries/tokens.ts";
import type { TokenListInput, TokenListOutput } from "../wire/token.ts";
import type { Dependencies } from "./dependencies.ts";
import { scopeOf } from "./rights.ts";
import type { Manager } from "./rights.ts";

/** A page of join tokens by id, without their secrets: all, or an operator's own. */
export async function listJoinTokens(
  { db }: Dependencies,
  { all, after, limit }: z.output<typeof TokenListInput>,
  manager: Manager,
): Promise<z.output<typeof TokenListOutput>> {
  const page = { operatorId: scopeOf(manager), all, after: after ?? null, limit: limit + 1 };
  const found = await listJoinTokenSummaries(db.sql, page);
  const tokens = found.slice(0, limit);
  return { tokens, next: found.length > limit ? (tokens.at(-1)?.id ?? null) : null };
}
