import { showCount } from "./format.ts";

/** What `export` and `import-state` say in the same words: `1,000 assets, 3 nodes`; what there is none of is left out. */
export function describeRows(rows: ReadonlyMap<string, number>): string {
  const parts = [...rows].filter(([, count]) => count > 0);
  return parts.map(([table, count]) => `${showCount(count)} ${table.replaceAll("_", " ")}`).join(", ") || "nothing yet";
}
