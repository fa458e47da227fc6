import { defineConfig } from "vitest/config";

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
          include: ["apps/*/src/**/*.pg.test.ts"],
          globalSetup: ["apps/server/test/support/postgres-for-tests.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "story",
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
