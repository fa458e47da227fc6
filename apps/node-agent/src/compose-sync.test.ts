import { NO_COPIES, holdingOf } from "@dispatcher/core";
import type { AssetId, AssignmentId } from "@dispatcher/core";
import { expect, test } from "vitest";
import { aCopy, aGrant } from "../test/support/a-home.ts";
import type { Copy, JournalRecord } from "./assignment-journal.ts";
import { composeSync } from "./compose-sync.ts";
import type { SyncFacts } from "./compose-sync.ts";
import { hashText } from "./inventory.ts";

/** An inventory with these copies. */
function holding(...copies: readonly Copy[]): SyncFacts["inventory"] {
  return {
    heldBytes: copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    holding: holdingOf(copies, hashText),
    isHeld: ({ assetId }) => copies.some((copy) => copy.assetId === assetId),
  };
}

function someFacts(facts: Partial<SyncFacts> = {}): SyncFacts {
  return {
    records: [],
    bytesDoneById: new Map(),
    running: new Set(),
    wantedBytesById: new Map(),
    capacityBytes: 1000,
    marginBytes: 10,
    freeBytes: 5000,
    wants: 4,
    inventory: holding(),
    ...facts,
  };
}

const idOf = (index: number) => String(index) as AssignmentId;
const grantOf = (index: number) => aGrant({ assignmentId: idOf(index), term: index });
const copy = aCopy(Buffer.from("x"));

const offered = (facts: Partial<SyncFacts>) => composeSync(someFacts(facts)).offeredBytes;

test("each state is told in its own list, and what is verified is still open", () => {
  const records: JournalRecord[] = [
    { state: "open", grant: grantOf(1), version: null },
    { state: "open", grant: grantOf(2), version: null },
    { state: "verified", grant: grantOf(3), copy, fetchMs: 1, fetchedBytes: 1 },
    { state: "stored", grant: grantOf(4), copy, fetchMs: 1, fetchedBytes: 1 },
    { state: "failed", grant: grantOf(5), code: "THROTTLED", message: "slow", retryAfterMs: 7 },
    { state: "failed", grant: grantOf(6), code: "GONE", message: "gone", retryAfterMs: null },
    { state: "released", grant: grantOf(7), reason: "stop" },
  ];
  const input = composeSync(
    someFacts({
      records,
      running: new Set([idOf(2)]),
      bytesDoneById: new Map([
        [idOf(2), 20],
        [idOf(3), 30],
      ]),
      wantedBytesById: new Map([[idOf(2), 200]]),
    }),
  );
  expect(input).toMatchObject({
    open: [
      { assignmentId: "1", term: 1, state: "waiting", bytesDone: 0 },
      { assignmentId: "2", term: 2, state: "running", bytesDone: 20, wantBytes: 200 },
      { assignmentId: "3", term: 3, state: "running", bytesDone: 30 },
    ],
    finished: [{ assignmentId: "4", term: 4, sizeBytes: 1 }],
    failed: [
      { assignmentId: "5", code: "THROTTLED", retryAfterMs: 7 },
      { assignmentId: "6", code: "GONE" },
    ],
    released: [{ assignmentId: "7", term: 7, reason: "stop" }],
  });
  expect(input.failed[1]).not.toHaveProperty("retryAfterMs");
});

test("what is offered is never more than the disk can give, and what is ours on it counts", () => {
  expect(offered({ freeBytes: 5000 })).toBe(1000);
  expect(offered({ freeBytes: 300 })).toBe(300);
  expect(offered({ freeBytes: 300, inventory: holding(aCopy(Buffer.alloc(200))) })).toBe(500);
  const records: JournalRecord[] = [{ state: "open", grant: grantOf(1), version: null }];
  expect(
    offered({
      freeBytes: 300,
      inventory: holding(aCopy(Buffer.alloc(200))),
      records,
      bytesDoneById: new Map([[idOf(1), 100]]),
    }),
  ).toBe(600);
});

test("what is more than a call may carry waits for the next one", () => {
  const records = Array.from({ length: 1001 }, (_, index): JournalRecord => ({
    state: "released",
    grant: grantOf(index + 1),
    reason: "stop",
  }));
  expect(composeSync(someFacts({ records })).released).toHaveLength(1000);
});

const told = (records: readonly JournalRecord[], ...copies: readonly Copy[]) =>
  composeSync(someFacts({ records, inventory: holding(...copies) })).holding;

test("the holding is that of the copies the server knows once it has heard this sync", () => {
  const [first, second, third] = ["1", "2", "3"].map((id) => aCopy(Buffer.from(id), { assetId: id as AssetId }));
  if (first === undefined || second === undefined || third === undefined) throw new Error("three copies");
  const made = { fetchMs: 1, fetchedBytes: 1 };
  expect(told([])).toEqual(NO_COPIES);
  // Reported now: part of it. Entered, and not yet noted as stored: the next sync reports it.
  const records: JournalRecord[] = [
    { state: "stored", grant: grantOf(1), copy: second, ...made },
    { state: "verified", grant: grantOf(2), copy: third, ...made },
  ];
  expect(told(records, first, second, third)).toEqual(holdingOf([first, second], hashText));
  // Verified and not entered, or of a file that is gone: there is nothing to leave out.
  expect(told(records, first)).toEqual(holdingOf([first], hashText));
});

test("copies that wait for their report to be told wait with it", () => {
  const copies = Array.from({ length: 1001 }, (_, index) =>
    aCopy(Buffer.from("x"), { assetId: String(index + 1) as AssetId }),
  );
  const records = copies.map((one, index): JournalRecord => ({
    state: "stored",
    grant: grantOf(index + 1),
    copy: one,
    fetchMs: 1,
    fetchedBytes: 1,
  }));
  const input = composeSync(someFacts({ records, inventory: holding(...copies) }));
  expect(input.finished).toHaveLength(1000);
  expect(input.holding).toEqual(holdingOf(copies.slice(0, 1000), hashText));
});
