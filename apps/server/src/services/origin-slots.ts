/**
 * The slots of origins. Every group of syncs needs the rows of the same few origins, so each transaction locks them last and
 * for the shortest time, when all else is written, and finds out then whether the slots it counted on are there.
 */
import { openSlots, takeSlots } from "@dispatcher/core";
import type { Origin, OriginId } from "@dispatcher/core";
import type { Database, Sql } from "../db/database.ts";
import { lockOrigins, readOrigins, updateOrigins } from "../db/queries/origins.ts";
import type { Dependencies } from "./dependencies.ts";
import { originBudgetOf } from "./settings.ts";

/** A change of an origin by a report. */
export type OriginChange = { readonly id: OriginId; readonly change: (origin: Origin) => Origin };

/** Slots that were counted on and are not there: others have them by now. It ends the transaction, which is tried anew. */
class SlotsMissing extends Error {
  readonly originIds: readonly OriginId[];

  constructor(originIds: readonly OriginId[]) {
    super(`Origins ${originIds.join(", ")} have fewer slots than was thought.`);
    this.originIds = originIds;
  }
}

/** How a transaction that takes slots of origins comes to know of them. */
export type SlotView = {
  /** In the first attempt what was decided is enough; later ones look at the origins again, which nobody locks for it. */
  readonly isFirst: boolean;
  /** Origins that nothing is taken of any more. */
  readonly without: ReadonlySet<OriginId>;
};

/**
 * Run a transaction that takes slots. Where some have gone by the time it locks their origins, all of it is done again with
 * what is there now, and after that without the origins that still have too few: so it ends after a few attempts, and one
 * is the rule.
 */
export async function transactionWithSlots<Result>(
  db: Database,
  work: (sql: Sql, view: SlotView) => Promise<Result>,
): Promise<Result> {
  const without = new Set<OriginId>();
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await db.transaction((sql) => work(sql, { isFirst, without }));
    } catch (error) {
      if (!(error instanceof SlotsMissing)) throw error;
      if (!isFirst) for (const id of error.originIds) without.add(id);
    }
  }
}

/** Origins as they are now, not locked, without those that nothing is taken of. */
export async function readOriginsInView(
  { config }: Dependencies,
  sql: Sql,
  ids: Iterable<OriginId>,
  { without }: SlotView,
): Promise<Map<OriginId, Origin>> {
  const wanted = [...new Set(ids)].filter((id) => !without.has(id));
  const rows = await readOrigins(sql, wanted, originBudgetOf(config));
  return new Map(rows.map(({ id, origin }) => [id, origin]));
}

/**
 * Lock origins, let come back what comes back, take the slots (one for each id in `taken`), and write them. The last of a
 * transaction. @throws SlotsMissing for {@link transactionWithSlots}
 */
export async function settleOrigins(
  { config }: Dependencies,
  sql: Sql,
  {
    changes,
    taken,
    nowMs,
  }: { readonly changes: readonly OriginChange[]; readonly taken: readonly OriginId[]; readonly nowMs: number },
): Promise<ReadonlyMap<OriginId, Origin>> {
  const countByOrigin = new Map<OriginId, number>();
  for (const id of taken) countByOrigin.set(id, (countByOrigin.get(id) ?? 0) + 1);
  const ids = new Set([...changes.map(({ id }) => id), ...countByOrigin.keys()]);
  const origins = new Map(await lockOrigins(sql, [...ids], originBudgetOf(config)));
  for (const { id, change } of changes) {
    const origin = origins.get(id);
    if (origin === undefined) throw new Error(`Origin ${id} is not there.`);
    origins.set(id, change(origin));
  }
  const missing: OriginId[] = [];
  for (const [id, count] of countByOrigin) {
    const origin = origins.get(id);
    if (origin === undefined || openSlots(origin, nowMs).slots < count) missing.push(id);
    else origins.set(id, takeSlots(origin, count, nowMs));
  }
  if (missing.length > 0) throw new SlotsMissing(missing);
  await updateOrigins(sql, origins);
  return origins;
}
