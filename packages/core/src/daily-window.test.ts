import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { minutesUntilOpen, openUntilMs, requireWindows } from "./daily-window.ts";
import { NOON_MS, refusalOf } from "./testing.ts";

const MIDNIGHT_MS = NOON_MS - 12 * 3_600_000;

describe("daily windows", () => {
  test.each([
    ["none set: always open", [], 0, 0],
    ["at its first minute", [{ fromMinute: 60, toMinute: 120 }], 60, 0],
    ["the minute before", [{ fromMinute: 60, toMinute: 120 }], 59, 1],
    ["at its last minute", [{ fromMinute: 60, toMinute: 120 }], 119, 0],
    ["at its end", [{ fromMinute: 60, toMinute: 120 }], 120, 1380],
    ["over midnight, before it", [{ fromMinute: 1380, toMinute: 60 }], 1439, 0],
    ["over midnight, after it", [{ fromMinute: 1380, toMinute: 60 }], 0, 0],
    ["over midnight, at its end", [{ fromMinute: 1380, toMinute: 60 }], 60, 1320],
    ["equal ends: the whole day", [{ fromMinute: 60, toMinute: 60 }], 59, 0],
    ["to the end of the day", [{ fromMinute: 60, toMinute: 1440 }], 1439, 0],
    [
      "of several the next one counts",
      [
        { fromMinute: 300, toMinute: 310 },
        { fromMinute: 200, toMinute: 210 },
      ],
      100,
      100,
    ],
  ])("%s", (_case, windows, minute, expected) => {
    expect(minutesUntilOpen(windows, MIDNIGHT_MS + minute * 60_000)).toBe(expected);
  });
});

describe("when the open windows are over", () => {
  test.each([
    ["none set", [], 60, null],
    ["before it", [{ fromMinute: 60, toMinute: 120 }], 59, null],
    ["at its first minute", [{ fromMinute: 60, toMinute: 120 }], 60, 120],
    ["at its last minute", [{ fromMinute: 60, toMinute: 120 }], 119, 120],
    ["at its end", [{ fromMinute: 60, toMinute: 120 }], 120, null],
    ["over midnight, before it", [{ fromMinute: 1380, toMinute: 60 }], 1439, 1500],
    ["over midnight, after it", [{ fromMinute: 1380, toMinute: 60 }], 0, 60],
    ["to the end of the day", [{ fromMinute: 60, toMinute: 1440 }], 60, 1440],
    ["equal ends: it never is", [{ fromMinute: 60, toMinute: 60 }], 100, 1540],
    [
      "windows that overlap are one",
      [
        { fromMinute: 60, toMinute: 120 },
        { fromMinute: 90, toMinute: 200 },
      ],
      60,
      200,
    ],
    [
      "windows that meet are one, in whatever order",
      [
        { fromMinute: 120, toMinute: 200 },
        { fromMinute: 60, toMinute: 120 },
      ],
      60,
      200,
    ],
    [
      "windows that make up a whole day never end",
      [
        { fromMinute: 0, toMinute: 720 },
        { fromMinute: 720, toMinute: 0 },
      ],
      60,
      1500,
    ],
  ])("%s", (_case, windows, minute, expected) => {
    expect(openUntilMs(windows, MIDNIGHT_MS + minute * 60_000)).toBe(
      expected === null ? null : MIDNIGHT_MS + expected * 60_000,
    );
  });

  test("it is a full minute, also when asked within one", () => {
    expect(openUntilMs([{ fromMinute: 60, toMinute: 61 }], MIDNIGHT_MS + 60 * 60_000 + 59_999)).toBe(
      MIDNIGHT_MS + 61 * 60_000,
    );
  });

  test.each([-1, Number.NaN])("%d is no time", (nowMs) => {
    expect(refusalOf(() => openUntilMs([], nowMs)).code).toBe("INPUT_INVALID");
  });

  test("it is the first minute in no window, as a walk through the day finds it, and agrees with when one opens", () => {
    const windows = fc.array(fc.record({ fromMinute: fc.nat({ max: 1440 }), toMinute: fc.nat({ max: 1440 }) }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(windows, fc.nat({ max: 1439 }), (several, start) => {
        const isInside = (minute: number): boolean =>
          several.some(({ fromMinute, toMinute }) => {
            const [from, to, at] = [fromMinute % 1440, toMinute % 1440, minute % 1440];
            if (from === to) return true;
            return from < to ? at >= from && at < to : at >= from || at < to;
          });
        let end = start;
        while (end < start + 1440 && isInside(end)) end++;
        const nowMs = MIDNIGHT_MS + start * 60_000;
        expect(openUntilMs(several, nowMs)).toBe(end === start ? null : MIDNIGHT_MS + end * 60_000);
        expect(minutesUntilOpen(several, nowMs) === 0).toBe(isInside(start));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("windows from outside", () => {
  test.each([0, 1440])("minute %d belongs to a day", (minute) => {
    expect(() => requireWindows([{ fromMinute: minute, toMinute: minute }], "windows")).not.toThrow();
  });

  test.each([-1, 0.5, 1441, Number.NaN])("minute %d does not, and the refusal names the window", (minute) => {
    const refusal = refusalOf(() => requireWindows([{ fromMinute: 0, toMinute: minute }], "windows"));
    expect(refusal.code).toBe("INPUT_INVALID");
    expect(refusal.details).toMatchObject({ field: "windows[0].toMinute" });
  });
});
