/** The measure of all: two statements without any rule, from the driver that the server uses. */
import type { Database } from "../../src/db/database.ts";

export async function loadBare(db: Database, rows: number): Promise<void> {
  await db.sql.unsafe(`
    create table jobs (id bigint primary key, urgency double precision not null, state text not null, holder bigint,
                       leased_at timestamptz, ended_at timestamptz) with (fillfactor = 80)`);
  await db.sql`insert into jobs select n, 1.0 / n, 'queued' from generate_series(1, ${rows}::integer) n`;
  await db.sql.unsafe("create index jobs_queue on jobs (urgency desc, id) where state = 'queued'");
  await db.sql.unsafe("vacuum (analyze) jobs");
}

export async function claimBare(db: Database, count: number): Promise<readonly number[]> {
  const rows = await db.sql<{ id: number }[]>`
    with head as (
      select id from jobs where state = 'queued' order by urgency desc, id limit ${count} for update skip locked)
    update jobs set state = 'leased', holder = 1, leased_at = now() from head where jobs.id = head.id
    returning jobs.id`;
  return rows.map((row) => row.id);
}

export async function completeBare(db: Database, ids: readonly number[]): Promise<void> {
  await db.sql`
    update jobs set state = 'stored', ended_at = now() where id = any(${ids}::bigint[]) and state = 'leased'`;
}

/** Rows claimed and completed a second by so many loops. */
export async function bareRate(
  db: Database,
  { loops, perCall, forMs }: { readonly loops: number; readonly perCall: number; readonly forMs: number },
): Promise<number> {
  const begunAt = performance.now();
  let done = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() - begunAt < forMs) {
      const ids = await claimBare(db, perCall);
      if (ids.length === 0) throw new Error("The rows ran out: the rate would be wrong.");
      await completeBare(db, ids);
      done += ids.length;
    }
  };
  await Promise.all(Array.from({ length: loops }, loop));
  return (done / (performance.now() - begunAt)) * 1000;
}
