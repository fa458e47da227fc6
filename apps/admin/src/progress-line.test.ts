import { expect, test } from "vitest";
import { ProgressLine } from "./progress-line.ts";

function aLine(isTerminal: boolean) {
  const written: string[] = [];
  const clock = { nowMs: 0 };
  const line = new ProgressLine({ write: (text) => written.push(text) }, isTerminal, () => clock.nowMs);
  return { line, written, clock };
}

test("on a terminal it is rewritten in place, ten times a second at most", () => {
  const { line, written, clock } = aLine(true);
  line.show("1");
  clock.nowMs = 99;
  line.show("2");
  clock.nowMs = 100;
  line.show("3");
  line.clear();
  line.clear();
  expect(written).toEqual(["\r\u001B[K1\r", "\r\u001B[K3\r", "\r\u001B[K"]);
});

test("in a log it is a line every five seconds, and none for short work", () => {
  const { line, written, clock } = aLine(false);
  for (clock.nowMs = 0; clock.nowMs <= 10_000; clock.nowMs += 1000) line.show(`${clock.nowMs / 1000} s`);
  line.clear();
  expect(written).toEqual(["5 s\n", "10 s\n"]);
});
