/**
 * The whole state of a dispatcher, table by table, for export and import. Tables and columns come from PostgreSQL's own
 * catalog, so that what a later migration adds is exported without a word here.
 */
import type { Sql } from "../database.ts";

export type StateTable = {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly isIdentity: boolean }[];
  /** Columns whose order is that of the rows. */
  readonly order: readonly string[];
  /** Its rows are there from the first migration on: what was exported is written into them. */
  readonly isMerged: boolean;
};

/**
 * What tells of the servers and not of the rescue: which one sweeps, and when one last did. Whoever imports begins a new
 * mercy, and the next server says the rest.
 */
const LEFT_BEHIND: ReadonlySet<string> = new Set([
  "service_state.alive_at",
  "service_state.mercy_until",
  "service_state.sweeper",
  "service_state.sweeper_until",
]);

/**
 * Numbers of transactions count within one PostgreSQL cluster and mean nothing in another. The column's default gives such
 * rows the number of the transaction that imports them, so that every reader of the log takes them for news of that moment.
 */
const TRANSACTION_TYPES: ReadonlySet<string> = new Set(["xid", "xid8"]);

type CatalogRow = {
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly isIdentity: boolean;
    readonly isGenerated: boolean;
  }[];
  readonly key: readonly string[];
  readonly needs: readonly string[];
};

/** Every table with something that has to last, each behind those its rows refer to. */
export async function readStateTables(sql: Sql): Promise<readonly StateTable[]> {
  const rows = await sql<CatalogRow[]>`
    select c.relname as name,
           (select jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                                'isIdentity', a.attidentity <> '', 'isGenerated', a.attgenerated <> '')
                             order by a.attnum)
              from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
           coalesce((select jsonb_agg(a.attname order by k.place)
                       from pg_index i cross join unnest(i.indkey::smallint[]) with ordinality as k(number, place)
                       join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
                      where i.indrelid = c.oid and i.indisprimary), '[]') as key,
           coalesce((select jsonb_agg(distinct r.relname) from pg_constraint f join pg_class r on r.oid = f.confrelid
                      where f.conrelid = c.oid and f.contype = 'f' and r.oid <> c.oid), '[]') as needs
      from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and c.relname <> 'schema_migrations'
       and not exists (select from pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by c.relname`;
  return inOrderOfNeed(rows).flatMap((row) => {
    const columns = row.columns
      .filter(
        ({ name, type, isGenerated }) =>
          !isGenerated && !TRANSACTION_TYPES.has(type) && !LEFT_BEHIND.has(`${row.name}.${name}`),
      )
      .map(({ name, type, isIdentity }) => ({ name, type, isIdentity }));
    const isMerged = row.name === "service_state";
    if (isMerged && columns.every(({ name }) => row.key.includes(name))) return [];
    const identity = columns.filter((column) => column.isIdentity).map(({ name }) => name);
    const all = columns.map(({ name }) => name);
    const order = [row.key, identity, all].find(({ length }) => length > 0) ?? [];
    return [{ name: row.name, columns, order, isMerged }];
  });
}

/**
 * Each table behind all that it needs, else by name; those that no constraint ties to another come last, as assignments
 * and events, which speak of all the others. A ring of needs would be a fault of the schema.
 */
function inOrderOfNeed(rows: readonly CatalogRow[]): readonly CatalogRow[] {
  const needed = new Set(rows.flatMap(({ needs }) => needs));
  const isApart = ({ name, needs }: CatalogRow): boolean => needs.length === 0 && !needed.has(name);
  const ordered = new Map<string, CatalogRow>();
  let waiting = rows.filter((row) => !isApart(row));
  while (waiting.length > 0) {
    const ready = waiting.filter(({ needs }) => needs.every((need) => ordered.has(need)));
    if (ready.length === 0)
      throw new Error(`Tables refer to each other: ${waiting.map(({ name }) => name).join(", ")}.`);
    for (const row of ready) ordered.set(row.name, row);
    waiting = waiting.filter(({ name }) => !ordered.has(name));
  }
  return [...ordered.values(), ...rows.filter(isApart)];
}

/** The last migration that this database has. */
export async function readSchemaName(sql: Sql): Promise<string> {
  const [row] = await sql<[{ name: string }]>`select name from schema_migrations order by version desc limit 1`;
  return row.name;
}

export async function readDatabaseName(sql: Sql): Promise<string> {
  const [row] = await sql<[{ name: string }]>`select current_database() as name`;
  return row.name;
}

/** Whether a server has said within the last seconds that it sweeps here. */
export async function isServed(sql: Sql): Promise<boolean> {
  const [row] = await sql<
    [{ isServed: boolean }]
  >`select sweeper_until > clock_timestamp() as "isServed" from service_state`;
  return row.isServed;
}

/**
 * Make this transaction the reader of one moment, which only reads and may take its time. Tables are locked first, against
 * changes of their form alone: what could be refused is refused before the first row.
 */
