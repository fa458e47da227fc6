import { openSlots } from "@dispatcher/core";
import type { Origin } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { findOriginByHost, listOriginsAfter } from "../db/queries/origin-admin.ts";
import type { NamedOrigin } from "../db/queries/origin-admin.ts";
import { readOrigins } from "../db/queries/origins.ts";
import { readDatabaseTime } from "../db/queries/service-state.ts";
import type { OriginGetInput, OriginListInput, OriginListOutput, OriginView } from "../wire/origin.ts";
import { fromCursor, toCursor } from "./cursor.ts";
import type { Dependencies } from "./dependencies.ts";
import { refuseOrigin } from "./find-assets.ts";
import { originBudgetOf } from "./settings.ts";

type View = z.output<typeof OriginView>;

function toView({ id, host, isDefault }: NamedOrigin, origin: Origin, nowMs: number): View {
  const { slots, retryAfterMs } = openSlots(origin, nowMs);
  const { budget, paused, concurrency, inUse, closedUntilMs, failures } = origin;
  const { concurrencyMax, requestsPerMinute } = budget;
  const isClosed = closedUntilMs !== null && closedUntilMs > nowMs;
  return {
    id,
    host,
    budget: { concurrencyMax, requestsPerMinute, isDefault },
    paused,
    concurrency,
    inUse,
    closedUntilMs: isClosed ? Math.ceil(closedUntilMs) : null,
    failures,
    openSlots: slots,
    retryAfterMs: Math.ceil(retryAfterMs),
  };
}

/** Origins with their names as they stand now. */
export async function viewOrigins(
  { config }: Pick<Dependencies, "config">,
  sql: Sql,
  named: readonly NamedOrigin[],
): Promise<View[]> {
  const ids = named.map(({ id }) => id);
  const stored = new Map((await readOrigins(sql, ids, originBudgetOf(config))).map(({ id, origin }) => [id, origin]));
  const nowMs = await readDatabaseTime(sql);
  return named.flatMap((one) => {
    const origin = stored.get(one.id);
    return origin === undefined ? [] : [toView(one, origin, nowMs)];
  });
}

/** A page of origins by host. @throws DispatcherError INPUT_INVALID for a cursor of another list */
export async function listOrigins(
  dependencies: Dependencies,
  { paused, limit, after }: z.output<typeof OriginListInput>,
): Promise<z.output<typeof OriginListOutput>> {
  const { sql } = dependencies.db;
  const place =
    after === undefined
      ? null
      : fromCursor(after, ([host, ...rest]) => (typeof host === "string" && rest.length === 0 ? host : null));
  const read = await listOriginsAfter(sql, { after: place, paused: paused ?? null, limit: limit + 1 });
  const page = read.slice(0, limit);
  const last = page.at(-1);
  return {
    origins: await viewOrigins(dependencies, sql, page),
    next: read.length > limit && last !== undefined ? toCursor([last.host]) : null,
  };
}

/** One origin as it stands. @throws DispatcherError ORIGIN_UNKNOWN */
export async function getOrigin(dependencies: Dependencies, { host }: z.output<typeof OriginGetInput>): Promise<View> {
  const { sql } = dependencies.db;
  const named = await findOriginByHost(sql, host);
  const [view] = named === null ? [] : await viewOrigins(dependencies, sql, [named]);
  return view ?? refuseOrigin(host);
}
