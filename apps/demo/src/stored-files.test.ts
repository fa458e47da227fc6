import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readStoredFiles } from "./stored-files.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stored-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function store(place: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, place)), { recursive: true });
  await writeFile(join(folder, place), text);
}

function declared(path: string, text: string) {
  const gitBlobId = createHash("sha1").update(`blob ${text.length}\0${text}`).digest("hex");
  return { path, sizeBytes: text.length, gitBlobId };
}

test("stored files are told apart: intact, changed, cut short, unknown", async () => {
  await store("attic/files/1/a.csv", "alpha");
  await store("attic/files/2/b.csv", "BRAVO");
  await store("attic/partial/9.part", "half");
  await store("cabin/files/1/a.csv", "alp");
  await store("cabin/files/7/who.csv", "?");
  const homes = ["attic", "basement", "cabin"].map((name) => ({
    name,
    operator: `of ${name}`,
    home: join(folder, name),
  }));
  const files = [declared("a.csv", "alpha"), declared("b.csv", "bravo")];
  const { signal } = new AbortController();
  const stored = await readStoredFiles(
    homes,
    files,
    new Map([
      ["1", "a.csv"],
      ["2", "b.csv"],
    ]),
    signal,
  );
  expect(stored).toEqual([
    { node: "attic", operator: "of attic", place: "files/1/a.csv", path: "a.csv", sizeBytes: 5, isIntact: true },
    { node: "attic", operator: "of attic", place: "files/2/b.csv", path: "b.csv", sizeBytes: 5, isIntact: false },
    { node: "cabin", operator: "of cabin", place: "files/1/a.csv", path: "a.csv", sizeBytes: 3, isIntact: false },
    { node: "cabin", operator: "of cabin", place: "files/7/who.csv", path: null, sizeBytes: 1, isIntact: false },
  ]);
});

test("an interruption ends the reading", async () => {
  await store("depot/files/1/a.csv", "alpha");
  const homes = [{ name: "depot", operator: "Dmitri", home: join(folder, "depot") }];
  const reading = readStoredFiles(homes, [], new Map(), AbortSignal.abort(new Error("enough")));
  await expect(reading).rejects.toThrow("enough");
});
