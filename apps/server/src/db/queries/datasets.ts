import type { CopyRange, DatasetId, Priority } from "@dispatcher/core";
import type { Sql } from "../database.ts";

export type Dataset = {
  readonly id: DatasetId;
  readonly key: string;
  readonly title: string | null;
  readonly sourceUrl: string | null;
  readonly priority: Priority;
  readonly copies: CopyRange;
  readonly createdAtMs: number;
};

type DatasetColumns = Omit<Dataset, "copies"> & CopyRange;

function toDataset({ min, target, max, ...rest }: DatasetColumns): Dataset {
  return { ...rest, copies: { min, target, max } };
}

const columns = (sql: Sql) => sql`
  id::text as id, key, title, source_url as "sourceUrl", priority, copies_min as min, copies_target as target,
  copies_max as max, created_at as "createdAtMs"`;

/** By key, from behind the one named. */
export async function listDatasetsAfter(sql: Sql, after: string | null, limit: number): Promise<readonly Dataset[]> {
  const rows = await sql<DatasetColumns[]>`
    select ${columns(sql)} from datasets where ${after}::text is null or key > ${after} order by key limit ${limit}`;
  return rows.map(toDataset);
}

export async function findDatasetByKey(
  sql: Sql,
  key: string,
  { lock }: { readonly lock: boolean } = { lock: false },
): Promise<Dataset | null> {
  const [row] = await sql<DatasetColumns[]>`
    select ${columns(sql)} from datasets where key = ${key} ${lock ? sql`for no key update` : sql``}`;
  return row === undefined ? null : toDataset(row);
}

/** Write the wishes of a locked dataset. */
export async function updateDatasetWishes(
  sql: Sql,
  { id, priority, copies }: Pick<Dataset, "id" | "priority" | "copies">,
): Promise<void> {
  await sql`
    update datasets set priority = ${priority}, copies_min = ${copies.min}, copies_target = ${copies.target},
           copies_max = ${copies.max}
     where id = ${id}`;
}
