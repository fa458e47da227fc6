import { defineConfig } from "vitest/config";

/** A worker imports the server once, not anew for each of its files; so no file leaves anything behind in a module. */
const ONE_WORKER_FOR_MANY_FILES = { isolate: false } as const;

/**
 * Five projects, told apart by what a test needs: unit (nothing), pg (a real PostgreSQL), story (real processes), slow
 * (minutes of killing and restarting), chaos (a whole fleet, killed by chance for minutes).
 */
export default defineConfig({
  test: {
    // Half of these tests wait for processes and timers; one worker for each core, as by default less one, would idle.
    maxWorkers: 4,
    projects: [
      {
        test: {
          name: "unit",
          ...ONE_WORKER_FOR_MANY_FILES,
          include: ["{packages,apps}/*/src/**/*.test.ts", "bin/**/*.test.ts"],
          exclude: ["**/*.pg.test.ts", "**/node_modules/**", "**/dist/**"],
          typecheck: { enabled: true, include: ["{packages,apps}/*/src/**/*.test-d.ts"] },
          // Thousands of arbitrary inputs take their time where other processes want the same cores.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "pg",
          ...ONE_WORKER_FOR_MANY_FILES,
          include: ["apps/*/src/**/*.pg.test.ts"],
          globalSetup: ["apps/server/test/support/postgres-for-tests.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "story",
          ...ONE_WORKER_FOR_MANY_FILES,
          include: ["apps/*/test/**/*.test.ts"],
          exclude: ["**/*.slow.test.ts", "**/*.chaos.test.ts", "**/node_modules/**"],
          globalSetup: ["apps/server/test/support/postgres-for-tests.ts"],
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "chaos",
          include: ["apps/*/test/**/*.chaos.test.ts"],
          globalSetup: ["apps/server/test/support/postgres-for-tests.ts"],
          testTimeout: 400_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "slow",
          include: ["{packages,apps}/*/test/**/*.slow.test.ts", "examples/*.slow.test.ts"],
          globalSetup: ["apps/server/test/support/postgres-for-tests.ts"],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
