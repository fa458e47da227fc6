import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_VETTING } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import { pino } from "pino";
import { readConfig } from "../src/config.ts";
import { openDatabase } from "../src/db/database.ts";
import type { Database } from "../src/db/database.ts";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";
import { migrate } from "../src/db/migrate.ts";
import { createServices } from "../src/services/index.ts";

export const name = "sync";
export const about =
  "claim 100 and give back 100 through node.sync's service, against two bare SQL statements; and in a large catalog against a small one";

const AT_ONCE = 100;
const SMALL = 1_000;
const LARGE = 200_000;

const log = pino({ level: "silent" });
const config = readConfig({
  DISPATCHER_ORIGIN_CONCURRENCY: "1000",
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: "1000000",
  DISPATCHER_LEASE_HORIZON_MS: "31536000000",
});

type Cycle = () => Promise<void>;

/** A dispatcher with so many assets and one node; answers a cycle of claiming and giving back. */
async function prepare(db: Database, assets: number): Promise<Cycle> {
  await migrate(db, { log });
  const services = createServices({ db, config, log, vetting: DEFAULT_VETTING, random: Math.random });
  await db.sql`
    insert into datasets (key, priority, copies_min, copies_target, copies_max) values ('d', 5, 2, 3, 5)`;
  await db.sql`
    insert into origins (host, requests_per_minute) values ('origin.example:443', 100000000)`;
  await db.sql`
    insert into assets (dataset_id, path, url, scheme, origin_id, size_bytes, places_left, urgency)
    select 1, 'f' || n, 'https://origin.example/f' || n, 'https', 1, 1000, 3, 3004500 + 1.0 / n
      from generate_series(1, ${assets}::integer) n`;
  await db.sql`analyze`;
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 });
  const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1e12 };
  const { nodeId } = await services.joinNode({ joinToken, name: "n", ...facts }, null);
  await db.sql`update nodes set quota = 1000`;
  const sync = (nodeIdOf: NodeId, said: object) =>
    services.syncNode({
      nodeId: nodeIdOf,
      network: null,
      input: { ...facts, freeBytes: 1e12, wants: 0, open: [], finished: [], failed: [], released: [], ...said },
    });
  return async () => {
    const { grants } = await sync(nodeId, { wants: AT_ONCE });
    if (grants.length !== AT_ONCE) throw new Error(`${grants.length} grants where ${AT_ONCE} were expected.`);
    const released = grants.map(({ assignmentId, term }) => ({ assignmentId, term, reason: "bench" }));
    await sync(nodeId, { released });
  };
}

/** The same work without any rule: take a hundred rows, give them back. */
async function prepareBare(db: Database): Promise<Cycle> {
  await db.sql`
    create table bare (id bigint primary key, urgency double precision not null, holder bigint) with (fillfactor = 80)`;
  await db.sql`insert into bare select n, 1.0 / n from generate_series(1, ${LARGE}::integer) n`;
  await db.sql`create index on bare (urgency desc, id) where holder is null`;
  await db.sql`analyze bare`;
  return async () => {
    const rows = await db.sql<{ id: number }[]>`
      with head as (select id from bare where holder is null order by urgency desc, id limit ${AT_ONCE} for update skip locked)
      update bare set holder = 1 from head where bare.id = head.id returning bare.id`;
    await db.sql`update bare set holder = null where id = any(${rows.map((row) => row.id)}::bigint[])`;
  };
}

export async function* cases() {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-bench-"));
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log });
  const open = async (database: string): Promise<Database> => {
    const admin = openDatabase({ url: postgres.url, applicationName: "bench", poolSize: 2, log });
    await admin.sql.unsafe(`create database ${database}`);
    await admin.close();
    const url = new URL(postgres.url);
    url.pathname = `/${database}`;
    return openDatabase({ url: url.href, applicationName: "bench", poolSize: 4, log });
  };
  const small = await open("small");
  const large = await open("large");
  const bare = await open("bare");
  try {
    const inSmall = await prepare(small, SMALL);
    const inLarge = await prepare(large, LARGE);
    yield { label: `${AT_ONCE} a call / bare SQL`, subject: inLarge, baseline: await prepareBare(bare) };
    yield { label: `${LARGE} assets / ${SMALL} assets`, subject: inLarge, baseline: inSmall };
  } finally {
    await Promise.all([small.close(), large.close(), bare.close()]);
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
