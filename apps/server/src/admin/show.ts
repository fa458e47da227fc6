import Table from "cli-table3";

/** How a command's answer is shown: a table for people, JSON for programs. */
export type OutputFormat = "table" | "json";

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;

/** `13.5 MB`, 1 KB being 1024 bytes. */
export function showBytes(bytes: number | null): string {
  if (bytes === null) return "?";
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `12 s ago`, in the largest unit that fits. */
export function showAge(thenMs: number | null, nowMs: number): string {
  if (thenMs === null) return "never";
  return `${showDuration(nowMs - thenMs)} ago`;
}

/** `7 d` until then; `over` when that is past. */
export function showRemaining(thenMs: number, nowMs: number): string {
  return thenMs <= nowMs ? "over" : showDuration(thenMs - nowMs);
}

function showDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** Plain columns without frames, so that the output can be cut, sorted and pasted. */
export function showTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const none = {
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
    middle: "  ",
  };
  const table = new Table({
    head: [...head],
    chars: none,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  for (const row of rows) table.push(row.map(String));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
