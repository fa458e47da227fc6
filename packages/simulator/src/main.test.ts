import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { main } from "./main.ts";

let out = "";
let err = "";

beforeEach(() => {
  out = "";
  err = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => (out += String(text)) !== "");
  vi.spyOn(process.stderr, "write").mockImplementation((text) => (err += String(text)) !== "");
});
afterEach(() => {
  vi.restoreAllMocks();
});

test("--help teaches", async () => {
  expect(await main(["--help"])).toBe(0);
  expect(out).toContain("Usage: pnpm bench simulate");
  expect(out).toContain("sameList");
});

test.each([
  [["--nodes", "0"], "--nodes has to be a whole number from 1 to 100000; got 0."],
  [["--assets", "ten"], "--assets has to be a whole number from 100"],
  [["--policies", "fifo,best"], 'There is no policy called "best".'],
  [["--colour"], "Unknown option"],
])("%j is refused with what would be right", async (args, message) => {
  expect(await main(args)).toBe(64);
  expect(err).toContain(message);
  expect(out).toBe("");
});

test(
  "the same options print the same JSON, whatever the threads do, and draw the chart",
  { timeout: 60_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "simulate-"));
    try {
      const args = ["--nodes", "10", "--assets", "200", "--days", "2", "--seed", "7", "--json"];
      expect(await main([...args, "--svg", join(folder, "chart.svg")])).toBe(0);
      const first = out;
      out = "";
      expect(await main(args)).toBe(0);
      expect(out).toBe(first);
      const report = JSON.parse(first) as { results: { policy: string }[] };
      expect(report.results.map(({ policy }) => policy)).toEqual(["rescueFirst", "fifo", "random", "sameList"]);
      expect(await readFile(join(folder, "chart.svg"), "utf8")).toContain("</svg>");
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
