import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import { describe, expect, test } from "vitest";
import { runImport } from "./import.ts";
import type { ImportCommand } from "./import.ts";

type Batch = Parameters<ImportCommand["importBatch"]>[0];
type Answer = (batch: Batch, call: number) => Awaited<ReturnType<ImportCommand["importBatch"]>> | null;

/**
 * Import a list in a process like ours: its output kept, its clock moved by pauses alone. `answer` stands for the
 * dispatcher and takes every entry unless it says otherwise.
 */
async function run(
  list: unknown,
  {
    options = {},
    answer = () => null,
    ...changes
  }: Partial<Omit<ImportCommand, "importBatch">> & {
    readonly answer?: Answer;
  } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), "import-test-"));
  const written = { out: "", err: "" };
  const batches: Batch[] = [];
  const pausesMs: number[] = [];
  let clockMs = 0;
  try {
    const source = join(folder, "list.json");
    await writeFile(source, typeof list === "string" ? list : JSON.stringify(list));
    const outcome = runImport({
      source,
      options: { baseUrl: "https://example.org/", ...options },
      importBatch: async (batch) => {
        batches.push(batch);
        return answer(batch, batches.length) ?? { taken: batch.entries.length, updated: 0, unchanged: 0, skipped: [] };
      },
      out: { write: (text) => (written.out += text) },
      err: { write: (text) => (written.err += text) },
      isTerminal: false,
      signal: new AbortController().signal,
      nowMs: () => clockMs,
      random: () => 0.5,
      pause: async (ms) => {
        pausesMs.push(ms);
        clockMs += ms;
      },
      ...changes,
    });
    const [result] = await Promise.allSettled([outcome]);
    return {
      ...written,
      batches,
      pausesMs,
      exitStatus: result.status === "fulfilled" ? result.value : null,
      error: result.status === "rejected" ? (result.reason as unknown) : null,
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** `count` entries, file-0 to file-(count - 1). */
function aList(count: number): { path: string }[] {
  return Array.from({ length: count }, (_, index) => ({ path: `file-${index}` }));
}

const unavailable = (): never => {
  throw new DispatcherError("DATABASE_UNAVAILABLE", "PostgreSQL does not answer.");
};

describe("what is sent", () => {
  test("entries go in catalog order in batches of 1000 at most", async () => {
    const { batches, exitStatus } = await run(aList(2001));
    expect(batches.map(({ entries }) => entries.length)).toEqual([1000, 1000, 1]);
    expect(batches.flatMap(({ entries }) => entries.map(({ path }) => path))).toEqual(
      aList(2001).map(({ path }) => path),
    );
    expect(exitStatus).toBe(0);
  });

  test("every batch carries the dataset as the options shape it", async () => {
    const { batches } = await run(aList(1), { options: { dataset: "ice", priority: 8, copies: 7 } });
    expect(batches[0]?.dataset).toEqual({
      key: "ice",
      title: null,
      sourceUrl: null,
      priority: 8,
      copies: { min: 2, target: 7, max: 7 },
    });
  });

  test("one copy as the target lowers the least number too", async () => {
    const { batches } = await run(aList(1), { options: { copies: 1 } });
    expect(batches[0]?.dataset.copies).toEqual({ min: 1, target: 1, max: 5 });
  });

  test("an empty catalog sends nothing and ends well", async () => {
    const { batches, out, exitStatus } = await run([]);
    expect(batches).toEqual([]);
    expect(out).toBe("list: 0 entries read; 0 taken, 0 updated, 0 unchanged, 0 skipped.\n");
    expect(exitStatus).toBe(0);
  });
});

/** The dispatcher takes all but the last of a batch. */
function takeAllButOne({ entries }: Batch): ReturnType<Answer> {
  const skipped = [{ place: "[9]", code: "URL_KNOWN", message: "It is part of the dataset old already." }];
  return { taken: entries.length - 1, updated: 0, unchanged: 0, skipped };
}

describe("what is told", () => {
  const mixed = [
    { path: "ok" },
    ...Array.from({ length: 7 }, (_, index) => ({ path: `negative-${index}`, size: -1 })),
    { path: "../up" },
    { path: "known" },
  ];

  test("skipped entries are grouped by reason with their first places, most frequent first", async () => {
    const { out, exitStatus } = await run(mixed, { answer: takeAllButOne });
    expect(out).toBe(
      [
        "list: 10 entries read; 1 taken, 0 updated, 0 unchanged, 9 skipped.",
        "  7 BAD_SIZE at [1], [2], [3], [4], [5], ...: the first: Size -1 is not a whole number of bytes from 0 to 2^53 - 1.",
        '  1 BAD_NAME at [8]: The path "../up" leads out of the dataset\'s folder.',
        "  1 URL_KNOWN at [9]: It is part of the dataset old already.",
        "  With --show-skipped, every skipped entry is told.",
        "",
      ].join("\n"),
    );
    expect(exitStatus).toBe(0);
  });

  test("--show-skipped tells each of them before the summary", async () => {
    const { out } = await run(mixed, { answer: takeAllButOne, options: { showSkipped: true } });
    const lines = out.split("\n");
    expect(lines[0]).toBe("[1]\tBAD_SIZE\tSize -1 is not a whole number of bytes from 0 to 2^53 - 1.");
    expect(lines.filter((line) => /^\[\d\]\t/.test(line))).toHaveLength(9);
    expect(out).not.toContain("--show-skipped");
  });

  test("as JSON it is one object on one line", async () => {
    const { out } = await run(mixed, { answer: takeAllButOne, options: { output: "json", showSkipped: true } });
    expect(out.trimEnd()).not.toContain("\n");
    expect(JSON.parse(out)).toMatchObject({
      dataset: "list",
      entries: 10,
      taken: 1,
      updated: 0,
      unchanged: 0,
      skipped: 9,
      skippedByReason: [
        { code: "BAD_SIZE", count: 7, places: ["[1]", "[2]", "[3]", "[4]", "[5]"] },
        { code: "BAD_NAME", count: 1 },
        { code: "URL_KNOWN", count: 1 },
      ],
      skippedEntries: { length: 9 },
    });
  });

  test("a catalog of broken entries alone ends with 65", async () => {
    expect((await run([{}, {}])).exitStatus).toBe(65);
  });

  test("on a terminal, progress is rewritten in place on stderr and cleared before the summary", async () => {
    let clockMs = 0;
    const { err, out } = await run(aList(2000), { isTerminal: true, nowMs: () => (clockMs += 1000) });
    expect(err).toContain("\r\u001B[KImporting list: 1,000 of 2,000 entries (50 %)\r");
    expect(err).toContain("Checking the catalog: ");
    expect(err.endsWith("\r\u001B[K")).toBe(true);
    expect(out).not.toContain("\u001B");
  });
});

describe("what goes wrong", () => {
  test("an unreadable catalog rejects before anything is sent", async () => {
    const { batches, error, err, out } = await run(`[${JSON.stringify(aList(1500)).slice(1, -1)},}]`);
    expect(error).toMatchObject({ code: "CATALOG_UNREADABLE" });
    expect([batches, err, out]).toEqual([[], "", ""]);
  });

  test("a batch is sent again while the database is away, ever more slowly", async () => {
    const { batches, pausesMs, err, exitStatus } = await run(aList(1500), {
      answer: (_batch, call) => (call > 1 && call < 5 ? unavailable() : null),
    });
    expect(batches.map(({ entries }) => entries.length)).toEqual([1000, 500, 500, 500, 500]);
    expect(pausesMs).toEqual([500, 1000, 2000]);
    expect(err).toContain("DATABASE_UNAVAILABLE: PostgreSQL does not answer. Trying again in 0.5 s.\n");
    expect(exitStatus).toBe(0);
  });

  test("after 30 s it gives up and says how far it came", async () => {
    const { error, err, out, pausesMs } = await run(aList(1500), {
      answer: (_batch, call) => (call > 1 ? unavailable() : null),
    });
    expect(error).toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    expect(pausesMs.reduce((sum, ms) => sum + ms)).toBeLessThanOrEqual(30_000);
    expect(pausesMs.reduce((sum, ms) => sum + ms)).toBeGreaterThan(20_000);
    expect(err).toContain(
      "The import broke off: 1,000 taken, 0 updated, 0 unchanged, 0 skipped, of 1,500 entries. Importing again is safe and takes the rest.\n",
    );
    expect(out).toBe("");
  });

  test.for([
    ["a failure that will not pass", new DispatcherError("INPUT_INVALID", "title: too long.")],
    ["a bug", new TypeError("x is not a function")],
  ] as const)("%s is not tried again", async ([, failure]) => {
    const { error, batches } = await run(aList(1), {
      answer: () => {
        throw failure;
      },
    });
    expect(error).toBe(failure);
    expect(batches).toHaveLength(1);
  });

  test("Ctrl-C lets the batch under way end, sends no other and says how far it came", async () => {
    const stop = new AbortController();
    const { batches, err, out, exitStatus } = await run(aList(3000), {
      signal: stop.signal,
      answer: (_batch, call) => {
        if (call === 2) stop.abort();
        return null;
      },
    });
    expect(batches).toHaveLength(2);
    expect(err).toBe(
      "Stopped: 2,000 taken, 0 updated, 0 unchanged, 0 skipped, of 3,000 entries. Importing again is safe and takes the rest.\n",
    );
    expect([out, exitStatus]).toEqual(["", 130]);
  });

  test("Ctrl-C before the catalog is read says that nothing was imported", async () => {
    const { batches, err, exitStatus } = await run(aList(1), { signal: AbortSignal.abort() });
    expect([batches, err, exitStatus]).toEqual([[], "Stopped before anything was imported.\n", 130]);
  });

  test("Ctrl-C ends the wait for a database that is away", async () => {
    const stop = new AbortController();
    const { err, exitStatus } = await run(aList(1), {
      signal: stop.signal,
      answer: unavailable,
      pause: (_ms, signal) => {
        stop.abort();
        return Promise.reject(signal.reason as Error);
      },
    });
    expect(exitStatus).toBe(130);
    expect(err).toContain("Stopped: 0 taken");
  });
});
