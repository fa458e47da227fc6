import { expect, test } from "vitest";
import { drawChart } from "./chart.ts";
import { bestPolicies, describeReport, JUDGED, losses } from "./report.ts";
import { runPolicy } from "./run.ts";
import type { RunReport } from "./run.ts";

const policies = ["rescueFirst", "sameList"];
const options = { nodes: 10, assets: 200, days: 3, seed: 1, policies };
const report: RunReport = {
  options,
  results: policies.map((policy) => ({ policy, measures: runPolicy(policy, options) })),
};

test("the table has a line for each measure, and a star for the best of it", () => {
  const lines = describeReport(report).split("\n");
  expect(lines[0]).toBe("10 nodes, 200 assets, 3 days, seed 1");
  for (const { label } of JUDGED) expect(lines.find((line) => line.startsWith(label))).toContain("*");
});

test("more is better for shares and less for all else; equal values are both best", () => {
  const [first] = report.results;
  if (first === undefined) throw new Error("There is no result.");
  const { measures } = first;
  const better = { ...measures, targetShare: { ...measures.targetShare, atEnd: 2 }, loadGini: -1 };
  const both: RunReport = {
    options,
    results: [
      { policy: "old", measures },
      { policy: "new", measures: better },
    ],
  };
  const bestOf = (label: string): readonly string[] =>
    JUDGED.filter((judged) => judged.label.startsWith(label)).flatMap((judged) => bestPolicies(both, judged));
  expect(bestOf("assets with target copies, at the end")).toEqual(["new"]);
  expect(bestOf("load balance")).toEqual(["new"]);
  expect(bestOf("assets lost, weighted")).toEqual(["old", "new"]);
  expect(losses(better, measures, options.assets)).toEqual([]);
  expect(losses(measures, better, options.assets)).toEqual(["target copies", "balance"]);
});

test("the chart is one SVG with a title, a description and a line for each policy, the same each time", () => {
  const chart = drawChart(report);
  expect(chart).toBe(drawChart(report));
  expect(chart).toMatch(/^<svg [^>]*role="img"/);
  expect(chart).toContain("<title");
  expect(chart).toContain("<desc");
  expect(chart.match(/<polyline/g)).toHaveLength(2);
  expect(chart).not.toContain("NaN");
});
