/** A database as it is before the rush: a catalog, nodes that have joined, a join token, an administrator. */
import { randomBytes } from "node:crypto";
import { DEFAULT_VETTING } from "@dispatcher/core";
import { migrate } from "../../src/db/migrate.ts";
import { ADMIN_COMMAND } from "../../src/services/authenticate.ts";
import { assembleDependencies } from "../../src/services/dependencies.ts";
import { createServices } from "../../src/services/index.ts";
import { log, openForLoading } from "../engine/bench-postgres.ts";
import { loadCatalog } from "../engine/catalog.ts";
import { SETTINGS, joinFleet } from "../engine/fleet.ts";
import { readConfig } from "../../src/config.ts";
import type { Cast } from "./mix.ts";

const ASSETS = 50_000;
/** Nodes for each sync of a second. One at work says one thing at a time, so it has to be answered within so many seconds. */
const NODES_PER_SYNC = 2;
const LANES = 16;
const DAY_MS = 86_400_000;
const USES_MAX = 10_000;

const { DISPATCHER_RATE_READS_PER_MINUTE: _r, DISPATCHER_RATE_WRITES_PER_MINUTE: _w, ...rest } = SETTINGS;
const { DISPATCHER_RATE_JOINS_PER_MINUTE: _j, ...engine } = rest;

/** Only what makes the fleet quick differs from a server's defaults: limits are those that it comes with. */
export const SERVER_SETTINGS = {
  ...engine,
  DISPATCHER_TRUSTED_PROXIES: "loopback",
  DISPATCHER_METRICS: "public",
  LOG_LEVEL: "INFO",
} as const;

export async function prepare(
  url: string,
  { idleSyncsPerS, workingSyncsPerS }: { readonly idleSyncsPerS: number; readonly workingSyncsPerS: number },
): Promise<Cast> {
  await using db = openForLoading(url);
  await migrate(db, { log });
  await loadCatalog(db, { assets: ASSETS });
  const config = readConfig(SERVER_SETTINGS);
  const services = createServices(
    assembleDependencies({ db, config, log, vetting: DEFAULT_VETTING, random: Math.random }),
  );
  const token = async (operator: string): Promise<string> => {
    const made = await services.createJoinToken({ operator, uses: USES_MAX, lifeMs: DAY_MS }, ADMIN_COMMAND);
    return made.joinToken;
  };
  const joinToken = await token("idlers");
  const idleKeys: string[] = [];
  const idleCount = Math.ceil(idleSyncsPerS * NODES_PER_SYNC);
  const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1e13 };
  let joining = 0;
  const lane = async (): Promise<void> => {
    while (joining < idleCount) {
      joining += 1;
      const { key } = await services.joinNode({ joinToken, name: `idle ${joining}`, ...facts }, null);
      idleKeys.push(key);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const working = await joinFleet(db, services, Math.ceil(workingSyncsPerS * NODES_PER_SYNC));
  await db.sql.unsafe("vacuum (analyze)");
  await db.sql.unsafe("checkpoint");
  return {
    adminKey: randomBytes(24).toString("base64url"),
    joinToken: await token("late comers"),
    idleKeys,
    workingKeys: working.map(({ key }) => key),
  };
}

/** Of these assignments, those that are not stored in the database. */
export async function notStored(url: string, ids: readonly string[]): Promise<readonly string[]> {
  await using db = openForLoading(url);
  const rows = await db.sql<{ id: string }[]>`
    select id from unnest(${[...ids]}::bigint[]) as sought(id)
     where not exists (select from assignments where assignments.id = sought.id and state = 'stored')`;
  return rows.map(({ id }) => id);
}
