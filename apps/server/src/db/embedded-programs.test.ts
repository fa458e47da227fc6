import * as os from "node:os";
import { expect, test, vi } from "vitest";
import { findPrograms } from "./embedded-programs.ts";

vi.mock("node:os", async (importOriginal) => ({ ...(await importOriginal<typeof os>()), arch: () => "mips" }));

test("a machine that no PostgreSQL comes for is told to set DATABASE_URL", async () => {
  await expect(findPrograms()).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    detail: `The server cannot start a PostgreSQL of its own: this installation has none for ${os.platform()}-mips. Set DATABASE_URL to a PostgreSQL 15 or newer.`,
  });
});
