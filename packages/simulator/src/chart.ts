/**
 * The report as one SVG: the share of assets with their target copies over time, a line for each policy, and below it a row
 * of bars for each other measure. Colours are those of Okabe and Ito (2008), which people of every colour vision tell apart;
 * lines differ by their dashes too. Text takes the reader's light or dark scheme.
 */
import { JUDGED } from "./report.ts";
import type { JudgedMeasure } from "./report.ts";
import type { RunReport } from "./run.ts";

const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];
const DASHES = ["none", "9 4", "3 3", "12 3 3 3", "6 2", "2 5"];

const WIDTH = 960;
const MARGIN = 56;
const PLOT = { left: MARGIN, top: 96, width: WIDTH - 2 * MARGIN, height: 320 };
const BARS_TOP = 492;
const BAR_HEIGHT = 14;
const PANEL_COLUMNS = 2;
const PANEL_WIDTH = (WIDTH - 2 * MARGIN) / PANEL_COLUMNS;

/** The chart's own figures need no more. */
const at = (value: number): string => String(Math.round(value * 10) / 10);

function escaped(raw: string): string {
  return raw.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

function text(
  { x, y, anchor = "start", kind = "" }: { x: number; y: number; anchor?: "start" | "middle" | "end"; kind?: string },
  content: string,
): string {
  const style = kind === "" ? "" : ` class="${kind}"`;
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}"${style}>${escaped(content)}</text>`;
}

function legend({ results }: RunReport): string[] {
  return results.flatMap(({ policy }, place) => {
    const x = PLOT.left + place * 150;
    return [
      `<line x1="${x}" y1="72" x2="${x + 34}" y2="72" stroke="${COLOURS[place % COLOURS.length]}" stroke-width="3" stroke-dasharray="${DASHES[place % DASHES.length]}"/>`,
      text({ x: x + 42, y: 77 }, policy),
    ];
  });
}

function lines({ options, results }: RunReport): string[] {
  const { left, top, width, height } = PLOT;
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    const y = top + height * (1 - share);
    return [
      `<line class="grid" x1="${left}" y1="${at(y)}" x2="${left + width}" y2="${at(y)}"/>`,
      text({ x: left - 8, y: y + 4, anchor: "end", kind: "small" }, `${100 * share} %`),
    ];
  });
  const step = Math.max(1, Math.ceil(options.days / 10));
  const days = Array.from({ length: Math.floor(options.days / step) + 1 }, (_, place) => place * step).map((day) =>
    text(
      { x: left + (width * day) / options.days, y: top + height + 20, anchor: "middle", kind: "small" },
      `day ${day}`,
    ),
  );
  const curves = results.map(({ measures }, place) => {
    const { curve } = measures.targetShare;
    const points = curve.map(
      (share, sample) =>
        `${at(left + (width * sample) / Math.max(1, curve.length - 1))},${at(top + height * (1 - share))}`,
    );
    return `<polyline fill="none" stroke="${COLOURS[place % COLOURS.length]}" stroke-width="2.5" stroke-dasharray="${DASHES[place % DASHES.length]}" points="${points.join(" ")}"/>`;
  });
  return [...grid, ...days, ...curves];
}

function panel(report: RunReport, judged: JudgedMeasure, place: number, panelHeight: number): string[] {
  const x = MARGIN + (place % PANEL_COLUMNS) * PANEL_WIDTH;
  const y = BARS_TOP + Math.floor(place / PANEL_COLUMNS) * panelHeight;
  const values = report.results.map(({ measures }) => judged.valueOf(measures));
  const most = Math.max(...values, Number.MIN_VALUE);
  const room = PANEL_WIDTH - 200;
  const title = judged.unit === "" ? judged.label : `${judged.label} (${judged.unit})`;
  return [
    text({ x, y, kind: "strong" }, title),
    ...report.results.flatMap(({ policy }, bar) => {
      const top = y + 10 + bar * (BAR_HEIGHT + 4);
      const length = Math.max(1, (room * values[bar]!) / most);
      return [
        text({ x: x + 82, y: top + 11, anchor: "end", kind: "small" }, policy),
        `<rect x="${at(x + 88)}" y="${at(top)}" width="${at(length)}" height="${BAR_HEIGHT}" fill="${COLOURS[bar % COLOURS.length]}"/>`,
        text({ x: x + 94 + length, y: top + 11, kind: "small" }, judged.format(values[bar]!)),
      ];
    }),
  ];
}

/** A whole SVG document; the same report gives the same bytes. */
export function drawChart(report: RunReport): string {
  const { options, results } = report;
  const panels = JUDGED.filter(({ isMoreBetter }) => !isMoreBetter);
  const panelHeight = 40 + results.length * (BAR_HEIGHT + 4);
  const height = BARS_TOP + Math.ceil(panels.length / PANEL_COLUMNS) * panelHeight;
  const world = `${options.nodes.toLocaleString("en")} nodes, ${options.assets.toLocaleString("en")} assets, ${options.days} days, seed ${options.seed}`;
  const summary = results
    .map(({ policy, measures }) => `${policy} ${(100 * measures.targetShare.atEnd).toFixed(1)} percent`)
    .join(", ");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title desc">`,
    `<title id="title">Allocation policies compared by simulation: ${world}</title>`,
    `<desc id="desc">Lines: the share of assets that have their target of good copies, over time. At the end: ${escaped(summary)}. Bars: the other measures; shorter is better.</desc>`,
    "<style>",
    "text { font: 14px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 12px } .strong { font-weight: 600 }",
    ".ground { fill: #ffffff } .grid { stroke: #8b949e; stroke-opacity: 0.35 }",
    "@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ground { fill: #0d1117 } }",
    "</style>",
    `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
    text(
      { x: MARGIN, y: 32, kind: "strong" },
      "Share of assets with their target of good copies at different operators",
    ),
    text({ x: MARGIN, y: 52, kind: "small" }, world),
    ...legend(report),
    ...lines(report),
    text({ x: MARGIN, y: BARS_TOP - 26, kind: "small" }, "Shorter bars are better. Each row has a scale of its own."),
    ...panels.flatMap((judged, place) => panel(report, judged, place, panelHeight)),
    "</svg>",
    "",
  ].join("\n");
}
