import { requireAmount, requireCount } from "./check.ts";
import { DispatcherError } from "./errors.ts";

/** A daily window in UTC minutes, `from` included and `to` not; `from > to` runs over midnight. Equal: the whole day. */
export type DailyWindow = { readonly fromMinute: number; readonly toMinute: number };

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

/** @throws DispatcherError INPUT_INVALID for a minute that is no whole number from 0 to 1440 */
export function requireWindows(windows: readonly DailyWindow[], field: string): void {
  for (const [index, window] of windows.entries()) {
    for (const end of ["fromMinute", "toMinute"] as const) {
      const name = `${field}[${index}].${end}`;
      requireCount(window[end], name);
      if (window[end] > DAY_MINUTES) {
        throw new DispatcherError("INPUT_INVALID", `${name} is ${window[end]}; a day has ${DAY_MINUTES} minutes.`, {
          details: { field: name, value: window[end] },
        });
      }
    }
  }
}

/** Minutes since the window began, and how many it lasts in all; the minute is inside if the first is the smaller. */
function placeIn(
  { fromMinute, toMinute }: DailyWindow,
  minute: number,
): { readonly since: number; readonly length: number } {
  return {
    since: (minute - fromMinute + DAY_MINUTES) % DAY_MINUTES,
    length: (toMinute - fromMinute + DAY_MINUTES) % DAY_MINUTES || DAY_MINUTES,
  };
}

/** Minutes until the next window opens; 0 inside one, or with none set. */
export function minutesUntilOpen(windows: readonly DailyWindow[], nowMs: number): number {
  if (windows.length === 0) return 0;
  const minute = Math.floor(nowMs / MINUTE_MS) % DAY_MINUTES;
  const waits = windows.map((window) => {
    const { since, length } = placeIn(window, minute);
    return since < length ? 0 : DAY_MINUTES - since;
  });
  return Math.min(...waits);
}

/**
 * When the windows that are open now are over, in ms since the epoch: windows that meet or overlap count as one. Null
 * outside all of them, or with none set; a whole day from now where they never end.
 * @throws DispatcherError INPUT_INVALID for a time before the epoch
 */
export function openUntilMs(windows: readonly DailyWindow[], nowMs: number): number | null {
  requireAmount(nowMs, "nowMs");
  const minuteNow = Math.floor(nowMs / MINUTE_MS);
  const leftAt = (minute: number): number =>
    Math.max(
      0,
      ...windows.map((window) => {
        const { since, length } = placeIn(window, minute % DAY_MINUTES);
        return length - since;
      }),
    );
  let end = minuteNow;
  for (let left = leftAt(end); left > 0 && end < minuteNow + DAY_MINUTES; left = leftAt(end)) end += left;
  if (end === minuteNow) return null;
  return Math.min(end, minuteNow + DAY_MINUTES) * MINUTE_MS;
}
