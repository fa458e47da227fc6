/** What coordinators do to an origin. Its row is locked, as it is by every grant: so the next grant anywhere knows. */
import { changeBudget } from "@dispatcher/core";
import type { Origin } from "@dispatcher/core";
import type { z } from "zod";
import type { Sql } from "../db/database.ts";
import { appendEvents } from "../db/queries/events.ts";
import { findOriginByHost, setOriginBudget, setOriginPaused } from "../db/queries/origin-admin.ts";
import type { NamedOrigin } from "../db/queries/origin-admin.ts";
import { lockOrigins, updateOrigins } from "../db/queries/origins.ts";
import type { OriginBudgetInput, OriginPauseInput, OriginView } from "../wire/origin.ts";
import { eventOf } from "./act.ts";
import type { Actor } from "./authenticate.ts";
import type { Dependencies } from "./dependencies.ts";
import { refuseOrigin } from "./find-assets.ts";
import { viewOrigins } from "./list-origins.ts";
import { originBudgetOf } from "./settings.ts";

type View = z.output<typeof OriginView>;

/** Lock the origin, change it, and tell how it stands then. */
async function changeOrigin(
  dependencies: Dependencies,
  host: string,
  change: (sql: Sql, named: NamedOrigin, origin: Origin) => Promise<void>,
): Promise<View> {
  return dependencies.db.transaction(async (sql) => {
    const found = await findOriginByHost(sql, host);
    if (found === null) refuseOrigin(host);
    const origin = (await lockOrigins(sql, [found.id], originBudgetOf(dependencies.config))).get(found.id);
    const named = await findOriginByHost(sql, host);
    if (origin === undefined || named === null) refuseOrigin(host);
    await change(sql, named, origin);
    const [view] = await viewOrigins(dependencies, sql, [(await findOriginByHost(sql, host)) ?? named]);
    return view ?? refuseOrigin(host);
  });
}

/**
 * Leave an origin alone, or let it go on: from the commit on no server grants a fetch from it. Leases that are open keep
 * their slots and go on. Doing it again changes nothing. @throws DispatcherError ORIGIN_UNKNOWN
 */
export function pauseOrigin(
  dependencies: Dependencies,
  { host, reason }: z.output<typeof OriginPauseInput>,
  { paused, actor }: { readonly paused: boolean; readonly actor: Actor },
): Promise<View> {
  return changeOrigin(dependencies, host, async (sql, { id }, origin) => {
    if (origin.paused === paused) return;
    await setOriginPaused(sql, id, paused);
    const kind = paused ? "origin.paused" : "origin.resumed";
    await appendEvents(sql, [eventOf({ actor, reason }, kind, { detail: { originId: id, host } })]);
  });
}

/**
 * Give an origin a budget of its own, or with null the servers' again. A lower one grants nothing until enough of what is
 * open has ended. Doing it again changes nothing. @throws DispatcherError ORIGIN_UNKNOWN
 */
export function setBudget(
  dependencies: Dependencies,
  { host, budget, reason }: z.output<typeof OriginBudgetInput>,
  actor: Actor,
): Promise<View> {
  return changeOrigin(dependencies, host, async (sql, { id, isDefault }, origin) => {
    const { concurrencyMax, requestsPerMinute } = budget ?? originBudgetOf(dependencies.config);
    const isSame =
      origin.budget.concurrencyMax === concurrencyMax && origin.budget.requestsPerMinute === requestsPerMinute;
    if (isSame && isDefault === (budget === null)) return;
    await setOriginBudget(sql, id, budget);
    await updateOrigins(sql, new Map([[id, changeBudget(origin, { concurrencyMax, requestsPerMinute })]]));
    const { concurrencyMax: beforeMax, requestsPerMinute: beforePerMinute } = origin.budget;
    const before = isDefault ? null : { concurrencyMax: beforeMax, requestsPerMinute: beforePerMinute };
    const detail = { originId: id, host, before, after: budget };
    await appendEvents(sql, [eventOf({ actor, reason }, "origin.budgeted", { detail })]);
  });
}
