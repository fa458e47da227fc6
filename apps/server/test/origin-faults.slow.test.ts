/** An origin does everything an origin can do wrong, and each file ends as the failure classes say. */
import { startOrigin, waitFor } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { Rescue, randomFiles } from "./support/rescue.ts";
import type { AssetRow } from "./support/rescue.ts";

const SIZE = 400_000;

const isSavedTwice = ({ copies }: AssetRow): boolean => copies === 2;
const inReview = ({ state }: AssetRow): boolean => state === "review";

test("each fault of an origin ends as it should, and holds up nothing else", async () => {
  await using rescue = await Rescue.start();
  const names = [
    "fine",
    "cut-once",
    "cut",
    "stall-once",
    "stall",
    "longer",
    "shorter",
    "wrong-bytes",
    "gone",
    "login.csv",
  ];
  const files = randomFiles(Object.fromEntries(names.map((name) => [name, SIZE])));
  await using origin = await startOrigin({
    files,
    faults: {
      "cut-once": { kind: "cut", atByte: 200_000, requests: 1 },
      cut: { kind: "cut", atByte: 200_000 },
      "stall-once": { kind: "stall", atByte: 220_000, requests: 1 },
      stall: { kind: "stall", atByte: 220_000 },
      longer: { kind: "wrong-length", sizeBytes: SIZE + 1 },
      shorter: { kind: "wrong-length", sizeBytes: SIZE - 1 },
      "wrong-bytes": { kind: "wrong-bytes" },
      gone: { kind: "status", status: 404 },
      "login.csv": { kind: "login-page" },
    },
  });
  await rescue.importFiles(origin.url, files);
  const patient = ["--patience", "1s", "--concurrency", "4"];
  await Promise.all(["ada", "ben", "cleo"].map((name) => rescue.addAgent(name, patient)));

  for (const name of ["fine", "cut-once", "stall-once"]) {
    expect(await rescue.waitForAsset(name, "saved twice", isSavedTwice)).toMatchObject({
      state: "wanted",
      failures: [],
    });
  }
  for (const name of ["cut-once", "stall-once"]) {
    const resumed = origin.requests.filter((request) => request.path === `/${name}` && request.status === 206);
    expect(resumed.length, name).toBeGreaterThan(0);
  }

  expect(new Set((await rescue.waitForAsset("longer", "in review", inReview)).failures)).toEqual(
    new Set(["TOO_LARGE"]),
  );
  expect(new Set((await rescue.waitForAsset("shorter", "in review", inReview)).failures)).toEqual(new Set(["CHANGED"]));
  expect(new Set((await rescue.waitForAsset("login.csv", "in review", inReview)).failures)).toEqual(
    new Set(["LOGIN_WALL"]),
  );
  const { failures } = await rescue.waitForAsset("gone", "gone", ({ state }) => state === "gone");
  expect(failures.length).toBeGreaterThanOrEqual(2);
  expect(new Set(failures)).toEqual(new Set(["NOT_FOUND"]));

  const attempts = { "wrong-bytes": "BAD_DIGEST", cut: "CONNECTION_CUT", stall: "STALLED" };
  for (const [name, code] of Object.entries(attempts)) {
    const attempted = await rescue.waitForAsset(name, "in review", inReview);
    expect(attempted.failures.length, name).toBeGreaterThanOrEqual(5);
    expect(new Set(attempted.failures)).toEqual(new Set([code]));
  }

  for (const { path, bytes } of await rescue.readCopies())
    expect(bytes.equals(files.get(path) ?? Buffer.of())).toBe(true);
  expect(await rescue.imbalances()).toEqual([]);
  const [quotas] = await rescue.sql<
    { least: number; most: number }[]
  >`select min(quota) as least, max(quota) as most from nodes`;
  expect(quotas?.least).toBeGreaterThanOrEqual(1);
});

test("an origin that throttles is left alone for as long as it asks, and asked again after", async () => {
  await using rescue = await Rescue.start();
  const files = randomFiles({ "one.bin": SIZE, "two.bin": SIZE });
  await using origin = await startOrigin({
    files,
    faults: { "one.bin": { kind: "status", status: 429, retryAfter: "2", requests: 1 } },
  });
  await rescue.importFiles(origin.url, files);
  await rescue.addAgent("ada", ["--concurrency", "1"]);
  await rescue.waitForAsset("one.bin", "throttled", ({ failures }) => failures.includes("THROTTLED"));
  await rescue.addAgent("ben");
  await rescue.waitForAsset("one.bin", "saved twice", isSavedTwice);
  await rescue.waitForAsset("two.bin", "saved twice", isSavedTwice);

  const refused = origin.requests.find((request) => request.status === 429);
  const next = origin.requests.filter((request) => request.atMs > (refused?.atMs ?? 0));
  // A fetch that was granted before the origin complained may have followed at once; nothing was granted in its pause.
  const beginnings = next.map((request) => request.atMs - (refused?.atMs ?? 0)).filter((ms) => ms > 500);
  expect(Math.min(...beginnings)).toBeGreaterThanOrEqual(1_900);
  expect((await rescue.assets()).get("one.bin")).toMatchObject({ failures: ["THROTTLED"], state: "wanted" });
  expect(await rescue.sql`select concurrency from origins`).toEqual([{ concurrency: 10 }]);
});

test.each([
  ["answers 200 to a Range request", { kind: "ignore-range" }],
  ["answers 416 to every Range request", { kind: "refuse-range" }],
] as const)("an origin that %s is fetched from the start again", async (_what, fault) => {
  await using rescue = await Rescue.start({ DISPATCHER_COPIES_TARGET: "1", DISPATCHER_COPIES_MIN: "1" });
  const files = randomFiles({ "big.bin": 3_000_000 });
  await using origin = await startOrigin({ files, bytesPerSecond: 2_000_000 });
  await rescue.importFiles(origin.url, files);
  const agent = await rescue.addAgent("ada");
  await waitFor("bytes on the way", () => (origin.requests[0]?.sentBytes ?? 0) > 600_000);
  await agent.process.kill("SIGKILL");
  origin.setFault("big.bin", fault);
  await rescue.restart(agent);
  await rescue.waitForAsset("big.bin", "saved", ({ copies }) => copies === 1);
  expect(origin.requests.some((request) => request.range !== null)).toBe(true);
  const [copy] = await rescue.readCopies();
  expect(copy?.bytes.equals(files.get("big.bin") ?? Buffer.of())).toBe(true);
});
