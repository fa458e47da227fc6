import type { Measures } from "./measures.ts";
import type { RunReport } from "./run.ts";

/** What is judged: less is better, but for the shares with target copies. Their definitions stand at `Measures`. */
export type JudgedMeasure = {
  /** Lines that look at one thing from two sides belong together. */
  readonly group: "first copy" | "target copies" | "waste" | "balance" | "overload" | "loss";
  readonly label: string;
  readonly unit: string;
  readonly isMoreBetter: boolean;
  readonly valueOf: (measures: Measures) => number;
  readonly format: (value: number) => string;
  /**
   * Two values that differ by no more are level: so far apart, or farther, are two runs of one policy over the same world
   * that differ in a few chance events alone. Given the larger of the two and the assets of the world.
   */
  readonly isLevelWithin: (larger: number, assets: number) => number;
};

const percent = (value: number): string => `${(100 * value).toFixed(value < 0.1 ? 2 : 1)} %`;
const plain = (value: number): string => value.toFixed(value < 10 ? 2 : value < 1000 ? 1 : 0);
const GB = 1_000_000_000;

export const JUDGED: readonly JudgedMeasure[] = [
  {
    group: "first copy",
    label: "first copy of the most urgent tenth, median",
    unit: "h",
    isMoreBetter: false,
    valueOf: (measures) => measures.urgentFirstCopyHours.median,
    format: plain,
    isLevelWithin: (hours) => Math.max(1, 0.05 * hours),
  },
  {
    group: "first copy",
    label: "first copy of the most urgent tenth, p95",
    unit: "h",
    isMoreBetter: false,
    valueOf: (measures) => measures.urgentFirstCopyHours.p95,
    format: plain,
    isLevelWithin: (hours) => Math.max(1, 0.05 * hours),
  },
  {
    group: "target copies",
    label: "assets with target copies, mean over time",
    unit: "",
    isMoreBetter: true,
    valueOf: (measures) => measures.targetShare.area,
    format: percent,
    isLevelWithin: () => 0.01,
  },
  {
    group: "target copies",
    label: "assets with target copies, at the end",
    unit: "",
    isMoreBetter: true,
    valueOf: (measures) => measures.targetShare.atEnd,
    format: percent,
    isLevelWithin: () => 0.01,
  },
  {
    group: "waste",
    label: "bytes wasted",
    unit: "GB",
    isMoreBetter: false,
    valueOf: (measures) => measures.wasted.bytes / GB,
    format: plain,
    isLevelWithin: (gigabytes) => 0.05 * gigabytes,
  },
  {
    group: "balance",
    label: "load balance, Gini",
    unit: "",
    isMoreBetter: false,
    valueOf: (measures) => measures.loadGini,
    format: (value) => value.toFixed(3),
    isLevelWithin: () => 0.01,
  },
  {
    group: "overload",
    label: "origin-minutes overloaded",
    unit: "",
    isMoreBetter: false,
    valueOf: (measures) => measures.originOverload.share,
    format: percent,
    isLevelWithin: () => 0.001,
  },
  {
    group: "overload",
    label: "peak load of an origin over its capacity",
    unit: "x",
    isMoreBetter: false,
    valueOf: (measures) => measures.originOverload.peak,
    format: plain,
    isLevelWithin: () => 0.1,
  },
  {
    group: "loss",
    label: "assets lost",
    unit: "",
    isMoreBetter: false,
    valueOf: (measures) => measures.lost.assets,
    format: (value) => String(value),
    isLevelWithin: (lost, assets) => Math.max(0.05 * lost, assets / 10_000),
  },
  {
    group: "loss",
    label: "assets lost, weighted by priority",
    unit: "",
    isMoreBetter: false,
    valueOf: (measures) => measures.lost.weight,
    format: (value) => String(value),
    isLevelWithin: (lost, assets) => Math.max(0.05 * lost, assets / 2000),
  },
];

/** Positive when the first value is better by more than level, negative when it is worse, 0 when the two are level. */
function compare(judged: JudgedMeasure, [first, second]: readonly [number, number], assets: number): number {
  if (Math.abs(first - second) <= judged.isLevelWithin(Math.max(first, second), assets)) return 0;
  return judged.isMoreBetter ? first - second : second - first;
}

/** Of one measure, the labels of those policies that are not beaten in it. */
export function bestPolicies({ options, results }: RunReport, judged: JudgedMeasure): readonly string[] {
  const values = results.map(({ measures }) => judged.valueOf(measures));
  const best = judged.isMoreBetter ? Math.max(...values) : Math.min(...values);
  return results
    .filter((_, at) => compare(judged, [values[at] ?? Number.NaN, best], options.assets) >= 0)
    .map(({ policy }) => policy);
}

/** The groups in one of whose lines the first policy is worse than the second; empty when it is as good or better in all. */
export function losses(first: Measures, second: Measures, assets: number): readonly JudgedMeasure["group"][] {
  const worse = JUDGED.filter((judged) => compare(judged, [judged.valueOf(first), judged.valueOf(second)], assets) < 0);
  return [...new Set(worse.map(({ group }) => group))];
}

/** Policies by measures, for a terminal. The best of each line has a star, and who is level with it. */
export function describeReport(report: RunReport): string {
  const { options, results } = report;
  const labelWidth = Math.max(...JUDGED.map(({ label }) => label.length)) + 2;
  const width = Math.max(14, ...results.map(({ policy }) => policy.length + 4));
  const lines = JUDGED.map((judged) => {
    const best = bestPolicies(report, judged);
    const cells = results.map(({ policy, measures }) => {
      const text = `${judged.format(judged.valueOf(measures))}${judged.unit === "" ? "" : ` ${judged.unit}`}`;
      return `${text} ${best.includes(policy) ? "*" : " "}`.padStart(width);
    });
    return `${judged.label.padEnd(labelWidth)}${cells.join("")}`;
  });
  const { nodes, assets, days, seed } = options;
  return [
    `${nodes} nodes, ${assets} assets, ${days} days, seed ${seed}`,
    "",
    `${" ".repeat(labelWidth)}${results.map(({ policy }) => `${policy}  `.padStart(width)).join("")}`,
    ...lines,
    "",
    "* the best of the line, or level with it: no farther from it than chance puts two runs of one policy",
  ].join("\n");
}
