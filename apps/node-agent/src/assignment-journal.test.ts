import { rm } from "node:fs/promises";
import { expect, test } from "vitest";
import { aCopy, aGrant, aHome } from "../test/support/a-home.ts";
import { AssignmentJournal, GrantShape } from "./assignment-journal.ts";
import type { JournalRecord } from "./assignment-journal.ts";
import type { Home } from "./home.ts";

const GRANT = aGrant();
const ID = GRANT.assignmentId;
const OPEN: JournalRecord = { state: "open", grant: GRANT, version: null };

const raiseTerm = (record: JournalRecord | undefined): JournalRecord | undefined =>
  record && { ...record, grant: { ...record.grant, term: record.grant.term + 1 } };

const reopened = async (home: Home) => (await AssignmentJournal.open(home)).list();

test("every state is read back as it was written", async () => {
  await using place = await aHome();
  const journal = await AssignmentJournal.open(place.home);
  const made = { grant: GRANT, copy: aCopy(Buffer.from("x")), fetchMs: 1, fetchedBytes: 1 };
  const records: JournalRecord[] = [
    OPEN,
    { ...OPEN, version: { etag: '"1"', lastModified: "now", ifRange: '"1"', sizeBytes: 3 } },
    { state: "verified", ...made },
    { state: "stored", ...made },
    { state: "failed", grant: GRANT, code: "THROTTLED", message: "slow down", retryAfterMs: 5 },
    { state: "released", grant: GRANT, reason: "stop" },
  ];
  for (const record of records) {
    await journal.put(record);
    expect(journal.get(ID)).toEqual(record);
    expect(await reopened(place.home)).toEqual([record]);
  }
  await journal.remove(ID);
  expect(journal.list()).toEqual([]);
  expect(await reopened(place.home)).toEqual([]);
});

test("changes of one record at once are made one behind the other, each on what the last has left", async () => {
  await using place = await aHome();
  const journal = await AssignmentJournal.open(place.home);
  await journal.put(OPEN);
  await Promise.all(Array.from({ length: 10 }, () => journal.change(ID, raiseTerm)));
  expect(journal.get(ID)?.grant.term).toBe(11);
  expect((await reopened(place.home))[0]?.grant.term).toBe(11);
});

test("a change of what is gone does nothing", async () => {
  await using place = await aHome();
  const journal = await AssignmentJournal.open(place.home);
  await journal.change(ID, (record) => record);
  expect(journal.list()).toEqual([]);
});

test("on a disk that cannot be written a step does not count, and an end does", async () => {
  await using place = await aHome();
  const journal = await AssignmentJournal.open(place.home);
  await journal.put(OPEN);
  await rm(place.home.assignmentsFolder, { recursive: true });
  const version = { etag: null, lastModified: null, ifRange: null, sizeBytes: 1 };
  await expect(journal.put({ ...OPEN, version })).rejects.toThrow("ENOENT");
  expect(journal.get(ID)).toEqual(OPEN);
  const released: JournalRecord = { state: "released", grant: GRANT, reason: "stop" };
  await expect(journal.end(released)).rejects.toThrow("ENOENT");
  expect(journal.get(ID)).toEqual(released);
});

test("a grant whose ids could be paths is refused", () => {
  expect(GrantShape.safeParse(GRANT).success).toBe(true);
  for (const assignmentId of ["", "../7", "7/8", "a", "-1", "1".repeat(20)]) {
    expect(GrantShape.safeParse({ ...GRANT, assignmentId }).success, assignmentId).toBe(false);
    expect(GrantShape.safeParse(aGrant({ asset: { id: assignmentId as never } })).success, assignmentId).toBe(false);
  }
});
