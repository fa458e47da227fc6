/** Catalogs by the million, written as an import would leave them, and quicker. */
import type { Database } from "../../src/db/database.ts";

/** What stands at the head of the queue and cannot be given out. */
export type Obstacle = "none" | "too big" | "saturated";

export type CatalogOptions = {
  readonly assets: number;
  /** The most urgent of them, so many, are the obstacle. */
  readonly obstacle?: Obstacle;
  readonly obstacles?: number;
};

/** A handful of large archives and a tail of small ones, as catalogs of the field have. */
export const ORIGINS = 16;
/** Hosts of their own for the files that nobody may fetch now. */
const SATURATED_ORIGINS = 8;
/** More than any node offers. */
const TOO_BIG_BYTES = 1e14;
const COPIES_TARGET = 3;

/**
 * Fill an empty, migrated database: one dataset of `assets` files with a SHA-256 each, over {@link ORIGINS} origins whose
 * budgets never stand in the way. Indexes are made after the rows; statistics are fresh at the end. The columns that
 * follow from an asset's holders are written as for an asset that nobody holds.
 */
export async function loadCatalog(
  db: Database,
  { assets, obstacle = "none", obstacles = 0 }: CatalogOptions,
): Promise<void> {
  const { sql } = db;
  await sql`
    insert into datasets (key, priority, copies_min, copies_target, copies_max) values ('d', 5, 2, ${COPIES_TARGET}, 5)`;
  await sql`
    insert into origins (host, concurrency_max, requests_per_minute)
    select 'origin-' || n || '.example:443', 1000000, 1000000000 from generate_series(1, ${ORIGINS}::integer) n`;
  if (obstacle === "saturated") {
    await sql`
      insert into origins (host, concurrency_max, requests_per_minute)
      select 'busy-' || n || '.example:443', 1, 1000000000 from generate_series(1, ${SATURATED_ORIGINS}::integer) n`;
  }
  await withoutIndexes(db, "assets", async () => {
    await sql`
      insert into assets (dataset_id, path, url, scheme, origin_id, size_bytes, digest_algorithm, digest_hex)
      select 1, 'f' || n, 'https://origin.example/f' || n, 'https',
             case when ${obstacle === "saturated"} and n <= ${obstacles}::integer
                  then ${ORIGINS}::integer + 1 + n % ${SATURATED_ORIGINS}::integer else 1 + n % ${ORIGINS}::integer end,
             case when ${obstacle === "too big"} and n <= ${obstacles}::integer
                  then ${TOO_BIG_BYTES}::bigint else 1000 + n % 1000 end,
             'sha256', encode(sha256(('f' || n)::bytea), 'hex')
        from generate_series(1, ${assets}::integer) n`;
  });
  await withoutIndexes(db, "standings", async () => {
    await sql`
      insert into standings (asset_id, origin_id, size_class, places_left, urgency)
      select id, origin_id, floor(ln(size_bytes + 1.0::double precision) / ln(2.0::double precision)),
             ${COPIES_TARGET}::integer, 3004500 + 1.0 / id
        from assets`;
  });
  await sql.unsafe("vacuum (analyze)");
  await sql.unsafe("checkpoint");
}

/** Rows first and indexes after: a tenth of the time, and the indexes as dense as an import in order leaves them. */
async function withoutIndexes(db: Database, table: string, load: () => Promise<void>): Promise<void> {
  const indexes = await db.sql<{ name: string; definition: string }[]>`
    select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
      from pg_index i left join pg_constraint c on c.conindid = i.indexrelid
     where i.indrelid = ${table}::regclass and c.oid is null`;
  for (const { name } of indexes) await db.sql.unsafe(`drop index ${name}`);
  await load();
  for (const { definition } of indexes) await db.sql.unsafe(definition);
}
