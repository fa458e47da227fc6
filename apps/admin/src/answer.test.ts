import { PassThrough, Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { Answer } from "./answer.ts";
import type { Column, OutputFormat } from "./answer.ts";
import type { Io } from "./io.ts";

type Row = { readonly id: string; readonly name: string | null; readonly bytes: number; readonly isOpen: boolean };

const COLUMNS: readonly Column<Row>[] = [
  { name: "id", title: "id" },
  { name: "name", title: "name" },
  { name: "bytes", title: "size", text: ({ bytes }) => `${bytes} B` },
  { name: "isOpen" },
];
const ROWS: readonly Row[] = [
  { id: "1", name: 'attic, "the old"', bytes: 1, isOpen: true },
  { id: "2", name: null, bytes: 20, isOpen: false },
  { id: "3", name: "two\nlines \u001B[31mred \u202Eback", bytes: 300, isOpen: true },
];

async function answered(
  format: OutputFormat,
  act: (answer: Answer) => Promise<void>,
  columns?: number,
): Promise<{ readonly out: string; readonly err: string }> {
  const written = { out: "", err: "" };
  const sink = (name: keyof typeof written): Writable =>
    new Writable({
      write: (chunk, _encoding, done) => {
        written[name] += String(chunk);
        done();
      },
    });
  const stdout = Object.assign(sink("out"), columns === undefined ? {} : { isTTY: true, columns });
  const signal = new AbortController().signal;
  const io: Io = { env: {}, folder: ".", stdin: new PassThrough(), stdout, stderr: sink("err"), signal };
  await act(new Answer(io, format));
  return written;
}

const list = (format: OutputFormat, pages: readonly (readonly Row[])[], columns?: number) =>
  answered(format, (answer) => answer.list({ columns: COLUMNS, none: "There is nothing." }, pages), columns);

describe("rows", () => {
  test("a table is for people, and nothing in it moves their cursor", async () => {
    expect(await list("table", [ROWS.slice(0, 2), ROWS.slice(2)])).toEqual({
      out:
        "id  name                      size\n" +
        '1   attic, "the old"          1 B\n' +
        "2                             20 B\n" +
        "3   two\uFFFDlines \uFFFD[31mred \uFFFDback  300 B\n",
      err: "",
    });
  });

  test("on a terminal the widest cells are cut until a row fits", async () => {
    const { out } = await list("table", [ROWS], 24);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(24);
    expect(out).toContain('attic, "the …  1 B');
    const wide = await list("table", [ROWS], 200);
    expect(wide).toEqual(await list("table", [ROWS]));
  });

  test("JSON is one list, whatever the pages", async () => {
    const { out } = await list("json", [[], ROWS.slice(0, 1), [], ROWS.slice(1)]);
    expect(out).toBe(`${JSON.stringify(ROWS)}\n`);
    expect((await list("json", [[]])).out).toBe("[]\n");
  });

  test("NDJSON is a line a row, and nothing for nothing", async () => {
    const { out } = await list("ndjson", [ROWS.slice(0, 1), ROWS.slice(1)]);
    expect(out).toBe(ROWS.map((row) => `${JSON.stringify(row)}\n`).join(""));
    expect(await list("ndjson", [[]])).toEqual({ out: "", err: "" });
  });

  test("CSV has a head, every column, and quotes where they are needed", async () => {
    expect((await list("csv", [ROWS.slice(0, 1), ROWS.slice(1)])).out).toBe(
      "id,name,bytes,isOpen\n" +
        '1,"attic, ""the old""",1,true\n' +
        "2,,20,false\n" +
        '3,"two\nlines \u001B[31mred \u202Eback",300,true\n',
    );
    expect((await list("csv", [[]])).out).toBe("id,name,bytes,isOpen\n");
  });

  test("no row is said in words where a table was asked for", async () => {
    expect(await list("table", [[]])).toEqual({ out: "", err: "There is nothing.\n" });
  });
});

test("one thing is its text, its JSON, or a row of its fields with dots", async () => {
  const data = { id: "7", at: { min: 1, max: null }, ids: ["1", "2"], isOpen: false };
  const one = async (format: OutputFormat) => (await answered(format, (answer) => answer.one(data, "Seven."))).out;
  expect(await one("table")).toBe("Seven.\n");
  expect(await one("json")).toBe(`${JSON.stringify(data)}\n`);
  expect(await one("ndjson")).toBe(`${JSON.stringify(data)}\n`);
  expect(await one("csv")).toBe('id,at.min,at.max,ids,isOpen\n7,1,,"[""1"",""2""]",false\n');
});

test("what goes on coming is a line each, with the head of CSV once", async () => {
  const follow = async (format: OutputFormat) =>
    (
      await answered(format, (answer) =>
        answer.follow({ columns: COLUMNS }, [ROWS.slice(0, 1), ROWS.slice(1, 2)], ({ id }) => `row ${id}`),
      )
    ).out;
  expect(await follow("table")).toBe("row 1\nrow 2\n");
  expect(await follow("ndjson")).toBe(`${JSON.stringify(ROWS[0])}\n${JSON.stringify(ROWS[1])}\n`);
  expect(await follow("csv")).toBe('id,name,bytes,isOpen\n1,"attic, ""the old""",1,true\n2,,20,false\n');
});
