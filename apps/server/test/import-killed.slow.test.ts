/** `admin import-state` is killed in the middle, at several places: the database is as empty as before. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { childEnvironment, waitFor } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { exportLines } from "./support/state-text.ts";
import { startTestDispatcher } from "./support/test-dispatcher.ts";

const PROGRAM = fileURLToPath(new URL("../../../bin/dispatcher.mjs", import.meta.url));
const ASSETS = 20_000;

test("an import that is killed leaves nothing behind, and the next one takes all", async () => {
  await using old = await startTestDispatcher();
  for (let page = 0; page < ASSETS / 1000; page += 1) {
    await old.addAssets(1000, (index) => ({
      path: `p${page}/f${index}`,
      url: `https://origin.example/p${page}/f${index}`,
    }));
  }
  const lines = await exportLines(old.dependencies.db);
  await using next = await startTestDispatcher();
  const start = () => {
    const child = spawn(process.execPath, [PROGRAM, "admin", "import-state", "-", "--yes"], {
      env: childEnvironment({ DATABASE_URL: next.url }),
      stdio: ["pipe", "ignore", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    child.stdin.on("error", () => {});
    return child;
  };
  const isWaiting = async (): Promise<boolean> => {
    const [row] = await next.sql<[{ waiting: boolean }]>`
      select count(*) > 0 as waiting from pg_stat_activity
       where datname = current_database() and application_name = 'dispatcher admin'
         and state = 'idle in transaction' and query ~ '^\\s*insert' and state_change < now() - interval '200 ms'`;
    return row.waiting;
  };

  for (const share of [0.1, 0.5, 0.9, 1]) {
    const child = start();
    // All but the last line, at most: it waits for more in its transaction.
    child.stdin.write(lines.slice(0, Math.floor(share * (lines.length - 1))).join(""));
    await waitFor("the import to have stored what it got", isWaiting);
    child.kill("SIGKILL");
    await once(child, "exit");
    const [row] = await next.sql<[{ count: number }]>`
      select (select count(*) from operators) + (select count(*) from datasets) + (select count(*) from origins)
             + (select count(*) from assets) + (select count(*) from events) as count`;
    expect(row.count).toBe(0);
  }

  const child = start();
  child.stdin.end(lines.join(""));
  expect(await once(child, "exit")).toEqual([0, null]);
  expect((await exportLines(next.dependencies.db)).slice(1, -1)).toEqual(lines.slice(1, -1));
  expect(await next.imbalances()).toEqual([]);
});
