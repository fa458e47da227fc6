import type { AssetId } from "@dispatcher/core";
import { expect, test } from "vitest";
import { chooseVictim, findTakeover } from "./victim.ts";
import type { AssetFacts } from "./victim.ts";

const RULE = { nodeNames: ["attic", "basement", "cabin"], bytesLeftMin: 100 };

function aLease(
  node: string,
  given: Partial<AssetFacts["assignments"][number]> = {},
): AssetFacts["assignments"][number] {
  return { node, state: "running", bytesDone: 500, grantedAtMs: 1000, endedAtMs: null, ...given };
}

function anAsset(id: string, given: Partial<AssetFacts> = {}): AssetFacts {
  return { id: id as AssetId, path: `${id}.csv`, sizeBytes: 1000, replicas: [], assignments: [], ...given };
}

test("the victim is in the middle of the file of which most is left, and all its leases are told", () => {
  const assets = [
    anAsset("1", {
      assignments: [aLease("attic", { bytesDone: 800 }), aLease("basement", { state: "granted", bytesDone: 0 })],
    }),
    anAsset("2", { assignments: [aLease("attic", { bytesDone: 300 })] }),
    anAsset("3", { assignments: [aLease("basement", { bytesDone: 400 })] }),
  ];
  expect(chooseVictim(assets, RULE)).toEqual({
    node: "attic",
    path: "2.csv",
    bytesDone: 300,
    sizeBytes: 1000,
    leasedAssetIds: ["1", "2"],
  });
});

test.each([
  ["nothing is open", anAsset("1")],
  ["its size is unknown", anAsset("1", { sizeBytes: null, assignments: [aLease("attic")] })],
  ["no byte has come", anAsset("1", { assignments: [aLease("attic", { bytesDone: 0 })] })],
  ["it is nearly done", anAsset("1", { assignments: [aLease("attic", { bytesDone: 901 })] })],
  ["the lease is over", anAsset("1", { assignments: [aLease("attic", { state: "failed" })] })],
  [
    "nobody could take over",
    anAsset("1", { replicas: [{ node: "basement" }], assignments: [aLease("attic"), aLease("cabin")] }),
  ],
])("there is no victim where %s", (_, asset) => {
  expect(chooseVictim([asset], RULE)).toBeNull();
});

test("a lease with exactly the bytes left that are asked for will do", () => {
  expect(chooseVictim([anAsset("1", { assignments: [aLease("attic", { bytesDone: 900 })] })], RULE)?.node).toBe(
    "attic",
  );
});

function takeoverAfter(...assignments: AssetFacts["assignments"]) {
  return findTakeover([anAsset("1", { assignments })], "attic");
}

test("a takeover is a grant to another node after the victim's lease expired", () => {
  const expired = aLease("attic", { state: "expired", endedAtMs: 5000 });
  expect(takeoverAfter(expired, aLease("cabin", { grantedAtMs: 5000 }))).toEqual({ path: "1.csv", node: "cabin" });
  expect(takeoverAfter(expired)).toBeNull();
  expect(takeoverAfter(expired, aLease("cabin", { grantedAtMs: 4999 }))).toBeNull();
  expect(takeoverAfter(expired, aLease("attic", { grantedAtMs: 6000 }))).toBeNull();
  expect(takeoverAfter(aLease("attic"), aLease("cabin", { grantedAtMs: 6000 }))).toBeNull();
});
