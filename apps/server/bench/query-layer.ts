/**
 * Which way to send SQL: the claims of 1 and of 100 rows, sent by each contender in turn, in one run, on a PostgreSQL of
 * its own. Prints medians of the rounds and their ratio to the first contender; machines drift, ratios stay.
 *
 *   node apps/server/bench/query-layer.ts
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kysely, PostgresDialect, sql as fragment } from "kysely";
import { Pool } from "pg";
import postgres from "postgres";
import { openDatabase } from "../src/db/database.ts";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";

const ROUNDS = 3;
const MEASURE_MS = 1_000;
const CONNECTIONS = 4;
const ROWS = 250_000;

type Jobs = { jobs: { id: string; state: string; size: string; leased_at: Date | null } };
type Contender = AsyncDisposable & {
  readonly name: string;
  /** Claim so many rows; answers how many it got. */
  claim(count: number): Promise<number>;
};

const log = { info: () => {}, warn: () => {} };

function ourDatabase(url: string): Contender {
  // A third of a pool is for statements on their own.
  const db = openDatabase({ url, applicationName: "bench", poolSize: CONNECTIONS * 3, log });
  return {
    name: "postgres.js behind db.sql",
    claim: async (count) =>
      (
        await db.sql`
          update jobs set state = 'leased', leased_at = now()
           where id in (select id from jobs where state = 'queued' order by id limit ${count} for update skip locked)
          returning id, size`
      ).length,
    [Symbol.asyncDispose]: () => db.close(),
  };
}

function bareDriver(url: string): Contender {
  const sql = postgres(url, { max: CONNECTIONS, onnotice: () => {} });
  return {
    name: "postgres.js bare",
    claim: async (count) =>
      (
        await sql`
          update jobs set state = 'leased', leased_at = now()
           where id in (select id from jobs where state = 'queued' order by id limit ${count} for update skip locked)
          returning id, size`
      ).length,
    [Symbol.asyncDispose]: () => sql.end(),
  };
}

function pgNamed(url: string): Contender {
  const pool = new Pool({ connectionString: url, max: CONNECTIONS });
  const text = `
    update jobs set state = 'leased', leased_at = now()
     where id in (select id from jobs where state = 'queued' order by id limit $1 for update skip locked)
    returning id, size`;
  return {
    name: "pg, named statements",
    claim: async (count) => (await pool.query({ name: "claim", text, values: [count] })).rows.length,
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

function kyselyOnPg(url: string): Contender {
  const db = new Kysely<Jobs>({
    dialect: new PostgresDialect({ pool: new Pool({ connectionString: url, max: CONNECTIONS }) }),
  });
  return {
    name: "kysely on pg",
    claim: async (count) => {
      const rows = await db
        .updateTable("jobs")
        .set({ state: "leased", leased_at: fragment<Date>`now()` })
        .where("id", "in", (query) =>
          query
            .selectFrom("jobs")
            .select("id")
            .where("state", "=", "queued")
            .orderBy("id")
            .limit(count)
            .forUpdate()
            .skipLocked(),
        )
        .returning(["id", "size"])
        .execute();
      return rows.length;
    },
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

/** Rows a second that `callers` loops claim, `count` at a time. */
async function measure(contender: Contender, count: number, callers: number): Promise<number> {
  let claimed = 0;
  const begunAt = performance.now();
  const loop = async (): Promise<void> => {
    while (performance.now() - begunAt < MEASURE_MS) {
      const got = await contender.claim(count);
      if (got === 0) throw new Error("The rows ran out: the rate would be wrong.");
      claimed += got;
    }
  };
  await Promise.all(Array.from({ length: callers }, loop));
  return (claimed / (performance.now() - begunAt)) * 1000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

const dataDir = await mkdtemp(join(tmpdir(), "dispatcher-bench-"));
try {
  await using cluster = await startEmbeddedPostgres({ dataDir, log });
  await using admin = openDatabase({ url: cluster.url, applicationName: "bench", poolSize: 2, log });
  await admin.sql.unsafe(`
    create table jobs (id bigint primary key, state text not null, size bigint not null, leased_at timestamptz);
    create index jobs_queued on jobs (id) where state = 'queued'`);
  const refill = async (): Promise<void> => {
    await admin.sql`truncate jobs`;
    await admin.sql`insert into jobs select id, 'queued', id * 1000 from generate_series(1, ${ROWS}) id`;
    await admin.sql`vacuum (analyze) jobs`;
  };
  await using stack = new AsyncDisposableStack();
  const contenders = [ourDatabase, bareDriver, pgNamed, kyselyOnPg].map((open) => stack.use(open(cluster.url)));
  for (const { count, callers } of [
    { count: 1, callers: 16 },
    { count: 100, callers: 2 },
  ]) {
    const rates = new Map(contenders.map((contender) => [contender, [] as number[]]));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [contender, found] of rates) {
        await refill();
        // Connections open and statements prepared before the clock runs.
        await Promise.all(Array.from({ length: CONNECTIONS * 4 }, () => contender.claim(1)));
        found.push(await measure(contender, count, callers));
      }
    }
    const [first = 1] = [...rates.values()].map(median);
    console.log(`\nclaims of ${count}, ${callers} callers, ${CONNECTIONS} connections`);
    for (const [{ name }, found] of rates) {
      const rate = median(found);
      console.log(
        `  ${name.padEnd(28)} ${Math.round(rate).toLocaleString("en").padStart(8)} rows/s   ${(rate / first).toFixed(2)}`,
      );
    }
  }
} finally {
  await rm(dataDir, { recursive: true, force: true });
}
