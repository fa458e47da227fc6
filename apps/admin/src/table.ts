import Table from "cli-table3";

const GAP = "  ";
/** Narrower than this a column says nothing. */
const COLUMN_MIN = 6;

const NO_FRAME = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: GAP,
};

/** Names and paths come from strangers: what would move the cursor or turn the writing round is shown as a mark. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu, "\uFFFD");
}

/**
 * Plain columns without frames, so that the output can be cut, sorted and pasted. Where `columns` says how wide the terminal is,
 * the widest cells are cut until a row fits, each with a mark at its end.
 */
export function showTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  columns: number | null = null,
): string {
  const cells = rows.map((row) => row.map((cell) => printable(String(cell))));
  const table = new Table({
    head: [...head],
    chars: NO_FRAME,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    ...(columns !== null && { colWidths: fit([head, ...cells], columns) }),
  });
  for (const row of cells) table.push(row);
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** The widths of those columns that have to be narrower than what is in them; null for the others. */
function fit(rows: readonly (readonly string[])[], columns: number): (number | null)[] {
  const needed = (rows[0] ?? []).map((_, index) =>
    rows.reduce((most, row) => Math.max(most, (row[index] ?? "").length), 0),
  );
  const widths = [...needed];
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1) - columns;
  while (excess > 0) {
    const widest = Math.max(...widths);
    if (widest <= COLUMN_MIN) break;
    widths[widths.indexOf(widest)] = widest - 1;
    excess -= 1;
  }
  return widths.map((width, index) => (width === needed[index] ? null : width));
}
