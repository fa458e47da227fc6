import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { aHome, aNode } from "../test/support/a-home.ts";
import { formatStatus, readStatus } from "./agent-status.ts";
import type { AgentStatus } from "./agent-status.ts";
import { homeAt } from "./home.ts";
import { writeNodeFile } from "./node-file.ts";
import { askStatus, serveStatus } from "./status-socket.ts";

const STATUS: AgentStatus = {
  node: { id: "1", name: "attic", operator: "Library", url: "http://127.0.0.1:1" },
  home: "/home",
  capacityBytes: 500 * 1024 ** 3,
  marginBytes: 1024 ** 3,
  freeBytes: 600 * 1024 ** 3,
  copies: 3,
  heldBytes: 1536,
  missing: 1,
  notCounted: 0,
  open: [
    { assetId: "5", path: "co2.csv", isRunning: true, bytesDone: 512, sizeBytes: 1024 },
    { assetId: "6", path: "evil\u001B[2J\n.csv", isRunning: false, bytesDone: 0, sizeBytes: null },
  ],
  unreported: 2,
  live: {
    pid: 42,
    startedAtMs: 0,
    isStopping: false,
    lastSyncAtMs: 60_000,
    syncFailure: "SERVER_UNREACHABLE",
    refusal: "full",
    message: null,
  },
};

test("a running agent answers everyone who asks", async () => {
  await using place = await aHome();
  const server = await serveStatus(place.home.socket, () => Promise.resolve(STATUS));
  try {
    expect(await Promise.all([askStatus(place.home.socket), askStatus(place.home.socket)])).toEqual([STATUS, STATUS]);
  } finally {
    await server.close();
  }
  expect(await askStatus(place.home.socket)).toBeNull();
});

test("what a killed agent has left is no answer, and is not in the way", async () => {
  await using place = await aHome();
  await writeFile(place.home.socket, "");
  expect(await askStatus(place.home.socket)).toBeNull();
  const server = await serveStatus(place.home.socket, () => Promise.resolve(STATUS));
  expect(await askStatus(place.home.socket)).toEqual(STATUS);
  await server.close();
});

test("an agent that cannot tell its status hangs up", async () => {
  await using place = await aHome();
  const server = await serveStatus(place.home.socket, () => Promise.reject(new Error("disk")));
  expect(await askStatus(place.home.socket)).toBeNull();
  await server.close();
});

test("the socket of a home of any length can be listened on", async () => {
  await using place = await aHome();
  const long = homeAt(join(place.home.path, "x".repeat(200)));
  expect(Buffer.byteLength(long.socket)).toBeLessThanOrEqual(103);
  expect(long.socket).not.toBe(homeAt(join(place.home.path, "y".repeat(200))).socket);
  const server = await serveStatus(long.socket, () => Promise.resolve(STATUS));
  expect(await askStatus(long.socket)).toEqual(STATUS);
  await server.close();
});

test("status tells people what is held and what goes on, and lets no name write on their terminal", () => {
  expect(formatStatus(STATUS, 90_000)).toBe(
    [
      "Node          attic (1) of Library, at http://127.0.0.1:1",
      "Agent         running for 90 s (process 42)",
      "Copies        3, 1.5 KB",
      "Missing       1: files that are gone or cut short, which are made anew elsewhere",
      "Disk          500 GB offered, 1 GB of it kept free; the disk has 600 GB free",
      "Fetching      co2.csv  512 B of 1 KB (50 %)",
      "Waiting       evil?[2J?.csv  0 B",
      "Unreported    2, told with the next sync",
      "Last sync     30 s ago; the latest attempt failed: SERVER_UNREACHABLE",
      "No more work  full",
    ].join("\n"),
  );
});

test("where no agent runs the folder tells", async () => {
  await using place = await aHome();
  await expect(readStatus(place.home)).rejects.toMatchObject({ code: "NOT_JOINED" });
  await writeNodeFile(place.home, aNode());
  const status = await readStatus(place.home);
  expect(status).toMatchObject({ node: { name: "attic" }, copies: 0, open: [], live: null });
  expect(JSON.stringify(status)).not.toContain("secret-key");
  expect(formatStatus(status, 0)).toContain("not running");
});
