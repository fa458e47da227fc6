import { DEFAULT_VETTING } from "@dispatcher/core";
import { migrate } from "../../src/db/migrate.ts";
import { assembleDependencies } from "../../src/services/dependencies.ts";
import { createServices } from "../../src/services/index.ts";
import { log, openForLoading } from "./bench-postgres.ts";
import { loadCatalog } from "./catalog.ts";
import type { CatalogOptions } from "./catalog.ts";
import { config, joinFleet } from "./fleet.ts";
import type { FleetNode } from "./fleet.ts";
import type { Run } from "./run.ts";

export type DispatcherDatabase = {
  readonly name: string;
  readonly url: string;
  readonly nodes: readonly FleetNode[];
};

/** A migrated database with a catalog and a fleet, before any server has opened it. */
export async function prepareDatabase(
  { postgres, tell }: Run,
  name: string,
  { fleet, ...catalog }: CatalogOptions & { readonly fleet: number },
): Promise<DispatcherDatabase> {
  tell(`${name}: ${catalog.assets.toLocaleString("en")} assets`);
  const url = await postgres.create(name);
  await using db = openForLoading(url);
  await migrate(db, { log });
  await loadCatalog(db, catalog);
  const services = createServices(
    assembleDependencies({ db, config, log, vetting: DEFAULT_VETTING, random: Math.random }),
  );
  const nodes = await joinFleet(db, services, fleet);
  return { name, url, nodes };
}

/** As it is once autovacuum has been there and the checkpoint is over. */
export async function settle(url: string): Promise<void> {
  await using db = openForLoading(url);
  await db.sql.unsafe("vacuum (analyze)");
  await db.sql.unsafe("checkpoint");
}

/** Statistics as autovacuum leaves them a minute after work began; it vacuums nothing. */
export async function analyze(url: string): Promise<void> {
  await using db = openForLoading(url);
  await db.sql.unsafe("analyze");
}
