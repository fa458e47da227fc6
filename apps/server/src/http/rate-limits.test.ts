import { expect, test } from "vitest";
import { readConfig } from "../config.ts";
import { hashOfKey } from "./caller.ts";
import type { Caller } from "./caller.ts";
import type { Call } from "./calls.ts";
import { Buckets, RateLimits } from "./rate-limits.ts";

const READ: Call = { name: "asset.list", callClass: "read" };
const WRITE: Call = { name: "token.create", callClass: "write" };
const REPORT: Call = { name: "node.sync", callClass: "report" };
const JOIN: Call = { name: "node.join", callClass: "join" };

function callerWith(key: string | null, address = "192.0.2.1"): Caller {
  return { key, keyHash: key === null ? null : hashOfKey(key), address };
}

function limits(env: Readonly<Record<string, string>>): RateLimits {
  return new RateLimits(readConfig(env));
}

test("a bucket gives a minute's calls at once, and then one each time there is room", () => {
  const bucket = new Buckets(6);
  expect(bucket.take("a", 6, 0.1)).toBe(0);
  expect(bucket.take("a", 1, 0.1)).toBe(10_000);
  expect(bucket.take("a", 1, 9_999.1)).toBe(1);
  expect(bucket.take("a", 1, 10_000.1)).toBe(0);
  expect(bucket.take("a", 2, 10_000.1)).toBe(20_000);
  expect(bucket.take("b", 6, 10_000.1)).toBe(0);
});

test("what is refused counts nothing, and what is more than a bucket needs a full one", () => {
  const bucket = new Buckets(2);
  expect(bucket.take("a", 5, 0)).toBe(0);
  expect(bucket.take("a", 5, 0)).toBeGreaterThan(0);
  const waitMs = bucket.take("a", 2, 0);
  expect(bucket.take("a", 2, waitMs)).toBe(0);
});

test("calls that cannot be refused are counted, for two minutes at most", () => {
  const bucket = new Buckets(1);
  for (let call = 0; call < 100; call += 1) bucket.add("a", 1, 0);
  expect(bucket.waitMs("a", 1, 0)).toBe(120_000);
});

test("callers are forgotten when their bucket is full again, and the longest unseen when there are too many", () => {
  const bucket = new Buckets(60, 3);
  for (const caller of ["a", "b", "c"]) bucket.take(caller, 60, 0);
  expect(bucket.size).toBe(3);
  bucket.take("d", 60, 0);
  expect(bucket.size).toBe(3);
  expect(bucket.take("a", 60, 0)).toBe(0);
  bucket.take("e", 1, 200_000);
  expect(bucket.size).toBe(1);
});

test("a key that was good is a caller of its own; one that is made up is the address", () => {
  const rates = limits({ DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  const address = "192.0.2.1";
  rates.know(callerWith("good"));
  expect(rates.take(callerWith("good", address), [READ], 0)).toBe(0);
  expect(rates.take(callerWith("good", "192.0.2.2"), [READ], 0)).toBeGreaterThan(0);
  expect(rates.take(callerWith("made-up-1", address), [READ], 0)).toBe(0);
  expect(rates.take(callerWith("made-up-2", address), [READ], 0)).toBeGreaterThan(0);
  expect(rates.take(callerWith(null, address), [READ], 0)).toBeGreaterThan(0);
});

test("reports have no limit, with a key that is good or not yet known", () => {
  const rates = limits({ DISPATCHER_RATE_WRITES_PER_MINUTE: "1", DISPATCHER_RATE_READS_PER_MINUTE: "1" });
  rates.know(callerWith("good"));
  for (let call = 0; call < 1_000; call += 1) {
    expect(rates.take(callerWith("good", "192.0.2.1"), [REPORT], 0)).toBe(0);
    expect(rates.take(callerWith(`node-${call}`), [REPORT], 0)).toBe(0);
  }
});

test("after too many wrong keys an address may only use those that are good", () => {
  const rates = limits({ DISPATCHER_RATE_JOINS_PER_MINUTE: "2" });
  const address = "192.0.2.1";
  rates.know(callerWith("good"));
  for (const key of ["wrong-1", "wrong-2"]) {
    expect(rates.take(callerWith(key, address), [REPORT], 0)).toBe(0);
    rates.blame(callerWith(key, address), 0);
  }
  expect(rates.take(callerWith("wrong-3", address), [REPORT], 0)).toBe(30_000);
  expect(rates.take(callerWith("good", address), [REPORT], 0)).toBe(0);
  expect(rates.take(callerWith("wrong-3", "192.0.2.2"), [REPORT], 0)).toBe(0);
  expect(rates.take(callerWith("wrong-3", address), [REPORT], 30_000)).toBe(0);
});

test("a key that is good no more is an address again", () => {
  const rates = limits({ DISPATCHER_RATE_JOINS_PER_MINUTE: "1" });
  const once = callerWith("once-good", "192.0.2.1");
  rates.know(once);
  rates.blame(once, 0);
  expect(rates.take(once, [REPORT], 0)).toBe(60_000);
});

test("joins are limited by address, whatever key comes along, and a batch by each kind in it", () => {
  const rates = limits({ DISPATCHER_RATE_JOINS_PER_MINUTE: "1", DISPATCHER_RATE_WRITES_PER_MINUTE: "2" });
  const address = "192.0.2.1";
  rates.know(callerWith("good"));
  expect(rates.take(callerWith(null, address), [JOIN], 0)).toBe(0);
  expect(rates.take(callerWith("good", address), [JOIN], 0)).toBe(60_000);
  expect(rates.take(callerWith("good", address), [READ, WRITE, WRITE], 0)).toBe(0);
  expect(rates.take(callerWith("good", address), [READ, WRITE], 0)).toBe(30_000);
  expect(rates.take(callerWith("good", address), [READ], 0)).toBe(0);
});
