import { stripVTControlCharacters, styleText } from "node:util";
import { expect, test } from "vitest";
import type { NodeRow, Snapshot } from "./snapshot.ts";
import { renderProgressLine, renderView } from "./view.ts";
import type { Paint } from "./view.ts";

const MB = 1024 ** 2;
const painted: Paint = (style, text) => styleText(style, text, { validateStream: false });
const plain: Paint = (_, text) => text;

function aNode(given: Partial<NodeRow> = {}): NodeRow {
  return {
    name: "attic",
    operator: "Ada",
    life: "online",
    isKilled: false,
    offeredBytes: 96 * MB,
    heldBytes: 12.3 * MB,
    copies: 24,
    openLeases: 2,
    sinceSyncMs: 312,
    ...given,
  };
}

function aSnapshot(given: Partial<Snapshot> = {}): Snapshot {
  return {
    elapsedMs: 12_340,
    copies: { done: 73, open: 4, wanted: 146 },
    bytes: { done: 40.5 * MB, wanted: 81 * MB },
    bytesPerSecond: 4.75 * MB,
    reassigned: 0,
    nodes: [aNode(), aNode({ name: "cabin", operator: "Carmen", life: "suspect", isKilled: true, sinceSyncMs: null })],
    origin: { fetches: 3, peak: 4, budget: 4 },
    ...given,
  };
}

test("the view shows done, open and to do, bytes, origin, nodes and the last events", () => {
  const story = Array.from({ length: 9 }, (_, index) => ({ elapsedMs: index * 1000, text: `event ${index}` }));
  expect(renderView(aSnapshot(), story, plain).split("\n")).toEqual([
    `copies  ${"█".repeat(20)}▒${"░".repeat(19)}  73 of 146`,
    "        73 done + 4 open + 69 to do",
    "bytes   40.5 MB of 81.0 MB, 4.8 MB/s, 12.3 s",
    "origin  3 fetching, peak 4, budget 4",
    "",
    "node   operator  life                held  offered  copies  leases  last sync",
    "attic  Ada       online           12.3 MB  96.0 MB      24       2      0.3 s",
    "cabin  Carmen    suspect, killed  12.3 MB  96.0 MB      24       2      never",
    "",
    ...story.slice(1).map(({ text }, index) => `${`${index + 1}.0 s`.padStart(7)}  ${text}`),
  ]);
});

test.each([
  [{ done: 0, open: 0, wanted: 0 }, "░".repeat(40)],
  [{ done: 0, open: 0, wanted: 146 }, "░".repeat(40)],
  [{ done: 1, open: 1, wanted: 146 }, `█▒${"░".repeat(38)}`],
  [{ done: 145, open: 1, wanted: 146 }, `${"█".repeat(39)}▒`],
  [{ done: 146, open: 0, wanted: 146 }, "█".repeat(40)],
  [{ done: 146, open: 3, wanted: 146 }, `${"█".repeat(39)}▒`],
])("the bar of %j has forty cells, and none of its shares vanishes", (copies, bar) => {
  expect(renderView(aSnapshot({ copies }), [], plain)).toContain(`copies  ${bar}  `);
});

test("colours change no character of the text", () => {
  const story = [{ elapsedMs: 0, text: "begun" }];
  const coloured = renderView(aSnapshot(), story, painted);
  expect(coloured).not.toBe(renderView(aSnapshot(), story, plain));
  expect(stripVTControlCharacters(coloured)).toBe(renderView(aSnapshot(), story, plain));
});

test("the view of three ordinary nodes fits eighty columns", () => {
  const nodes = ["attic", "basement", "cabin"].map((name) =>
    aNode({ name, operator: "Bashir", life: "offline", isKilled: true }),
  );
  const widths = renderView(aSnapshot({ nodes }), [], plain)
    .split("\n")
    .map((line) => line.length);
  expect(Math.max(...widths)).toBeLessThanOrEqual(80);
});

test("the progress line says it in one line", () => {
  expect(renderProgressLine(aSnapshot())).toBe(
    " 12.3 s  copies 73 of 146 (4 open); 40.5 MB of 81.0 MB, 4.8 MB/s; nodes 1 of 2 online; origin 3 fetching, peak 4, budget 4",
  );
});
