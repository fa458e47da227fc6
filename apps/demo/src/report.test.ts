import { expect, test } from "vitest";
import { describeReport, makeReport } from "./report.ts";
import type { Findings } from "./report.ts";
import type { StoredFile } from "./stored-files.ts";

const aFile = (path: string) => ({ path, sizeBytes: 100, gitBlobId: "" });

function aStored(node: string, path: string | null, given: Partial<StoredFile> = {}): StoredFile {
  return { node, operator: `of ${node}`, place: `files/1/${path}`, path, sizeBytes: 100, isIntact: true, ...given };
}

/** Two files, two copies of each, three nodes. */
function someFindings(given: Partial<Findings> = {}): Findings {
  return {
    files: [aFile("a.csv"), aFile("b.csv")],
    copiesEach: 2,
    homes: ["attic", "basement", "cabin"].map((name) => ({ name, operator: `of ${name}`, home: name })),
    stored: [
      aStored("attic", "a.csv"),
      aStored("attic", "b.csv"),
      aStored("basement", "a.csv"),
      aStored("cabin", "b.csv"),
    ],
    claimedByPath: new Map([
      ["a.csv", 2],
      ["b.csv", 2],
    ]),
    reassigned: 1,
    kill: { node: "attic", path: "a.csv", takeover: { path: "a.csv", node: "cabin" }, isBack: true },
    origin: { concurrencyPeak: 4, budget: 4, requests: 6, bytesServed: 450 },
    wallMs: 1234.5,
    mishaps: [],
    ...given,
  };
}

test("all well: the report has every number and nothing missing", () => {
  expect(makeReport(someFindings())).toEqual({
    ok: true,
    assets: 2,
    catalogBytes: 200,
    copiesEach: 2,
    copies: 4,
    bytes: 400,
    lost: 0,
    mismatched: 0,
    reassigned: 1,
    killed: { node: "attic", path: "a.csv", takeover: { path: "a.csv", node: "cabin" }, isBack: true },
    originPeak: 4,
    budget: 4,
    originRequests: 6,
    originBytes: 450,
    wallMs: 1235,
    nodes: [
      { name: "attic", operator: "of attic", files: 2, bytes: 200 },
      { name: "basement", operator: "of basement", files: 1, bytes: 100 },
      { name: "cabin", operator: "of cabin", files: 1, bytes: 100 },
    ],
    missing: [],
  });
});

test("a file with one copy is lost, and a server that counts two is told", () => {
  const report = makeReport(someFindings({ stored: someFindings().stored.slice(0, 3) }));
  expect([report.ok, report.lost, report.copies]).toEqual([false, 1, 3]);
  expect(report.missing).toEqual([
    "1 file without 2 intact copies of different operators: b.csv (1 of 2).",
    "The server counts copies of 1 file that are not on disk: b.csv.",
  ]);
});

test("two copies of one operator count as one", () => {
  const operator = "the same";
  const stored = [aStored("attic", "a.csv", { operator }), aStored("cabin", "a.csv", { operator })];
  expect(makeReport(someFindings({ stored }))).toMatchObject({ ok: false, lost: 2, copies: 2 });
});

test("a changed file is mismatched and is no copy", () => {
  const report = makeReport(
    someFindings({ stored: [aStored("attic", "a.csv", { isIntact: false }), ...someFindings().stored.slice(1)] }),
  );
  expect(report).toMatchObject({ ok: false, lost: 1, mismatched: 1, copies: 3 });
  expect(report.missing).toContain("1 stored file not as the catalog declares: files/1/a.csv on attic.");
});

test("a file that the catalog does not have is mismatched", () => {
  const stored = [...someFindings().stored, aStored("cabin", null, { isIntact: false })];
  expect(makeReport(someFindings({ stored }))).toMatchObject({ ok: false, lost: 0, mismatched: 1 });
});

test("more copies than asked are no fault", () => {
  const stored = [...someFindings().stored, aStored("cabin", "a.csv")];
  expect(makeReport(someFindings({ stored }))).toMatchObject({ ok: true, copies: 5 });
});

const KILL = { node: "attic", path: "a.csv", takeover: { path: "a.csv", node: "cabin" }, isBack: true };

test.each([
  [{ kill: null }, "No node was killed in the middle of a file."],
  [{ kill: { ...KILL, takeover: null } }, "No lease of attic was granted to another node after it was killed."],
  [{ kill: { ...KILL, isBack: false } }, "attic did not come back after it was started again."],
  [{ reassigned: 0 }, "The server counts no reassigned lease."],
  [
    { origin: { ...someFindings().origin, concurrencyPeak: 5 } },
    "The origin saw 5 fetches at once, above its budget of 4.",
  ],
  [{ mishaps: ["The time was over."] }, "The time was over."],
])("%j is missing", (given, sentence) => {
  expect(makeReport(someFindings(given))).toMatchObject({ ok: false, missing: [sentence] });
});

test("long lists are cut", () => {
  const files = Array.from({ length: 8 }, (_, index) => aFile(`${index}.csv`));
  const report = makeReport(someFindings({ files, stored: [], claimedByPath: new Map() }));
  expect(report.missing[0]).toMatch(/: 0.csv \(0 of 2\), .*4.csv \(0 of 2\) and 3 more\.$/);
});

test("people read the same", () => {
  const text = describeReport(makeReport(someFindings()), (_, shown) => shown);
  expect(text.split("\n")).toEqual([
    "assets      2 files, 200 B",
    "copies      4 intact on disk, 2 wanted of each file, 400 B",
    "lost        0, mismatched 0",
    "nodes       attic (of attic)          2 files     200 B",
    "            basement (of basement)     1 file     100 B",
    "            cabin (of cabin)           1 file     100 B",
    "killed      attic in the middle of a.csv; a.csv went to cabin",
    "reassigned  1 lease",
    "origin      6 requests, 450 B, at most 4 fetches at once, budget 4",
    "wall time   1.2 s",
    "",
    "Rescued: every file has its copies, and every byte was read back and is right.",
  ]);
  const failed = describeReport(makeReport(someFindings({ kill: null })), (_, shown) => shown);
  expect(failed).toMatch(/Not complete. What is missing:\n- No node was killed in the middle of a file.$/);
});
