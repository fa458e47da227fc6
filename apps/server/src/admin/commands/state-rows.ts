/** What `export` and `import-state` say in the same words. */

/** Ended by Ctrl-C, as shells count it. */
export const EXIT_INTERRUPTED = 130;

export function countOf(count: number): string {
  return count.toLocaleString("en");
}

/** `1,000 assets, 3 nodes`; what there is none of is left out. */
export function describeRows(rows: ReadonlyMap<string, number>): string {
  const parts = [...rows].filter(([, count]) => count > 0);
  return parts.map(([table, count]) => `${countOf(count)} ${table.replaceAll("_", " ")}`).join(", ") || "nothing yet";
}
