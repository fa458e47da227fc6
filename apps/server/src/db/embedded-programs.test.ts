import { expect, test } from "vitest";
import { findPrograms } from "./embedded-programs.ts";

test("a machine that no PostgreSQL comes for is told to set DATABASE_URL", async () => {
  await expect(findPrograms("user", "linux-mips")).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    detail:
      "The server cannot start a PostgreSQL of its own: this installation has none for linux-mips. Set DATABASE_URL to a PostgreSQL 15 or newer.",
  });
});