export async function beginReading(sql: Sql): Promise<readonly StateTable[]> {
  await sql`set transaction read only`;
  await sql`set local idle_in_transaction_session_timeout = 0`;
  // All forms of text that could differ between sessions and lose something.
  await sql`set local timezone = 'UTC'`;
  await sql`set local datestyle = 'ISO, YMD'`;
  await sql`set local intervalstyle = 'postgres'`;
  await sql`set local bytea_output = 'hex'`;
  await sql`set local extra_float_digits = 1`;
  const tables = await readStateTables(sql);
  await sql.unsafe(`lock table ${tables.map(({ name }) => quoted(name)).join(", ")} in access share mode`);
  return tables;
}

/** The rows of a table as JSON objects whose values are text or null, in their order, `batch` at a time. */
export async function* readStateRows(
  sql: Sql,
  { name, columns, order }: StateTable,
  batch: number,
): AsyncGenerator<readonly string[]> {
  const texts = columns.map((column) => `t.${quoted(column.name)}::text as ${quoted(column.name)}`).join(", ");
  const by = order.map((column) => `t.${quoted(column)}`).join(", ");
  await sql.unsafe(
    `declare state_rows no scroll cursor for
     select row_to_json(r)::text as row from (select ${texts} from ${quoted(name)} t order by ${by}) r`,
  );
  for (;;) {
    const rows = await sql.unsafe<{ row: string }[]>(`fetch ${batch} from state_rows`);
    if (rows.length > 0) yield rows.map(({ row }) => row);
    if (rows.length < batch) break;
  }
  await sql.unsafe("close state_rows");
}

/** Keep everyone else from writing until this transaction ends. @throws Error lock_not_available when that takes too long */
export async function lockForImport(sql: Sql, tables: readonly StateTable[], withinMs: number): Promise<void> {
  await sql`set local idle_in_transaction_session_timeout = 0`;
  await sql`select set_config('lock_timeout', ${String(withinMs)}, true)`;
  await sql.unsafe(`lock table ${tables.map(({ name }) => quoted(name)).join(", ")} in exclusive mode`);
}

/** The tables that have rows which an import would meet. */
export async function findFilledTables(sql: Sql, tables: readonly StateTable[]): Promise<readonly string[]> {
  const filled: string[] = [];
  for (const { name, isMerged } of tables) {
    if (isMerged) continue;
    const rows = await sql.unsafe(`select from ${quoted(name)} limit 1`);
    if (rows.length > 0) filled.push(name);
  }
  return filled;
}

/** Store rows as they were read, ids included. */
export async function insertStateRows(
  sql: Sql,
  { name, columns, order, isMerged }: StateTable,
  rows: readonly unknown[],
): Promise<void> {
  const names = columns.map((column) => quoted(column.name));
  const values = columns.map((column) => `r.${quoted(column.name)}::${column.type}`);
  const texts = names.map((column) => `${column} text`).join(", ");
  const given = `json_to_recordset($1::text::json) as r(${texts})`;
  const text = isMerged
    ? `update ${quoted(name)} t set ${names.map((column, index) => `${column} = ${values[index]}`).join(", ")} from ${given}
        where ${columns.flatMap((column, index) => (order.includes(column.name) ? [`t.${names[index]} = ${values[index]}`] : [])).join(" and ")}`
    : `insert into ${quoted(name)} (${names.join(", ")}) overriding system value select ${values.join(", ")} from ${given}`;
  await sql.unsafe(text, [JSON.stringify(rows)]);
}

/**
 * Ids that are left out behind the greatest imported one. A backup is older than what happened since: an id that the old
 * database gave out meanwhile is known to some node, and must not come to mean another lease, file or node. Too small: a fleet
 * may have used up more of them in the weeks since. Too large: none of them may ever pass 2^53.
 */
const IDS_LEFT_OUT = 1_000_000_000;

/** Let each identity go on behind all ids that the old database may have given out. */
export async function setIdentities(sql: Sql, tables: readonly StateTable[]): Promise<void> {
  for (const { name, columns } of tables) {
    for (const column of columns.filter(({ isIdentity }) => isIdentity)) {
      await sql.unsafe(
        `select setval(pg_get_serial_sequence($1, $2), coalesce(max(${quoted(column.name)}), 0) + ${IDS_LEFT_OUT})
           from ${quoted(name)}`,
        [quoted(name), column.name],
      );
    }
  }
}

/** As when a server starts, but counted from this moment: the transaction may have begun long ago. */
export async function beginMercyNow(sql: Sql, mercyMs: number): Promise<void> {
  await sql`
    update service_state
       set mercy_until = greatest(mercy_until, clock_timestamp() + ${mercyMs} * interval '1 millisecond'),
           alive_at = clock_timestamp()`;
}

/** Plans for tables that were just filled would be those for empty ones. */
export async function analyzeTables(sql: Sql, tables: readonly StateTable[]): Promise<void> {
  await sql.unsafe(`analyze ${tables.map(({ name }) => quoted(name)).join(", ")}`);
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
