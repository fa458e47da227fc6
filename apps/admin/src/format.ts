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

/** `90 s`, `3 h`, `7 d`: in the largest unit that leaves some of it. */
export function showDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `2026-11-26 01:14:41`, by UTC; nothing where there is no such time. */
export function showTime(ms: number | null): string {
  return ms === null ? "" : new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** `1,000`. */
export function showCount(count: number): string {
  return count.toLocaleString("en");
}

/** `1 file`, `1,000 files`. */
export function counted(count: number, noun: string): string {
  return `${showCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}
