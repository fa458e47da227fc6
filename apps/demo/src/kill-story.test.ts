import type { AssetId } from "@dispatcher/core";
import { expect, test } from "vitest";
import { KillStory } from "./kill-story.ts";
import type { Snapshot } from "./snapshot.ts";
import type { AssetFacts } from "./victim.ts";

const RULE = { fromProgress: 1 / 3, bytesLeftMin: 100, takeoverPatienceMs: 10_000 };

/** A server as the story sees it, whose facts a test changes between steps. */
function aStage() {
  const done: string[] = [];
  const asset = {
    id: "1" as AssetId,
    path: "a.csv",
    sizeBytes: 1000,
    replicas: [],
    assignments: [{ node: "attic", state: "running", bytesDone: 300, grantedAtMs: 1, endedAtMs: null }],
  } satisfies AssetFacts;
  const stage = { done, assets: [asset] as readonly AssetFacts[] };
  const story = new KillStory(
    {
      kill: async (node) => void done.push(`kill ${node}`),
      start: async (node) => void done.push(`start ${node}`),
      readOpenAssets: async () => stage.assets,
      readAssets: async (ids) => stage.assets.filter(({ id }) => ids.includes(id)),
      tell: (text) => done.push(text),
    },
    RULE,
  );
  const takenOver: AssetFacts = {
    ...asset,
    assignments: [
      { node: "attic", state: "expired", bytesDone: 300, grantedAtMs: 1, endedAtMs: 50 },
      { node: "cabin", state: "running", bytesDone: 0, grantedAtMs: 60, endedAtMs: null },
    ],
  };
  return Object.assign(stage, { story, takenOver });
}

function aSnapshot(elapsedMs: number, done: number, atticSinceSyncMs = 0, reassigned = 0): Snapshot {
  const node = { operator: "", life: "online", isKilled: false, offeredBytes: 0, heldBytes: 0, openLeases: 1 } as const;
  return {
    elapsedMs,
    copies: { done, open: 1, wanted: 9 },
    bytes: { done: 0, wanted: 0 },
    bytesPerSecond: 0,
    reassigned,
    nodes: [
      { ...node, name: "attic", copies: 7, sinceSyncMs: atticSinceSyncMs },
      { ...node, name: "cabin", copies: 2, sinceSyncMs: 0 },
    ],
    origin: { fetches: 0, peak: 0, budget: 0 },
  };
}

test("a node is killed at a third, stays down until another has its lease and the server counts it, and comes back", async () => {
  const stage = aStage();
  const { story, done } = stage;
  await story.step(aSnapshot(1000, 2));
  expect([story.hasBegun, story.kill, done]).toEqual([false, null, []]);

  await story.step(aSnapshot(2000, 3));
  expect(done.splice(0)).toEqual([
    "kill attic",
    "attic killed (SIGKILL) in the middle of a.csv, 300 B of 1000 B; open leases: 1",
  ]);
  expect(story.kill).toEqual({ node: "attic", path: "a.csv", takeover: null, isBack: false });

  await story.step(aSnapshot(3000, 4, 1000));
  expect([story.hasBegun, story.isOver, done]).toEqual([true, false, []]);

  stage.assets = [stage.takenOver];
  await story.step(aSnapshot(3500, 4, 1500));
  expect(done).toEqual([]);
  await story.step(aSnapshot(4000, 4, 2000, 1));
  expect(done.splice(0)).toEqual([
    "the lease of attic on a.csv ran out; cabin does it now",
    "start attic",
    "attic started again",
  ]);

  await story.step(aSnapshot(5000, 5, 3000));
  expect(story.isOver).toBe(false);
  await story.step(aSnapshot(6000, 5, 100));
  expect(done).toEqual(["attic is back, with 7 files from before"]);
  expect(story.isOver).toBe(true);
  expect(story.kill).toEqual({
    node: "attic",
    path: "a.csv",
    takeover: { path: "a.csv", node: "cabin" },
    isBack: true,
  });
  await story.step(aSnapshot(7000, 9));
  expect(done).toHaveLength(1);
});

test("a victim whose work nobody takes over is started again in the end, and the story says so", async () => {
  const { story, done } = aStage();
  await story.step(aSnapshot(2000, 3));
  await story.step(aSnapshot(11_999, 3, 9000));
  expect(done).toHaveLength(2);
  await story.step(aSnapshot(12_000, 3, 9000));
  expect(done.slice(2)).toEqual([
    "no lease of attic was granted to another node in time",
    "start attic",
    "attic started again",
  ]);
  await story.step(aSnapshot(13_000, 3, 0));
  expect(story.kill).toEqual({ node: "attic", path: "a.csv", takeover: null, isBack: true });
});
