const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;

/**
 * Bytes as people write them: `500GB`, `1.5 TB`, `200MiB`, `4096`. One unit is 1024 of the one below it, with or without
 * the i, as the Dispatcher counts everywhere. Null for anything else, a fraction of a byte and more than 2^53 - 1 included.
 */
export function parseByteSize(text: string): number | null {
  const match = /^(\d{1,16}(?:\.\d{1,6})?) ?(?:(B)|([KMGTP])i?B)?$/i.exec(text.trim());
  if (match === null) return null;
  const [, number = "", , prefix] = match;
  const power = prefix === undefined ? 0 : UNITS.findIndex((unit) => unit === `${prefix.toUpperCase()}B`);
  if (power === 0 && number.includes(".")) return null;
  const bytes = Math.floor(Number(number) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** `1.5 GB`: at most one decimal, in the largest unit that leaves 1 or more. */
export function formatByteSize(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Math.round((bytes / 1024 ** power) * 10) / 10} ${UNITS[power] ?? "B"}`;
}
