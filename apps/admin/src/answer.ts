/**
 * How a command answers. What was asked for goes to standard output, in the form that was asked for; words go to standard error.
 * `table` is for people: sizes and ages in units. `json`, `ndjson` and `csv` are for programs: bytes and ms, as on the wire.
 */
import { stringify } from "csv-stringify/sync";
import { write } from "./io.ts";
import type { Io } from "./io.ts";
import { showTable } from "./table.ts";

export const OUTPUT_FORMATS = ["table", "json", "ndjson", "csv"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

type Cell = string | number | boolean | null;

export type Column<Row> = {
  /** Of the field, in CSV. */
  readonly name: string;
  /** Above the column, in a table; a column without one is in CSV alone. */
  readonly title?: string;
  /** By default the row's field of that name. */
  readonly value?: (row: Row) => Cell;
  /** In a table; by default the value. */
  readonly text?: (row: Row) => string | number;
};

export type Listing<Row> = {
  readonly columns: readonly Column<Row>[];
  /** What to say in a table's place when there is no row. */
  readonly none: string;
};

/** Pages of rows, as they come. */
export type Pages<Row> = AsyncIterable<readonly Row[]> | Iterable<readonly Row[]>;

export class Answer {
  readonly format: OutputFormat;
  readonly #io: Io;

  constructor(io: Io, format: OutputFormat) {
    this.#io = io;
    this.format = format;
  }

  /** How wide a table may be; null where it goes to a file or a pipe. */
  get columns(): number | null {
    const { isTTY, columns } = this.#io.stdout;
    return isTTY === true && columns !== undefined && columns > 0 ? columns : null;
  }

  /** Words for people, in every format. */
  say(text: string): void {
    this.#io.stderr.write(`${text}\n`);
  }

  async #write(text: string): Promise<void> {
    await write(this.#io.stdout, text, this.#io.signal);
  }

  /** Rows. All formats but `table` are written page by page. */
  async list<Row extends object>({ columns, none }: Listing<Row>, pages: Pages<Row>): Promise<void> {
    if (this.format === "table") {
      const shown = columns.filter(({ title }) => title !== undefined);
      const rows: (string | number)[][] = [];
      for await (const page of pages) rows.push(...page.map((row) => shown.map((column) => textOf(column, row))));
      if (rows.length === 0) this.say(none);
      else {
        const head = shown.map(({ title = "" }) => title);
        await this.#write(`${showTable(head, rows, this.columns)}\n`);
      }
      return;
    }
    const lines = new Lines(this.format, columns);
    for await (const page of pages) await this.#write(lines.of(page));
    await this.#write(lines.end());
  }

  /** Rows that go on coming: a line each, at once. */
  async follow<Row extends object>(
    { columns }: Pick<Listing<Row>, "columns">,
    pages: Pages<Row>,
    lineOf: (row: Row) => string,
  ): Promise<void> {
    const lines = new Lines(this.format, columns);
    for await (const page of pages) {
      const text = this.format === "table" ? page.map((row) => `${lineOf(row)}\n`).join("") : lines.of(page);
      await this.#write(text);
    }
  }

  /** One thing. CSV is a row of its fields, those within others named with dots. */
  async one(data: object, text: string): Promise<void> {
    if (this.format === "table") await this.#write(`${text}\n`);
    else if (this.format === "csv") {
      const fields = flatten(data);
      await this.#write(stringify([fields.map(([name]) => name), fields.map(([, value]) => value)], CSV));
    } else await this.#write(`${JSON.stringify(data)}\n`);
  }
}

/** True and false as words: by itself the library writes 1 and nothing. */
const CSV = { cast: { boolean: String } } as const;

function valueOf<Row extends object>({ name, value }: Column<Row>, row: Row): Cell {
  return value === undefined ? ((row as Record<string, Cell | undefined>)[name] ?? null) : value(row);
}

function textOf<Row extends object>(column: Column<Row>, row: Row): string | number {
  return column.text?.(row) ?? String(valueOf(column, row) ?? "");
}

/** Rows as text for programs, over any number of pages. */
class Lines<Row extends object> {
  readonly #format: OutputFormat;
  readonly #columns: readonly Column<Row>[];
  #isFirst = true;

  constructor(format: OutputFormat, columns: readonly Column<Row>[]) {
    this.#format = format;
    this.#columns = columns;
  }

  #head(): string {
    if (!this.#isFirst) return "";
    this.#isFirst = false;
    if (this.#format === "json") return "[";
    return this.#format === "csv" ? stringify([this.#columns.map(({ name }) => name)]) : "";
  }

  of(rows: readonly Row[]): string {
    if (rows.length === 0) return "";
    if (this.#format === "ndjson") return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    if (this.#format === "csv") {
      const head = this.#head();
      return (
        head +
        stringify(
          rows.map((row) => this.#columns.map((column) => valueOf(column, row))),
          CSV,
        )
      );
    }
    const comma = this.#isFirst ? "" : ",";
    return this.#head() + comma + rows.map((row) => JSON.stringify(row)).join(",");
  }

  end(): string {
    return this.#head() + (this.#format === "json" ? "]\n" : "");
  }
}

/** `{ a: { b: 1 } }` as `a.b`, 1; a list as its JSON. */
function flatten(data: object, prefix = ""): [string, Cell][] {
  return Object.entries(data).flatMap(([name, value]: [string, unknown]): [string, Cell][] => {
    const path = `${prefix}${name}`;
    if (Array.isArray(value)) return [[path, JSON.stringify(value)]];
    if (typeof value === "object" && value !== null) return flatten(value, `${path}.`);
    return [[path, (value ?? null) as Cell]];
  });
}
