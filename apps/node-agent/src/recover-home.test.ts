/** What is on disk after a death at each point that assignment-journal.ts lists, and what the next start makes of it. */
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AssignmentId } from "@dispatcher/core";
import { expect, test } from "vitest";
import { aCopy, aGrant, aHome, aLog } from "../test/support/a-home.ts";
import { AssignmentJournal } from "./assignment-journal.ts";
import type { JournalRecord } from "./assignment-journal.ts";
import { assignmentPath, inventoryPath, partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import { Inventory } from "./inventory.ts";
import { recoverHome } from "./recover-home.ts";

const BYTES = Buffer.from("year,ppm\n2026,431\n");
const COPY = aCopy(BYTES);
const GRANT = aGrant({ asset: { sizeBytes: BYTES.length } });
const ID = GRANT.assignmentId;
const VERSION = { etag: '"1"', lastModified: null, ifRange: '"1"', sizeBytes: BYTES.length };
const OPEN: JournalRecord = { state: "open", grant: GRANT, version: VERSION };
const MADE = { grant: GRANT, copy: COPY, fetchMs: 5, fetchedBytes: BYTES.length };
const VERIFIED: JournalRecord = { state: "verified", ...MADE };
const STORED: JournalRecord = { state: "stored", ...MADE };

async function leave(
  home: Home,
  left: {
    readonly record?: JournalRecord;
    readonly partial?: Buffer;
    readonly file?: Buffer;
    readonly inInventory?: true;
  },
): Promise<void> {
  if (left.record !== undefined) await (await AssignmentJournal.open(home)).put(left.record);
  if (left.partial !== undefined) await writeFile(partialPath(home, ID), left.partial);
  if (left.file !== undefined) {
    await mkdir(join(home.filesFolder, COPY.assetId));
    await writeFile(join(home.filesFolder, COPY.assetId, COPY.name), left.file);
  }
  if (left.inInventory === true) await (await Inventory.open(home)).add(COPY);
}

/** Recover twice: a death during the recovery must find the same home again. */
async function recover(home: Home): Promise<{
  readonly record: JournalRecord | undefined;
  readonly bytesDone: number | undefined;
  readonly file: Buffer | null;
  readonly partials: readonly string[];
  readonly copies: readonly unknown[];
}> {
  await recoverHome(home, aLog().log);
  const { journal, bytesDoneById } = await recoverHome(home, aLog().log);
  return {
    record: journal.get(ID),
    bytesDone: bytesDoneById.get(ID),
    file: await readFile(join(home.filesFolder, COPY.assetId, COPY.name)).catch(() => null),
    partials: await readdir(home.partialFolder),
    // As the next start would read it.
    copies: (await recoverHome(home, aLog().log)).inventory.listOnDisk(),
  };
}

const IN_PLACE = { record: STORED, bytesDone: undefined, file: BYTES, partials: [], copies: [COPY] };

test("granted and not noted: there is nothing, and nothing stays", async () => {
  await using place = await aHome();
  await writeFile(`${assignmentPath(place.home, ID)}.tmp`, '{"state":"open"');
  expect(await recover(place.home)).toMatchObject({ record: undefined, partials: [], copies: [] });
  expect(await readdir(place.home.assignmentsFolder)).toEqual([]);
});

test("open, without a byte: it begins", async () => {
  await using place = await aHome();
  const record: JournalRecord = { state: "open", grant: GRANT, version: null };
  await leave(place.home, { record });
  expect(await recover(place.home)).toMatchObject({ record, bytesDone: 0, file: null });
});

test("open, in the middle of the bytes: they are kept with their version", async () => {
  await using place = await aHome();
  await leave(place.home, { record: OPEN, partial: BYTES.subarray(0, 4) });
  expect(await recover(place.home)).toMatchObject({ record: OPEN, bytesDone: 4, partials: ["7.part"] });
});

test("open, with all bytes: they are kept to be verified", async () => {
  await using place = await aHome();
  await leave(place.home, { record: OPEN, partial: BYTES });
  expect(await recover(place.home)).toMatchObject({ record: OPEN, bytesDone: BYTES.length, copies: [] });
});

test("verified, not moved: it is moved and entered", async () => {
  await using place = await aHome();
  await leave(place.home, { record: VERIFIED, partial: BYTES });
  expect(await recover(place.home)).toEqual(IN_PLACE);
});

test("verified and moved, not in the inventory: it is entered", async () => {
  await using place = await aHome();
  await leave(place.home, { record: VERIFIED, file: BYTES });
  expect(await recover(place.home)).toEqual(IN_PLACE);
});

test("verified, moved and entered: it is noted as stored", async () => {
  await using place = await aHome();
  await leave(place.home, { record: VERIFIED, file: BYTES, inInventory: true });
  expect(await recover(place.home)).toEqual(IN_PLACE);
});

test("verified, over a copy of an earlier version: it takes its place", async () => {
  await using place = await aHome();
  await leave(place.home, { record: VERIFIED, partial: BYTES, file: Buffer.from("old"), inInventory: true });
  expect(await recover(place.home)).toEqual(IN_PLACE);
});

test("verified, with its bytes gone from the disk: a failure of this node", async () => {
  await using place = await aHome();
  await leave(place.home, { record: VERIFIED });
  expect(await recover(place.home)).toMatchObject({ record: { state: "failed", code: "DISK_ERROR" }, copies: [] });
});

test("stored: it waits for its answer, whatever became of the report", async () => {
  await using place = await aHome();
  await leave(place.home, { record: STORED, file: BYTES, inInventory: true });
  expect(await recover(place.home)).toEqual(IN_PLACE);
});

test.each([
  { state: "failed", grant: GRANT, code: "BAD_DIGEST", message: "bad", retryAfterMs: null },
  { state: "released", grant: GRANT, reason: "stop" },
] satisfies JournalRecord[])(
  "$state, with a partial file left: that is removed and the report waits",
  async (record) => {
    await using place = await aHome();
    await leave(place.home, { record, partial: BYTES });
    expect(await recover(place.home)).toMatchObject({ record, partials: [], bytesDone: undefined });
  },
);

test("a partial file that belongs to nothing is removed", async () => {
  await using place = await aHome();
  await leave(place.home, { partial: BYTES });
  expect(await recover(place.home)).toMatchObject({ record: undefined, partials: [] });
});

test("cancelled, its bytes gone and its record not: open without a byte, for the server to cancel again", async () => {
  await using place = await aHome();
  await leave(place.home, { record: OPEN });
  expect(await recover(place.home)).toMatchObject({ record: OPEN, bytesDone: 0 });
});

test("dropped from the disk and not from the inventory: the copy is not listed", async () => {
  await using place = await aHome();
  await leave(place.home, { file: BYTES, inInventory: true });
  await rm(join(place.home.filesFolder, COPY.assetId), { recursive: true });
  expect(await recover(place.home)).toMatchObject({ copies: [] });
});

test("a state file that cannot be read stops the start", async () => {
  await using place = await aHome();
  await writeFile(assignmentPath(place.home, "9" as AssignmentId), "{");
  await expect(recoverHome(place.home, aLog().log)).rejects.toMatchObject({ code: "STATE_UNREADABLE" });
  await rm(assignmentPath(place.home, "9" as AssignmentId));
  await writeFile(inventoryPath(place.home, COPY.assetId), '{"name":"x"}');
  await expect(recoverHome(place.home, aLog().log)).rejects.toMatchObject({ code: "STATE_UNREADABLE" });
});
